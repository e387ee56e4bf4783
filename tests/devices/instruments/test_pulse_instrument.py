"""One suite for the driver, over every transport: only the instrument's counter proves a shot."""

import contextlib

import pytest

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.instruments.account import ShotAccount
from skyctl.devices.instruments.outcomes import Outcomes, outcomes_beside
from skyctl.errors import FireUnknown, InstrumentError, NotFired, PulseRefused
from skyctl.pulse import Pulse

from .conftest import PATIENCE_S, WIDE, until

PULSE = Pulse(amplitude_T=2.0, width_ps=10.0)


def shoot(pulser, shot, pulse=PULSE, **options):
    pulser.set(pulse, shot=shot, **options).wait(PATIENCE_S)
    pulser.trigger().wait(PATIENCE_S)


def test_a_shot_is_what_the_counter_says(bench):
    before = bench.ask("FIRED")
    bench.pulser.set(PULSE, shot="a").wait(PATIENCE_S)
    assert bench.ask("ARMED") == 1
    assert (bench.ask("AMP"), bench.ask("WIDTH")) == (2.0, 10.0)
    bench.pulser.trigger().wait(PATIENCE_S)
    assert bench.ask("FIRED") == before + 1
    assert bench.ask("ARMED") == 0
    shoot(bench.pulser, "b")
    shoot(bench.pulser, "b")  # as after a pause: it is not fired again
    assert bench.ask("FIRED") == before + 2
    assert bench.pulser.guard.shots_fired == 2


def test_a_shot_of_several_pulses_counts_each(bench):
    before = bench.ask("FIRED")
    shoot(bench.pulser, "a", repeats=4)
    assert bench.ask("FIRED") == before + 4
    spent = bench.pulser.guard.spent
    assert (spent.shots, spent.dose_T2ps) == (4, pytest.approx(4 * PULSE.dose_T2ps))
    with pytest.raises(PulseRefused, match="11 pulses"):
        bench.pulser.set(PULSE, shot="b", repeats=11)


def test_set_returns_before_the_instrument_answers(bench):
    """Nothing blocks the RunEngine's loop: a status says when it is done."""
    armed = bench.pulser.set(PULSE, shot="a")
    with contextlib.suppress(PulseRefused):
        if not armed.done:
            assert bench.pulser.armed.get() == 0
    armed.wait(PATIENCE_S)
    assert bench.pulser.armed.get() == 1


@pytest.mark.parametrize("mode", ["lazy", "refuse"])
def test_what_was_answered_and_not_counted_was_not_fired(bench, mode):
    before = bench.ask("FIRED")
    bench.tell("MODE", mode)
    bench.pulser.set(PULSE, shot="a").wait(PATIENCE_S)
    with pytest.raises(NotFired, match="a: not fired"):
        bench.pulser.trigger().wait(PATIENCE_S)
    bench.tell("MODE", "normal")
    assert bench.ask("FIRED") == before
    assert bench.ask("ARMED") == 0
    assert bench.pulser.guard.shots_fired == 1  # booked, and spent
    shoot(bench.pulser, "b")
    assert bench.ask("FIRED") == before + 1


def test_a_shot_that_nobody_answers_for_holds_fire_until_a_person_knows(bench):
    bench.tell("MODE", "deaf")
    bench.pulser.set(PULSE, shot="a").wait(PATIENCE_S)
    with pytest.raises(FireUnknown, match="a: may have been fired"):
        bench.pulser.trigger().wait(PATIENCE_S)
    assert bench.pulser.guard.shots_fired == 1
    with pytest.raises(PulseRefused, match="shot a is not known"):
        bench.pulser.set(PULSE, shot="b")
    bench.pulser.release()  # which a signal handler calls: it is no way round
    assert "shot a is not known" in bench.pulser.hold_reason()
    with pytest.raises(ValueError, match="say who"):
        bench.driver.reconcile("not fired", "", "")
    bench.driver.reconcile("not fired", "Ada", "the oscilloscope shows nothing")
    bench.tell("MODE", "normal")
    until(lambda: bench.pulser.hold_reason() == "")
    assert bench.pulser.guard.shots_fired == 1
    bench.wait_late()
    shoot(bench.pulser, "b")


def test_the_counter_proves_a_shot_that_was_not_acknowledged(bench):
    before = bench.ask("FIRED")
    bench.tell("MODE", "noack")
    bench.pulser.set(PULSE, shot="a").wait(PATIENCE_S)
    bench.pulser.trigger().wait(PATIENCE_S)
    bench.tell("MODE", "normal")
    assert bench.ask("FIRED") == before + 1
    bench.wait_late()


def test_a_stop_reaches_the_instrument(bench):
    bench.pulser.set(PULSE, shot="a").wait(PATIENCE_S)
    assert bench.ask("ARMED") == 1
    bench.pulser.stop()
    until(lambda: bench.ask("ARMED") == 0)
    with pytest.raises(PulseRefused, match="not armed"):
        bench.pulser.trigger()


