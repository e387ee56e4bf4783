"""What an instrument says of itself decides whether it may fire."""

from types import SimpleNamespace

import pytest

from skyctl.devices.guard import Envelope
from skyctl.devices.instruments import health
from skyctl.devices.instruments.health import Health
from skyctl.devices.instruments.table import States


class Instrument:
    """Its clock is the test's; to compare all its limits takes longer than a heartbeat lasts."""

    table = SimpleNamespace(states=States(heartbeat="BEAT"))

    def __init__(self):
        self.now_s, self.beats = 0.0, 0

    def faults_of_limits(self, envelope):
        self.now_s += 9.0
        return []

    def read(self, names):
        self.beats += 1
        return {"BEAT": self.beats}


@pytest.fixture
def instrument(monkeypatch):
    instrument = Instrument()
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: instrument.now_s))
    return instrument


def test_limits_that_take_long_to_compare_do_not_age_the_heartbeat(instrument):
    asked = Health(instrument, 5.0, Envelope())
    asked.fault = asked.ask()
    assert asked.hold_reason() == ""


def test_a_heart_that_stopped_holds_fire(instrument):
    asked = Health(instrument, 5.0, None)
    asked.fault = asked.ask()
    instrument.now_s += 6.0
    assert asked.hold_reason().startswith("no heartbeat for 6.0 s")
    asked.fault = asked.ask()
    assert asked.hold_reason() == ""
