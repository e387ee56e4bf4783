"""Synthetic films: discs, rings and stripes of reversed spins, smoothed as a wall would be."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.pulse import FrameSchedule, Pulse


def disc(row, column, radius, shape=(100, 100)):
    """Where a disc is: bool (H, W)."""
    rows, columns = np.indices(shape)
    return np.hypot(rows - row, columns - column) <= radius


def film(*islands, background=-1.0, shape=(100, 100)):
    """S_z of a film whose ``islands`` point against its background."""
    sz = np.full(shape, background, np.float32)
    for island in islands:
        sz[island] = -background
    return sz


@pytest.fixture(name="disc", scope="session")
def _disc():
    return disc


@pytest.fixture(name="film", scope="session")
def _film():
    return film


@pytest.fixture
def movie():
    """S_z of 12 frames in which a skyrmion breathes."""
    radii = 4 + 3 * np.sin(np.arange(12) / 2)
    return [0.98 * film(disc(50, 50, radius)) for radius in radii]


@pytest.fixture(scope="session")
def model():
    return MovieClassifier()


@pytest.fixture
def play():
    """Gives a movie to a classifier as a hub would; what it told is returned."""

    def run(classifier, images, *, pulse=None, looks=False, counts=None, shot="s"):
        told = []
        classifier.subscribe(told.append)
        pulse = None if looks else pulse or Pulse(width_ps=8)
        shape = (100, 100)
        classifier.handle(ShotStart("run", shot, pulse, FrameSchedule(), len(images), shape))
        for index, data in enumerate(images):
            if data is not None:
                classifier.handle(Frame("run", shot, index, 5.0 * index, 1, data, 7))
        classifier.handle(ShotEnd("run", shot, len(images), counts))
        classifier.unsubscribe(told.append)
        return told[:-1], told[-1]

    return run


@pytest.fixture(scope="session")
def endless_loop():
    """Nodes of a graph that take a tensor round and round."""

    def nodes(source, result):
        float_, bool_ = TensorProto.FLOAT, TensorProto.BOOL
        value = helper.make_tensor_value_info
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["go"], ["goes"]),
                helper.make_node("Abs", ["x"], ["x_next"]),
            ],
            "body",
            [value("i", TensorProto.INT64, []), value("go", bool_, []), value("x", float_, None)],
            [value("goes", bool_, []), value("x_next", float_, None)],
        )
        true = helper.make_tensor("true", bool_, [], [True])
        return [
            helper.make_node("Constant", [], ["yes"], value=true),
            helper.make_node("Loop", ["", "yes", source], [result], body=body),
        ]

    return nodes
