"""Frames are matched to their shot by the number of the hardware trigger, not by arrival."""

import numpy as np
import pytest

from skyctl.errors import ForeignMessage, UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream.sources.ntndarray import NtndArrayParser
from skyctl.stream.sources.pixels import Scaling
from skyctl.stream.sources.triggers import Triggers

SHAPE = (4, 5)
MOVIE = FrameSchedule(duration_ps=30, interval_ps=15)  # three frames


@pytest.fixture
def triggers():
    return Triggers()


@pytest.fixture
def parser(triggers):
    return NtndArrayParser(Scaling(offset=0, scale=1), triggers=triggers)


def image(number, trigger, value=0.0):
    attributes = [] if trigger is None else [{"name": "TriggerCount", "value": trigger}]
    return {
        "uniqueId": number,
        "dimension": [{"size": SHAPE[1]}, {"size": SHAPE[0]}],
        "value": np.full(SHAPE[0] * SHAPE[1], value, np.float32),
        "attribute": attributes,
    }


def ready(parser, triggers, shot, trigger):
    parser.expect(ShotStart("run", shot, None, MOVIE, 3, SHAPE))
    triggers.assign(shot, trigger)


def told(events):
    return [(type(e).__name__, e.shot, getattr(e, "index", None)) for e in events]


def test_a_movie_is_its_triggers(parser, triggers):
    ready(parser, triggers, "a", 7)
    events = [e for number in (1, 2, 3) for e in parser.parse(image(number, 7), 0)]
    assert told(events) == [
        ("ShotStart", "a", None), ("Frame", "a", 0), ("Frame", "a", 1), ("Frame", "a", 2),
        ("ShotEnd", "a", None),
    ]  # fmt: skip


def test_a_late_frame_of_the_last_movie_is_not_the_next_one_s(parser, triggers):
    ready(parser, triggers, "a", 7)
    parser.parse(image(1, 7), 0)
    parser.parse(image(2, 7), 0)
    ready(parser, triggers, "b", 8)
    (late, *_) = parser.parse(image(3, 7), 0)
    assert isinstance(late, Frame)
    assert (late.shot, late.index) == ("a", 2)
    events = parser.parse(image(4, 8), 0)
    assert ("Frame", "b", 0) in told(events)


def test_a_first_frame_that_is_lost_leaves_the_others_in_their_place(parser, triggers):
    ready(parser, triggers, "a", 1)
    for number in (1, 2, 3):
        parser.parse(image(number, 1), 0)
    ready(parser, triggers, "b", 2)
    assert ("Frame", "b", 1) in told(parser.parse(image(5, 2), 0))  # 4 was lost


def test_a_trigger_of_somebody_else_is_of_no_shot(parser, triggers):
    ready(parser, triggers, "a", 7)
    with pytest.raises(ForeignMessage, match="trigger 6"):
        parser.parse(image(1, 6), 0)
    assert ("Frame", "a", 0) in told(parser.parse(image(2, 7), 0))
    assert not isinstance(parser.parse(image(3, 7), 0)[0], ShotEnd)


def test_an_image_that_does_not_say_its_trigger_is_none(parser, triggers):
    ready(parser, triggers, "a", 7)
    with pytest.raises(UndecodableMessage, match="TriggerCount"):
        parser.parse(image(1, None), 0)
