"""The midpoint step of a film under a network's field, on a CUDA device.

Spins, predictor and field stay there: the network reads and writes the same arrays, by address. All
of it is single precision, as the network is. Noise is drawn where it is needed, twice a step, as in
``lattice.kernels_cuda``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import cuda

from skyctl.simulators.physics import llg
from skyctl.simulators.physics.cuda import launcher, require_device
from skyctl.simulators.physics.kernels_noise_cuda import normals
from skyctl.simulators.physics.schemes import MIDPOINT
from skyctl.simulators.physics.span import Span

_BLOCK = 128
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_TINY, _PADE = np.float32(llg.TINY), tuple(np.float32(t) for t in llg.TAN_PADE)

_device = cuda.jit(device=True)
_turning = _device(llg.turning)
_unit = _device(llg.unit_spin)
_predict_spin, _correct_spin = MIDPOINT.functions(_device)


@_device
def _turning_at(i, among, field, spot, key, step, numbers):
    """A of site ``i`` among the spins ``among``."""
    unit, damping, thermal, bx, by, bz, gx, gy, gz = numbers
    near = spot[i]
    bx += unit * field[0, i] + near * gx
    by += unit * field[1, i] + near * gy
    bz += unit * field[2, i] + near * gz
    if thermal > _ZERO:
        nx, ny, nz = normals(i, step, key)
        bx, by, bz = bx + thermal * nx, by + thermal * ny, bz + thermal * nz
    return _turning(among[0, i], among[1, i], among[2, i], bx, by, bz, damping)


@cuda.jit
def predict(spins, middle, unit, field, spot, key, step, numbers):
    """P of the scheme, as it is and with the length 1 for the network.

    spins, middle, unit : (3, sites) S, P and P/|P|; field : of S, hoppings
    spot : (sites,), the pulse's strength; key : (4,) uint32 of the noise; step : its number
    numbers : nine float32: what a field of one hopping turns a spin by, damping, the noise's B',
        the static B' and the pulse's
    """
    i = cuda.grid(1)
    if i < spins.shape[1]:
        ax, ay, az = _turning_at(i, spins, field, spot, key, step, numbers)
        x, y, z = spins[0, i], spins[1, i], spins[2, i]
        x, y, z = _predict_spin(x, y, z, ax, ay, az, _HALF, _ONE, _PADE)
        middle[0, i], middle[1, i], middle[2, i] = x, y, z
        unit[0, i], unit[1, i], unit[2, i] = _unit(x, y, z, _ONE, _TINY)


@cuda.jit
def correct(spins, middle, field, spot, key, step, numbers):
    """S' of the scheme, in place; ``field`` is that of P/|P|, the rest as above."""
    i = cuda.grid(1)
    if i < spins.shape[1]:
        ax, ay, az = _turning_at(i, middle, field, spot, key, step, numbers)
        x, y, z = _correct_spin(
            spins[0, i], spins[1, i], spins[2, i], middle[0, i], middle[1, i], middle[2, i],
            ax, ay, az, ax, ay, az, _HALF, _ONE, _PADE,
        )  # fmt: skip
        spins[0, i], spins[1, i], spins[2, i] = _unit(x, y, z, _ONE, _TINY)


def _address(array: Any) -> int:
    return array.__cuda_array_interface__["data"][0]


class TorqueCudaEngine:
    """One film on the current CUDA device, in single precision; a ``span.Engine``.

    torque : an ``film.BoundField`` of device "cuda"
    field_unit_T : a field of one hopping

    Raises DeviceMissing as ``require_device``, ValueError for a torque that does not run there.
    """

    def __init__(self, torque: Any, field_unit_T: float, rows: int, columns: int) -> None:
        require_device()
        if getattr(torque, "device", None) != "cuda":
            raise ValueError(
                f"device cuda: the torque {type(torque).__name__} does not run there. Give a "
                "TorqueNetwork with provider='cuda', or use device='cpu'."
            )
        self._field_unit_T, self._shape = field_unit_T, (1, 3, rows, columns)
        self._stream = cuda.stream()
        sites = rows * columns
        self._spins, self._middle, self._unit, self._field = (
            cuda.device_array((3, sites), np.float32) for _ in range(4)
        )
        into = _address(self._field)
        self._field_of_spins: Callable[[], None] = torque.bind(
            _address(self._spins), into, rows, columns
        )
        self._field_of_unit: Callable[[], None] = torque.bind(
            _address(self._unit), into, rows, columns
        )
        grid = -(-sites // _BLOCK)
        self._predict = launcher(predict, grid, _BLOCK, self._stream)
        self._correct = launcher(correct, grid, _BLOCK, self._stream)
        self._everywhere = cuda.to_device(np.ones(sites, np.float32))
        self._spot: tuple[np.ndarray | None, Any] = None, self._everywhere

    def read(self) -> np.ndarray:
        spins = self._spins.copy_to_host(stream=self._stream)
        self._stream.synchronize()
        return spins.reshape(self._shape)

    def write(self, spins: np.ndarray) -> None:
        flat = np.ascontiguousarray(spins[0], np.float32).reshape(3, -1)
        self._spins.copy_to_device(flat, self._stream)
        self._stream.synchronize()

    def advance(self, spans: Sequence[Span]) -> None:
        """As ``Engine.advance``. A spot that is the same read-only array is sent once."""
        (span,) = spans
        if self._spot[0] is not span.spot:
            self._spot = span.spot, self._profile(span.spot)
        spot, key = self._spot[1], cuda.to_device(span.noise_key, self._stream)
        later_ps = MIDPOINT.corrector_at * span.step_ps
        for step in range(span.steps):
            time_ps, number = span.start_ps + step * span.step_ps, span.first_step + step
            # The network runs on a stream of its own, and waits for it before it returns.
            self._stream.synchronize()
            self._field_of_spins()
            self._predict(
                self._spins, self._middle, self._unit, self._field, spot, key, number,
                self._numbers(span, time_ps),
            )  # fmt: skip
            self._stream.synchronize()
            self._field_of_unit()
            self._correct(
                self._spins, self._middle, self._field, spot, key, number,
                self._numbers(span, time_ps + later_ps),
            )  # fmt: skip

    def _profile(self, spot: np.ndarray | None) -> Any:
        if spot is None:
            return self._everywhere
        return cuda.to_device(spot.astype(np.float32).ravel(), self._stream)

    def _numbers(self, span: Span, time_ps: float) -> tuple[np.float32, ...]:
        """``numbers`` of the kernels at a time."""
        c = span.coefficients
        turn = c.rate * span.step_ps
        thermal_T = np.sqrt(c.thermal_T2ps / span.step_ps)
        strength = llg.pulse_envelope(time_ps, span.peak_ps, span.width_ps)
        return (
            np.float32(turn * self._field_unit_T),
            np.float32(c.damping),
            np.float32(turn * thermal_T),
            *(np.float32(turn * field_T) for field_T in span.bias_T),
            *(np.float32(turn * strength * field_T) for field_T in span.peak_T),
        )
