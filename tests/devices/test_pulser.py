"""The pulser: fires what it was armed for, once, and only while nothing objects."""

import json
import logging
import os
import threading

import pytest
from ophyd.utils import LimitError, ReadOnlyError

from skyctl.devices.guard import REFUSALS, Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse, Spot

PULSE = Pulse(amplitude_T=2.0, width_ps=10.0)


class Nothing(str):
    """An empty string that is not one."""


def test_a_set_and_triggered_pulse_fires_once(pulser, driver):
    assert pulser.set(PULSE, shot="a").done
    assert pulser.armed.get() == 1
    assert driver.fired == []
    assert pulser.trigger().done
    assert driver.fired == [("a", PULSE)]
    assert pulser.armed.get() == 0
    pulser.trigger()  # of whoever reads it
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
    assert pulser.trigger().done
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
    pulser.add_interlock(lambda: reason)
    with pytest.raises(PulseRefused, match="shutter"):
        pulser.set(PULSE, shot="a")
    reason = ""
    pulser.set(PULSE, shot="a")
    reason = "the shutter fell shut"
    with pytest.raises(PulseRefused, match="fell shut"):
        pulser.trigger()
    reason = ""
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
    pulser.trigger()
    assert len(driver.fired) == 1


def test_refusals_are_logged_and_counted_by_kind(driver, caplog):
    pulser = Pulser(name="pulser", driver=driver, guard=Guard(Envelope(shots=2, slew_T=1)))
    reason = ""
    pulser.add_interlock(lambda: reason)

    def refused(kind, action):
        before = getattr(pulser, f"refused_{kind}").get()
        caplog.clear()
        with caplog.at_level(logging.WARNING), pytest.raises(PulseRefused):
            action()
        assert getattr(pulser, f"refused_{kind}").get() == before + 1
        assert f"refused ({kind})" in caplog.text

    pulser.set(PULSE, shot="a")
    pulser.stop()
    refused("unarmed", pulser.trigger)
    refused("type", lambda: pulser.set("2 T", shot="a"))
    refused("type", lambda: pulser.set(PULSE))
    refused("range", lambda: pulser.set(Pulse(width_ps=500), shot="a"))
    refused("dose", lambda: pulser.set(
        Pulse(amplitude_T=12, width_ps=60, spot=Spot(x=1, y=1, sigma=3)), shot="a"
    ))  # fmt: skip
    pulser.set(PULSE, shot="a")
    pulser.trigger()
    refused("repeat", lambda: pulser.set(Pulse(width_ps=9), shot="a"))
    refused("slew", lambda: pulser.set(Pulse(amplitude_T=0.5, width_ps=9), shot="b"))
    pulser.set(PULSE, shot="b")
    refused("rest", pulser.trigger)
    reason = "the shutter is closed"
    refused("interlock", lambda: pulser.set(PULSE, shot="b"))
    assert "shutter" in pulser.refusal(PULSE, "b")
    assert pulser.refused_interlock.get() == 2
    assert pulser.refused.get() == 10
    assert [shot for shot, _ in driver.fired] == ["a"]
    assert set(REFUSALS) == {
        name.removeprefix("refused_") for name in pulser.component_names if "refused_" in name
    }


def test_a_refusing_driver_is_counted(driver, monkeypatch, pulser):
    def refuse(_shot, _pulse):
        raise PulseRefused("the amplifier is off")

    monkeypatch.setattr(driver, "fire", refuse)
    pulser.set(PULSE, shot="a")
    with pytest.raises(PulseRefused, match="amplifier"):
        pulser.trigger()
    assert pulser.refused_driver.get() == 1


