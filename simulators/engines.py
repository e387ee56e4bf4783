"""Where a film's spins live and what moves them: the CPU, or a CUDA device. Chosen once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

_TINY = 1e-30


@dataclass(frozen=True)
class Stretch:
    """A stretch of time under one pulse.

    coefficients : ``Film.coefficients``; bias_T : static field
    peak_T, peak_ps, width_ps : the pulse's field at its peak, when that is, and its Gaussian width
    spot : (rows, columns), the pulse's strength over the film
    start_ps, step_ps, steps : movie time of the first step, length and number of the steps
    """

    coefficients: Mapping[str, float]
    bias_T: tuple[float, float, float]
    peak_T: tuple[float, float, float]
    peak_ps: float
    width_ps: float
    spot: np.ndarray
    start_ps: float
    step_ps: float
    steps: int
    periodic: bool


class Engine(Protocol):
    """Spins of one film and a Heun step for them."""

    def read(self) -> np.ndarray:
        """A copy of the spins, (3, rows, columns)."""
        ...

    def write(self, spins: np.ndarray, periodic: bool) -> None:
        """Replace the spins, (3, rows, columns), unit vectors."""
        ...

    def advance(self, stretch: Stretch) -> None:
        """Take the Heun steps of a stretch of time."""
        ...


def make_engine(
    device: Literal["cpu", "cuda"], rows: int, columns: int, precision: str, threads: int
) -> Engine:
    """The engine for a device. Raises RuntimeError where there is no such device."""
    if precision not in ("f8", "f4"):
        raise ValueError(f"precision {precision!r}: choose 'f8' or 'f4'")
    if device == "cpu":
        return CpuEngine(rows, columns, precision, threads)
    if device == "cuda":
        from skyctl.simulators.kernels_cuda import CudaEngine

        return CudaEngine(rows, columns, precision)
    raise ValueError(f"device {device!r}: choose 'cpu' or 'cuda'")


def pack_coefficients(
    coefficients: Mapping[str, float], step_ps: float, dtype: np.dtype[Any]
) -> np.ndarray:
    """The kernels' constants in the precision of the run, in the order they index them."""
    names = ("exchange", "dmi", "anisotropy", "precession", "damping")
    return np.array([*(coefficients[n] for n in names), step_ps, 0.5, _TINY], dtype)


class CpuEngine:
    """Spins in padded flat arrays, moved by the vectorised stencil of ``kernels_cpu``."""

    def __init__(self, rows: int, columns: int, precision: str, threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(f"threads = {threads}: must be 1 or more")
        self._rows, self._columns, self._threads = rows, columns, min(threads, rows)
        self._dtype = np.dtype(precision)
        self._state = np.zeros((3, 3, (rows + 2) * (columns + 2)), self._dtype)

    def _inner(self, flat: np.ndarray) -> np.ndarray:
        grid = flat.reshape(*flat.shape[:-1], self._rows + 2, self._columns + 2)
        return grid[..., 1:-1, 1:-1]

    def read(self) -> np.ndarray:
        return self._inner(self._state[0]).copy()

    def write(self, spins: np.ndarray, periodic: bool) -> None:
        from skyctl.simulators import kernels_cpu

        self._state[:] = 0
        self._inner(self._state[0])[:] = spins
        if periodic:
            kernels_cpu.wrap(self._state[0], self._rows, self._columns)

    def advance(self, stretch: Stretch) -> None:
        from skyctl.simulators import kernels_cpu

        profile = np.zeros(self._state.shape[-1], self._dtype)
        self._inner(profile)[:] = stretch.spot
        kernels_cpu.run(
            self._threads,
            self._state,
            self._rows,
            self._columns,
            profile,
            pack_coefficients(stretch.coefficients, stretch.step_ps, self._dtype),
            np.array(stretch.bias_T, self._dtype),
            np.array([*stretch.peak_T, stretch.peak_ps, stretch.width_ps]),
            stretch.start_ps,
            stretch.step_ps,
            stretch.steps,
            stretch.periodic,
        )