def test_an_open_hardware_interlock_disarms_and_holds(bench):
    before = bench.ask("FIRED")
    bench.pulser.set(PULSE, shot="a").wait(PATIENCE_S)
    bench.tell("INTERLOCK", 0)
    until(lambda: "interlock is open" in bench.pulser.hold_reason())
    until(lambda: bench.pulser.armed.get() == 0 and bench.ask("ARMED") == 0)
    with pytest.raises(PulseRefused, match="interlock"):
        bench.pulser.set(PULSE, shot="b")
    bench.tell("INTERLOCK", 1)
    until(lambda: bench.pulser.hold_reason() == "")
    assert bench.ask("FIRED") == before


def test_what_the_instrument_cannot_do_is_refused_although_the_envelope_has_it(bench):
    before = bench.ask("FIRED")
    with pytest.raises(PulseRefused, match="AMP"):
        bench.pulser.set(Pulse(amplitude_T=50.0, width_ps=2.0), shot="a").wait(PATIENCE_S)
    assert bench.pulser.armed.get() == 0
    assert bench.ask("ARMED") == 0
    assert bench.ask("FIRED") == before
    assert bench.pulser.refused_driver.get() == 1


def test_somebody_else_who_fires_it_is_noticed(bench):
    shoot(bench.pulser, "a")

    def fired_by_hand():
        with contextlib.suppress(InstrumentError):  # the driver disarms it after its own shot
            bench.tell("ARM", 1)
            bench.tell("FIRE", 1 if bench.kind != "scpi" else None)
        return "somebody else" in bench.pulser.hold_reason()

    until(fired_by_hand)


def test_a_setting_that_geometry_fixes_is_not_another(bench):
    settings = {n: s for n, s in bench.table.settings.items() if n != "theta_deg"}
    bench.table = bench.table.model_copy(update={"settings": settings})
    pulser, driver = bench.anew(fixed={"theta_deg": 40.0})
    try:
        until(lambda: pulser.hold_reason() == "")
        shoot(pulser, "a", Pulse(width_ps=8, theta_deg=40.0))
        with pytest.raises(PulseRefused, match=r"theta_deg = 30: at this instrument it is 40"):
            pulser.set(Pulse(width_ps=8, theta_deg=30.0), shot="b").wait(PATIENCE_S)
    finally:
        driver.close()


@pytest.mark.parametrize("wrong", ["states", "settings"])
def test_a_name_that_is_not_there_is_named_and_nothing_is_fired(bench, wrong):
    before = bench.ask("FIRED")
    if wrong == "states":
        states = bench.table.states.model_copy(update={"interlock": "NOSUCH"})
        bench.table = bench.table.model_copy(update={"states": states})
    else:
        amplitude = bench.table.settings["amplitude_T"].model_copy(update={"put": "NOSUCH"})
        settings = {**bench.table.settings, "amplitude_T": amplitude}
        bench.table = bench.table.model_copy(update={"settings": settings})
    pulser, driver = bench.anew()
    try:
        driver.wait_asked(PATIENCE_S)
        with pytest.raises(PulseRefused, match="NOSUCH"):
            pulser.set(PULSE, shot="a").wait(PATIENCE_S)
    finally:
        driver.close()
    assert bench.ask("FIRED") == before


def test_a_shot_that_a_stop_meets_while_it_is_booked_is_known_not_to_be_fired(
    bench, tmp_path, monkeypatch
):
    before, guard = bench.ask("FIRED"), Guard(WIDE, tmp_path / "ledger.jsonl")
    pulser, driver = bench.anew(guard)
    try:
        until(lambda: pulser.hold_reason() == "")
        book = guard.book
        monkeypatch.setattr(guard, "book", lambda *what: (book(*what), pulser.stop()))
        pulser.set(PULSE, shot="a").wait(PATIENCE_S)
        with pytest.raises(PulseRefused, match="disarmed while shot a"):
            pulser.trigger()
        monkeypatch.setattr(guard, "book", book)
        shoot(pulser, "b")
        kept = Outcomes(outcomes_beside(guard.ledger_path))
        assert (kept.of("a").became, kept.of("b").became) == ("not fired", "fired")
        assert bench.ask("FIRED") == before + 1
    finally:
        driver.close()
        guard.close()


def test_a_crash_between_ledger_and_counter_holds_fire_after_the_restart(bench, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    with contextlib.closing(Guard(Envelope(rest_s=0), ledger)) as guard:
        guard.book("a", PULSE)  # and then the power failed
    guard = Guard(WIDE, ledger)
    pulser, driver = bench.anew(guard)
    try:
        driver.wait_asked(PATIENCE_S)
        with pytest.raises(PulseRefused, match="shot a is not known"):
            pulser.set(PULSE, shot="b")
        Outcomes(outcomes_beside(ledger)).say("a", "fired", "Ada", "the film has changed")
        until(lambda: pulser.hold_reason() == "")  # said at another terminal
        shoot(pulser, "b")
        assert [o.became for o in Outcomes(outcomes_beside(ledger))] == ["fired", "fired"]
    finally:
        driver.close()
        guard.close()


def test_the_counter_knows_better_than_a_person(tmp_path):
    account = ShotAccount("pulser")
    account.note("a", "unknown", before=4, repeats=1)
    account.say("not fired", "Ada", "it looked so")
    account.compare(5)  # it fired when it woke
    assert account.hold_reason() == ""
    assert account.counted == 5
    assert account.became("a") == "fired"
