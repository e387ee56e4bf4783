"""The camera: every frame of a movie is on disk before it is done, and it never waits for ever."""

import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from ophyd.utils import LimitError, RedundantStaging

from skyctl.beamline import simulated_beamline
from skyctl.devices.camera import FilmCamera
from skyctl.errors import PulseRefused, RecordingError, StreamError
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.pulse import Exposure, FrameSchedule, Pulse
from skyctl.recording.reader import Recording
from skyctl.recording.replay import replay
from skyctl.verdict import Verdict

PULSE = Pulse(amplitude_T=2.0, width_ps=8.0)
LOOK = Exposure(shot="look", pulsed=False)


class BlindDriver:
    """A camera that is asked and never films."""

    shape = (4, 4)

    def __init__(self):
        self.asked, self.exposures, self.finished = [], [], []
        self.armed = ""

    def expose(self, _run, exposure, _movie):
        self.asked.append(exposure.shot)
        self.exposures.append(exposure)
        self.armed = exposure.shot if exposure.pulsed else ""

    def cancel(self):
        armed, self.armed = self.armed, ""
        return armed

    def finish(self, shot):
        self.finished.append(shot)

    def describe(self):
        return {}


def look(shot: str) -> Exposure:
    return Exposure(shot=shot, pulsed=False)


def patient(beamline, folder: Path, name: str, timeout_s: float) -> FilmCamera:
    return FilmCamera(
        name=name,
        driver=BlindDriver(),
        hub=beamline.hub,
        folder=folder,
        classifier=beamline.streaming,
        timeout_s=timeout_s,
    )


@pytest.fixture
def blind(beamline, tmp_path):
    """A staged camera without a movie to come; its patience is 0.2 s."""
    camera = patient(beamline, tmp_path, "camera", 0.2)
    camera.stage()
    yield camera
    camera.unstage()


def film(beamline, exposure: Exposure) -> None:
    for device in (beamline.camera, beamline.classifier):
        device.prepare(exposure)
    status = beamline.camera.trigger() & beamline.classifier.trigger()
    if exposure.pulsed:
        beamline.pulser.set(PULSE, shot=exposure.shot)
        beamline.pulser.trigger()
    status.wait(30)


def test_the_frames_of_a_movie_are_on_disk_when_it_is_done(beamline):
    beamline.camera.ends_early.put(0)
    beamline.camera.stage()
    film(beamline, LOOK)
    film(beamline, Exposure(shot="shot"))
    frames = len(beamline.camera.movie.times_ps)
    assert beamline.camera.received.get() == frames
    assert beamline.camera.missing.get() == 0
    with Recording(beamline.camera.recording) as recording:  # while it is still open
        counted = {s.shot: (len(list(f)), end.sent_frames) for s, f, end in recording.shots()}
        assert [int(row["received"]) for row in recording.ends] == [1, frames]
    assert counted == {"look": (1, 1), "shot": (frames, frames)}
    beamline.camera.unstage()
    with Recording(beamline.camera.recording) as recording:
        assert len(recording.verdicts) == frames


def test_triggering_a_movie_again_films_nothing_new(beamline):
    beamline.camera.stage()
    film(beamline, LOOK)
    film(beamline, LOOK)
    beamline.camera.unstage()
    with Recording(beamline.camera.recording) as recording:
        assert recording.frame_count == 1


def test_frames_are_documented_once(beamline):
    camera = beamline.camera
    camera.stage()
    assert list(camera.frames.collect_asset_docs()) == []
    film(beamline, LOOK)
    first = list(camera.frames.collect_asset_docs())
    assert [name for name, _ in first] == ["stream_resource"] * 3 + ["stream_datum"] * 3
    assert list(camera.frames.collect_asset_docs()) == []
    film(beamline, look("second"))
    second = list(camera.frames.collect_asset_docs())
    camera.unstage()
    assert [name for name, _ in second] == ["stream_datum"] * 3
    assert [doc["indices"] for _, doc in first[3:]] == [{"start": 0, "stop": 1}] * 3
    assert [doc["indices"] for _, doc in second] == [{"start": 1, "stop": 2}] * 3


