"""Beamlines: assembled around any sample and source, and what happens to those that are closed."""

import threading

import numpy as np
import pytest
from bluesky import RunEngine

from skyctl.beamline import assemble, replayed_beamline, simulated_beamline
from skyctl.beamline.states import recorded_check, state_check
from skyctl.errors import ModelError, PulseRefused, RecordingError, StreamError
from skyctl.inference.model import MovieClassifier
from skyctl.plans import classify_shot, erase
from skyctl.pulse import Exposure, Pulse
from skyctl.recording.reader import Recording
from skyctl.recording.replay import replay
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.stream.sources.array10 import Array10Parser
from skyctl.stream.sources.dectris import DectrisParser
from skyctl.stream.sources.ntndarray import NtndArrayParser, PvaTransport
from skyctl.stream.sources.pixels import Scaling
from skyctl.stream.sources.source import Source
from skyctl.stream.sources.transports import ZmqTransport

SHAPE = (16, 20)
SCALING = Scaling(offset=60, scale=1 / 60, masked=-1.0)
PULSE = Pulse(amplitude_T=2.0, width_ps=4.0, peak_ps=10.0)
SMALL = FilmParameters(rows=20, columns=30)


class Detector:
    """A driver of a detector that is triggered by the pulse, and of what sends the pulse."""

    shape = SHAPE

    def __init__(self, peer):
        self._peer = peer
        self.closed = False

    def expose(self, run, exposure, movie):
        self._images = len(movie.times_ps)
        if not exposure.pulsed:
            self._peer.go(1)

    def fire(self, shot, pulse):
        self._peer.go(self._images)

    def cancel(self):
        return ""

    def describe(self):
        return {"detector": "a process on this machine"}

    def close(self):
        self.closed = True


def dectris(sender):
    peer = sender("dectris", repeat=2)
    return peer, Source(ZmqTransport(peer.hello), DectrisParser(SCALING))


def array10(sender):
    peer = sender("array10", shape=SHAPE, repeat=2)
    return peer, Source(ZmqTransport(peer.hello), Array10Parser(SCALING))


def ntndarray(sender):
    peer = sender("ntndarray", repeat=2)
    return peer, Source(PvaTransport("SIM:Image", conf=peer.hello), NtndArrayParser(SCALING))


@pytest.mark.parametrize("kind", [dectris, array10, ntndarray])
def test_a_detector_s_frames_become_the_movie_of_the_pulse_that_was_fired(
    kind, sender, senders, tmp_path
):
    peer, source = kind(sender)
    engine = RunEngine({}, call_returns_result=True)
    with assemble(Detector(peer), source, tmp_path, timeout_s=20.0) as beamline:
        beamline.camera.duration_ps.put(35.0)
        if kind is ntndarray:
            wait_for_the_image_that_the_pv_had(beamline)
        result = engine(classify_shot(beamline, PULSE)).plan_result
        path = beamline.camera.recording
    assert (result.problem, result.counts.received) == ("", 8)
    assert sum(result.verdict.probabilities) == pytest.approx(1.0, abs=1e-5)
    assert result.verdict.movie_time_ps == 35.0
    with Recording(path) as recording:
        starts = [start for start, _, _ in recording.shots()]
        assert [(start.pulse, start.expected_frames) for start in starts] == [(None, 1), (PULSE, 8)]
        # areaDetector numbers on from one series to the next
        counts = senders.pattern(SHAPE, "<u2", 9 if kind is ntndarray else 7)
        expected = (counts.astype(np.float32) - 60) / 60
        expected[0, 1] = -1.0
        last = recording.images(8, 9)[0]
        assert last.shape == SHAPE
        np.testing.assert_allclose(last, expected, atol=1e-5)


def wait_for_the_image_that_the_pv_had(beamline):
    tick = threading.Event()
    for _ in range(2000):
        if beamline.hub.totals["received"]:
            return
        tick.wait(0.01)
    raise AssertionError("no image")


def test_a_source_that_names_no_shots_is_told_the_pulse_or_refuses(sender, tmp_path):
    peer, source = dectris(sender)
    with assemble(Detector(peer), source, tmp_path) as beamline:
        beamline.camera.stage()
        beamline.camera.prepare(Exposure(shot="a"))
        with pytest.raises(StreamError, match="a pulse that is not named"):
            beamline.camera.trigger()
        beamline.camera.unstage()


@pytest.mark.parametrize("plan", [erase, lambda line: classify_shot(line, PULSE)])
def test_a_plan_on_a_closed_beamline_says_so_at_once(plan, tmp_path):
    with simulated_beamline(tmp_path, parameters=SMALL) as beamline:
        pass
    beamline.close()  # once more does no harm
    engine = RunEngine({})
    with pytest.raises(StreamError, match="closed"):
        engine(plan(beamline))
    assert engine.state == "idle"


