"""Shots of sources that only number their frames, and of our own recordings."""

import numpy as np
import pytest

from skyctl.errors import UndecodableMessage
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.recording.reader import Recording
from skyctl.recording.writer import Recorder
from skyctl.stream.sources.recorded import recorded_source
from skyctl.stream.sources.shots import Expected, NumberedFrames

IMAGE = np.zeros((4, 5), np.float32)


def shot(name="s", frames=3, shape=(4, 5)):
    return ShotStart("run", name, None, FrameSchedule(interval_ps=2.0), frames, shape)


def say(events):
    """Events in short: >shot, shot:index, shot<sent."""
    short = {
        ShotStart: lambda e: f">{e.shot}",
        Frame: lambda e: f"{e.shot}:{e.index}",
        ShotEnd: lambda e: f"{e.shot}<{e.sent_frames}",
    }
    return " ".join(short[type(event)](event) for event in events)


def take(frames, *numbers, anew=()):
    return say([e for n in numbers for e in frames.take(n, IMAGE, 0, 0, anew=n in anew)])


def test_an_expected_shot_begins_with_the_next_frame_and_ends_with_its_last():
    frames = NumberedFrames("camera", origin=0)
    frames.expect(shot())
    assert take(frames, 0, 1, 2) == ">s s:0 s:1 s:2 s<3"


def test_frames_that_nobody_expects_are_named_after_the_first_of_them():
    frames = NumberedFrames("camera", origin=0)
    assert take(frames, 7, 8) == ">series-7 series-7:0 series-7:1"
    frames.expect(shot())
    assert take(frames, 9) == "series-7<2 >s s:0"


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_frame_leaves_its_place_empty(lost):
    frames = NumberedFrames("camera", origin=1)
    take(frames, 41)
    frames.expect(shot())
    kept = [index for index in range(3) if index != lost]
    end = " s<3" if lost < 2 else ""
    assert take(frames, *(42 + i for i in kept)) == (
        "series-41<1 >s " + " ".join(f"s:{i}" for i in kept) + end
    )


def test_a_shot_whose_last_frame_is_lost_ends_as_incomplete_with_the_next():
    frames = NumberedFrames("camera", origin=0)
    frames.expect(shot("a"))
    take(frames, 0, 1)
    frames.expect(shot("b"))
    assert take(frames, 3) == "a<None >b b:1"  # 2 was lost of either; nobody can tell of which


def test_numbers_that_begin_anew_end_the_shot():
    frames = NumberedFrames("camera", origin=0)
    frames.expect(shot())
    take(frames, 0, 1)
    assert take(frames, 0, anew=[0]) == "s<None >series-0 series-0:0"


def test_a_camera_that_numbers_each_movie_anew_and_loses_the_first_frame():
    frames = NumberedFrames("camera", origin=0)
    frames.expect(shot("a"))
    take(frames, 0, 1, 2)
    frames.expect(shot("b"))
    assert take(frames, 1, 2) == ">b b:1 b:2 b<3"


def test_a_camera_that_counted_on_while_nobody_listened_loses_nothing_of_the_next_shot():
    frames = NumberedFrames("camera", origin=0)
    take(frames, 5)
    frames.expect(shot())
    assert take(frames, 500, 501) == "series-5<1 >s s:0 s:1"


def test_a_frame_that_comes_again_after_the_end_is_still_of_its_shot():
    frames = NumberedFrames("camera", origin=0)
    frames.expect(shot())
    take(frames, 0, 1, 2)
    assert take(frames, 1, 2) == "s:1 s:2"
    assert take(frames, 3) == ">series-3 series-3:0"


def test_a_frame_of_another_shape_ends_a_shot_that_nobody_expected():
    frames = NumberedFrames("camera", origin=0)
    take(frames, 0)
    events = frames.take(1, np.zeros((2, 2), np.float32), 0, 0, anew=False)
    assert say(events) == "series-0<1 >series-1 series-1:0"


def test_an_expectation_is_replaced_and_spent_once():
    expected = Expected()
    expected.put(shot("a"))
    expected.put(shot("b"))
    assert expected.take((4, 5)).shot == "b"
    assert expected.take((4, 5)) is None


def test_a_shot_of_another_shape_is_refused_by_name_and_spent():
    expected = Expected()
    expected.put(shot(shape=(8, 8)))
    with pytest.raises(UndecodableMessage, match=r"shot s .*\(8, 8\).*\(4, 5\)"):
        expected.take((4, 5))
    assert expected.take((4, 5)) is None


def test_a_recording_played_into_a_hub_is_the_run_that_was_recorded(tmp_path, attach):
    start = ShotStart("run", "s", Pulse(width_ps=8), FrameSchedule(), 3, (4, 5))
    frames = [Frame("run", "s", i, 15.0 * i, 7 + i, IMAGE + i) for i in range(3)]
    recorder = Recorder(tmp_path / "run.h5", "run", (4, 5))
    for event in (start, *frames, ShotEnd("run", "s", 3, Counts(received=3))):
        recorder.handle(event)
    recorder.close()
    with Recording(tmp_path / "run.h5") as recording:
        events, _ = attach(recorded_source(recording.shots(), "run.h5"))
        (end,) = events.ends()
    assert events[0] == start
    assert end.counts == Counts(received=3)
    for frame, played in zip(frames, events.of(Frame), strict=True):
        np.testing.assert_array_equal(played.data, frame.data)
        assert (played.index, played.source_time_ns) == (frame.index, frame.source_time_ns)
        assert played.received_ns > 0