def test_a_movie_that_never_comes_fails_naming_the_source(blind):
    blind.prepare(Exposure(shot="lost"))
    error = blind.trigger().exception(timeout=30)
    assert isinstance(error, StreamError)
    assert "shot lost" in str(error)
    assert "tcp://127.0.0.1" in str(error)


def test_an_armed_exposure_that_never_fired_does_not_hang_unstage(beamline):
    camera = beamline.camera
    camera.stage()
    camera.prepare(Exposure(shot="armed"))
    status = camera.trigger()
    camera.unstage()
    assert status.done
    assert status.success
    with Recording(camera.recording) as recording:
        assert recording.frame_count == 0


def test_a_pause_longer_than_the_patience_fails_nothing(blind, beamline, tmp_path):
    blind.prepare(Exposure(shot="armed"))
    waiting = blind.trigger()
    other = patient(beamline, tmp_path, "other", 0.4)
    blind.pause()
    other.stage()
    other.prepare(Exposure(shot="clock"))
    assert other.trigger().exception(timeout=30)  # twice the patience has passed
    other.unstage()
    assert not waiting.done
    blind.resume()
    again = blind.trigger()
    assert blind._driver.asked == ["armed"]
    blind.stop()
    for status in (waiting, again):
        assert status.exception(timeout=30) is None


def test_time_counts_again_after_a_pause(blind):
    blind.prepare(Exposure(shot="armed"))
    waiting = blind.trigger()
    blind.pause()
    blind.resume()
    assert isinstance(waiting.exception(timeout=30), StreamError)


def test_a_movie_under_way_is_recorded_to_its_end_when_unstaged(beamline):
    beamline.camera.ends_early.put(0)
    camera = beamline.camera
    camera.stage()
    film(beamline, LOOK)
    exposure = Exposure(shot="shot")
    camera.prepare(exposure)
    status = camera.trigger()
    beamline.pulser.set(PULSE, shot="shot")
    beamline.pulser.trigger()
    camera.pause()  # as the RunEngine does before an abort
    camera.unstage()
    assert status.success
    with Recording(camera.recording) as recording:
        assert recording.frame_count == 1 + len(camera.movie.times_ps)


def test_an_unprepared_or_unstaged_camera_says_so(beamline):
    with pytest.raises(StreamError, match="not staged"):
        beamline.camera.movie_over()


def test_staging_twice_leaves_the_first_recording_open(beamline):
    camera = beamline.camera
    camera.stage()
    recording = camera.recording
    with pytest.raises(RedundantStaging):
        camera.stage()
    assert camera.recording == recording
    film(beamline, LOOK)
    camera.unstage()
    with Recording(recording) as read:
        assert read.frame_count == 1


def test_a_recording_that_cannot_be_made_stages_nothing(beamline, tmp_path):
    (tmp_path / "file").write_text("")
    camera = patient(beamline, tmp_path / "file", "camera", 0.2)
    for _ in range(2):  # the second time too: it is not half staged
        with pytest.raises(RecordingError, match="cannot be made"):
            camera.stage()
    assert "no recording" in camera.hold_reason()


def test_nothing_fires_without_a_recording(beamline):
    with pytest.raises(PulseRefused, match="no recording is open"):
        beamline.pulser.set(PULSE, shot="a")


def test_nothing_fires_when_the_recorder_stopped(beamline, monkeypatch):
    camera = beamline.camera
    camera.stage()
    film(beamline, LOOK)

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(h5py.Dataset, "resize", full)
    camera.prepare(look("second"))
    error = camera.trigger().exception(timeout=30)
    assert isinstance(error, RecordingError)
    assert "no space left" in str(error)
    with pytest.raises(PulseRefused, match="the recorder stopped"):
        beamline.pulser.set(PULSE, shot="a")
    with pytest.raises(RecordingError):
        camera.trigger()
    camera.unstage()
    monkeypatch.undo()
    camera.stage()  # it is not stuck: the next run can begin
    camera.unstage()


def test_nothing_fires_when_the_stream_is_closed(beamline):
    beamline.camera.stage()
    film(beamline, LOOK)
    beamline.hub.close()
    with pytest.raises(PulseRefused, match=r"frame stream tcp://.* is closed"):
        beamline.pulser.set(PULSE, shot="a")
    beamline.camera.unstage()


