"""The same movie again: on other threads, in a batch, after a restart."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.files import load_film, save_film
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.monte_carlo import RULES, MonteCarlo
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics.schemes import Integrator
from skyctl.simulators.proof.check import Precision
from skyctl.simulators.proof.starts import random_spins


def _noisy_shot(periodic: bool) -> MovieSpec:
    p = FilmParameters(rows=17, columns=31, periodic=periodic, temperature_K=2.0)
    pulse = Pulse(width_ps=0.1, peak_ps=0.2)
    return MovieSpec(p, (0.1, 0.3), pulse, start=random_spins(17, 31), seed=7)


def spins_that_threads_change(
    integrator: Integrator = "heun", precision: Precision = "f8", periodic: bool = False
) -> int:
    """Numbers of a noisy movie that are not the same with 2 or 5 threads, or in a batch."""
    shot = _noisy_shot(periodic)

    def movie(_: MovieSpec, frames: Iterator[np.ndarray]) -> np.ndarray:
        return np.stack(list(frames))

    options: dict[str, Any] = {"integrator": integrator, "precision": precision}
    alone = movie(shot, shot.film(**options).frames(shot.pulse, shot.times_ps))
    others = [
        movie(shot, shot.film(threads=n, **options).frames(shot.pulse, shot.times_ps))
        for n in (2, 5)
    ]
    batch = [replace(shot, seed=seed) for seed in (1, shot.seed, 2)]
    others.append(list(simulate_batch(batch, movie, threads=2, **options))[1])
    return sum(int((other != alone).sum()) for other in others)


def spins_that_a_restart_changes(
    integrator: Integrator = "heun", precision: Precision = "f8", periodic: bool = False
) -> int:
    """Numbers of a noisy film that are not the same where it was saved and loaded half-way."""
    shot = _noisy_shot(periodic)
    straight = shot.film(precision=precision, integrator=integrator)
    saved = shot.film(precision=precision, integrator=integrator)
    for film in (straight, saved):
        film.advance(0.1, shot.pulse)
    with tempfile.TemporaryDirectory() as folder:
        save_film(saved, Path(folder) / "film.h5")
        loaded = load_film(Path(folder) / "film.h5")
    for film in (straight, loaded):
        film.advance(0.2, shot.pulse, start_ps=0.1)
    return int((straight.spins != loaded.spins).sum())


def drawn_spins_that_a_restart_changes() -> int:
    """Numbers of Monte Carlo films, by every rule, that are not the same where they went on from
    saved spins half-way."""
    parameters, changed = FilmParameters(rows=16, columns=24, periodic=True), 0
    for rule in RULES:
        straight, restarted = (MonteCarlo(parameters, 4, rule=rule, seed=7) for _ in range(2))
        straight.sweep(5, 20.0)
        restarted.restore(straight.spins, straight.sweeps_taken)
        for films in (straight, restarted):
            films.sweep(5, 20.0)
        changed += int((straight.spins != restarted.spins).sum())
    return changed
