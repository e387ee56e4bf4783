"""A camera is calibrated by a plan; then its counts are S_z, and are recorded beside it."""

import datetime
import json
import queue
import time
from datetime import UTC

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine
from typer.testing import CliRunner

from skyctl.beamline import assemble
from skyctl.beamline.counting import CountsAverage
from skyctl.beamline.file import FramesEntry
from skyctl.cli import app
from skyctl.errors import StreamError
from skyctl.frame import Frame, ShotStart
from skyctl.plans.calibrate import calibrate_contrast
from skyctl.plans.plans import in_one_run
from skyctl.plans.stubs import look
from skyctl.recording.counts import RecordedCounts, counts_beside
from skyctl.recording.playback import recorded_shots
from skyctl.recording.reader import Recording
from skyctl.recording.recount import Recount
from skyctl.simulators.instrument.practice import Images, PracticeInstrument
from skyctl.simulators.instrument.scpi import ScpiServer
from skyctl.stream.sources.calibration import Calibration, Provenance
from skyctl.stream.sources.ntndarray import NtndArrayParser
from skyctl.stream.sources.pixels import Scaling
from skyctl.stream.sources.source import Source

SHAPE = (48, 60)
CONTRAST = 0.05
FILE = """
name = "test"
[pulser]
driver = "scpi-pulser"
transport = "scpi"
address = "{address}"
[camera]
driver = "scpi-camera"
transport = "scpi"
address = "{address}"
shape = [{rows}, {columns}]
frames = {{ source = "scpi", address = "{address}", offset = 3.0, scale = 1.0 }}
"""


class Camera:
    """Counts of a film under uneven light; it is its own transport. A look is one image."""

    shape = SHAPE
    address = "in this process"
    upstream_dropped = 0
    stages = ()

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.light = np.linspace(0.5, 1.5, SHAPE[1]) * 4e4 * np.ones(SHAPE)
        self.sz, self.lit = np.ones(SHAPE), 1.0
        self._sent, self._number = queue.Queue(), 0

    def expose(self, run, exposure, movie):
        self._number += 1
        mean = self.lit * self.light * (1 + CONTRAST * self.sz)
        counts = (self.rng.poisson(mean) + 50).astype(np.uint16)
        counts[0, 0] = 65535  # dead
        self._sent.put({
            "uniqueId": self._number,
            "dimension": [{"size": SHAPE[1]}, {"size": SHAPE[0]}],
            "value": counts.ravel(),
        })  # fmt: skip

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
        return {"pixel_sites": 1.0, "camera": "cam", "counts_to_sz": self.stages}

    def close(self):
        pass


def states(camera):
    def reach(sz, lit):
        yield from bps.null()
        camera.sz, camera.lit = sz * np.ones(SHAPE), lit

    return {
        "dark": lambda: reach(1, 0.0), "up": lambda: reach(1, 1.0), "down": lambda: reach(-1, 1.0),
    }  # fmt: skip


def looked_at(line):
    def body():
        return (yield from look(line))

    return RunEngine({}, call_returns_result=True)(in_one_run("look", line, body, None))


def test_a_plan_calibrates_a_camera_whose_counts_are_then_s_z(tmp_path):
    camera, path = Camera(), tmp_path / "cam.npz"
    plain = Source(camera, NtndArrayParser(Scaling(offset=0, scale=1)))
    with assemble(camera, plain, tmp_path / "runs") as line:
        average = CountsAverage(line.hub, camera="cam", author="Ada", path=path)
        engine = RunEngine({}, call_returns_result=True)
        told = engine(calibrate_contrast(line, average, states(camera), looks=12)).plan_result
        average.close()
        assert told == str(path)
        assert line.pulser.guard.shots_fired == 0
        assert not counts_beside(line.camera.recording).exists()
    calibration = Calibration.load(path, "cam", SHAPE)
    assert calibration.contrast == pytest.approx(CONTRAST, rel=0.05)
    assert calibration.provenance.images == {"dark": 12, "up": 12, "down": 12}
    assert calibration.bad[0, 0]

    camera = Camera()
    camera.sz = np.where(np.arange(SHAPE[1]) < 15, 1.0, -1.0) * np.ones(SHAPE)
    pipeline = calibration.pipeline()
    with assemble(camera, Source(camera, NtndArrayParser(pipeline)), tmp_path / "runs") as line:
        looked_at(line)
        recording = line.camera.recording
    with Recording(recording) as opened:
        (image,) = opened.images(0, opened.frame_count)
    assert image[:, :14].mean() == pytest.approx(1.0, abs=0.05)
    assert image[:, 16:].mean() == pytest.approx(-1.0, abs=0.05)
    assert image[0, 0] == 0.0
    (counted,) = RecordedCounts(recording)
    assert counted.counts.dtype == np.uint16
    assert np.array_equal(pipeline.apply(counted.counts), image)  # computed again


