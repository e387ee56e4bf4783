"""LLG kernels for CUDA: the physics of ``llg``, one thread a site, two launches a Heun step.

The layout is the CPU's: (S_x, S_y, S_z) row by row with one empty site (S = 0) all around, which
is all an open boundary needs. A periodic one takes the neighbour from the opposite edge instead.
Everything stays on the device during ``advance``; nothing in a kernel is wider than its arrays.
"""

import numpy as np
from numba import cuda

from skyctl.simulators import llg
from skyctl.simulators.engines import Stretch, pack_coefficients

_THREADS_PER_BLOCK = 64  # small blocks: a 100 x 100 film still reaches every multiprocessor

_field = cuda.jit(device=True)(llg.interaction_field)
_rate = cuda.jit(device=True)(llg.spin_rate)
_normalise = cuda.jit(device=True)(llg.unit_spin)


@cuda.jit(device=True)
def _site_rate(spins, k, rows, columns, periodic, spot, c, bias, pulse, time):
    """Padded index of the film's k-th site and its dS/dt: (site, rx, ry, rz)."""
    row, column = k // columns, k % columns
    width = columns + 2
    site = (row + 1) * width + column + 1
    left, right, down, up = site - 1, site + 1, site - width, site + width
    if periodic:
        if column == 0:
            left += columns
        if column == columns - 1:
            right -= columns
        if row == 0:
            down += rows * width
        if row == rows - 1:
            up -= rows * width
    x, y, z = spins[0, site], spins[1, site], spins[2, site]
    bx, by, bz = _field(
        spins[0, left], spins[1, left], spins[2, left],
        spins[0, right], spins[1, right], spins[2, right],
        spins[0, down], spins[1, down], spins[2, down],
        spins[0, up], spins[1, up], spins[2, up], z, c[0], c[1], c[2],
    )  # fmt: skip
    bx += bias[0] + pulse[time, 0] * spot[site]
    by += bias[1] + pulse[time, 1] * spot[site]
    bz += bias[2] + pulse[time, 2] * spot[site]
    rx, ry, rz = _rate(x, y, z, bx, by, bz, c[3], c[4])
    return site, rx, ry, rz


@cuda.jit
def _predict(spins, predicted, rows, columns, periodic, spot, c, bias, pulse, step):
    """P = S + dt f(S): the Euler half of Heun's step, left at its own length."""
    k = cuda.grid(1)
    if k >= rows * columns:
        return
    i, rx, ry, rz = _site_rate(spins, k, rows, columns, periodic, spot, c, bias, pulse, step)
    dt = c[5]
    predicted[0, i] = spins[0, i] + dt * rx
    predicted[1, i] = spins[1, i] + dt * ry
    predicted[2, i] = spins[2, i] + dt * rz


@cuda.jit
def _correct(spins, predicted, target, rows, columns, periodic, spot, c, bias, pulse, step):
    """S' = unit((S + P + dt f(P)) / 2): the trapezoidal half of Heun's step."""
    k = cuda.grid(1)
    if k >= rows * columns:
        return
    i, rx, ry, rz = _site_rate(
        predicted, k, rows, columns, periodic, spot, c, bias, pulse, step + 1
    )
    dt, half, unit, tiny = c[5], c[6], c[6] + c[6], c[7]
    target[0, i], target[1, i], target[2, i] = _normalise(
        half * (spins[0, i] + predicted[0, i] + dt * rx),
        half * (spins[1, i] + predicted[1, i] + dt * ry),
        half * (spins[2, i] + predicted[2, i] + dt * rz),
        unit,
        tiny,
    )


class CudaEngine:
    """Spins in padded arrays on the current CUDA device.

    Raises RuntimeError where numba finds no CUDA GPU, or no CUDA libraries for it.
    """

    def __init__(self, rows: int, columns: int, precision: str) -> None:
        if not cuda.is_available():
            raise RuntimeError(
                "device cuda: numba finds no CUDA GPU, or not the CUDA libraries it needs. Use "
                "device='cpu', or install skyctl with its extra 'gpu' on a machine with an "
                "NVIDIA GPU."
            )
        self._rows, self._columns = rows, columns
        self._dtype = np.dtype(precision)
        empty = self._padded(np.zeros((3, rows, columns)))
        self._spins, self._predicted, self._target = (cuda.to_device(empty) for _ in range(3))

    def _inner(self, flat: np.ndarray) -> np.ndarray:
        grid = flat.reshape(*flat.shape[:-1], self._rows + 2, self._columns + 2)
        return grid[..., 1:-1, 1:-1]

    def _padded(self, values: np.ndarray) -> np.ndarray:
        sites = (self._rows + 2) * (self._columns + 2)
        flat = np.zeros((*values.shape[:-2], sites), self._dtype)
        self._inner(flat)[:] = values
        return flat

    def read(self) -> np.ndarray:
        return self._inner(self._spins.copy_to_host()).copy()

    def write(self, spins: np.ndarray, periodic: bool) -> None:  # noqa: ARG002 wrapped by the kernels
        self._spins.copy_to_device(self._padded(spins))

    def advance(self, stretch: Stretch) -> None:
        times = stretch.start_ps + stretch.step_ps * np.arange(stretch.steps + 1)
        envelope = [
            llg.pulse_envelope(time, stretch.peak_ps, stretch.width_ps) for time in times.tolist()
        ]
        constants = (
            cuda.to_device(self._padded(stretch.spot)),
            cuda.to_device(pack_coefficients(stretch.coefficients, stretch.step_ps, self._dtype)),
            cuda.to_device(np.array(stretch.bias_T, self._dtype)),
            cuda.to_device(np.outer(envelope, stretch.peak_T).astype(self._dtype)),
        )
        film = (self._rows, self._columns, stretch.periodic)
        blocks = -(-self._rows * self._columns // _THREADS_PER_BLOCK)
        predict = _predict[blocks, _THREADS_PER_BLOCK]
        correct = _correct[blocks, _THREADS_PER_BLOCK]
        for step in range(stretch.steps):
            predict(self._spins, self._predicted, *film, *constants, step)
            correct(self._spins, self._predicted, self._target, *film, *constants, step)
            self._spins, self._target = self._target, self._spins
