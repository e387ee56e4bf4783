"""Replay: the recorded frames through a real hub give the recorded verdicts, bit for bit."""

import threading

import h5py
import numpy as np
import onnx
import pytest

from skyctl.errors import RecordingError, StreamError
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.recording.playback import Clock, publish, recorded_shots
from skyctl.recording.reader import Recording
from skyctl.recording.replay import replay
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher

VERDICTS = "/entry/shots/verdicts"


def replayed(path, model, **options):
    with Recording(path) as recording:
        return replay(recording, model, **options)


def test_a_replay_gives_the_recorded_verdicts_bit_for_bit(recorded, model):
    report = replayed(recorded, model)
    assert report.identical
    assert report.same_model
    assert [shot.verdicts for shot in report.shots] == [25, 0, 7]
    assert all(shot.verdicts == shot.recorded_verdicts == shot.identical for shot in report.shots)


def test_a_replay_gives_the_recorded_results(recorded, model):
    report = replayed(recorded, model)
    assert [shot.result.shot for shot in report.shots] == ["a", "look", "gap"]
    assert [shot.result.label for shot in report.shots] == [
        shot.recorded_label for shot in report.shots
    ]
    assert [shot.result.problem for shot in report.shots] == ["", "", "1 of 8 frames missing"]
    assert report.shots[1].result.state.has_one_skyrmion


def test_progress_is_told_shot_by_shot(recorded, model):
    told = []
    report = replayed(recorded, model, progress=told.append)
    assert told == report.shots


def test_the_rate_does_not_change_the_verdicts(recorded, model):
    assert replayed(recorded, model, pace=500).identical


@pytest.mark.parametrize("at", [0, 12, 24])
def test_a_tampered_frame_is_noticed_from_there_on(recorded, model, at):
    with h5py.File(recorded, "r+") as file:
        data = file["/entry/instrument/camera/data"]
        data[at] = -data[at] * np.float32(0.5)
    report = replayed(recorded, model)
    assert not report.identical
    tampered, look, gap = report.shots
    assert at <= tampered.identical < tampered.verdicts
    assert look.agrees
    assert gap.agrees


def test_a_tampered_verdict_is_noticed(recorded, model):
    with h5py.File(recorded, "r+") as file:
        rows = file[VERDICTS][()]
        rows["probabilities"][5] = np.nextafter(rows["probabilities"][5], np.float32(2))
        file[VERDICTS][...] = rows
    report = replayed(recorded, model)
    assert [shot.agrees for shot in report.shots] == [False, True, True]
    assert report.shots[0].identical == 24


def test_a_verdict_that_was_not_recorded_is_noticed(recorded, model):
    with h5py.File(recorded, "r+") as file:
        file[VERDICTS].resize(len(file[VERDICTS]) - 1, axis=0)
    assert not replayed(recorded, model).identical


def test_a_recorded_verdict_that_does_not_come_again_is_noticed(recorded, model):
    with h5py.File(recorded, "r+") as file:
        verdicts = file[VERDICTS]
        verdicts.resize(len(verdicts) + 1, axis=0)
        row = verdicts[-2]
        row["frame_index"] = 99
        verdicts[-1] = row
    assert not replayed(recorded, model).identical


def test_another_model_is_said(recorded, model):
    with h5py.File(recorded, "r+") as file:
        header = file["entry"].attrs["header"]
        file["entry"].attrs["header"] = header.replace(model.card.file_sha256, "0" * 64)
    report = replayed(recorded, model)
    assert not report.same_model
    assert report.identical


def test_a_model_that_cannot_take_the_frames_ends_the_replay_with_its_reason(
    recorded, model, tmp_path
):
    sorting = onnx.load(model.path)
    metadata = {p.key: p.value for p in sorting.metadata_props}
    metadata |= {"preprocessing": "sorted", "preprocessing_parameters": "{}"}
    onnx.helper.set_model_props(sorting, metadata)
    onnx.save(sorting, tmp_path / "sorting.onnx")
    with pytest.raises(StreamError, match=r"shot a cannot be classified.*1600 sites.*Give the mod"):
        replayed(recorded, MovieClassifier(tmp_path / "sorting.onnx"))


def test_a_replay_leaves_no_thread_behind(recorded, model):
    before = set(threading.enumerate())
    replayed(recorded, model)
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("skyctl")]


def test_a_recording_without_shots_is_no_success(recorder, model):
    recorder.close()
    with Recording(recorder.path) as recording, pytest.raises(RecordingError, match="no shot"):
        replay(recording, model)


