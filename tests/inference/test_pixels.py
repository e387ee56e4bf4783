"""Pixels that measure nothing: the network and the reader go on without them."""

import numpy as np
import pytest

from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.pixels import gaps, into_gaps
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate
from skyctl.verdict import ShotResult

PULSE = Pulse(width_ps=40)
MOVIE = FrameSchedule(duration_ps=165, interval_ps=5)


@pytest.fixture(scope="module")
def movie():
    shot = MovieSpec(FilmParameters(damping=0.2), MOVIE.times_ps, PULSE)
    return simulate(shot, precision="f4", threads=2)[:, 2]


def classified(images):
    said = []
    streaming = StreamingClassifier(MovieClassifier())
    streaming.subscribe(said.append)
    streaming.handle(ShotStart("r", "s", PULSE, MOVIE, len(images), images.shape[1:]))
    for i, image in enumerate(images):
        streaming.handle(Frame("r", "s", i, MOVIE.time_ps(i), 0, image))
    streaming.handle(ShotEnd("r", "s", len(images), Counts(received=len(images))))
    (result,) = (news for news in said if isinstance(news, ShotResult))
    return result


@pytest.mark.parametrize("hole", [np.s_[:, 30, 60], np.s_[:, 48:52], np.s_[:, :, 20:24]])
def test_a_movie_with_gaps_has_the_verdict_of_the_whole_one(movie, hole):
    whole, holed = classified(movie), movie.copy()
    holed[hole] = 0
    seen = classified(holed)
    assert (seen.label, seen.problem, seen.state.kind) == (whole.label, "", whole.state.kind)
    assert seen.verdict.probabilities == pytest.approx(whole.verdict.probabilities, abs=0.1)


def test_an_image_that_is_mostly_zero_has_no_gaps():
    image = np.zeros((10, 10))
    image[:4] = 1
    assert not gaps(image).any()


def test_a_gap_is_filled_from_beside_it():
    image = np.array([[1.0, 0, 2], [1, 3, 2]])
    filled = into_gaps(gaps(image))(image)
    assert filled[0, 1] in (1, 2, 3)
    assert np.delete(filled.ravel(), 1).tolist() == [1, 2, 1, 3, 2]
    assert image[0, 1] == 0
