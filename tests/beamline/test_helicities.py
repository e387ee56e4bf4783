"""Two helicities an image: S_z is their asymmetry, whatever the light of either and the drift."""

import time

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine
from typer.testing import CliRunner

from skyctl.beamline import load_beamline
from skyctl.beamline.counting import CountsAverage
from skyctl.cli import app
from skyctl.doctor import check_instruments
from skyctl.errors import InstrumentError, RecordingError
from skyctl.frame import Frame, ShotStart
from skyctl.plans import classify_shot
from skyctl.plans.calibrate import calibrate_contrast
from skyctl.pulse import Pulse
from skyctl.recording.counts import RecordedCounts
from skyctl.recording.playback import recorded_shots
from skyctl.recording.reader import Recording
from skyctl.recording.recount import Recount
from skyctl.simulators.instrument.counting import CountingCamera, discs
from skyctl.simulators.instrument.manuals import LineServer
from skyctl.simulators.instrument.practice import Images, PracticeInstrument
from skyctl.simulators.instrument.scpi import ScpiServer
from skyctl.stream.sources.calibration import Calibration

SIDE = 96
DELAYS = [0.0, 20.0, 50.0]
FILE = """
name = "test"
timeout_s = 10.0

[pulser]
driver = "scpi-pulser"
transport = "scpi"
address = "ADDRESS"
envelope = { rest_s = 0.0, repeats = 1000 }

[camera]
driver = "scpi-camera"
transport = "scpi"
address = "ADDRESS"
shape = [96, 96]
movie = { delays_ps = [0.0, 20.0, 50.0] }

[camera.frames]
source = "scpi"
address = "ADDRESS"
calibration = "cam.npz"
trigger_attribute = "TriggerCount"

[delays]
driver = "light.toml"
transport = "scpi"
address = "LIGHT"
repeats = 2
order = "coarse-to-fine"
"""
TABLE = """
name = "delay and undulator"
source = "this test"
delay = { put = "DEL", unit = "ps" }
low_ps = 0.0
high_ps = 100.0
plus = { HEL = 1 }
minus = { HEL = -1 }
"""


class Light:
    """Sets the delay of the light, and its helicity."""

    def __init__(self):
        self.values = {"DEL": 0.0, "HEL": 1.0}

    def line(self, text):
        said = []
        for unit in text.split(";"):
            header, _, argument = unit.strip().lstrip(":").partition(" ")
            if header == "SYST:ERR?":
                said.append('0,"No error"')
            elif header.endswith("?"):
                said.append(repr(self.values[header[:-1]]))
            else:
                self.values[header] = float(argument)
        return (";".join(said) + "\n").encode() if said else b""


class Film:
    """Counted by dichroism, of the helicity and at the delay that are set; it drifts the while."""

    shape = (SIDE, SIDE)

    def __init__(self, images, light):
        self.camera, self._images, self._light = CountingCamera(0, SIDE), images, light
        self.films = {delay: discs(SIDE, n, self.camera.rng) for n, delay in enumerate(DELAYS)}
        self.still, self.lit, self.drift, self.step = self.films[0.0], 1.0, np.zeros(2), np.zeros(2)
        self.minus = 0.9  # as bright as plus: a beamline's helicities never are
        self._armed = None

    def expose(self, run, exposure, movie):
        if exposure.pulsed:
            self._armed = run, exposure.shot, movie
        else:
            self._expose(self.still, run, exposure.shot, movie)

    def fire(self, shot, pulse):
        armed, self._armed = self._armed, None
        if armed:  # the first pulse of an image stands for all of them
            self._expose(self.films[self._light.values["DEL"]], *armed)

    def _expose(self, film, run, shot, movie):
        helicity = self._light.values["HEL"]
        light = self.lit * (1.0 if helicity > 0 else self.minus)
        self.drift = self.drift + self.step
        counts = self.camera.counts(None if film is None else helicity * film, self.drift, light)
        self._images.start(ShotStart(run, shot, None, movie, 1, self.shape))
        self._images.frame(Frame(run, shot, 0, 0.0, time.time_ns(), counts))

    def cancel(self):
        return ""

    def finish(self, shot):
        pass


@pytest.fixture
def place(tmp_path, cleanup):
    """The film, and a beamline's file of it, whose light has two helicities."""
    images, light = Images(), Light()
    film = Film(images, light)
    server, lines = ScpiServer(PracticeInstrument(film)), LineServer(light)
    cleanup.callback(server.close)
    cleanup.callback(lines.close)
    images.post = server.post
    path = tmp_path / "beamline.toml"
    path.write_text(FILE.replace("ADDRESS", server.address).replace("LIGHT", lines.address))
    (tmp_path / "light.toml").write_text(TABLE)
    return film, path


def calibrate(film, path):
    def reach(still, lit):
        yield from bps.null()
        film.still, film.lit = still, lit

    full = np.ones((SIDE, SIDE))
    states = {
        "dark": lambda: reach(full, 0.0), "flat": lambda: reach(None, 1.0),
        "up": lambda: reach(full, 1.0), "down": lambda: reach(-full, 1.0),
    }  # fmt: skip
    made = path.with_name("cam.npz")
    with load_beamline(path, counts=True) as line:
        average = CountsAverage(line.hub, camera="SCPI camera", author="Ada", path=made)
        RunEngine({})(calibrate_contrast(line, average, states, looks=4))
        average.close()
    film.still = film.films[0.0]
    return Calibration.read(made)