def another_model(model, path):
    """The same network, surer of itself: its last layer is twice as strong."""
    network = onnx.load(model.path)
    (weights,) = (w for w in network.graph.initializer if w.name == "network.output.weight")
    array = onnx.numpy_helper.to_array(weights)
    weights.CopyFrom(onnx.numpy_helper.from_array(array * array.dtype.type(2), weights.name))
    onnx.save(network, path)
    return MovieClassifier(path)


def test_another_model_s_verdicts_are_listed(recorded, model, tmp_path):
    report = replayed(recorded, another_model(model, tmp_path / "other.onnx"))
    assert not report.same_model
    assert not report.identical
    with Recording(recorded) as recording:
        told = {(r["shot_number"], r["frame_index"]): r for r in recording.verdicts}
    listed = report.as_json()["differences"]
    assert 0 < len(listed) <= len(told)
    for each in listed:
        row = told[each["shot"], each["frame"]]
        assert each["recorded"]["probabilities"] == tuple(map(float, row["probabilities"]))
        assert each["recorded"]["label"] == row["label"].decode()
        assert each["replayed"]["probabilities"] != each["recorded"]["probabilities"]
    assert report.shots[0].identical == 25 - sum(each["shot"] == 0 for each in listed)


def test_only_the_shots_that_were_asked_for_are_replayed(recorded, model):
    report = replayed(recorded, model, numbers=[2, 0])
    assert [(shot.number, shot.result.shot) for shot in report.shots] == [(0, "a"), (2, "gap")]
    assert report.identical
    with pytest.raises(RecordingError, match=r"no shot 3, 9\. Choose from 0 to 2"):
        replayed(recorded, model, numbers=[1, 9, 3])


class Time:
    """A clock that runs only when somebody sleeps, and each sleep a little long."""

    def __init__(self, late_s):
        self.now, self.late_s = 100.0, late_s

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds + self.late_s


@pytest.fixture
def time_of_replay(monkeypatch):
    time = Time(0.002)
    monkeypatch.setattr("skyctl.recording.playback.time", time)
    return time


def test_frames_are_due_when_the_source_sent_them(time_of_replay):
    clock = Clock("recorded")
    at = []
    for source_ns in (5_000_000_000, 5_100_000_000, 4_000_000_000, 7_000_000_000):
        clock.wait(source_ns)
        at.append(time_of_replay.now - 100)
    # 4 s: the source's clock was set back, and the frame is due at once
    np.testing.assert_allclose(at, [0.0, 0.102, 0.102, 2.002])
    np.testing.assert_allclose(clock.errors_s, [0.0, 0.002, 0.002, 0.002], atol=1e-9)
    assert clock.jitter_ms()["p50"] == pytest.approx(2.0)


def test_a_rate_is_kept_on_average_though_every_sleep_is_late(time_of_replay):
    clock = Clock(100.0)
    for _ in range(101):
        clock.wait(0)
    assert time_of_replay.now - 100 == pytest.approx(1.002)
    assert clock.jitter_ms()["max"] == pytest.approx(2.0)


def test_as_fast_as_it_goes_waits_for_nothing_and_has_no_jitter(time_of_replay):
    clock = Clock("max")
    clock.wait(0)
    clock.wait(10**12)
    assert time_of_replay.now == 100
    assert clock.jitter_ms() is None


