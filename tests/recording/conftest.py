"""Recordings made by the real recorder and classifier from synthetic movies."""

from dataclasses import asdict

import numpy as np
import pytest

from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import FrameSchedule, Pulse, Spot
from skyctl.recording.writer import Recorder

SHAPE = (40, 40)
PULSE = Pulse(amplitude_T=8, width_ps=16, spot=Spot(x=20, y=20, sigma=6))


def start(shot="s", frames=8, pulse=PULSE, shape=SHAPE):
    return ShotStart("run", shot, pulse, FrameSchedule(), frames, shape)


def frame(index, shot="s", shape=SHAPE):
    """A skyrmion whose radius differs from frame to frame; no two sites and frames are alike."""
    rows, columns = np.indices(shape[-2:])
    distance = np.hypot(rows - 19.7, columns - 20.3)
    sz = -np.tanh(distance - 5 - 2 * np.sin(index)).astype(np.float32)
    data = np.broadcast_to(sz, shape).copy()
    return Frame("run", shot, index, 5.0 * index, 1_000 + index, data, 2_000 + index)


def early(shot="s", frames=8, promised=34):
    """The events of a shot that its camera ended early."""
    begin = ShotStart("run", shot, PULSE, FrameSchedule(), promised, SHAPE, may_end_early=True)
    images = [frame(index, shot) for index in range(frames)]
    return [begin, *images, ShotEnd("run", shot, frames, Counts(received=frames), ended_early=True)]


class SureModel(MovieClassifier):
    """The shipped network, certain of its 7th frame and those after."""

    def may_stop(self, probabilities, after_peak_ps):
        return after_peak_ps >= 30.0 - PULSE.peak_ps


def movie(shot="s", frames=8, pulse=PULSE):
    """The events of a whole shot."""
    images = [frame(index, shot) for index in range(frames)]
    end = ShotEnd("run", shot, frames, Counts(received=frames))
    return [start(shot, frames, pulse), *images, end]


class Events:
    """The makers of events, for tests."""

    shape = SHAPE
    pulse = PULSE
    start = staticmethod(start)
    frame = staticmethod(frame)
    movie = staticmethod(movie)
    early = staticmethod(early)


@pytest.fixture(scope="session")
def make():
    return Events


@pytest.fixture(scope="session")
def model():
    return MovieClassifier()


@pytest.fixture
def recorder(tmp_path):
    recorder = Recorder(tmp_path / "run.h5", "run", SHAPE)
    yield recorder
    recorder.close()


@pytest.fixture(scope="session")
def sure_model():
    return SureModel()


def record(path, model, events):
    """Events in a file, with what the classifier says of them."""
    card = model.card
    header = {"model": asdict(card), "seed": 3}
    recorder = Recorder(path, "run", SHAPE, classes=card.classes, header=header)
    classifier = StreamingClassifier(model)
    classifier.subscribe(recorder.handle)
    for event in events:
        recorder.handle(event)
        classifier.handle(event)
    recorder.close()
    return path


@pytest.fixture
def recorded(tmp_path, model):
    """A recording of a shot, a look and a shot with a gap, with the classifier's verdicts."""
    gap = movie("gap")
    del gap[4]
    gap[-1] = ShotEnd("run", "gap", 8, Counts(received=7, missing=1))
    events = [*movie("a", 25), *movie("look", 1, None), *gap]
    return record(tmp_path / "recorded.h5", model, events)


@pytest.fixture
def recorded_early(tmp_path, sure_model):
    """A recording of a movie of 34 frames that ended after 9, of which the 7th was certain, a look
    and a movie of 34 of which no frame was."""
    events = [*early("early", 9), *movie("look", 1, None), *movie("whole", 34)]
    return record(tmp_path / "early.h5", sure_model, events)
