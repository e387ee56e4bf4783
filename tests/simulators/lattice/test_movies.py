"""Movies of one shot and of many."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest

from skyctl.pulse import Pulse
from skyctl.simulators.lattice import movies
from skyctl.simulators.lattice.engines import INTEGRATORS
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate, simulate_batch

FILM = FilmParameters(rows=9, columns=14)
TIMES = (0.0, 0.1, 0.3)
PULSE = Pulse(width_ps=0.1, peak_ps=0.15)


def keep(shot, frames):
    return np.stack(list(frames))


def shots(number, **change):
    """Shots that differ in all that may differ in a batch."""
    rng = np.random.default_rng(0)
    for i in range(number):
        parameters = replace(FILM, damping=0.2 + 0.1 * i, temperature_K=float(i % 2), **change)
        pulse = Pulse(width_ps=0.1 + 0.02 * i, peak_ps=0.15) if i % 3 else None
        start = rng.normal(size=(3, parameters.rows, parameters.columns))
        yield MovieSpec(parameters, TIMES, pulse, start=start, seed=i)


def test_a_movie_is_what_the_film_shows(random_spins):
    shot = MovieSpec(FILM, TIMES, PULSE, start=random_spins(9, 14))
    movie = simulate(shot, integrator="depondt")
    film = Film(FILM, integrator="depondt")
    film.spins = random_spins(9, 14)
    assert movie.shape == (3, 3, 9, 14)
    np.testing.assert_array_equal(movie, list(film.frames(PULSE, TIMES)))


def test_a_movie_starts_from_what_is_asked(random_spins):
    small = FilmParameters(rows=40, columns=40)
    film = Film(small)
    film.set_skyrmion()
    np.testing.assert_array_equal(simulate(MovieSpec(small, [0.0]))[0], film.spins)
    film.set_uniform()
    np.testing.assert_array_equal(simulate(MovieSpec(small, [0.0], start="empty"))[0], film.spins)
    spins = random_spins(40, 40)
    np.testing.assert_allclose(simulate(MovieSpec(small, [0.0], start=spins))[0], spins, atol=1e-15)
    with pytest.raises(ValueError, match="start 'vortex': give 'skyrmion', 'empty' or spins"):
        simulate(MovieSpec(small, [0.0], start="vortex"))


def test_a_shot_has_the_map_and_the_seed_it_was_given(random_spins):
    sites = np.linspace(0, 3, 9 * 14).reshape(9, 14)
    shot = MovieSpec(replace(FILM, temperature_K=2.0), TIMES, start=random_spins(9, 14), seed=4)
    film = replace(shot, anisotropy_map=sites).film()
    assert film.seed == 4
    np.testing.assert_array_equal(film.anisotropy_map, sites)
    assert (simulate(shot) != simulate(replace(shot, anisotropy_map=sites))).any()
    assert (simulate(shot) != simulate(replace(shot, seed=5))).any()


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_a_batch_is_its_shots_alone_in_their_order(integrator, threads):
    cold = integrator in ("rk4", "dormand-prince")
    wanted = [s for s in shots(7) if not (cold and s.parameters.temperature_K)]
    options = {"precision": "f4", "integrator": integrator}
    results = list(simulate_batch(wanted, keep, threads=threads, **options))
    assert len(results) == len(wanted)
    for shot, movie in zip(wanted, results, strict=True):
        assert movie.dtype == np.float32
        np.testing.assert_array_equal(movie, simulate(shot, **options))


def test_films_of_a_batch_may_differ_in_size_and_edges():
    mixed = [*shots(2, rows=5), *shots(2, columns=33), *shots(1, periodic=True)]
    results = list(simulate_batch(mixed, keep, precision="f8", threads=2))
    for shot, movie in zip(mixed, results, strict=True):
        np.testing.assert_array_equal(movie, simulate(shot))


def test_frames_come_while_they_are_computed_and_only_what_look_makes_is_kept():
    seen = []

    def first_two(shot, frames):
        seen.append(shot.seed)
        return next(frames)[2].mean(), next(frames)[2].mean()

    results = list(simulate_batch(shots(4), first_two, threads=2))
    assert sorted(seen) == [0, 1, 2, 3]
    assert all(len(result) == 2 for result in results)


def test_shots_may_be_endless():
    template = next(shots(1))
    endless = (replace(template, seed=i) for i in count())
    results = simulate_batch(endless, lambda shot, frames: (shot.seed, keep(shot, frames)))
    first = list(islice(results, 10))
    results.close()
    assert [seed for seed, _ in first] == list(range(10))
    np.testing.assert_array_equal(first[9][1], simulate(replace(template, seed=9), precision="f4"))


def test_closing_lets_the_running_shot_end_and_begins_no_other(monkeypatch):
    begun, gate = [], threading.Event()

    class Pool(ThreadPoolExecutor):
        """Lets the running shot end only when the pool has been told to stop."""

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            gate.set()
            super().shutdown(wait=wait)

    def look(shot, frames):
        begun.append(shot.seed)
        if shot.seed == 1:
            assert gate.wait(60)
        return shot.seed

    monkeypatch.setattr(movies, "ThreadPoolExecutor", Pool)
    results = simulate_batch(shots(10), look, threads=1)
    assert next(results) == 0
    results.close()
    assert set(begun) <= {0, 1}


def test_an_interrupt_keeps_what_was_yielded():
    kept = []
    template = next(shots(1))

    def interrupted():
        for i in count():
            if i == 12:
                raise KeyboardInterrupt
            yield replace(template, seed=i)

    results = simulate_batch(interrupted(), lambda shot, frames: shot.seed, threads=2)
    with pytest.raises(KeyboardInterrupt):
        kept.extend(results)
    assert kept == list(range(len(kept)))
    assert len(kept) >= 12 - 5


def test_a_fault_in_a_shot_comes_out_where_its_movie_would():
    good = next(shots(1))
    bad = replace(good, start=np.full((3, 9, 14), np.nan))
    results = simulate_batch([good, bad, good], keep, threads=1)
    assert next(results).shape == (3, 3, 9, 14)
    with pytest.raises(ValueError, match="spins hold a NaN"):
        next(results)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"integrator": "euler"}, "integrator 'euler': choose one of"),
        ({"precision": "f2"}, "precision 'f2'"),
        ({"device": "tpu"}, "device 'tpu': choose 'cpu' or 'cuda'"),
        ({"threads": 0}, "threads = 0: must be 1 or more"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(options, fault):
    with pytest.raises(ValueError, match=fault):
        list(simulate_batch(shots(1), keep, **options))


def test_frame_times_that_do_not_ascend_are_refused():
    with pytest.raises(ValueError, match="must ascend from 0 or later"):
        simulate(replace(next(shots(1)), times_ps=(0.2, 0.1)))


def test_a_longest_step_is_kept_to(random_spins):
    shot = MovieSpec(FILM, [0.3], start=random_spins(9, 14))
    coarse, fine, finer = (simulate(shot, max_step_ps=step)[0] for step in (1e-2, 1e-3, 5e-4))
    assert np.abs(coarse - finer).max() > 10 * np.abs(fine - finer).max() > 0