@pytest.mark.parametrize("rate", [0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="above 0"):
        Clock(rate)


def test_the_recorded_pace_gives_the_recorded_verdicts_and_its_jitter(recorded, model):
    report = replayed(recorded, model, pace="recorded")
    assert report.identical
    assert report.frames == 33
    assert set(report.jitter_ms) == {"p50", "p99", "max"}


def test_a_recording_is_a_source_for_any_hub(recorded, make):
    publisher = Publisher()
    hub = Hub(publisher.address)
    events = []
    consumer = Consumer("test", events.append)
    hub.subscribe(consumer)
    with Recording(recorded) as recording:
        sent = publish(recording, publisher, "max", [0, 2])
    publisher.close()
    for _ in range(500):
        if sum(isinstance(event, ShotEnd) for event in events) == 2:
            break
        consumer._thread.join(0.02)  # pace only
    hub.close()
    consumer.close()
    assert (sent.shots, sent.frames, sent.jitter_ms) == (2, 32, None)
    assert [e.shot for e in events if isinstance(e, ShotStart)] == ["a", "gap"]
    frames = [e for e in events if isinstance(e, Frame)]
    assert [frame.index for frame in frames] == [*range(25), 0, 1, 2, 4, 5, 6, 7]
    for frame in frames:
        assert frame.data.tobytes() == make.frame(frame.index).data.tobytes()
        assert frame.source_time_ns > 10**18  # now, not when it was recorded
    assert [(e.sent_frames, e.counts.missing) for e in events if isinstance(e, ShotEnd)] == [
        (25, 0),
        (8, 1),
    ]


def test_nobody_to_take_a_recording_is_said(recorded):
    publisher = Publisher(timeout_s=0.1)
    try:
        with Recording(recorded) as recording, pytest.raises(StreamError, match="no hub"):
            publish(recording, publisher)
    finally:
        publisher.close()


def test_recorded_shots_come_in_the_recorded_order(recorded):
    with Recording(recorded) as recording:
        shots = [(s.number, s.start.shot, s.end.sent_frames) for s in recorded_shots(recording)]
    assert shots == [(0, "a", 25), (1, "look", 1), (2, "gap", 8)]


def test_a_movie_that_ended_early_is_replayed_bit_for_bit(recorded_early, sure_model):
    report = replayed(recorded_early, sure_model)
    assert report.identical
    early, _, whole = report.shots
    assert (early.verdicts, early.result.ended_early, early.result.problem) == (7, True, "")
    assert early.result.counts.received == 9
    assert (whole.verdicts, whole.result.ended_early) == (34, False)
    assert (report.frames, report.frames_promised) == (44, 69)
    assert report.as_json()["ended_early"] == [True, False, False]


def test_a_movie_that_ended_early_is_not_enough_for_a_network_that_is_not_certain(
    recorded_early, model
):
    early = replayed(recorded_early, model).shots[0]
    assert early.verdicts == 9
    assert "ended early, after 9 frames" in early.result.problem


@pytest.mark.parametrize("stop_at", [0, 3, 25])
def test_a_shot_that_is_stopped_sends_no_more_and_says_so(recorded, stop_at):
    publisher = Publisher()
    hub, events = Hub(publisher.address), []
    over = threading.Event()

    def take(event):
        events.append(event)
        if isinstance(event, ShotEnd):
            over.set()

    consumer = Consumer("test", take)
    hub.subscribe(consumer)
    asked = []

    def told_to_end():
        asked.append(None)
        return len(asked) > stop_at

    with Recording(recorded) as recording:
        (shot,) = recorded_shots(recording, [0])
        assert shot.send(publisher, Clock("max"), told_to_end=told_to_end) == stop_at
    assert over.wait(20)
    hub.close()
    consumer.close()
    publisher.close()
    end = events[-1]
    assert (end.sent_frames, end.ended_early) == (stop_at, stop_at < 25)
    assert (end.counts.received, end.counts.missing) == (stop_at, 0)


def cut(file, table, count):
    """Take the last rows of a table away."""
    file[table].resize(len(file[table]) - count, axis=0)


def test_frames_that_are_gone_are_reported(recorded, model):
    with h5py.File(recorded, "r+") as file:
        for column in file["/entry/instrument/camera"].values():
            if isinstance(column, h5py.Dataset) and len(column) == 33:
                column.resize(32, axis=0)
    report = replayed(recorded, model)
    assert not report.identical
    (fault, *_) = report.shots[-1].faults
    assert fault == "6 frames are there, 7 were recorded"


def test_a_look_that_comes_out_otherwise_or_was_not_recorded_is_reported(recorded, model):
    with h5py.File(recorded, "r+") as file:
        rows = file["/entry/shots/results"][()]
        rows["discs"][1] = 4
        file["/entry/shots/results"][...] = rows
        cut(file, "/entry/shots/results", 1)
    report = replayed(recorded, model)
    assert not report.identical
    assert [shot.faults for shot in report.shots] == [
        (), ("discs was 4 and is 1",), ("no result was recorded",)
    ]  # fmt: skip
    assert "shot 1: discs was 4 and is 1" in report.as_json()["faults"]


def test_rows_of_no_shot_are_reported(recorded, model):
    with h5py.File(recorded, "r+") as file:
        cut(file, "/entry/shots/starts", 1)
    report = replayed(recorded, model)
    assert not report.identical
    assert report.faults[0] == "7 frames are of shots that have no start"


def test_what_a_killed_run_had_no_time_to_record_is_told_and_the_rest_compared(recorded, model):
    with h5py.File(recorded, "r+") as file:
        file["/entry"].attrs["recovered_from"] = "killed.h5"
        cut(file, "/entry/shots/results", 1)
        cut(file, "/entry/shots/ends", 1)
        cut(file, VERDICTS, 2)
    report = replayed(recorded, model)
    assert report.identical
    assert report.cut == 2
    assert [shot.identical for shot in report.shots] == [25, 0, 5]
    with h5py.File(recorded, "r+") as file:
        rows = file[VERDICTS][()]
        rows["label"][-1] = b"other"
        file[VERDICTS][...] = rows
    assert not replayed(recorded, model).identical
