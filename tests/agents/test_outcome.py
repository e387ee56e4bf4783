"""Outcome and signals of a shot, on movies whose answer is known."""

import math

import numpy as np
import pytest

from skyctl.agents.outcome import likeliest, outcome_of, signals
from skyctl.belief import Belief

SKYRMION = Belief.certain("one", -1)
TIMES = np.arange(0.0, 170.0, 5.0)


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    ("kind", "background", "outcome"),
    [
        ("one", -1, "breathing"),
        ("one", 1, "switching"),
        ("empty", -1, "collapse"),
        ("empty", 1, "collapse"),
        ("other", -1, "mixed"),
        ("other", 1, "mixed"),
    ],
)
def test_outcomes_that_are_certain(kind, background, outcome, turn):
    after = Belief.certain(kind, turn * background)
    found = outcome_of(Belief.certain("one", -turn), after)
    assert likeliest(found) == outcome
    assert found.max() == found.sum() == 1.0


def test_an_outcome_is_as_uncertain_as_the_film():
    film = 0.7 * Belief.certain("one", 1).film + 0.3 * Belief.certain("empty", 1).film
    assert outcome_of(SKYRMION, Belief(film)) == pytest.approx([0.0, 0.7, 0.3, 0.0])


def test_a_shot_at_no_skyrmion_says_nothing_of_one():
    for after in (SKYRMION, Belief.certain("empty", 1)):
        assert outcome_of(Belief.certain("empty", -1), after) == pytest.approx([0.25] * 4)


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


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_a_gain_that_nobody_knows_changes_nothing(gain):
    mean_sz = np.where(TIMES == 50, 0.1, -1.0)
    seen = signals(TIMES, gain * mean_sz, -1, 40.0)
    assert seen == signals(TIMES, mean_sz, -1, 40.0)
    assert seen.furthest == pytest.approx(0.55)


def test_a_movie_that_was_ended_early_does_not_say_how_far_the_film_turned():
    mean_sz = np.clip((TIMES - 57.5) / 20, -1, 1)
    seen = signals(TIMES[:14], mean_sz[:14], -1, 40.0, whole=False)
    assert seen.flip_ps == pytest.approx(17.5)
    assert math.isnan(seen.furthest)


@pytest.mark.parametrize("first", [0.0, 0.05, 1.0, math.nan])
def test_a_movie_that_begins_with_another_film_says_nothing(first):
    mean_sz = np.where(TIMES == 0, first, np.clip((TIMES - 57.5) / 20, -1, 1))
    assert all(math.isnan(v) for v in vars(signals(TIMES, mean_sz, -1, 40.0)).values())
