"""What integrators do to a film: order, energy, length."""

from functools import lru_cache

import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.schemes import Integrator
from skyctl.simulators.proof.check import Precision
from skyctl.simulators.proof.starts import random_spins

_ALL_TERMS = FilmParameters(rows=7, columns=13, damping=0.2, bias_T=(0.3, -0.5, 0.7))
"""Every interaction switched on, no symmetry left, sides that no vector length divides."""


def _pulsed_end(
    integrator: Integrator, step_ps: float | None, tolerance: float = 1e-8
) -> np.ndarray:
    """A random film 0.32 ps later, after a short pulse, (3, rows, columns)."""
    film = Film(_ALL_TERMS, integrator=integrator, tolerance=tolerance)
    film.spins = random_spins(_ALL_TERMS.rows, _ALL_TERMS.columns)
    film.advance(0.32, Pulse(width_ps=0.1, peak_ps=0.15), max_step_ps=step_ps)
    return film.spins


@lru_cache
def _pulsed_truth() -> np.ndarray:
    """``_pulsed_end`` to 1e-12: by RK4 in 4096 steps, so that no integrator is its own judge."""
    return _pulsed_end("rk4", 0.32 / 4096)


def integrator_order(integrator: Integrator) -> float:
    """Power of the step with which the error of a spin falls; of Dormand–Prince: of the tolerance.

    By regression over steps of 10 … 1.25 fs, tolerances of 1e-5 … 1e-9.
    """
    if integrator == "dormand-prince":
        settings = 10.0 ** -np.arange(5, 10)
        ends = [_pulsed_end(integrator, None, tolerance) for tolerance in settings]
    else:
        settings = 0.02 / 2.0 ** np.arange(1, 5)
        ends = [_pulsed_end(integrator, step) for step in settings]
    errors = [np.abs(end - _pulsed_truth()).max() for end in ends]
    order, _ = np.polyfit(np.log(settings), np.log(errors), 1)
    return float(order)


def energy_drift_meV_per_ps(
    integrator: Integrator, step_ps: float = 0.005, span_ps: float = 20.0
) -> float:
    """Energy that a spin gains without damping, meV/ps: of 400 that start at random."""
    p = FilmParameters(rows=20, columns=20, damping=0)
    film = Film(p, integrator=integrator)
    film.spins = random_spins(p.rows, p.columns)
    before = film.energy_meV()
    film.advance(span_ps, max_step_ps=step_ps)
    return (film.energy_meV() - before) / (p.rows * p.columns * span_ps)


def length_error(integrator: Integrator, precision: Precision) -> float:
    """Largest ||S| - 1| of a film after 3 ps and a pulse."""
    film = Film(
        _ALL_TERMS,
        precision=precision,
        integrator=integrator,
    )
    film.spins = random_spins(_ALL_TERMS.rows, _ALL_TERMS.columns)
    film.advance(3.0, Pulse(width_ps=0.5, peak_ps=1.0))
    return float(np.abs(np.linalg.norm(film.spins.astype(np.float64), axis=0) - 1).max())
