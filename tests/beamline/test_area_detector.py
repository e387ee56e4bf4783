"""A camera that areaDetector controls: its busy record does not hold up the pulse."""

import pytest
from bluesky import RunEngine

from skyctl.beamline import load_beamline
from skyctl.beamline.practice import InstrumentServer
from skyctl.plans import classify_shot
from skyctl.pulse import Pulse

FILE = """
name = "test"

[pulser]
driver = "epics-pulser"
transport = "ca"
address = "SKY:"
envelope = { rest_s = 0.0 }

[camera]
driver = "area-detector"
transport = "TRANSPORT"
address = "SKY:"
shape = [100, 100]
movie = { duration_ps = 20.0, interval_ps = 5.0 }
ends_early = false

[camera.frames]
source = "ntndarray"
address = "SKY:CAM:IMAGE"
offset = 0.0
scale = 1.0
trigger_attribute = "TriggerCount"
"""


@pytest.fixture
def served(second_ioc, cleanup):
    pytest.importorskip("softioc", reason="EPICS needs the extra 'epics'")
    pytest.importorskip("epics", reason="EPICS needs the extra 'epics'")
    server = InstrumentServer("epics", "--port", str(second_ioc))
    cleanup.callback(server.close)


@pytest.mark.parametrize("transport", ["ca", pytest.param("pva", marks=pytest.mark.slow)])
def test_its_movies_are_matched_by_trigger_and_none_is_missed(transport, served, tmp_path):
    path = tmp_path / "beamline.toml"
    path.write_text(FILE.replace("TRANSPORT", transport))
    with load_beamline(path) as line:
        engine = RunEngine({}, call_returns_result=True)
        for shot in (1, 2):
            result = engine(classify_shot(line, Pulse(amplitude_T=1.0, width_ps=4.0))).plan_result
            assert (result.problem, result.counts.received) == ("", 5)
            assert line.pulser.guard.shots_fired == shot
        assert line.hub.totals["missing"] == 0
        assert line.sample.camera.next_trigger() == 5  # two looks and two movies
        camera, movie = line.sample.camera, line.camera.movie
        camera.start(movie, pulsed=True)  # its pulse never comes
        camera.start(movie, pulsed=True)
        assert camera.next_trigger() == 7
        assert engine(classify_shot(line, Pulse(amplitude_T=1.0, width_ps=4.0))).plan_result.label
