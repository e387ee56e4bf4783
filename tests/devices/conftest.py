"""A simulated beamline, and drivers that only note what they are asked."""

from dataclasses import dataclass, field

import pytest

from skyctl.beamline import simulated_beamline
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.pulse import Pulse


@dataclass
class NotingDriver:
    """Notes the pulses that reach it."""

    fired: list[tuple[str, Pulse]] = field(default_factory=list)

    def fire(self, shot: str, pulse: Pulse) -> None:
        self.fired.append((shot, pulse))


@pytest.fixture
def driver():
    return NotingDriver()


@pytest.fixture
def pulser(driver):
    return Pulser(name="pulser", driver=driver, guard=Guard(Envelope(rest_s=0)))


@pytest.fixture
def beamline(tmp_path):
    with simulated_beamline(tmp_path) as line:
        yield line