def test_a_port_in_use_is_named(beamline, tmp_path):
    with pytest.raises(StreamError, match=r"in use.*Choose a free port"):
        simulated_beamline(tmp_path, address=beamline.publisher.address)


def test_a_lost_frame_is_counted_and_holds_fire(beamline, monkeypatch):
    beamline.camera.ends_early.put(0)
    beamline.camera.stage()
    film(beamline, LOOK)
    send = beamline.publisher.frame

    def lossy(frame):
        if frame.index != 5:
            send(frame)

    monkeypatch.setattr(beamline.publisher, "frame", lossy)
    film(beamline, Exposure(shot="shot"))
    assert beamline.camera.missing.get() == 1
    assert "frames missing" in beamline.classifier.problem.get()
    with pytest.raises(PulseRefused, match="1 of 34 frames missing"):
        beamline.pulser.set(PULSE, shot="next")
    monkeypatch.undo()
    film(beamline, look("look again"))
    beamline.pulser.set(PULSE, shot="next")
    beamline.camera.unstage()


def test_a_frame_that_comes_late_is_recorded_and_holds_fire(beamline, monkeypatch):
    beamline.camera.ends_early.put(0)
    beamline.camera.stage()
    film(beamline, LOOK)
    send = beamline.publisher.frame
    held = []

    def shuffled(frame):
        if frame.index == 3:
            held.append(frame)
            return
        send(frame)
        if frame.index == 4:
            send(held.pop())

    monkeypatch.setattr(beamline.publisher, "frame", shuffled)
    film(beamline, Exposure(shot="shot"))
    assert beamline.camera.missing.get() == 0
    assert beamline.camera.reordered.get() == 1
    with pytest.raises(PulseRefused, match="out of order"):
        beamline.pulser.set(PULSE, shot="next")
    beamline.camera.unstage()
    with Recording(beamline.camera.recording) as recording:
        assert recording.frame_count == 1 + len(beamline.camera.movie.times_ps)


def test_a_certain_verdict_ends_the_movie_and_event_and_file_say_so(beamline, told_in_time):
    camera = beamline.camera
    told_in_time(beamline, 30)
    camera.stage()
    film(beamline, LOOK)
    film(beamline, Exposure(shot="shot"))
    result, promised = beamline.classifier.result, len(camera.movie.times_ps)
    documents = list(camera.frames.collect_asset_docs())
    camera.unstage()
    assert result.verdict.early
    assert result.ended_early
    assert result.problem == ""
    exposed = camera.frames_exposed.get()
    assert len(result.latencies_ms) < exposed == 31
    assert camera.frames_promised.get() == promised == 34
    assert (camera.received.get(), camera.missing.get()) == (exposed, 0)
    assert camera.ended_early.get() == 1
    assert documents[-1][1]["indices"] == {"start": 0, "stop": 1 + exposed}
    with Recording(camera.recording) as recording:
        look, shot = recording.shots()
        assert [frame.index for frame in shot[1]] == list(range(exposed))
        assert (shot[0].may_end_early, shot[0].expected_frames) == (True, promised)
        assert (shot[2].sent_frames, shot[2].ended_early) == (exposed, True)
        assert not look[0].may_end_early
        assert (recording.frames_exposed, recording.frames_promised) == (1 + exposed, 1 + promised)
        report = replay(recording, beamline.streaming.model)
    assert report.identical
    again = report.shots[1].result
    assert again.verdict.probabilities == result.verdict.probabilities
    assert (again.label, again.state, again.ended_early) == (result.label, result.state, True)


def test_the_same_movie_filmed_whole_has_the_same_verdicts_up_to_there(beamline, tmp_path):
    def verdicts(ends_early, line):
        line.camera.ends_early.put(ends_early)
        line.camera.stage()
        film(line, LOOK)
        film(line, Exposure(shot="shot"))
        line.camera.unstage()
        line.sample.wait_settled()
        with Recording(line.camera.recording) as recording:
            return recording.verdicts["probabilities"].tolist(), line.sample.spins()

    with simulated_beamline(tmp_path / "whole") as other:
        whole, spins = verdicts(0, other)
        assert other.camera.frames_exposed.get() == len(whole) == 34
        assert other.camera.ended_early.get() == 0
        assert not other.classifier.result.ended_early
    early, spins_early = verdicts(1, beamline)
    assert 0 < len(early) < 34
    assert early == whole[: len(early)]
    np.testing.assert_array_equal(spins_early, spins)


