"""Calibration: each guarantee checked on fresh draws of a world whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from skyctl.models.calibration import (
    EARLY_WRONG,
    Novelty,
    Watched,
    calibration_error,
    conformal_floors,
    fit_early,
    fit_temperature,
    stop_at,
)
from skyctl.process import PROCESSES, TRANSITIONS, transition


def world(n, seed, sharpness=1.0, classes=4):
    """Honest probabilities, the labels drawn from them, and logits ``sharpness`` times too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5, (n, classes))
    p = softmax(logits, axis=1)
    labels = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return p, labels, sharpness * logits


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_undoes_how_much_too_sure_a_network_is(sharpness):
    _, labels, logits = world(20_000, 0, sharpness)
    assert fit_temperature(logits, labels) == pytest.approx(sharpness, rel=0.05)


def test_calibration_error_is_zero_for_honest_and_what_it_is_for_others():
    p, labels, _ = world(40_000, 1)
    assert calibration_error(p, labels) < 0.01
    sure = np.tile([0.9, 0.1], (1000, 1))
    half_right = np.arange(1000) % 2
    assert calibration_error(sure, half_right) == pytest.approx(0.4)


def test_conformal_sets_hold_the_true_class_of_fresh_movies_class_by_class():
    """Also where the network is far too sure, and for a class it hardly knows."""
    covered = []
    for seed in range(40):
        _, labels, logits = world(600, seed, sharpness=2.0)
        floors = conformal_floors(softmax(logits, axis=1), labels, 0.9)
        _, fresh, others = world(2000, 1000 + seed, sharpness=2.0)
        inside = softmax(others, axis=1) >= floors
        covered.append([inside[fresh == c, c].mean() for c in range(4)])
    mean = np.mean(covered, axis=0)
    assert (mean > 0.89).all()
    assert (mean < 0.93).all()


def test_a_class_with_too_few_movies_is_in_every_set():
    p = np.array([[0.9, 0.1]] * 30 + [[0.2, 0.8]] * 5)
    assert conformal_floors(p, np.array([0] * 30 + [1] * 5), 0.95) == (0.9, 0.0)


BREATHES, SWITCHES = transition("one", "one", False), transition("one", "one", True)
FLOORS = (0.5,) * len(PROCESSES)


