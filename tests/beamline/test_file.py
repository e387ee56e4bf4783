"""A beamline in one file: what it may say, the twin behind it, and who is asked before a run."""

import contextlib
import time
import tomllib
from pathlib import Path

import happi
import pytest
from bluesky import RunEngine
from happi.backends.json_db import JSONBackend

from skyctl.beamline import load_beamline
from skyctl.beamline.file import read_beamline
from skyctl.beamline.instruments import open_pulser
from skyctl.doctor import check_instruments
from skyctl.errors import InstrumentError, PulseRefused
from skyctl.plans import classify_shot
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.instrument.practice import PracticeInstrument
from skyctl.simulators.instrument.scpi import ScpiServer

DOCS = Path(__file__).parents[2] / "docs" / "beamlines"
SHAPE = (24, 30)
PULSE = Pulse(amplitude_T=2.0, width_ps=4.0, peak_ps=10.0)

FILE = """
name = "test"
recordings = "kept"

[pulser]
driver = "scpi-pulser"
transport = "scpi"
address = "{address}"
envelope = {{ shots = 7, rest_s = 0.0 }}
fixed = {{ theta_deg = 40.0 }}

[camera]
driver = "scpi-camera"
transport = "scpi"
address = "{address}"
shape = [{rows}, {columns}]
movie = {{ duration_ps = 20.0, interval_ps = 10.0 }}

[camera.frames]
source = "scpi"
address = "{address}"
offset = 0.0
scale = 1.0
"""


DELAYS = """
[delays]
driver = "scpi-delays"
transport = "scpi"
address = "127.0.0.1:1"
"""


class Film:
    """A sample that is never anything but there."""

    shape = SHAPE

    def cancel(self):
        return ""

    def finish(self, shot):
        pass


@pytest.fixture
def server(cleanup):
    server = ScpiServer(PracticeInstrument(Film()))
    cleanup.callback(server.close)
    return server


def written(folder, text=FILE, address="127.0.0.1:1", **changes):
    path = folder / "beamline.toml"
    text = text.format(address=address, rows=SHAPE[0], columns=SHAPE[1])
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_the_shipped_files_are_read():
    for path in DOCS.glob("*.toml"):
        assert read_beamline(path).name
        assert tomllib.loads(path.read_text())


def test_the_twin_has_the_names_and_limits_and_a_ledger_of_its_own(tmp_path):
    path = written(tmp_path)
    with load_beamline(path, mock=True) as line:
        assert (line.pulser.name, line.camera.name) == ("pulser", "camera")
        assert line.pulser.theta_deg.limits == (40.0, 40.0)
        assert line.sample.shape == SHAPE
        assert line.camera.movie.duration_ps == 20.0
        result = RunEngine({}, call_returns_result=True)(classify_shot(line, PULSE)).plan_result
        assert result.counts.received == 3
        assert line.pulser.guard.shots_fired == 1
    assert (tmp_path / "kept" / "mock" / "ledger.jsonl").exists()
    assert not (tmp_path / "kept" / "ledger.jsonl").exists()


def test_a_fixed_setting_has_equal_limits(tmp_path):
    with (
        load_beamline(written(tmp_path), mock=True) as line,
        pytest.raises(PulseRefused, match="theta_deg = 30"),
    ):
        line.pulser.check_value(Pulse(width_ps=4, theta_deg=30, spot=Spot(x=5, y=5, sigma=3)))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"shots = 7": "shotz = 7"}, "shotz"),
        ({'name = "test"': 'name = "test"\nnaem = 1'}, "naem"),
        ({"theta_deg = 40.0": "tilt = 40.0"}, "tilt"),
        ({"shots = 7": "theta_deg = [0, 90]"}, "theta_deg is fixed at 40"),
        ({'transport = "scpi"': 'transport = "gpib"'}, "transport"),
        ({"offset = 0.0\n": ""}, "offset"),
        ({"scale = 1.0": "scale = nan"}, "scale"),
        (
            {'source = "scpi"': 'source = "dectris"\ntrigger_attribute = "N"'},
            "of dectris have none",
        ),
        (
            {"scale = 1.0\n": f"scale = 1.0\n{DELAYS}", 'source = "scpi"': 'source = "array10"'},
            "images of array10 do not say which trigger",
        ),
        ({"[camera.frames]": "[camera.frames"}, "cannot be read"),
    ],
)
def test_what_the_file_says_wrong_is_named(tmp_path, changes, fault):
    with pytest.raises(InstrumentError, match=fault):
        read_beamline(written(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({'driver = "scpi-pulser"': 'driver = "scpi-pulsar"'}, "scpi-pulsar.*not there"),
        ({"shots = 7": "amplitude_T = [0, 20]"}, "amplitude_T.*narrow the envelope"),
        ({"shape = [24, 30]": "shape = [24, 31]"}, r"24 × 30.*24 × 31"),
    ],
)
def test_what_does_not_fit_the_instrument_is_named_and_nothing_is_armed(
    tmp_path, server, changes, fault
):
    with pytest.raises(InstrumentError, match=fault):
        load_beamline(written(tmp_path, address=server.address, **changes))
    assert server.instrument.get("FIRED") == 0
    assert server.instrument.get("ARMED") == 0


def test_the_file_says_how_old_a_heartbeat_may_be(tmp_path, server, monkeypatch):
    told = server.instrument.get
    monkeypatch.setattr(
        server.instrument, "get", lambda name: 1.0 if name == "HEARTBEAT" else told(name)
    )
    for heartbeat_s, held in ((0.2, "no heartbeat for"), (10.0, "")):
        more = {"fixed =": f"timeout_s = 10.0\nheartbeat_s = {heartbeat_s}\nfixed ="}
        file = read_beamline(written(tmp_path, address=server.address, **more))
        with contextlib.closing(open_pulser(file, tmp_path)) as pulser:
            pulser.wait_asked(5.0)
            time.sleep(1.2)  # longer than the second that it is where the file says nothing
            assert pulser.hold_reason().partition(": ")[2].startswith(held)
            assert bool(pulser.hold_reason()) == bool(held)


def test_the_doctor_asks_all_and_fires_nothing(tmp_path, server):
    report = check_instruments(written(tmp_path, address=server.address))
    assert report.well, report.findings
    assert {f.what for f in report.findings} >= {"pulser", "pulser's limits", "camera", "frames"}
    assert server.instrument.get("FIRED") == 0


def test_a_dead_instrument_is_named_and_the_others_are_still_asked(tmp_path, server):
    path = written(tmp_path, address=server.address)
    path.write_text(path.read_text().replace(server.address, "127.0.0.1:1", 1))  # the pulser's
    report = check_instruments(path)
    by_name = {f.what: f for f in report.findings}
    assert not by_name["pulser"].well
    assert "127.0.0.1:1" in by_name["pulser"].found
    assert by_name["camera"].well
    assert by_name["frames"].well


def test_happi_finds_a_beamline_by_name(tmp_path):
    path = written(tmp_path)
    kept = JSONBackend(str(tmp_path / "db.json"), initialize=True)
    client = happi.Client(kept)
    client.create_item(
        "HappiItem", name="test", device_class="skyctl.beamline.load_beamline",
        args=[str(path)], kwargs={"mock": True},
    ).save()  # fmt: skip
    found = happi.loader.from_container(client.find_item(name="test"))
    with found as line:
        assert line.pulser.theta_deg.limits == (40.0, 40.0)
