"""Where a film's spins live and what moves them: the CPU, or a CUDA device. Chosen once."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from skyctl.simulators.lattice.layout import Layout
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.schemes import HEUN, LONGEST_TURN, SCHEMES, Integrator, Scheme
from skyctl.simulators.physics.span import Engine, Span

INTEGRATORS: tuple[Integrator, ...] = get_args(Integrator)
ONLY_AT_ZERO_KELVIN = tuple(name for name in INTEGRATORS if name not in SCHEMES)
"""Integrators for smooth motion: their order means nothing where noise drives the spins."""


def stable_turn(integrator: str, damping: float) -> float:
    """By how much the fastest spin wave may turn in one step of an integrator, rad."""
    scheme = SCHEMES.get(integrator)
    return scheme.stable_turn(damping) if scheme else LONGEST_TURN


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
        return CpuEngine(layout, periodic, precision, SCHEMES[integrator], threads)
    if device == "cuda":
        if integrator in ONLY_AT_ZERO_KELVIN:
            raise ValueError(f"integrator {integrator!r}: runs on the CPU; choose device='cpu'")
        from skyctl.simulators.lattice.cuda_engine import CudaEngine

        return CudaEngine(layout, films, periodic, precision, SCHEMES[integrator])
    raise ValueError(f"device {device!r}: choose 'cpu' or 'cuda'")


def _terms(span: Span) -> tuple[bool | None, ...]:
    """As ``kernels_cpu.advance`` has them."""
    interfacial, tilted, current = span.terms
    alone = interfacial and span.coefficients.dmi_T == 0
    return tuple(wanted or None for wanted in (interfacial, alone, tilted, current))


class CpuEngine:
    """One film on ``threads`` threads, moved by the vectorised stencil of ``kernels_cpu``."""

    def __init__(
        self, layout: Layout, periodic: bool, precision: str, scheme: Scheme, threads: int = 1
    ) -> None:
        from skyctl.simulators.lattice import kernels_cpu

        if threads < 1:
            raise ValueError(f"threads = {threads}: must be 1 or more")
        self._kernels: Any = kernels_cpu
        self._layout, self._periodic = layout, periodic
        self._threads = min(threads, layout.rows)
        self._dtype = np.dtype(precision)
        self._scheme = scheme
        self._state = layout.zeros(2, 3, dtype=self._dtype)
        workspace = (self._threads, 3)
        self._predicted = layout.zeros(*workspace, dtype=self._dtype)
        self._kept = layout.zeros(*workspace, dtype=self._dtype) if scheme.keeps_turn else None
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

    def _table(self, span: Span) -> np.ndarray | None:
        table = span.table(self._scheme.corrector_at)
        return None if table is None else table.astype(self._dtype)

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
            self._kept,
            self._noise if coefficients.thermal_T2ps else None,
            (layout.rows, layout.columns, layout.width),
            self._profile(span.spot),
            self._profile(span.anisotropy_map),
            _terms(span),
            coefficients.packed(span.step_ps, dtype),
            np.multiply(turn, span.bias_T).astype(dtype),
            np.array([*np.multiply(turn, span.peak_T), span.peak_ps, span.width_ps]),
            self._table(span),
            span.noise_key,
            (span.start_ps, span.step_ps, self._scheme.corrector_at * span.step_ps),
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

        super().__init__(layout, periodic, precision, HEUN)  # whose passes are not used
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
        terms, constants = _terms(span), span.coefficients.packed(1.0, dtype)
        bias = np.multiply(turn, span.bias_T).astype(dtype)
        peak = np.multiply(turn, span.peak_T)

        def rate(time_ps: float, spins: np.ndarray, out: np.ndarray) -> None:
            now = np.zeros(6)
            if span.drive:
                now[:] = turn * span.drive.fields_T(np.array([time_ps]))[0]
            else:
                now[:3] = peak * llg.pulse_envelope(time_ps, span.peak_ps, span.width_ps)
            self._kernels.rate(
                spins, out, shape, spot, sites, terms, constants, bias, now.astype(dtype),
                self._periodic,
            )  # fmt: skip

        spins, span_ps = self._state[0], span.steps * span.step_ps
        if self._tolerance is None:
            self._method.advance(rate, spins, span.start_ps, span_ps, span.steps)
        else:
            self._method.advance_adaptive(
                rate, spins, span.start_ps, span_ps, self._tolerance, span.longest_step_ps
            )