def verdict(shot: str, run: str, early: bool = True) -> Verdict:
    return Verdict(shot, 3, 15.0, ("a", "b"), (1.0, 0.0), "a", early=early, run=run)


def test_the_camera_is_told_once_of_the_movie_under_way(beamline, blind):
    blind.prepare(Exposure(shot="armed"))
    status = blind.trigger()
    tell, ours = beamline.streaming._tell, blind._run
    for news in (
        verdict("armed", ours, early=False),
        verdict("other", ours),
        verdict("armed", "somebody else's"),
    ):
        tell(news)
    assert blind._may_end == "armed"
    for _ in range(3):
        tell(verdict("armed", ours))
    blind.trigger()  # the same movie again, as after a pause
    tell(verdict("armed", ours))
    blind._ender.close()  # it has done all it was told
    assert blind._driver.finished == ["armed"]
    status.exception(timeout=30)


@pytest.mark.parametrize(
    ("ends_early", "pulsed"), [(0, True), (False, True), (1, False), (True, False)]
)
def test_a_camera_that_ends_nothing_early_and_a_look_are_not_told(
    beamline, blind, ends_early, pulsed
):
    blind.ends_early.put(ends_early)
    blind.prepare(Exposure(shot="armed", pulsed=pulsed, ends_early=True))  # the camera's to say
    status = blind.trigger()
    assert not blind._driver.exposures[-1].ends_early
    beamline.streaming._tell(verdict("armed", blind._run))
    blind._ender.close()
    assert blind._driver.finished == []
    status.exception(timeout=30)


def test_the_classifier_does_not_wait_for_a_slow_camera_whose_failure_is_logged(
    beamline, blind, monkeypatch, caplog
):
    asked, go_on = threading.Event(), threading.Event()

    def slow(_shot):
        asked.set()
        assert go_on.wait(20)
        raise OSError("no answer")

    monkeypatch.setattr(blind._driver, "finish", slow)
    blind.prepare(Exposure(shot="armed"))
    status = blind.trigger()
    # comes back though the camera has not answered
    beamline.streaming._tell(verdict("armed", blind._run))
    assert asked.wait(20)
    go_on.set()
    blind._ender.close()
    assert "shot armed could not be ended early" in caplog.text
    assert blind.hold_reason() == ""
    status.exception(timeout=30)


@pytest.mark.parametrize("value", [2, -1, 0.5, "on", None])
def test_ending_early_is_on_or_off(beamline, value):
    with pytest.raises(LimitError, match="camera_ends_early"):
        beamline.camera.ends_early.put(value)
    configuration = beamline.camera.read_configuration()
    assert configuration["camera_ends_early"]["value"] == 1


def test_a_movie_of_another_shape_than_the_recording_holds_fire_until_a_whole_one(beamline):
    """The camera was binned: start and frames agree, and nothing of it is in the file."""
    camera = beamline.camera
    camera.stage()
    beamline.classifier.stage()
    rows, columns = beamline.sample.shape
    run, side = camera._run, (rows // 2, columns // 2)
    counts = Counts(received=8)
    start = ShotStart(run, "binned", None, FrameSchedule(), 8, side)
    camera._recorder.handle(start)
    for index in range(8):
        frame = Frame(run, "binned", index, 5.0 * index, 0, np.zeros(side, np.float32))
        camera._recorder.handle(frame)
    camera._recorder.handle(ShotEnd(run, "binned", 8, counts))
    assert camera.unrecorded.get() == 8
    assert "8 frames of shot binned were received and are not recorded" in camera.hold_reason()
    for device in (camera, beamline.classifier):
        device.prepare(LOOK)
    (camera.trigger() & beamline.classifier.trigger()).wait(30)
    assert camera.hold_reason() == ""
    assert camera.unrecorded.get() == 0
    beamline.classifier.unstage()
    camera.unstage()
