"""A sample that drifts through a session: its S_z stays right, and a replay computes the same."""

import datetime
import queue
from dataclasses import replace

import numpy as np
import pytest
from bluesky import RunEngine
from typer.testing import CliRunner

from skyctl.beamline import assemble
from skyctl.beamline.file import FramesEntry
from skyctl.cli import app
from skyctl.errors import UndecodableMessage
from skyctl.frame import ShotStart
from skyctl.plans.plans import in_one_run
from skyctl.plans.stubs import look
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.recording.counts import RecordedCounts
from skyctl.recording.playback import recorded_shots
from skyctl.recording.reader import Recording
from skyctl.recording.recount import Recount
from skyctl.recording.writer import Recorder
from skyctl.simulators.instrument.counting import CountingCamera, discs
from skyctl.stream.sources.calibration import Calibration, Provenance
from skyctl.stream.sources.drifting import Drifting
from skyctl.stream.sources.ntndarray import NtndArrayParser
from skyctl.stream.sources.source import Source
from skyctl.stream.sources.stroboscopic import StroboscopicParser
from skyctl.stream.sources.triggers import Triggers

SIDE = 96
DRIFTS = [(0.0, 0.0), (1.3, -0.6), (2.2, -1.9), (4.7, -3.1)]


def calibration(camera, drift=(0.0, 0.0)):
    full = np.ones((SIDE, SIDE))
    provenance = Provenance(
        camera="cam",
        author="Ada",
        images={},
        measured=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    )
    return Calibration(
        dark=camera.counts(light=0.0), up=camera.counts(full, drift),
        down=camera.counts(-full, drift), flat=camera.counts(), provenance=provenance,
    )  # fmt: skip