def movies(n, seed, late=0.02):
    """Two transitions; p of the true one grows with time, and a few movies change their mind."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(n) < 0.5, BREATHES, SWITCHES)
    p_true = np.clip(rng.beta(4, 2, (n, 1)) * np.linspace(0.6, 2, 12), 0.02, 0.98)
    misled = rng.random(n) < late
    p_true[misled, 4:9] = 1 - np.maximum(p_true[misled, 4:9], 0.9)
    p = np.zeros((n, 12, TRANSITIONS))
    others = np.where(labels == BREATHES, SWITCHES, BREATHES)
    p[np.arange(n), :, labels], p[np.arange(n), :, others] = p_true, 1 - p_true
    return Watched(p, labels, np.full(n, 12), np.full(n, 3))


def watched(p_of_switching, label, frames, first):
    p = np.zeros((1, len(p_of_switching), TRANSITIONS))
    p[0, :, SWITCHES], p[0, :, BREATHES] = p_of_switching, 1 - np.array(p_of_switching)
    return Watched(p, np.array([label]), np.array([frames]), np.array([first]))


def test_stopping_reads_and_answers_what_it_says():
    one = watched([0.5, 0.1, 0.1, 0.8, 0.9], SWITCHES, frames=5, first=1)
    early, at = stop_at(one, FLOORS, 0.85)
    assert (early.accuracy, early.accuracy_of_whole, early.wrong, early.stopped) == (0, 1, 1, 1)
    assert early.read == pytest.approx(2 / 4)
    assert at == [2]
    strict, at = stop_at(one, FLOORS, 0.95)
    assert (strict.wrong, strict.stopped, strict.read) == (0, 0, 1)
    assert at == [4]
    later, _ = stop_at(replace(one, first=np.array([3])), FLOORS, 0.75)
    assert (later.accuracy, later.read) == (1, 1.0)


def test_one_sure_frame_is_not_enough_nor_are_two_of_different_transitions():
    flickers = watched([0.5, 0.05, 0.97, 0.5, 0.97, 0.98], SWITCHES, frames=6, first=0)
    assert stop_at(flickers, FLOORS, 0.9)[1] == [5]


def test_a_movie_stops_only_where_its_process_is_named():
    one = watched([0.4, 0.97, 0.97], SWITCHES, frames=3, first=0)
    unnamed = tuple(0.99 if name == "switching" else 0.5 for name in PROCESSES)
    assert stop_at(one, unnamed, 0.95)[0].stopped == 0
    # One process that two transitions share names it; neither is sure of what it leaves.
    shared = np.zeros((1, 2, TRANSITIONS))
    for turned in (False, True):
        shared[..., transition("one", "empty", turned)] = 0.5
    both = Watched(shared, np.array([transition("one", "empty", True)]), *np.array([[2], [0]]))
    assert stop_at(both, FLOORS, 0.9)[0].stopped == 0


@pytest.mark.parametrize(
    ("calibrations", "may_fail"), [(10, 1), pytest.param(40, 4, marks=pytest.mark.slow)]
)
def test_early_stopping_is_wrong_no_more_often_than_certified_in_fresh_movies(
    calibrations, may_fail
):
    """The guarantee fails in at most 5 % of calibrations; the naive rule fails in all of them."""
    fresh = movies(20_000, 999)
    failed = naive = stopped = 0
    for seed in range(calibrations):
        early = fit_early(movies(3000, seed), FLOORS)
        failed += stop_at(fresh, FLOORS, early.threshold)[0].wrong > EARLY_WRONG
        stopped += early.threshold is not None
        naive += stop_at(fresh, FLOORS, 0.8)[0].wrong > EARLY_WRONG
    assert failed <= may_fail
    assert stopped == naive == calibrations


def test_too_few_movies_certify_nothing():
    early = fit_early(movies(200, 0, late=0.0), FLOORS)
    assert early.threshold is None
    assert early.read == 1


def test_novelty_is_the_surprise_under_the_mixture_and_what_it_leaves_out():
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    hidden = np.concatenate([rng.normal(-3, 1, (2000, 3)), rng.normal(3, 0.5, (2000, 3))])
    frames = hidden @ rng.normal(0, 1, (3, 20)) + rng.normal(0, 0.05, (4000, 20))
    first = np.zeros(4000, bool)
    novelty = Novelty.fit(frames, first, axes=3, normals=2)
    surprise = novelty.surprise(frames, first)
    centred = np.column_stack([frames, np.zeros(4000)]) - novelty.centre
    z = centred @ novelty.axes
    density = sum(
        weight * multivariate_normal(mean, np.linalg.inv(factor @ factor.T)).pdf(z[0])
        for weight, mean, factor in zip(
            np.exp(novelty.offsets - np.log(np.linalg.det(novelty.factors))),
            novelty.means,
            novelty.factors,
            strict=True,
        )
    )
    back = z[0] @ np.linalg.pinv(novelty.axes)
    rest = ((centred[0] - back) ** 2).sum() / novelty.rest
    # Without the constant of a normal's norm.
    expected = rest - np.log(density) - 1.5 * np.log(2 * np.pi)
    assert surprise[0] == pytest.approx(expected, rel=1e-6)
    off_the_plane = frames + rng.normal(0, 1, (4000, 20))
    assert novelty.surprise(off_the_plane, first).min() > np.quantile(surprise, 0.99)


def test_a_first_frame_is_judged_by_first_frames():
    rng = np.random.default_rng(1)
    frames = rng.normal(0, 1, (4000, 5))
    first = np.arange(4000) < 1000
    frames[first] = rng.normal(0, 0.02, (1000, 5))
    novelty = Novelty.fit(frames, first, axes=6, normals=4)
    usual = np.full((1, 5), 1.5)
    assert novelty.surprise(usual, np.array([True])) > 100
    assert novelty.surprise(usual, np.array([False])) < 20


def test_the_limit_leaves_one_movie_in_a_hundred_out():
    rng = np.random.default_rng(0)
    novelty = Novelty.fit(rng.normal(0, 1, (500, 4)), np.zeros(500, bool), axes=3, normals=1)
    assert novelty.limited(np.arange(1000.0)).limit == pytest.approx(990, abs=1)