def test_a_folder_may_be_a_string_and_is_made(tmp_path):
    with simulated_beamline(str(tmp_path / "new" / "runs"), parameters=SMALL) as beamline:
        assert (tmp_path / "new" / "runs").is_dir()
        told = repr(beamline)
    assert "SimulatedSample 20 × 30" in told
    assert "skyrmion-process" in told
    assert str(tmp_path) in told
    assert told.endswith("open)")
    assert repr(beamline).endswith("closed)")
    assert "\n" not in told


def test_a_folder_that_cannot_be_made_is_an_error_and_leaves_nothing_open(sender, tmp_path):
    (tmp_path / "file").write_text("")
    peer, source = dectris(sender)
    detector = Detector(peer)
    with pytest.raises(OSError, match="file"):
        assemble(detector, source, tmp_path / "file")
    assert detector.closed


def test_a_bad_ledger_leaves_nothing_open(sender, tmp_path):
    (tmp_path / "ledger").write_text("nonsense\n")
    peer, source = dectris(sender)
    detector = Detector(peer)
    with pytest.raises(PulseRefused):
        assemble(detector, source, tmp_path, ledger=tmp_path / "ledger")
    assert detector.closed


def test_the_film_s_middle_is_the_sample_s_not_the_image_s(sender, tmp_path):
    imaging = Imaging(pixels=(10, 15))
    with simulated_beamline(tmp_path / "a", parameters=SMALL, imaging=imaging) as beamline:
        assert beamline.sample.shape == (10, 15)
        assert beamline.camera.film_centre == (14.5, 9.5)
    peer, source = dectris(sender)
    with assemble(Detector(peer), source, tmp_path / "b") as beamline:
        assert beamline.camera.film_centre == (9.5, 7.5)


class Counting(MovieClassifier):
    """Counts the frames it was given before anything was filmed."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def step(self, *frame):
        self.steps += 1
        return super().step(*frame)


def test_the_classifier_has_run_before_the_first_shot_is_published(tmp_path):
    model = Counting()
    with simulated_beamline(tmp_path, parameters=SMALL, model=model) as beamline:
        assert model.steps == 2
        assert beamline.hub.totals["shots"] == 0
        assert beamline.streaming.latency.total == 0


def test_a_replayed_beamline_is_assembled_alike(tmp_path):
    engine = RunEngine({}, call_returns_result=True)
    with simulated_beamline(tmp_path / "live", parameters=SMALL) as beamline:
        beamline.camera.duration_ps.put(20.0)
        live = engine(classify_shot(beamline, PULSE)).plan_result
        path = beamline.camera.recording
    with Recording(path) as recording, replayed_beamline(recording, tmp_path / "again") as line:
        assert line.camera.film_centre == (14.5, 9.5)
        again = engine(classify_shot(line, PULSE)).plan_result
    assert again.verdict.probabilities == live.verdict.probabilities


def test_a_model_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ModelError):
        simulated_beamline(tmp_path, model=MovieClassifier(tmp_path / "none.onnx"))


@pytest.mark.parametrize("name", ["run #3", "a?b", "a;b"])
def test_a_folder_that_no_document_can_name_is_refused_at_once(tmp_path, name):
    with pytest.raises(RecordingError, match="Choose another folder"):
        simulated_beamline(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_sample_and_source_in_each_other_s_place_are_named(tmp_path):
    source = Source(transport=None, parser=None)
    with pytest.raises(TypeError, match=r"assemble\(Source, Detector, …\): first what exposes"):
        assemble(source, Detector(None), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_is_no_state_of_the_sample_is_told_in_the_recording_and_replays_so(tmp_path):
    check = state_check(SMALL, limit=1e-9)  # so strict that nothing passes
    with simulated_beamline(tmp_path, parameters=SMALL, check=check) as beamline:
        result = RunEngine({}, call_returns_result=True)(classify_shot(beamline, PULSE))
        assert result.plan_result.label == "unsure"
        assert "no state of this sample" in beamline.classifier.hold_reason()
        assert beamline.classifier.off_states.get() > 1
        path = beamline.camera.recording
    with Recording(path) as recording:
        assert (recording.results["off_states"] > 1).all()
        again = replay(recording, MovieClassifier(), check=recorded_check(recording.header))
        assert again.identical
        assert [shot.result.off_states for shot in again.shots] == list(
            recording.results["off_states"]
        )