def rms(image, film):
    inside = (slice(10, -10), slice(10, -10))
    good = image[inside] != 0
    assert good.mean() > 0.9
    return float(np.sqrt(np.mean((image[inside] - film[inside])[good] ** 2)))


def filmed(path):
    """A movie after a look: what the camera recorded, and where."""
    with load_beamline(path) as line:
        engine = RunEngine({}, call_returns_result=True)
        result = engine(classify_shot(line, Pulse(amplitude_T=1.0, width_ps=6.0))).plan_result
        assert (result.problem, result.counts.received) == ("", len(DELAYS))
        assert line.pulser.guard.shots_fired == 2 * 2 * len(DELAYS)
        recording = line.camera.recording
    with Recording(recording) as opened:
        return opened.images(0, opened.frame_count), recording


@pytest.mark.parametrize("drift", ["", "drift = 20\n"])
def test_s_z_of_two_helicities_is_right_and_is_computed_again(place, drift):
    film, path = place
    calibration = calibrate(film, path)
    assert calibration.contrast == pytest.approx(film.camera.contrast, rel=0.02)
    if drift:
        path.write_text(path.read_text().replace("[delays]", f"{drift}\n[delays]"))
        film.step = np.array([0.6, -0.4])
    images, recording = filmed(path)
    assert len(images) == 1 + len(DELAYS)  # the look is a pair as well
    truths = [film.films[0.0], *film.films.values()]
    worst = max(rms(image, truth) for image, truth in zip(images, truths, strict=True))
    assert worst < 0.08
    counted = list(RecordedCounts(recording))
    assert {one.counts.shape for one in counted} == {(2, SIDE, SIDE)}
    moved = np.array([one.shift for one in counted]).reshape(-1, 2)
    assert bool(np.ptp(moved, axis=0).max() > 2) == bool(drift)  # either helicity by its own
    made = path.with_name("cam.npz")
    with Recording(recording) as opened, Recount(opened, made) as recount:
        stages = [stage["stage"] for stage in opened.header["counts_to_sz"]]
        again = [f.data for shot in recorded_shots(opened) for f in recount(shot).frames]
    assert stages[-2:] == ["asymmetry", "contrast"]
    assert np.array_equal(images, again)  # bit for bit
    told = CliRunner().invoke(app, ["replay", str(recording), "--calibration", str(made)])
    assert told.exit_code == 0, told.output
    seen = CliRunner().invoke(app, ["calibration", "show", str(made), "--png", f"{made}.png"])
    assert seen.exit_code == 0, seen.output
    assert "helicities  2" in seen.output


def test_without_a_calibration_the_file_says_dark_and_asymmetry(place):
    film, path = place
    film.minus = 1.0
    said = f"offset = {film.camera.dark.mean()}\nscale = 1.0"
    told = path.read_text().replace('calibration = "cam.npz"', said)
    path.write_text(told + f"saturated = {film.camera.contrast}\n")
    images, recording = filmed(path)
    assert max(map(rms, images[1:], film.films.values())) < 0.08
    assert len(list(RecordedCounts(recording))) == len(images)


def test_the_doctor_asks_the_light_too(place):
    _, path = place
    told = path.read_text().replace('calibration = "cam.npz"', "offset = 0.0\nscale = 1.0")
    path.write_text(told)
    report = check_instruments(path)
    assert report.well, report
    (found,) = [finding.found for finding in report.findings if finding.what == "delays"]
    assert "2 helicities" in found


def test_a_calibration_of_one_helicity_is_none_of_two(place, cleanup):
    film, path = place
    camera, full = film.camera, np.ones((SIDE, SIDE))
    one = calibrate(film, path)
    made = path.with_name("cam.npz")
    made.unlink()
    Calibration(
        dark=camera.counts(light=0.0), up=camera.counts(full), down=camera.counts(-full),
        provenance=one.provenance,
    ).save(made)  # fmt: skip
    with pytest.raises(RecordingError, match=r"\(96, 96\); asked for is.*\(2, 96, 96\)"):
        load_beamline(path)


@pytest.mark.parametrize(
    ("table", "file", "fault"),
    [
        (TABLE.replace("minus", "#"), FILE, "plus, minus: say how either"),
        (TABLE, FILE + "saturated = 0.05\n", "saturated: the calibration says it"),
        (
            TABLE.replace("plus", "#").replace("minus", "#"),
            FILE.replace('calibration = "cam.npz"', "offset = 0.0\nscale = 1.0")
            + "saturated = 0.05\n",
            "saturated is of two helicities",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_named(tmp_path, table, file, fault):
    (tmp_path / "light.toml").write_text(table)
    (tmp_path / "b.toml").write_text(
        file.replace("ADDRESS", "127.0.0.1:9").replace("LIGHT", "127.0.0.1:9")
    )
    with pytest.raises(InstrumentError, match=fault):
        load_beamline(tmp_path / "b.toml")
