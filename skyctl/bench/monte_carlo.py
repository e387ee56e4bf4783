"""Benchmark of Monte Carlo: updates a second of one core, beside Spirit's in the same run."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from skyctl.bench.machine import machine
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.monte_carlo import RULES, TOGETHER, MonteCarlo, falling
from skyctl.simulators.proof.beside_spirit import spirit_installed, spirit_monte_carlo

_SIDE, _KELVIN, _ROUNDS, _SWEEPS = 128, 5.0, 7, 5
_FILM = FilmParameters(rows=_SIDE, columns=_SIDE, periodic=True, temperature_K=_KELVIN)


def monte_carlo_speed(anneal: bool = True) -> dict[str, Any]:
    """Updates a core-second of each rule and of Spirit's Metropolis, rounds in turn, medians; and
    the core-seconds of a film annealed in 1,000 sweeps. The time is the processor's: on a machine
    that is shared a wall clock tells of the others."""
    with contextlib.ExitStack() as stack:
        runs: dict[str, tuple[Callable[[], object], int]] = {}
        for rule in RULES:
            films = MonteCarlo(_FILM, rule=rule)
            runs[rule] = partial(films.sweep, _SWEEPS, _KELVIN), TOGETHER
        runs["one film alone"] = partial(MonteCarlo(_FILM, 1).sweep, _SWEEPS, _KELVIN), 1
        if spirit_installed():
            runs["spirit, metropolis"] = stack.enter_context(_spirit()), 1
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for round_ in range(_ROUNDS + 1):
            for name, (sweeps, films_moved) in runs.items():
                begun = time.process_time()
                sweeps()
                taken = time.process_time() - begun
                if round_:  # the first compiles
                    rates[name].append(_SWEEPS * _SIDE**2 * films_moved / taken)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    peer = medians.get("spirit, metropolis")
    return {
        "machine": machine(),
        "film": f"{_SIDE} x {_SIDE}, periodic, {_KELVIN:g} K, {TOGETHER} replicas",
        "results": [
            {"what": name, "updates_per_core_s": value, "over_spirit": value / peer if peer else ""}
            for name, value in medians.items()
        ],
        "annealed_core_s_a_state": _annealing() if anneal else None,
    }


@contextlib.contextmanager
def _spirit() -> Iterator[Callable[[], object]]:
    from spirit import simulation  # pyright: ignore[reportMissingImports]

    with spirit_monte_carlo(_FILM) as film:
        yield lambda: simulation.n_shot(film, _SWEEPS)


def _annealing() -> float:
    films = MonteCarlo(_FILM)
    begun = time.process_time()
    films.anneal(falling(50.0, 0.5, 1000))
    return (time.process_time() - begun) / TOGETHER
