"""A camera that areaDetector controls: its busy record does not hold up the pulse."""

from importlib import resources

import pytest
from bluesky import RunEngine

from skyctl.beamline import load_beamline
from skyctl.beamline.practice import InstrumentServer
from skyctl.devices.instruments.ophyd_device import OphydDevice
from skyctl.errors import InstrumentError
from skyctl.plans import classify_shot
from skyctl.pulse import Pulse

FILE = """
name = "test"

[pulser]
driver = "epics-pulser"
transport = "ca"
address = "SKY:"
timeout_s = 10.0
heartbeat_s = 10.0
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

DEVICE = """
from ophyd import Component, EpicsSignalRO
from ophyd.areadetector import DetectorBase
from ophyd.areadetector.cam import CamBase
from ophyd.areadetector.plugins import HDF5Plugin


class Practice(DetectorBase):
    cam = Component(CamBase, "cam1:")
    hdf1 = Component(HDF5Plugin, "HDF1:")
    triggers = Component(EpicsSignalRO, "TriggerCount_RBV")


detector = Practice("SKY:", name="detector")
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


def test_a_detector_that_is_in_ophyd_already_is_controlled_as_it_is(served, tmp_path, monkeypatch):
    (tmp_path / "their_devices.py").write_text(DEVICE)
    monkeypatch.syspath_prepend(tmp_path)
    own = (
        resources.files("skyctl.devices")
        .joinpath("instruments", "tables", "ophyd-area-detector.toml")
        .read_text()
    )
    (tmp_path / "ours.toml").write_text('triggers = "triggers"\n' + own)
    path = tmp_path / "beamline.toml"
    of_ophyd = FILE.replace('"area-detector"', '"ours.toml"').replace('"TRANSPORT"', '"ophyd"')
    before, camera, after = of_ophyd.partition("[camera]")
    camera += after.replace('"SKY:"', '"their_devices:detector"', 1)
    path.write_text(before + camera)
    with load_beamline(path) as line:
        engine = RunEngine({}, call_returns_result=True)
        result = engine(classify_shot(line, Pulse(amplitude_T=1.0, width_ps=4.0))).plan_result
        assert (result.problem, result.counts.received) == ("", 5)
        assert line.sample.camera.transport.address == "ophyd://their_devices:detector"
    from their_devices import detector

    assert (detector.cam.num_images.get(), detector.cam.trigger_mode.get()) == (5, 1)


@pytest.mark.parametrize(
    ("address", "fault"),
    [("no_such_module:x", "not there"), ("ophyd:nothing", "not there"), ("math:pi", "no Device")],
)
def test_a_device_that_is_not_in_ophyd_is_named(address, fault):
    with pytest.raises(InstrumentError, match=f"{address}.*{fault}"):
        OphydDevice(address)
