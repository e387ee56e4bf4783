"""Movies of many shots: one call, all cores or one CUDA device."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Any, Literal, TypeVar

import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.engines import make_engine
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.pulsed_film import check_times
from skyctl.simulators.physics.schemes import Integrator
from skyctl.simulators.physics.span import stretches
from skyctl.simulators.physics.topology import process_label

Result = TypeVar("Result")
_HOST_BYTES = 2**30
"""Frames of a CUDA batch that may wait on the host to be looked at."""


@dataclass(frozen=True)
class MovieSpec:
    """A film, how it starts, the pulse it gets, and when one looks.

    times_ps : when frames are taken, ascending from 0 or later
    pulse : None lets the film rest
    start : "skyrmion", "empty", or the spins themselves, (3, rows, columns)
    seed : of the thermal noise; anisotropy_map, sites : as ``Film``'s
    """

    parameters: FilmParameters
    times_ps: Sequence[float]
    pulse: Pulse | None = None
    start: Literal["skyrmion", "empty"] | np.ndarray = "skyrmion"
    seed: int = 0
    anisotropy_map: np.ndarray | None = field(default=None, repr=False)
    sites: np.ndarray | None = field(default=None, repr=False)

    def film(self, **options: Any) -> Film:
        """The film as it is before the pulse; ``options`` as ``Film``'s."""
        film = Film(
            self.parameters, seed=self.seed, anisotropy_map=self.anisotropy_map, sites=self.sites,
            **options,
        )  # fmt: skip
        if not isinstance(self.start, str):
            film.spins = self.start
        elif self.start == "skyrmion":
            film.set_skyrmion()
        elif self.start != "empty":
            raise ValueError(f"start {self.start!r}: give 'skyrmion', 'empty' or spins")
        return film


def process_in(shot: MovieSpec, before: np.ndarray, after: np.ndarray) -> str:
    """The process of a movie of ``shot`` between two of its frames, (3, rows, columns) each.

    before : of a film at rest; after : of one that need not be: what it settles to counts, without
        noise or pulse (`topology.process_label`)
    """
    calm = replace(shot.parameters, temperature_K=0.0)
    film = Film(calm, precision="f4", anisotropy_map=shot.anisotropy_map, sites=shot.sites)
    film.spins = after
    film.settle()
    return process_label(before, film.spins, calm.periodic)


def simulate(shot: MovieSpec, *, max_step_ps: float | None = None, **options: Any) -> np.ndarray:
    """The movie of one shot, (frames, 3, rows, columns), unit vectors.

    ``options`` : ``precision``, ``device``, ``threads``, ``integrator`` … as ``Film``'s.
    Raises ValueError for what cannot be simulated, RuntimeError where there is no CUDA device.
    """
    if not len(shot.times_ps):
        raise ValueError("a shot without frame times: give times_ps")
    film = shot.film(**options)
    return np.stack(list(film.frames(shot.pulse, shot.times_ps, max_step_ps)))


def simulate_batch(
    shots: Iterable[MovieSpec],
    look: Callable[[MovieSpec, Iterator[np.ndarray]], Result],
    *,
    precision: Literal["f8", "f4"] = "f4",
    device: Literal["cpu", "cuda"] = "cpu",
    threads: int | None = None,
    integrator: Integrator = "heun",
) -> Generator[Result, None, None]:
    """What ``look`` makes of each shot's movie, in the order of the shots, as they are done.

    Every film has parameters, pulse, start and seed of its own and moves as it would alone: neither
    ``threads`` (None: all cores; a film each) nor the other shots change a bit of it.
    On CUDA, neighbouring shots of one size, boundary and frame times share a batch.

    look : gets the shot and its frames, (3, rows, columns) each; on the CPU it is called in a
        thread and frames come as they are computed. ``lambda shot, frames: np.stack([*frames])``
        keeps the movie; keep less of many.

    Close the iterator to stop early: what was yielded is done, the rest is dropped.
    Raises ValueError for what cannot be simulated, RuntimeError where there is no CUDA device.
    """
    if device == "cuda":
        yield from _on_cuda(shots, look, precision, integrator)
        return
    if device != "cpu":
        raise ValueError(f"device {device!r}: choose 'cpu' or 'cuda'")
    if threads is not None and threads < 1:
        raise ValueError(f"threads = {threads}: must be 1 or more")

    def one(shot: MovieSpec) -> Result:
        film = shot.film(precision=precision, integrator=integrator)
        return look(shot, film.frames(shot.pulse, shot.times_ps))

    workers = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Any] = deque()
        try:
            for shot in shots:
                pending.append(pool.submit(one, shot))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cuda(
    shots: Iterable[MovieSpec],
    look: Callable[[MovieSpec, Iterator[np.ndarray]], Result],
    precision: Literal["f8", "f4"],
    integrator: Integrator,
) -> Iterator[Result]:
    def kind(shot: MovieSpec) -> tuple:
        p = shot.parameters
        return p.rows, p.columns, p.periodic, tuple(shot.times_ps)

    for (rows, columns, _, times_ps), group in groupby(shots, kind):
        movie_bytes = 3 * rows * columns * np.dtype(precision).itemsize * max(len(times_ps), 1)
        most = max(1, _HOST_BYTES // movie_bytes)
        while batch := list(islice(group, most)):
            movies = _film_batch(batch, times_ps, precision, integrator)
            for i, shot in enumerate(batch):
                yield look(shot, iter(movies[:, i]))


def _film_batch(
    batch: list[MovieSpec],
    times_ps: Sequence[float],
    precision: Literal["f8", "f4"],
    integrator: Any,
) -> np.ndarray:
    """(frames, films, 3, rows, columns); a frame travels to the host while the next is computed."""
    check_times(times_ps)
    films = [shot.film(precision=precision, integrator=integrator) for shot in batch]
    p = batch[0].parameters
    engine: Any = make_engine(
        "cuda", p.rows, p.columns, films=len(batch), periodic=p.periodic, precision=precision,
        integrator=integrator,
    )  # fmt: skip
    engine.write(np.stack([film.spins for film in films]))
    pulsed = [(film, shot.pulse) for film, shot in zip(films, batch, strict=True)]
    # One step for all, the shortest that any of them asks for.
    step_ps = min(film.longest_step_ps(pulse) for film, pulse in pulsed)
    now, pending, frames = 0.0, None, []
    for time_ps in times_ps:
        if time_ps > now:
            for stretch in stretches([pulse for _, pulse in pulsed], now, time_ps - now, step_ps):
                spans = [film.span(pulse, *stretch) for film, pulse in pulsed]
                engine.advance(spans)
                for film, span in zip(films, spans, strict=True):
                    film.steps_taken += span.steps
            now = time_ps
        if pending is not None:
            frames.append(pending.wait())
        pending = engine.copy_async()
    if pending is not None:
        frames.append(pending.wait())
    return np.stack(frames)