def test_images_that_come_here_late_are_of_the_state_they_were_filmed_in(tmp_path, monkeypatch):
    """A busy machine: the plan is at the next state before this thread has the last image."""
    take = CountsAverage._take

    def late(self, event):
        time.sleep(0.05)
        take(self, event)

    monkeypatch.setattr(CountsAverage, "_take", late)
    camera, path = Camera(), tmp_path / "cam.npz"
    plain = Source(camera, NtndArrayParser(Scaling(offset=0, scale=1)))
    with assemble(camera, plain, tmp_path / "runs") as line:
        average = CountsAverage(line.hub, camera="cam", author="Ada", path=path)
        RunEngine({})(calibrate_contrast(line, average, states(camera), looks=2))
        average.close()
    calibration = Calibration.load(path, "cam", SHAPE)
    assert calibration.contrast == pytest.approx(CONTRAST, rel=0.05)
    assert calibration.provenance.images == {"dark": 2, "up": 2, "down": 2}


def test_a_look_without_an_image_ends_the_calibration(tmp_path, monkeypatch):
    monkeypatch.setattr(CountsAverage, "_take", lambda self, event: None)
    monkeypatch.setattr("skyctl.beamline.counting._LATEST_S", 0.1)
    camera, path = Camera(), tmp_path / "cam.npz"
    plain = Source(camera, NtndArrayParser(Scaling(offset=0, scale=1)))
    with assemble(camera, plain, tmp_path / "runs") as line:
        average = CountsAverage(line.hub, camera="cam", author="Ada", path=path)
        with pytest.raises(StreamError, match=r"no image of the look \S+ \(dark\) came"):
            RunEngine({})(calibrate_contrast(line, average, states(camera), looks=2))
        average.close()
    assert not path.exists()


def test_a_calibration_of_too_few_states_is_none(tmp_path):
    camera = Camera()
    source = Source(camera, NtndArrayParser(Scaling(offset=0, scale=1)))
    with assemble(camera, source, tmp_path) as line:
        average = CountsAverage(line.hub, camera="cam", author="Ada", path=tmp_path / "cam.npz")
        with pytest.raises(ValueError, match="state 'bright'"):
            average.add("bright", "1")
        with pytest.raises(StreamError, match="no image of dark, down, up"):
            average.save()
        average.close()


def test_a_film_no_brighter_than_the_dark_has_no_contrast():
    dark = np.full(SHAPE, 40.0)
    with pytest.raises(ValueError, match="contrast nan between both saturations"):
        Calibration(dark=dark, up=dark - 1, down=dark - 1, provenance=calibration(0.05).provenance)


def calibration(contrast, camera="cam", shape=SHAPE):
    provenance = Provenance(
        camera=camera, author="Ada", images={}, measured=datetime.datetime(2026, 1, 2, tzinfo=UTC)
    )
    mean = np.full(shape, 4e4)
    return Calibration(
        dark=0 * mean, up=mean * (1 + contrast), down=mean * (1 - contrast), provenance=provenance
    )


@pytest.fixture
def counted(tmp_path):
    """A recording of two looks whose S_z is of the calibration right.npz, binned by 2."""
    right = calibration(CONTRAST)
    right.save(tmp_path / "right.npz")
    camera, pipeline = Camera(), right.pipeline(binned=2)
    camera.sz = np.where(np.arange(SHAPE[1]) < 15, 1.0, -1.0) * np.ones(SHAPE)
    camera.light = np.full(SHAPE, 4e4)
    camera.shape, camera.stages = (24, 30), pipeline.describe()
    source = Source(camera, NtndArrayParser(pipeline))
    with assemble(camera, source, tmp_path / "runs") as line:
        looked_at(line)
        return line.camera.recording


def test_a_replay_computes_s_z_again_from_counts(counted, tmp_path):
    told = CliRunner().invoke(
        app, ["replay", str(counted), "--calibration", str(tmp_path / "right.npz")]
    )
    assert told.exit_code == 0, told.output
    assert "by Ada, 2026-01-02" in told.output
    assert "all as recorded" in told.output
    calibration(2 * CONTRAST).save(tmp_path / "half.npz")
    with Recording(counted) as recording, Recount(recording, tmp_path / "half.npz") as recount:
        ((was, again),) = [
            (next(iter(shot.frames)).data, next(iter(recount(twin).frames)).data)
            for shot, twin in zip(recorded_shots(recording), recorded_shots(recording), strict=True)
        ]
    assert again == pytest.approx(was / 2, abs=0.02)
    assert np.abs(was).mean() > 0.8


