"""The state check: normal images pass, faulty ones do not; only a film at rest is asked."""

import math

import numpy as np
import pytest
from scipy import ndimage

from skyctl.beamline.states import recorded_check, state_check
from skyctl.errors import FilmUnreadable
from skyctl.frame import Counts
from skyctl.inference.state_check import MovieCheck, StateCheck
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.waveform import Sampled

NOISE = 0.15
FOOT = Sampled(times_ps=(-40, -39, -1, 0, 4, 5), values=(0, 0.1, 0.1, 1, 1, 0))
PARAMETERS = FilmParameters(rows=100, columns=100)


@pytest.fixture(scope="module")
def sz():
    film = Film(PARAMETERS)
    film.set_skyrmion()
    return film.spins[2]


@pytest.fixture(scope="module")
def check(sz):
    unlimited = state_check(PARAMETERS)
    return unlimited.limited([unlimited.score(filmed(sz, k)) for k in range(100)])


def filmed(sz, seed):
    return sz + NOISE * np.random.default_rng(seed).standard_normal(sz.shape)


def torn(sz):
    """The skyrmion's lower half slipped aside."""
    return np.where(np.arange(len(sz))[:, None] < len(sz) // 2, sz, np.roll(sz, 4, axis=1))


def test_normal_images_are_states_and_a_torn_one_is_none(sz, check):
    normal = [check.score(filmed(sz, 1000 + k)) / check.limit for k in range(50)]
    assert np.mean(np.array(normal) > 1) <= 0.06
    assert min(check.score(filmed(torn(sz), k)) for k in range(5)) > check.limit


def test_a_camera_that_lost_contrast_is_told(sz, check):
    assert check.score(0.8 * filmed(sz, 3000)) > check.limit


def test_missing_pixels_differ_by_nothing(sz, check):
    image = filmed(sz, 3001)
    image[48:50, 48:50] = np.nan
    assert check.score(image) < check.limit


def test_spins_show_what_sz_cannot(sz, check):
    film = Film(PARAMETERS)
    film.set_skyrmion()
    wrong = film.spins * np.array([-1.0, -1.0, 1.0])[:, None, None]
    assert check.score(wrong[2]) < check.limit < check.score(wrong)


@pytest.mark.parametrize(
    "pulse",
    [
        Pulse(width_ps=5.0, peak_ps=40.0),
        Pulse(width_ps=FOOT.width_ps, peak_ps=63.0, waveform=FOOT),
        Pulse(width_ps=5.0, peak_ps=80.0, second=Pulse(width_ps=5.0, peak_ps=40.0)),
    ],
)
def test_a_movie_is_judged_by_its_frames_at_rest(sz, check, pulse):
    movie = MovieCheck(check, pulse)
    for index in range(20):
        moving = index >= 5
        movie.add(np.full(sz.shape, np.nan) if moving else filmed(sz, index), 5.0 * index)
    assert 0 < movie.off_states <= 1
    assert movie.fault == ""
    blank = MovieCheck(check, None)
    blank.add(np.full(sz.shape, np.nan), 0.0)
    assert blank.off_states == math.inf
    assert check.score(np.full(sz.shape, 0.5)) > 5 * check.limit


def test_a_film_that_is_none_abstains_moves_no_belief_and_is_unreadable(sz, check, model, play):
    classifier = StreamingClassifier(model, check=check)
    strange = [ndimage.gaussian_filter(filmed(torn(sz), k), 0.1).astype("f4") for k in range(12)]
    verdicts, shot = play(classifier, strange, counts=Counts(received=12))
    assert all(verdict.label is None and not verdict.early for verdict in verdicts)
    assert "no state of this sample at rest" in shot.verdict.outside
    assert shot.off_states > 1
    before = classifier.belief
    _, look = play(classifier, strange[:1], looks=True, counts=Counts(received=1))
    assert (look.state, classifier.belief) == (None, before)
    assert "no state of this sample" in look.unreadable
    _, look = play(classifier, [filmed(sz, 77).astype("f4")], looks=True, counts=Counts(received=1))
    assert look.state.has_one_skyrmion
    assert 0 < look.off_states <= 1


def test_the_limit_needs_normal_movies_enough(check):
    with pytest.raises(ValueError, match="give 100 finite scores or more"):
        check.limited([0.1] * 99)
    with pytest.raises(ValueError, match="limit = 0"):
        StateCheck(check.nearest, 0.0)
    with pytest.raises(FilmUnreadable):
        check.score(np.full((100, 100), np.nan))


def test_a_recordings_header_makes_the_same_check(sz, check):
    again = recorded_check({"state_check": check.facts})
    assert again.limit == check.limit
    assert again.score(sz) == check.score(sz)
    assert recorded_check({}) is None
