"""A camera is calibrated by a plan; then its counts are S_z, and are recorded beside it."""

import queue

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine

from skyctl.beamline import assemble
from skyctl.beamline.counting import CountsAverage
from skyctl.errors import StreamError
from skyctl.plans.calibrate import calibrate_contrast
from skyctl.plans.plans import in_one_run
from skyctl.plans.stubs import look
from skyctl.recording.counts import counts_beside, recorded_counts
from skyctl.recording.reader import Recording
from skyctl.stream.sources.calibration import Calibration
from skyctl.stream.sources.ntndarray import NtndArrayParser
from skyctl.stream.sources.pixels import Scaling
from skyctl.stream.sources.source import Source

SHAPE = (24, 30)
CONTRAST = 0.05


class Camera:
    """Counts of a film under uneven light; it is its own transport. A look is one image."""

    shape = SHAPE
    address = "in this process"
    upstream_dropped = 0

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
        return {"pixel_sites": 1.0}

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
    (counted,) = recorded_counts(recording)
    assert counted.counts.dtype == np.uint16
    assert np.array_equal(pipeline.apply(counted.counts), image)  # computed again


def test_a_calibration_of_too_few_states_is_none(tmp_path):
    camera = Camera()
    source = Source(camera, NtndArrayParser(Scaling(offset=0, scale=1)))
    with assemble(camera, source, tmp_path) as line:
        average = CountsAverage(line.hub, camera="cam", author="Ada", path=tmp_path / "cam.npz")
        with pytest.raises(ValueError, match="state 'bright'"):
            average.begin("bright")
        with pytest.raises(StreamError, match="no image of dark, down, up"):
            average.save()
        average.close()