def test_marks_of_the_source_are_gaps_beside_a_calibration_and_in_a_replay(tmp_path):
    calibration(CONTRAST).save(tmp_path / "cam.npz")
    said = {"source": "scpi", "address": "h:1", "calibration": "cam.npz", "gaps": [50.0]}
    entry = FramesEntry.model_validate(said)
    camera = Camera()
    camera.light[5, 5] = 0.0  # counts 50, a pixel that the calibration holds for a good one
    to_sz = entry.to_sz("cam", SHAPE, tmp_path)
    camera.stages = to_sz.describe()
    with assemble(camera, Source(camera, NtndArrayParser(to_sz)), tmp_path / "runs") as line:
        looked_at(line)
        path = line.camera.recording
    with Recording(path) as recording, Recount(recording, tmp_path / "cam.npz") as recount:
        (image,) = recording.images(0, 1)
        ((again,),) = [
            [frame.data for frame in recount(shot).frames] for shot in recorded_shots(recording)
        ]
    assert (image[5, 5], again[5, 5]) == (0.0, 0.0)
    assert np.array_equal(image, again)
    with pytest.raises(ValueError, match="masked: with a calibration"):
        FramesEntry.model_validate({**said, "masked": 2.0})
    with pytest.raises(ValueError, match="binned: needs a calibration"):
        FramesEntry(source="scpi", address="h:1", offset=0.0, scale=1.0, binned=2)


@pytest.mark.parametrize("other", [{"camera": "another"}, {"shape": (60, 60)}])
def test_a_calibration_of_another_camera_is_refused(counted, tmp_path, other):
    calibration(CONTRAST, **other).save(tmp_path / "other.npz")
    told = CliRunner().invoke(
        app, ["replay", str(counted), "--calibration", str(tmp_path / "other.npz")]
    )
    assert told.exit_code == 1
    assert "asked for is" in told.output


def test_without_counts_nothing_is_computed_again(counted, tmp_path):
    counts_beside(counted).unlink()
    told = CliRunner().invoke(
        app, ["replay", str(counted), "--calibration", str(tmp_path / "right.npz")]
    )
    assert told.exit_code == 1
    assert "Counts are recorded where" in told.output


class Still:
    """A sample whose looks are dark, then up, then down; its camera sends counts."""

    shape = SHAPE

    def __init__(self, images, looks):
        self._images, self._looks, self._taken = images, looks, 0

    def expose(self, run, exposure, movie):
        lit, sz = ((0, 0), (1, 1), (1, -1))[self._taken // self._looks]
        counts = np.full(SHAPE, 100 + lit * 4e4 * (1 + CONTRAST * sz), np.float32)
        self._taken += 1
        self._images.start(ShotStart(run, exposure.shot, None, movie, 1, SHAPE))
        self._images.frame(Frame(run, exposure.shot, 0, 0.0, time.time_ns(), counts))

    def cancel(self):
        return ""

    def finish(self, shot):
        pass


def test_a_person_makes_a_calibration_and_sees_whose_it_is(tmp_path, cleanup):
    images, looks = Images(), 2
    server = ScpiServer(PracticeInstrument(Still(images, looks)))
    cleanup.callback(server.close)
    images.post = server.post
    beamline, made = tmp_path / "beamline.toml", tmp_path / "cam.npz"
    beamline.write_text(
        FILE.format(address=server.address, rows=SHAPE[0], columns=SHAPE[1]).replace(
            "scale = 1.0", "scale = 0.5"
        )
    )
    make = ["calibration", "make", str(made), "--beamline", str(beamline)]
    told = CliRunner().invoke(app, [*make, "--author", "Ada", "--looks", "2"], input="\n\n\n")
    assert told.exit_code == 0, told.output
    assert "close the shutter" in told.output
    assert "dark: 2 images, 100 counts a pixel" in told.output
    assert "up: 2 images, 42100 counts a pixel" in told.output
    assert made.with_suffix(".png").stat().st_size > 10_000
    assert server.instrument.get("FIRED") == 0
    assert Calibration.load(made, "SCPI camera", SHAPE).contrast == pytest.approx(CONTRAST)
    seen = CliRunner().invoke(
        app,
        ["calibration", "show", str(made), "--json", f"{tmp_path}/j", "--png", f"{tmp_path}/c.png"],
    )
    assert (tmp_path / "c.png").stat().st_size > 10_000
    assert "Ada" in seen.output
    facts = json.loads((tmp_path / "j").read_text())
    assert (facts["camera"], facts["days_old"]) == ("SCPI camera", 0)
    assert facts["images"] == {"dark": looks, "up": looks, "down": looks}
    again = CliRunner().invoke(app, make)
    assert again.exit_code == 2
    assert "there already" in again.output