class Detector:
    """A look is one image of the film where it has drifted to; it is its own transport."""

    shape = (SIDE, SIDE)
    address = "in this process"
    upstream_dropped = 0

    def __init__(self, camera, film, to_sz):
        self.camera, self.film, self.to_sz, self.drift = camera, film, to_sz, DRIFTS[0]
        self._sent, self._number = queue.Queue(), 0

    def send(self, counts):
        self._number += 1
        dimension = [{"size": side} for side in reversed(counts.shape)]
        self._sent.put({"uniqueId": self._number, "dimension": dimension, "value": counts.ravel()})

    def expose(self, run, exposure, movie):
        self.send(self.camera.counts(self.film, self.drift))

    def receive(self, timeout_ms):
        try:
            return self._sent.get(timeout=timeout_ms / 1000)
        except queue.Empty:
            return None

    def cancel(self):
        return ""

    def finish(self, shot):
        pass

    def fire(self, shot, pulse):
        raise AssertionError("nothing is fired")

    def describe(self):
        return {"pixel_sites": 1.0, "camera": "cam", "counts_to_sz": self.to_sz.describe()}

    def close(self):
        pass


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A recording of a look at each of DRIFTS; the calibration it was made with; another, of the
    sample two pixels on; and the film that it is of."""
    folder = tmp_path_factory.mktemp("drift")
    camera = CountingCamera(0, SIDE)
    film = discs(SIDE, 2, camera.rng)
    made = calibration(camera)
    made.save(folder / "cam.npz")
    calibration(camera, (2.0, 1.0)).save(folder / "moved.npz")
    detector = Detector(camera, film, Drifting(made, farthest=10))
    with assemble(detector, Source(detector, NtndArrayParser(detector.to_sz)), folder) as line:

        def looks():
            for drift in DRIFTS:
                detector.drift = drift
                yield from look(line)

        RunEngine({})(in_one_run("looks", line, looks, None))
        detector.send(np.ones((8, 8), np.uint16))  # of another camera: dropped, and told
        return line.camera.recording, folder, film


def rms(image, film):
    inside = (slice(8, -8), slice(8, -8))
    good = image[inside] != 0
    return float(np.sqrt(np.mean((image[inside] - film[inside])[good] ** 2)))


def test_s_z_stays_right_while_the_sample_drifts(session):
    path, _, film = session
    with Recording(path) as recording:
        images = recording.images(0, recording.frame_count)
        (registration,) = [
            stage for stage in recording.header["counts_to_sz"] if stage["stage"] == "registration"
        ]
    assert len(images) == len(DRIFTS)
    assert max(rms(image, film) for image in images) < 0.08
    assert registration["farthest"] == 10
    moved = [counted.shift for counted in RecordedCounts(path)]
    assert np.array(moved) == pytest.approx(-np.array(DRIFTS), abs=0.05)


def test_a_replay_moves_the_counts_as_they_were_moved(session):
    path, folder, _ = session
    with Recording(path) as recording, Recount(recording, folder / "cam.npz") as recount:
        for shot, twin in zip(recorded_shots(recording), recorded_shots(recording), strict=True):
            for was, again in zip(shot.frames, recount(twin).frames, strict=True):
                assert np.array_equal(was.data, again.data)  # bit for bit
    told = CliRunner().invoke(app, ["replay", str(path), "--calibration", str(folder / "cam.npz")])
    assert told.exit_code == 0, told.output


def test_images_of_a_stroboscope_are_replayed_each_as_it_was_moved(tmp_path):
    camera = CountingCamera(4, SIDE)
    made, film = calibration(camera), discs(SIDE, 1, camera.rng)
    made.save(tmp_path / "cam.npz")
    drifting, triggers = Drifting(made, farthest=10), Triggers()
    parser = StroboscopicParser(drifting, triggers, as_they_come=True)
    movie = FrameSchedule(delays_ps=(0.0, 20.0))
    parser.expect(ShotStart("run", "a", Pulse(width_ps=2.0), movie, 2, (SIDE, SIDE)))
    header = {"camera": "cam", "counts_to_sz": drifting.describe()}
    recorder = Recorder(tmp_path / "run.h5", "run", (SIDE, SIDE), header=header)
    for index, drift in enumerate([(0.0, 0.0), (3.0, -2.0)]):
        triggers.assign("a", index, (index, 0))
        counts = camera.counts(film, drift)
        image = {
            "uniqueId": index, "dimension": [{"size": SIDE}] * 2, "value": counts.ravel(),
            "attribute": [{"name": "TriggerCount", "value": index}],
        }  # fmt: skip
        for event in parser.parse(image, 0):
            recorder.handle(event)
    recorder.close()
    with Recording(recorder.path) as recording, Recount(recording, tmp_path / "cam.npz") as recount:
        ((was, again),) = [
            ([f.data for f in shot.frames], [f.data for f in recount(twin).frames])
            for shot, twin in zip(recorded_shots(recording), recorded_shots(recording), strict=True)
        ]
    assert max(rms(image, film) for image in was) < 0.08
    assert np.array_equal(was, again)


def test_by_another_calibration_it_is_registered_anew(session):
    path, folder, film = session
    with Recording(path) as recording, Recount(recording, folder / "moved.npz") as recount:
        images = [
            frame.data for shot in recorded_shots(recording) for frame in recount(shot).frames
        ]
    there = np.roll(film, (2, 1), axis=(0, 1))
    assert max(rms(image, there) for image in images) < 0.12


def test_a_movie_has_the_shift_of_its_first_image():
    camera = CountingCamera(1, SIDE)
    drifting = Drifting(calibration(camera), farthest=10, binned=2)
    film = discs(SIDE, 1, camera.rng)
    movie = drifting.for_movie(camera.counts(film, (3.0, 0.0)))
    assert movie.for_movie(camera.counts(film)) is movie
    assert movie.shift == pytest.approx((-3.0, 0.0), abs=0.05)
    assert movie.apply(camera.counts(film)).shape == drifting.shape_of((SIDE, SIDE)) == (48, 48)


def test_marks_of_the_source_do_not_mislead_the_registration():
    camera = CountingCamera(5, SIDE)
    drifting = Drifting(replace(calibration(camera), gaps=(12345.0,)), farthest=10)
    counts = camera.counts(np.ones((SIDE, SIDE)), (3.0, -1.0))
    counts[20:40, 20:40] = 12345.0
    movie = drifting.for_movie(counts)
    assert movie.shift == pytest.approx((-3.0, 1.0), abs=0.05)
    assert not movie.apply(counts)[24:30, 24:30].any()


def test_a_sample_that_is_lost_says_nothing(caplog):
    camera = CountingCamera(2, SIDE)
    drifting = Drifting(calibration(camera), farthest=2)
    far = camera.counts(np.ones((SIDE, SIDE)), (6.0, 1.0))
    movie = drifting.for_movie(far)
    assert not movie.apply(far).any()
    assert np.isnan(movie.shift).all()
    assert "drifted by 6.0, 1.0 pixels" in caplog.text


def test_an_image_of_another_size_is_refused():
    drifting = Drifting(calibration(CountingCamera(3, SIDE)), farthest=2)
    parser = NtndArrayParser(drifting)
    image = {
        "uniqueId": 1, "dimension": [{"size": 9}, {"size": 8}], "value": np.ones(72, np.uint16)
    }  # fmt: skip
    with pytest.raises(UndecodableMessage, match=r"\(8, 9\), and the calibration is of \(96, 96\)"):
        parser.parse(image, 0)


def test_drift_without_a_calibration_is_refused():
    with pytest.raises(ValueError, match="drift: needs a calibration"):
        FramesEntry(source="scpi", address="h:1", offset=0.0, scale=1.0, drift=5.0)
