"""A device that is dead at the start: it is named, the others are used, nothing is fired without
it, and it is used once it is there."""

import socket
import time

import pytest
from bluesky import RunEngine

from skyctl.beamline import load, load_beamline
from skyctl.beamline.simulated import simulated_sample
from skyctl.errors import InstrumentSilent, PulseRefused
from skyctl.plans import classify_shot
from skyctl.plans.plans import in_one_run
from skyctl.plans.stubs import look
from skyctl.pulse import Pulse
from skyctl.simulators.instrument import practice
from skyctl.simulators.instrument.practice import Images, PracticeInstrument
from skyctl.simulators.instrument.scpi import ScpiServer
from skyctl.simulators.lattice.film import FilmParameters

WEAK = Pulse(amplitude_T=1.0, width_ps=6.0, theta_deg=40.0)
PLACES = ("pulser", "camera", "frames", "delays")
PATIENCE_S = 60.0
"""A device that is dead refuses at once; one that answers may, on a busy machine, be slow."""

FILE = """
name = "test"
recordings = "kept"
pulser = { driver = "scpi-pulser", transport = "scpi", address = "pulser", timeout_s = 60.0, heartbeat_s = 10.0, envelope = {rest_s = 0.0, repeats = 9} }
delays = { driver = "scpi-delays", transport = "scpi", address = "delays" }

[camera]
driver = "scpi-camera"
transport = "scpi"
address = "camera"
shape = [20, 24]
movie = { delays_ps = [0, 20, 40] }
timeout_s = 60.0
frames = { source = "scpi", address = "frames", offset = 0.0, scale = 1.0, trigger_attribute = "TriggerCount" }
"""  # noqa: E501


@pytest.fixture
def images():
    return Images()


@pytest.fixture
def server(cleanup, images, monkeypatch):
    monkeypatch.setattr(practice, "WATCHDOG_S", PATIENCE_S)
    monkeypatch.setattr(load, "_FIRST_LOOK_S", PATIENCE_S)
    film = simulated_sample(images, FilmParameters(rows=20, columns=24))
    cleanup.callback(film.close)
    server = ScpiServer(PracticeInstrument(film))
    images.post = server.post
    cleanup.callback(server.close)
    return server


@pytest.fixture
def nobody():
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def opened(folder, server, dead, nobody, text=FILE):
    for place in PLACES:
        address = f"127.0.0.1:{nobody}" if place == dead else server.address
        text = text.replace(f'address = "{place}"', f'address = "{address}"')
    path = folder / "beamline.toml"
    path.write_text(text)
    return load_beamline(path)


def shot(line):
    return RunEngine({}, call_returns_result=True)(classify_shot(line, WEAK)).plan_result


def until(what):
    due = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < due, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("dead", PLACES)
def test_a_dead_device_is_named_the_others_go_on_and_it_is_used_once_it_is_there(
    dead, server, images, nobody, tmp_path, caplog, cleanup
):
    with opened(tmp_path, server, dead, nobody) as line:
        # None was waited for in vain.
        assert all(who._asked.is_set() for who in (line.sample.pulser, *line.sample.presences))
        assert f"127.0.0.1:{nobody}" in caplog.text
        refusal = PulseRefused if dead == "pulser" else InstrumentSilent
        with pytest.raises(refusal, match=f"127.0.0.1:{nobody}"):
            shot(line)
        with pytest.raises(PulseRefused, match=f"127.0.0.1:{nobody}"):
            line.pulser.set(WEAK, shot="by hand", repeats=3)
        assert line.pulser.read()["pulser_shots_fired"]["value"] == 0
        if dead == "pulser":  # what needs no pulse runs
            RunEngine({})(in_one_run("look", line, lambda: look(line), None))
        assert server.instrument.get("FIRED") == 0

        there = ScpiServer(server.instrument, nobody)
        cleanup.callback(there.close)
        if dead == "frames":
            images.post = there.post
        until(lambda: not line.sample.hold_reason() and not line.sample.absent())
        assert shot(line).counts.received == 3
        assert server.instrument.get("FIRED") == 3


def test_limits_are_compared_when_a_dead_pulser_comes_and_too_narrow_ones_hold_fire(
    server, nobody, tmp_path, cleanup
):
    wide = FILE.replace("repeats = 9", "width_ps = [1.0, 99.0]")
    with opened(tmp_path, server, "pulser", nobody, wide) as line:
        there = ScpiServer(server.instrument, nobody)
        cleanup.callback(there.close)
        until(lambda: line.sample.pulser.health.misfit)
        with pytest.raises(PulseRefused, match=r"width_ps.*narrow the envelope"):
            line.pulser.set(Pulse(width_ps=6.0), shot="s")
        assert server.instrument.get("ARMED") == 0
