"""Outcome and signals of a shot, on movies whose answer is known."""

import math

import numpy as np
import pytest

from skyctl.agents.outcome import outcome_of, signals
from skyctl.verdict import FilmState

SKYRMION = FilmState(background=-1, discs=1, domains=0, reversed_sites=50)
UP = FilmState(background=1, discs=1, domains=0, reversed_sites=50)
TIMES = np.arange(0.0, 170.0, 5.0)


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        (SKYRMION, "breathing"),
        (UP, "switching"),
        (FilmState(-1, 0, 0, 0), "collapse"),
        (FilmState(1, 0, 0, 0), "collapse"),
        (FilmState(-1, 1, 1, 700), "mixed"),
        (FilmState(1, 2, 0, 100), "mixed"),
    ],
)
def test_outcomes(after, outcome):
    assert outcome_of(SKYRMION, after) == outcome


@pytest.mark.parametrize("background", [-1, 1])
@pytest.mark.parametrize("flip_ps", [41.3, 57.5, 90.0])
def test_the_time_of_a_linear_reversal_is_exact(background, flip_ps):
    """Mean S_z from -1 to 1 in 40 ps, half way at flip_ps."""
    mean_sz = -background * np.clip((TIMES - flip_ps) / 20, -1, 1)
    inside = (flip_ps - 20 < TIMES) & (flip_ps + 20 > TIMES)
    assert inside.any()
    seen = signals(TIMES, mean_sz, background, peak_ps=40.0)
    assert seen.flip_ps == pytest.approx(flip_ps - 40.0)
    assert seen.furthest == pytest.approx(1.0)


def test_a_film_that_stays_has_no_time():
    seen = signals(TIMES, np.where(TIMES == 50, -0.2, -1.0), -1, 40.0)
    assert math.isnan(seen.flip_ps)
    assert seen.furthest == pytest.approx(0.4)


def test_noise_of_the_camera_hardly_moves_the_time():
    rng = np.random.default_rng(1)
    clean = np.clip((TIMES - 57.5) / 20, -1, 1)
    noisy = clean + rng.normal(0, 0.05 / 100, len(TIMES))  # 5 % a pixel, 10⁴ pixels
    assert signals(TIMES, noisy, -1, 40.0).flip_ps == pytest.approx(17.5, abs=0.1)


@pytest.mark.parametrize("frames", [0, 1])
def test_without_a_movie_nothing_is_known(frames):
    seen = signals(TIMES[:frames], np.zeros(frames), -1, 40.0)
    assert all(math.isnan(v) for v in vars(seen).values())
