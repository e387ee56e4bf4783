"""Where a film's spins live and what moves them: the CPU, or a CUDA device. Chosen once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from skyctl.simulators.lattice.layout import Layout
from skyctl.simulators.physics import llg

Integrator = Literal["heun", "midpoint", "depondt", "rk4", "dormand-prince"]
INTEGRATORS: tuple[Integrator, ...] = get_args(Integrator)
ONLY_AT_ZERO_KELVIN = ("rk4", "dormand-prince")
"""Integrators for smooth motion: their order means nothing where noise drives the spins."""

CORRECTOR_AT = {"heun": 1.0, "depondt": 1.0, "midpoint": 0.5}
"""When in a step the corrector takes the field."""
_LONGEST_TURN = 1.6
_TINY = 1e-30
_WORDS = 4


@dataclass(frozen=True)
class Coefficients:
    """What multiplies each term of the motion.

    exchange_T, dmi_T, anisotropy_T : J/μ, D/μ, 2K/μ
    rate : γ/(1+α²), rad/(ps·T); damping : α
    thermal_T2ps : 2αk_BT/(γμ), the noise field's power; its deviation over a step dt is √(this/dt)
    """

    exchange_T: float
    dmi_T: float
    anisotropy_T: float
    rate: float
    damping: float
    thermal_T2ps: float = 0.0

    def fastest_rad_per_ps(self, field_T: float = 0.0) -> float:
        """An upper bound of how fast a spin turns, damping included, in a field of that size."""
        inner = 8 * np.hypot(self.exchange_T, self.dmi_T) + abs(self.anisotropy_T)
        return float(self.rate * np.hypot(1, self.damping) * (inner + field_T))

    def packed(self, step_ps: float, dtype: Any) -> np.ndarray:
        """The kernels' constants in the precision of the run, in the order they index them.

        Fields as B', the turn in one step (see ``llg``); then 1/2, 1, the square of a length that
        no spin has, and the coefficients of ``llg.full_turn``.
        """
        k = self.rate * step_ps
        noise = k * np.sqrt(self.thermal_T2ps / step_ps)
        fields = (k * self.exchange_T, k * self.dmi_T, k * self.anisotropy_T)
        return np.array([*fields, self.damping, noise, 0.5, 1.0, _TINY, *llg.TAN_PADE], dtype)


@dataclass(frozen=True)
class Span:
    """A stretch of time under one pulse, for one film.

    bias_T : static field
    peak_T, peak_ps, width_ps : the pulse's field at its peak, when that is, and its Gaussian width
    spot : (rows, columns), the pulse's strength over the film; None is 1 everywhere
    anisotropy_map : (rows, columns), K of each site in units of the film's; None is 1 everywhere
    start_ps, step_ps, steps : movie time of the first step, length and number of the steps
    noise_key : four random words, the film's own; first_step : number of its first step in them
    """

    coefficients: Coefficients
    bias_T: tuple[float, float, float]
    peak_T: tuple[float, float, float]
    peak_ps: float
    width_ps: float
    spot: np.ndarray | None
    anisotropy_map: np.ndarray | None
    start_ps: float
    step_ps: float
    steps: int
    noise_key: np.ndarray
    first_step: int


def stable_turn(integrator: str, damping: float) -> float:
    """By how much the fastest spin wave may turn in one step of an integrator, rad.

    Measured on a random film: up to 2 rad the energy of a damped film still falls. Not so Heun's,
    which amplifies a wave by 1 + turn⁴/8 a step, against 1 - α turn: hence (8α)^⅓, and, for a
    damping too weak for that, a turn at which it takes a thousand steps to see.
    """
    if integrator != "heun":
        return _LONGEST_TURN
    return min(_LONGEST_TURN, max(0.25, 2 * damping ** (1 / 3)))


class Engine(Protocol):
    """Spins of one film, or of a batch of films of one size, and steps for them."""

    def read(self) -> np.ndarray:
        """A copy of the spins, (films, 3, rows, columns)."""
        ...

    def write(self, spins: np.ndarray) -> None:
        """Replace the spins, (films, 3, rows, columns), unit vectors."""
        ...

    def advance(self, spans: Sequence[Span]) -> None:
        """Move each film through its span; time and number of the steps are the same in all."""
        ...


def noise_key(seed: int) -> np.ndarray:
    """The words that make a film's noise its own, from a seed ≥ 0."""
    return np.random.SeedSequence(seed).generate_state(_WORDS, np.uint32)


def make_engine(
    device: Literal["cpu", "cuda"],
    rows: int,
    columns: int,
    *,
    films: int = 1,
    periodic: bool,
    precision: str,
    integrator: str,
    threads: int = 1,
    tolerance: float = 1e-8,
) -> Engine:
    """The engine for a device. Raises RuntimeError where there is no such device.

    tolerance : error of a spin's component that a Dormand–Prince step may make
    """
    if precision not in ("f8", "f4"):
        raise ValueError(f"precision {precision!r}: choose 'f8' or 'f4'")
    if integrator not in INTEGRATORS:
        raise ValueError(f"integrator {integrator!r}: choose one of {', '.join(INTEGRATORS)}")
    layout = Layout(rows, columns)
    if device == "cpu":
        if films != 1:
            raise ValueError(f"device 'cpu': moves one film at a time, not {films}")
        if integrator in ONLY_AT_ZERO_KELVIN:
            return RungeKuttaEngine(layout, periodic, precision, integrator, tolerance)
        return CpuEngine(layout, periodic, precision, integrator, threads)
    if device == "cuda":
        if integrator in ONLY_AT_ZERO_KELVIN:
            raise ValueError(f"integrator {integrator!r}: runs on the CPU; choose device='cpu'")
        from skyctl.simulators.lattice.kernels_cuda import CudaEngine

        return CudaEngine(layout, films, periodic, precision, integrator)
    raise ValueError(f"device {device!r}: choose 'cpu' or 'cuda'")


