"""Stroboscopic images, in whatever order they are taken, are one movie in time order."""

import numpy as np
import pytest

from skyctl.devices.instruments.stroboscope import in_order
from skyctl.errors import ForeignMessage, UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream.sources.contrast import Asymmetry, Contrast, Pipeline
from skyctl.stream.sources.pixels import Scaling
from skyctl.stream.sources.stroboscopic import StroboscopicParser
from skyctl.stream.sources.triggers import Triggers

SHAPE = (4, 5)
DELAYS = (0.0, 10.0, 25.0, 60.0)
MOVIE = FrameSchedule(delays_ps=DELAYS)
CONTRAST = 0.05


@pytest.fixture
def triggers():
    return Triggers()


def parser(triggers, scaling=Scaling(offset=0, scale=1), **options):  # noqa: B008
    return StroboscopicParser(scaling, triggers, **options)


def expect(made, triggers, shot, places, first=1):
    made.expect(ShotStart("run", shot, None, MOVIE, len(DELAYS), SHAPE))
    for number, place in enumerate(places):
        triggers.assign(shot, first + number, place)


def image(trigger, value=0.0, shape=SHAPE):
    return {
        "uniqueId": trigger,
        "dimension": [{"size": shape[1]}, {"size": shape[0]}],
        "value": np.full(shape[0] * shape[1], value, np.float32),
        "attribute": [{"name": "TriggerCount", "value": trigger}],
    }


def times(events):
    return [event.movie_time_ps for event in events if isinstance(event, Frame)]


def test_coarse_to_fine_begins_with_the_ends_and_takes_each_once():
    for count in (1, 2, 3, 8, 17):
        taken = in_order(count, "coarse-to-fine")
        assert sorted(taken) == list(range(count))
    assert in_order(9, "coarse-to-fine")[:5] == [0, 8, 4, 2, 6]
    assert in_order(4, "ascending") == [0, 1, 2, 3]


@pytest.mark.parametrize("order", ["coarse-to-fine", "ascending"])
def test_delays_in_any_order_are_handed_on_in_time_order(triggers, order):
    made = parser(triggers)
    places = [(index, 0) for index in in_order(len(DELAYS), order)]
    expect(made, triggers, "a", places)
    each = [made.parse(image(n + 1, index), 0) for n, (index, _) in enumerate(places)]
    assert [len(events) for events in each[:-1]] == [0, 0, 0]  # not before all is there
    assert isinstance(each[-1][0], ShotStart)
    assert times(each[-1]) == list(DELAYS)
    assert [e.data[0, 0] for e in each[-1] if isinstance(e, Frame)] == [0, 1, 2, 3]
    assert isinstance(each[-1][-1], ShotEnd)


def test_ascending_delays_may_be_handed_on_as_they_come(triggers):
    made = parser(triggers, as_they_come=True)
    expect(made, triggers, "a", [(index, 0) for index in range(4)])
    assert times(made.parse(image(1), 0)) == [0.0]
    assert times(made.parse(image(2), 0)) == [10.0]


def test_two_helicities_are_one_image(triggers):
    made = parser(triggers, Pipeline((Asymmetry(), Contrast(CONTRAST))), helicities=2)
    places = [(index, side) for index in range(4) for side in (0, 1)]
    expect(made, triggers, "a", places)
    events = []
    for number, (index, side) in enumerate(places):
        sz = 1.0 - index / 2
        value = 1000 * (1 + (-1) ** side * CONTRAST * sz)
        events += made.parse(image(number + 1, value), 0)
    frames = [event for event in events if isinstance(event, Frame)]
    assert [f.data[0, 0] for f in frames] == pytest.approx([1.0, 0.5, 0.0, -0.5], abs=1e-4)


def test_a_delay_that_never_came_is_missing_in_time_order(triggers):
    made = parser(triggers)
    expect(made, triggers, "a", [(index, 0) for index in range(4)])
    for trigger in (4, 1, 3):
        assert made.parse(image(trigger), 0) == []
    expect(made, triggers, "b", [(index, 0) for index in range(4)], first=11)
    events = made.parse(image(11), 0)
    assert times(events) == [0.0, 25.0, 60.0]  # of a; 10 ps is not there
    assert [e.index for e in events if isinstance(e, Frame)] == [0, 2, 3]
    assert isinstance(events[-1], ShotEnd)
    assert events[-1].sent_frames == 4


def test_images_of_nobody_and_of_another_size_are_told(triggers):
    made = parser(triggers)
    expect(made, triggers, "a", [(index, 0) for index in range(4)])
    with pytest.raises(ForeignMessage, match="trigger 9"):
        made.parse(image(9), 0)
    with pytest.raises(UndecodableMessage, match=r"\(5, 5\)"):
        made.parse(image(1, shape=(5, 5)), 0)


def test_a_schedule_of_delays_is_ascending_and_is_kept():
    assert FrameSchedule.model_validate(MOVIE.model_dump()) == MOVIE
    assert "delays_ps" not in FrameSchedule().model_dump()
    assert (MOVIE.times_ps, MOVIE.time_ps(2)) == (list(DELAYS), 25.0)
    for bad in ((1.0, 1.0), (2.0, 1.0), (-1.0, 0.0), (float("nan"),), tuple(range(65))):
        with pytest.raises(ValueError, match="delay"):
            FrameSchedule(delays_ps=bad)
