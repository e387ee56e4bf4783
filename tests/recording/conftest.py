"""Recordings made by the real recorder and classifier from synthetic movies."""

from dataclasses import asdict

import numpy as np
import pytest

from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import Movie, Pulse, Spot
from skyctl.recording.writer import Recorder

SHAPE = (40, 40)
PULSE = Pulse(amplitude_T=8, width_ps=16, spot=Spot(x=20, y=20, sigma=6))


def start(shot="s", frames=8, pulse=PULSE, shape=SHAPE):
    return ShotStart("run", shot, pulse, Movie(), frames, shape)


def frame(index, shot="s", shape=SHAPE):
    """A skyrmion whose radius differs from frame to frame; no two sites and frames are alike."""
    rows, columns = np.indices(shape[-2:])
    distance = np.hypot(rows - 19.7, columns - 20.3)
    sz = -np.tanh(distance - 5 - 2 * np.sin(index)).astype(np.float32)
    data = np.broadcast_to(sz, shape).copy()
    return Frame("run", shot, index, 5.0 * index, 1_000 + index, data, 2_000 + index)


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


@pytest.fixture
def recorded(tmp_path, model):
    """A recording of a shot, a look and a shot with a gap, with the classifier's verdicts."""
    path = tmp_path / "recorded.h5"
    card = model.card
    header = {"model": asdict(card), "seed": 3}
    recorder = Recorder(path, "run", SHAPE, classes=card.classes, header=header)
    classifier = StreamingClassifier(model)
    classifier.subscribe(recorder.handle)
    gap = movie("gap")
    del gap[4]
    gap[-1] = ShotEnd("run", "gap", 8, Counts(received=7, missing=1))
    for event in [*movie("a", 25), *movie("look", 1, None), *gap]:
        recorder.handle(event)
        classifier.handle(event)
    recorder.close()
    return path