class CpuEngine:
    """One film on ``threads`` threads, moved by the vectorised stencil of ``kernels_cpu``."""

    def __init__(
        self, layout: Layout, periodic: bool, precision: str, integrator: str, threads: int = 1
    ) -> None:
        from skyctl.simulators.lattice import kernels_cpu

        if threads < 1:
            raise ValueError(f"threads = {threads}: must be 1 or more")
        self._kernels: Any = kernels_cpu
        self._layout, self._periodic = layout, periodic
        self._threads = min(threads, layout.rows)
        self._dtype = np.dtype(precision)
        self._scheme = getattr(kernels_cpu, integrator.upper())
        self._state = layout.zeros(2, 3, dtype=self._dtype)
        self._corrector = CORRECTOR_AT[integrator]
        workspace = 6 if integrator == "depondt" else 3
        self._predicted = layout.zeros(self._threads, workspace, dtype=self._dtype)
        self._noise: np.ndarray | None = None

    def read(self) -> np.ndarray:
        return self._layout.inner(self._state[:1]).copy()

    def write(self, spins: np.ndarray) -> None:
        self._state[0] = self._laid_out(spins[0])

    def _laid_out(self, fields: np.ndarray) -> np.ndarray:
        """Fields (n, rows, columns) as (n, size), wrapped where the film is periodic."""
        layout = self._layout
        flat = layout.flat(fields, self._dtype)
        if self._periodic:
            self._kernels.wrap(flat, layout.rows, layout.columns, layout.width)
        return flat

    def _profile(self, values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else self._laid_out(values[None])[0]

    def advance(self, spans: Sequence[Span]) -> None:
        (span,) = spans
        layout, dtype = self._layout, self._dtype
        coefficients = span.coefficients
        turn = coefficients.rate * span.step_ps
        if coefficients.thermal_T2ps and self._noise is None:
            self._noise = layout.zeros(self._threads, 3, dtype=np.float32)
        self._kernels.run(
            self._threads,
            self._scheme,
            self._state,
            self._predicted,
            self._noise if coefficients.thermal_T2ps else None,
            (layout.rows, layout.columns, layout.width),
            self._profile(span.spot),
            self._profile(span.anisotropy_map),
            coefficients.packed(span.step_ps, dtype),
            np.multiply(turn, span.bias_T).astype(dtype),
            np.array([*np.multiply(turn, span.peak_T), span.peak_ps, span.width_ps]),
            span.noise_key,
            (span.start_ps, span.step_ps, self._corrector * span.step_ps),
            span.first_step,
            span.steps,
            self._periodic,
        )


class RungeKuttaEngine(CpuEngine):
    """One film on one thread, moved by an explicit Runge–Kutta method: RK4, or Dormand–Prince."""

    def __init__(
        self, layout: Layout, periodic: bool, precision: str, integrator: str, tolerance: float
    ) -> None:
        from skyctl.simulators.physics.runge_kutta import DORMAND_PRINCE, RK4, RungeKutta

        super().__init__(layout, periodic, precision, "heun")
        if not tolerance > np.finfo(self._dtype).eps:
            raise ValueError(
                f"tolerance = {tolerance}: must be above the rounding of {precision}, "
                f"{np.finfo(self._dtype).eps:.1g}"
            )
        self._tolerance = tolerance if integrator == "dormand-prince" else None
        tableau = RK4 if self._tolerance is None else DORMAND_PRINCE
        self._method = RungeKutta(tableau, (3, layout.size), self._dtype)

    def advance(self, spans: Sequence[Span]) -> None:
        (span,) = spans
        layout, dtype, turn = self._layout, self._dtype, span.coefficients.rate
        shape = (layout.rows, layout.columns, layout.width)
        spot, sites = self._profile(span.spot), self._profile(span.anisotropy_map)
        constants = span.coefficients.packed(1.0, dtype)
        bias = np.multiply(turn, span.bias_T).astype(dtype)
        peak = np.multiply(turn, span.peak_T)

        def rate(time_ps: float, spins: np.ndarray, out: np.ndarray) -> None:
            now = peak * llg.pulse_envelope(time_ps, span.peak_ps, span.width_ps)
            self._kernels.rate(
                spins, out, shape, spot, sites, constants, bias, now.astype(dtype), self._periodic
            )

        spins, span_ps = self._state[0], span.steps * span.step_ps
        if self._tolerance is None:
            self._method.advance(rate, spins, span.start_ps, span_ps, span.steps)
        else:
            self._method.advance_adaptive(rate, spins, span.start_ps, span_ps, self._tolerance)
