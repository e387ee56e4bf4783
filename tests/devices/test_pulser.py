"""The pulser: fires what it was armed for, once, and only while nothing objects."""

import pytest
from ophyd.utils import LimitError, ReadOnlyError

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse, Spot

PULSE = Pulse(amplitude_T=2.0, width_ps=10.0)


def test_a_set_and_triggered_pulse_fires_once(pulser, driver):
    assert pulser.set(PULSE, shot="a").done
    assert pulser.armed.get() == 1
    assert driver.fired == []
    assert pulser.trigger().done
    assert driver.fired == [("a", PULSE)]
    assert pulser.armed.get() == 0
    with pytest.raises(PulseRefused, match="not armed"):
        pulser.trigger()
    assert driver.fired == [("a", PULSE)]


def test_what_was_fired_can_be_read_back(pulser):
    pulse = Pulse(amplitude_T=6, width_ps=16, spot=Spot(x=40, y=50, sigma=6))
    pulser.set(pulse, shot="a")
    pulser.trigger()
    reading = {name: value["value"] for name, value in pulser.read().items()}
    assert pulser.pulse == pulse
    assert reading["pulser_shot"] == "a"
    assert reading["pulser_dose_T2ps"] == pytest.approx(pulse.dose_T2ps)
    assert reading["pulser_shots_fired"] == 1


def test_a_replayed_shot_fires_nothing(pulser, driver):
    for _ in range(2):
        pulser.set(PULSE, shot="a")
        pulser.trigger()
    assert driver.fired == [("a", PULSE)]
    assert pulser.armed.get() == 0


def test_a_pulser_never_set_does_not_fire(pulser, driver):
    with pytest.raises(PulseRefused, match="not armed"):
        pulser.trigger()
    assert driver.fired == []


@pytest.mark.parametrize(
    "disarm",
    [
        lambda pulser: pulser.stop(),
        lambda pulser: pulser.pause(),
        lambda pulser: pulser.unstage(),
        lambda pulser: pulser.disarm(),
        lambda pulser: pulser.amplitude_T.put(1.0),
        lambda pulser: pulser.spot_sigma.set(3.0).wait(5),
    ],
    ids=["stop", "pause", "unstage", "disarm", "a setting put", "a setting set"],
)
def test_it_disarms(pulser, driver, disarm):
    pulser.stage()
    pulser.set(PULSE, shot="a")
    disarm(pulser)
    assert pulser.armed.get() == 0
    with pytest.raises(PulseRefused, match="not armed"):
        pulser.trigger()
    assert driver.fired == []


@pytest.mark.parametrize("interrupt", ["stop", "pause"])
def test_a_replay_before_the_shot_fires_it_once(pulser, driver, interrupt):
    pulser.set(PULSE, shot="a")
    getattr(pulser, interrupt)()
    pulser.set(PULSE, shot="a")
    pulser.trigger()
    assert driver.fired == [("a", PULSE)]


def test_a_refused_pulse_leaves_nothing_armed_and_the_settings_as_they_were(pulser, driver):
    pulser.set(PULSE, shot="a")
    with pytest.raises(PulseRefused, match="width_ps"):
        pulser.set(Pulse(width_ps=500), shot="b")
    assert pulser.pulse == PULSE
    with pytest.raises(PulseRefused, match="not armed"):
        pulser.trigger()
    assert driver.fired == []


@pytest.mark.parametrize("value", [2.0, "2 T", None, {"amplitude_T": 2.0, "width_ps": 10.0}])
def test_what_is_no_pulse_is_refused(pulser, value):
    with pytest.raises(PulseRefused, match="no Pulse"):
        pulser.set(value, shot="a")


def test_an_interlock_holds_fire_at_arming_and_at_firing(pulser, driver):
    reason = "the shutter is closed"
    pulser.interlocks.append(lambda: reason)
    with pytest.raises(PulseRefused, match="shutter"):
        pulser.set(PULSE, shot="a")
    reason = ""
    pulser.set(PULSE, shot="a")
    reason = "the shutter fell shut"
    with pytest.raises(PulseRefused, match="fell shut"):
        pulser.trigger()
    reason = ""
    with pytest.raises(PulseRefused, match="not armed"):
        pulser.trigger()
    assert driver.fired == []
    assert pulser.guard.shots_fired == 0


def test_a_used_up_budget_is_refused_at_arming(driver):
    pulser = Pulser(name="pulser", driver=driver, guard=Guard(Envelope(shots=1, rest_s=0)))
    assert pulser.refusal(PULSE, "a") == ""
    pulser.set(PULSE, shot="a")
    pulser.trigger()
    assert "budget" in pulser.refusal(PULSE, "b")
    with pytest.raises(PulseRefused, match="budget"):
        pulser.set(PULSE, shot="b")


def test_settings_have_the_envelope_as_limits(pulser):
    assert pulser.width_ps.limits == pulser.guard.envelope.width_ps
    for bad in (0.5, 61.0, float("nan"), "10", True):
        with pytest.raises(LimitError, match="outside 1 … 60 ps"):
            pulser.width_ps.put(bad)


def test_readings_cannot_be_set(pulser):
    for signal in (pulser.armed, pulser.shots_fired, pulser.shot):
        with pytest.raises(ReadOnlyError):
            signal.put(1)


def test_the_name_of_a_fired_shot_is_refused_for_another_pulse(pulser, driver):
    pulser.set(Pulse(width_ps=8), shot="a")
    pulser.trigger()
    with pytest.raises(PulseRefused, match="shot a: fired before"):
        pulser.set(Pulse(width_ps=9), shot="a")
    with pytest.raises(PulseRefused, match="not armed"):
        pulser.trigger()
    assert len(driver.fired) == 1