class Gate:
    """Holds whoever comes until it is opened."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, *_):
        self.reached.set()
        assert self.opened.wait(30)


def in_a_thread(action):
    """Start the action; what to call for what it raised."""
    raised = []

    def run():
        try:
            action()
        except PulseRefused as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def join():
        thread.join(30)
        assert not thread.is_alive()
        return raised

    return join


def test_a_stop_while_the_shot_is_written_down_fires_nothing(driver, pulser, monkeypatch):
    book, disk = pulser.guard.book, Gate()

    def slow(*booked):
        disk()
        book(*booked)

    monkeypatch.setattr(pulser.guard, "book", slow)
    pulser.set(PULSE, shot="a")
    join = in_a_thread(pulser.trigger)
    assert disk.reached.wait(30)
    pulser.stop()  # which returns: it does not wait for the disk
    assert pulser.armed.get() == 0
    disk.opened.set()
    (refused,) = join()
    assert refused.kind == "unarmed"
    assert driver.fired == []
    assert pulser.guard.has_fired("a")  # it stands in the ledger, so it is spent
    monkeypatch.undo()
    pulser.set(PULSE, shot="a")
    pulser.trigger()
    assert driver.fired == []


def test_a_stop_does_not_wait_for_a_driver_that_fires(driver, pulser, monkeypatch):
    firing = Gate()
    monkeypatch.setattr(driver, "fire", firing)
    pulser.set(PULSE, shot="a")
    join = in_a_thread(pulser.trigger)
    assert firing.reached.wait(30)
    pulser.stop()
    assert pulser.armed.get() == 0
    firing.opened.set()
    assert join() == []


def test_a_stop_while_it_is_being_armed_leaves_it_disarmed(driver, pulser):
    interlock = Gate()
    pulser.add_interlock(lambda: interlock() or "")
    join = in_a_thread(lambda: pulser.set(PULSE, shot="a"))
    assert interlock.reached.wait(30)
    pulser.stop()
    interlock.opened.set()
    (refused,) = join()
    assert refused.kind == "unarmed"
    assert pulser.armed.get() == 0
    with pytest.raises(PulseRefused, match="not armed"):
        pulser.trigger()
    assert driver.fired == []


def test_a_pulse_changed_after_it_was_armed_is_fired_as_it_was_armed(driver, pulser):
    pulse = Pulse(width_ps=10)
    pulser.set(pulse, shot="a")
    vars(pulse)["amplitude_T"] = 50.0
    pulser.trigger()
    assert driver.fired == [("a", Pulse(width_ps=10))]
    assert pulser.pulse == Pulse(width_ps=10)


def test_a_pulse_changed_while_it_is_written_down_is_fired_as_it_is_written(
    driver, tmp_path, monkeypatch
):
    ledger = tmp_path / "ledger.jsonl"
    pulser = Pulser(name="pulser", driver=driver, guard=Guard(Envelope(), ledger))
    pulse = Pulse(amplitude_T=1.0, width_ps=5)
    pulser.set(pulse, shot="a")
    fsync = os.fsync

    def change(descriptor):
        vars(pulse)["amplitude_T"] = 1000.0
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", change)
    pulser.trigger()
    pulser.guard.close()
    assert pulse.amplitude_T == 1000.0
    ((_, sent),) = driver.fired
    assert sent.amplitude_T == 1.0
    assert json.loads(ledger.read_text())["pulse"] == sent.model_dump()


def test_a_shot_that_is_booked_otherwise_than_it_was_armed_is_not_sent(driver, pulser, monkeypatch):
    book = pulser.guard.book
    monkeypatch.setattr(pulser.guard, "book", lambda shot, *_: book(shot, Pulse(width_ps=9)))
    pulser.set(PULSE, shot="a")
    with pytest.raises(PulseRefused, match=r"armed with 2 T 10 ps.*booked as 2 T 9 ps"):
        pulser.trigger()
    assert driver.fired == []


@pytest.mark.parametrize("answer", [None, False, True, 0, 1, [], object(), Nothing("")])
def test_what_an_interlock_says_that_is_no_empty_string_holds_fire(driver, pulser, answer):
    pulser.add_interlock(lambda: answer)
    with pytest.raises(PulseRefused, match="instead of a reason") as refused:
        pulser.set(PULSE, shot="a")
    assert refused.value.kind == "interlock"
    assert driver.fired == []


@pytest.mark.parametrize("fault", [OSError("no beam"), SystemExit(1)])
def test_an_interlock_that_fails_holds_fire(driver, pulser, fault):
    def ask():
        raise fault

    pulser.add_interlock(ask)
    with pytest.raises(PulseRefused, match="interlock failed"):
        pulser.set(PULSE, shot="a")
    assert driver.fired == []


def test_an_interlock_stays_and_a_new_one_disarms(driver, pulser):
    pulser.set(PULSE, shot="a")
    pulser.add_interlock(lambda: "the shutter is closed")
    with pytest.raises(PulseRefused, match="not armed"):
        pulser.trigger()
    with pytest.raises(AttributeError):
        pulser.interlocks.clear()
    with pytest.raises(AttributeError):
        pulser.interlocks = ()
    assert "shutter" in pulser.hold_reason()
