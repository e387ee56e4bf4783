"""The guard: nothing outside the envelope is booked, and what is booked is never forgotten."""

import itertools
import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyctl.devices.guard import REFUSALS, Envelope, Guard, Spent
from skyctl.devices.pulser import Pulser
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse, Spot, settings_of
from skyctl.studies.hostile_proposals import Sent, fuzz_pulser, unbooked, unsafe

PULSE = Pulse(amplitude_T=2.0, width_ps=10.0)
SPOT = Spot(x=50, y=50, sigma=6)


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"amplitude_T": 12.1, "spot": SPOT}, "amplitude_T"),
        ({"width_ps": 0.5}, "width_ps"),
        ({"width_ps": 61.0}, "width_ps"),
        ({"theta_deg": -1.0}, "theta_deg"),
        ({"phi_deg": 361.0}, "phi_deg"),
        ({"peak_ps": 201.0}, "peak_ps"),
        ({"spot": Spot(x=101, y=50, sigma=6)}, "spot_x"),
        ({"spot": Spot(x=50, y=-1, sigma=6)}, "spot_y"),
        ({"spot": Spot(x=50, y=50, sigma=21)}, "spot_sigma"),
        ({"spot": Spot(x=50, y=50, sigma=0.4)}, "spot_sigma"),
        ({"spot": Spot.model_construct(x=50.0, y=50.0, sigma=0.0)}, "spot_sigma"),
        ({"amplitude_T": 5.0, "spot": Spot.model_construct(x=1.0, y=1.0, sigma=-1.0)}, "spot_sig"),
        ({"amplitude_T": 3.1}, "whole film"),
        ({"amplitude_T": 12.0, "width_ps": 40.0, "spot": SPOT}, "dose"),
    ],
)
def test_a_pulse_outside_the_envelope_is_refused_by_name(change, named):
    pulse = Pulse(**{**PULSE.model_dump(), **change})
    with pytest.raises(PulseRefused, match=named) as refused:
        Guard(Envelope()).check(pulse)
    assert refused.value.kind == ("dose" if named == "dose" else "range")


class Obliging(float):
    """A number that is inside whatever limits it is compared with."""

    def __le__(self, other):
        return True

    __lt__ = __ge__ = __gt__ = __le__


class Nobody(str):
    """A name that equals no other."""

    def __eq__(self, other):
        return False

    def __hash__(self):
        return id(self)


class FalseDose(Pulse):
    @property
    def dose_T2ps(self):
        return 0.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        2.0,
        "2 T",
        {"amplitude_T": 2.0, "width_ps": 10.0},
        Pulse,
        Spot(x=1, y=1, sigma=1),
        FalseDose(width_ps=10),
        Pulse.model_construct(amplitude_T=2.0),
        *(PULSE.model_copy(update={"spot": spot}) for spot in ("here", 6.0, Pulse(width_ps=1))),
        PULSE.model_copy(update={"spot": Spot.model_construct(x=50.0)}),
        *(
            PULSE.model_copy(update={"amplitude_T": number})
            for number in ("2", None, True, [2.0], 2 + 0j, 10**400, 10**5000, Obliging(2.0))
        ),
        PULSE.model_copy(update={"spot": Spot.model_construct(x=1.0, y=1.0, sigma=Obliging(2.0))}),
        PULSE.model_copy(update={"energy": 1.0}),
    ],
)
def test_what_is_no_pulse_of_numbers_is_refused(value):
    with pytest.raises(PulseRefused) as refused:
        Guard(Envelope()).allow("a", value)
    assert refused.value.kind == "type"


@pytest.mark.parametrize(
    "name", ["", None, 5, b"a", ["a"], "x" * 65, "two\nlines", "a\n", "é", Nobody("a")]
)
def test_what_is_no_name_of_a_shot_is_refused(name):
    with pytest.raises(PulseRefused, match="no name") as refused:
        Guard(Envelope()).book(name, PULSE)
    assert refused.value.kind == "type"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["amplitude_T", "width_ps", "theta_deg", "phi_deg", "peak_ps"])
def test_a_number_that_is_none_is_refused_even_behind_the_pulse_type(name, bad):
    pulse = PULSE.model_copy(update={name: bad})
    with pytest.raises(PulseRefused, match=name):
        Guard(Envelope()).check(pulse)


def test_a_dose_beyond_all_numbers_or_below_none_is_refused():
    boundless = Envelope(
        amplitude_T=(0, 1e300), uniform_amplitude_T=1e300, width_ps=(-60, 60), slew_T=1e300
    )
    for change in (
        {"amplitude_T": 1e200},
        {"width_ps": -10.0},
        {"amplitude_T": 1e200, "width_ps": 0.0},
    ):
        with pytest.raises(PulseRefused, match="dose"):
            Guard(boundless).check(PULSE.model_copy(update=change))


def test_what_is_checked_is_a_copy_of_exact_floats_that_nobody_else_has():
    given = Pulse.model_construct(
        **{**PULSE.model_dump(), "width_ps": 10},
    )
    guard = Guard(Envelope())
    own = guard.check(given)
    guard.book("a", given)
    vars(given)["amplitude_T"] = 1000.0
    assert own == PULSE == guard.booked("a")
    assert type(own.width_ps) is float
    vars(guard.booked("a"))["amplitude_T"] = 1000.0
    assert guard.booked("a") == PULSE


def test_an_envelope_changed_after_it_was_given_allows_no_more():
    envelope = Envelope()
    guard = Guard(envelope)
    for handle in (envelope, guard.envelope):
        vars(handle)["width_ps"] = (0.0, 1e9)
    with pytest.raises(PulseRefused, match="width_ps"):
        guard.check(Pulse(width_ps=500))


def test_the_limits_themselves_are_allowed():
    envelope = Envelope()
    for width in envelope.width_ps:
        Guard(envelope).check(Pulse(width_ps=width))
    Guard(envelope).check(Pulse(amplitude_T=3.0, width_ps=10))


def test_a_shot_too_soon_is_refused_and_fires_after_the_rest():
    clock = Clock()
    guard = Guard(Envelope(rest_s=5.0), clock=clock)
    assert guard.rest_left_s == 0.0
    guard.book("a", PULSE)
    clock.now += 4.0
    assert guard.rest_left_s == 1.0
    with pytest.raises(PulseRefused, match="1 s too soon after the last"):
        guard.book("b", PULSE)
    assert not guard.has_fired("b")
    clock.now += guard.rest_left_s
    guard.book("b", PULSE)


def test_the_field_is_on_for_no_more_than_its_part_of_the_time():
    clock = Clock()
    guard = Guard(Envelope(rest_s=0, duty=1e-12), clock=clock)
    guard.book("a", Pulse(width_ps=20))
    assert guard.rest_left_s == pytest.approx(math.sqrt(2 * math.pi) * 20)
    clock.now += 50
    with pytest.raises(PulseRefused, match="too soon"):
        guard.book("b", Pulse(width_ps=1))
    clock.now += 0.2
    guard.book("b", Pulse(width_ps=1))
    assert guard.rest_left_s == pytest.approx(math.sqrt(2 * math.pi))


def test_a_step_above_the_slew_is_refused_both_ways():
    guard = Guard(Envelope(slew_T=1.0, rest_s=0))
    guard.book("a", PULSE)
    for amplitude in (0.9, 3.0 + 1e-6):
        with pytest.raises(PulseRefused, match="step"):
            guard.book("b", Pulse(amplitude_T=amplitude, width_ps=10, spot=SPOT))
    guard.book("b", Pulse(amplitude_T=1.0, width_ps=10))


def test_the_shot_budget_ends():
    guard = Guard(Envelope(shots=2, rest_s=0))
    guard.book("a", PULSE)
    guard.book("b", PULSE)
    with pytest.raises(PulseRefused, match="budget of 2"):
        guard.book("c", PULSE)
    assert guard.shots_fired == 2


def test_the_dose_budget_ends():
    guard = Guard(Envelope(rest_s=0, budget_T2ps=2.5 * PULSE.dose_T2ps))
    guard.book("a", PULSE)
    guard.book("b", PULSE)
    with pytest.raises(PulseRefused, match="dose budget") as refused:
        guard.book("c", PULSE)
    assert refused.value.kind == "budget"
    guard.book("c", Pulse(amplitude_T=1.0, width_ps=10.0))
    assert (guard.spent.shots, guard.spent.amplitude_T) == (3, 1.0)
    assert guard.spent.dose_T2ps == pytest.approx(2.25 * PULSE.dose_T2ps)


def test_what_was_spent_before_counts():
    spent = Spent(shots=2, dose_T2ps=5.0, amplitude_T=2.0)
    guard = Guard(Envelope(shots=3, slew_T=1.0), spent=spent)
    with pytest.raises(PulseRefused, match="step"):
        guard.book("a", Pulse(amplitude_T=0.5, width_ps=1))
    guard.book("a", PULSE)
    with pytest.raises(PulseRefused, match="budget of 3"):
        guard.allow("b", PULSE)


def test_a_shot_name_is_booked_once():
    guard = Guard(Envelope(rest_s=0))
    guard.book("a", PULSE)
    with pytest.raises(PulseRefused, match="fired before"):
        guard.book("a", PULSE)


def test_the_ledger_is_on_disk_before_the_driver_fires(tmp_path, monkeypatch):
    ledger = tmp_path / "deep" / "ledger.jsonl"
    order = []
    fsync = os.fsync

    def noted_fsync(descriptor):
        fsync(descriptor)
        if text := ledger.read_text():
            order.append(("fsync", json.loads(text)["shot"]))

    class Driver:
        def fire(self, shot, _pulse):
            order.append(("fire", shot))
            raise OSError("the amplifier tripped")

    monkeypatch.setattr(os, "fsync", noted_fsync)
    pulser = Pulser(name="pulser", driver=Driver(), guard=Guard(Envelope(), ledger))
    pulser.set(PULSE, shot="a")
    with pytest.raises(OSError, match="tripped"):
        pulser.trigger()
    assert order == [("fsync", "a"), ("fire", "a")]
    pulser.guard.close()
    assert reopened(ledger).has_fired("a")


def reopened(ledger, envelope=None, clock=None):
    """A guard on a ledger as after a restart, which lets it go at once."""
    guard = Guard(envelope or Envelope(), ledger, clock or Clock())
    guard.close()
    return guard


def test_the_ledger_survives_a_restart(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    guard = Guard(Envelope(shots=2), ledger)
    guard.book("a", PULSE)
    guard.close()
    clock = Clock()
    envelope = Envelope(shots=2, slew_T=1.0, rest_s=1.0)
    again = Guard(envelope, ledger, clock)
    assert again.spent == Spent(shots=1, dose_T2ps=PULSE.dose_T2ps, amplitude_T=2.0)
    assert again.has_fired("a")
    assert again.replays("a", PULSE)
    with pytest.raises(PulseRefused, match="after the last"):
        again.book("b", PULSE)
    clock.now += 1.0
    with pytest.raises(PulseRefused, match="step"):
        again.book("b", Pulse(amplitude_T=0.5, width_ps=10))
    again.book("b", PULSE)
    again.close()
    with pytest.raises(PulseRefused, match="shot budget"):
        reopened(ledger, envelope).allow("c", PULSE)
    with pytest.raises(PulseRefused, match="dose budget"):
        reopened(ledger, Envelope(budget_T2ps=2 * PULSE.dose_T2ps)).allow("c", PULSE)


@pytest.mark.parametrize(
    "content",
    [
        b"5\n", b'"a"\n', b'{"name": "a"}\n', b"\xff\xfe\n", b'{"shot": "a"}\n', b"[]\n", b"\n",
        b'{"shot": 1, "pulse": {"width_ps": 1}}\n', b'{"shot": "a", "pulse": {"width_ps": NaN}}\n',
        2 * b'{"shot": "a", "pulse": {"width_ps": 1}}\n',
    ],
)  # fmt: skip
def test_a_corrupt_ledger_fails_closed(tmp_path, content):
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(content)
    with pytest.raises(PulseRefused, match="cannot be read"):
        Guard(Envelope(), ledger)
    with pytest.raises(PulseRefused, match="cannot be read"):  # and not as held by the first
        Guard(Envelope(), ledger)


@pytest.mark.parametrize("cut", [1, 20])
def test_a_line_cut_in_a_crash_fails_closed_and_says_what_to_do(tmp_path, cut):
    ledger, key = tmp_path / "ledger.jsonl", tmp_path / "ledger.jsonl.key"
    guard = Guard(Envelope(rest_s=0), ledger)
    guard.book("a", PULSE)
    first, noted = ledger.stat().st_size, key.read_bytes()
    guard.book("b", PULSE)
    guard.close()
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:-cut])
    key.write_bytes(noted)  # a line is noted once it is whole
    with pytest.raises(PulseRefused, match=f"last line was cut.*truncate --size={first}"):
        Guard(Envelope(), ledger)
    os.truncate(ledger, first)
    assert reopened(ledger).shots_fired == 1


def test_a_second_controller_is_refused(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    guard = Guard(Envelope(), ledger)
    with pytest.raises(PulseRefused, match="another controller holds it"):
        Guard(Envelope(), ledger)
    code = (
        "import sys; from pathlib import Path\n"
        "from skyctl.devices.guard import Envelope, Guard\n"
        "Guard(Envelope(), Path(sys.argv[1]))"
    )
    other = [sys.executable, "-c", code, str(ledger)]
    done = subprocess.run(other, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "another controller holds it" in done.stderr
    guard.book("a", PULSE)
    guard.close()
    subprocess.run(other, check=True)


@pytest.mark.parametrize("how", ["moved", "replaced", "changed"])
def test_a_ledger_that_is_tampered_with_fires_nothing(tmp_path, driver, how):
    ledger = tmp_path / "ledger.jsonl"
    pulser = Pulser(name="pulser", driver=driver, guard=Guard(Envelope(rest_s=0), ledger))
    pulser.set(PULSE, shot="a")
    pulser.trigger()
    if how == "changed":
        ledger.write_text("")
    else:
        ledger.rename(tmp_path / "other")
        if how == "replaced":
            ledger.write_bytes((tmp_path / "other").read_bytes())
    pulser.set(PULSE, shot="b")
    with pytest.raises(PulseRefused, match=f"{how}.*while in use") as refused:
        pulser.trigger()
    assert refused.value.kind == "ledger"
    assert [shot for shot, _ in driver.fired] == ["a"]
    pulser.guard.close()


def test_a_ledger_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PulseRefused, match="cannot be written"):
        Guard(Envelope(), tmp_path / "file" / "ledger.jsonl")


def test_a_full_disk_fires_nothing_from_then_on(tmp_path, driver, monkeypatch):
    def full(_descriptor):
        raise OSError("no space left")

    guard = Guard(Envelope(), tmp_path / "ledger.jsonl")
    pulser = Pulser(name="pulser", driver=driver, guard=guard)
    pulser.set(PULSE, shot="a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(PulseRefused, match="no space left"):
            pulser.trigger()
    assert pulser.guard.shots_fired == 0
    assert pulser.armed.get() == 0
    pulser.set(PULSE, shot="b")
    with pytest.raises(PulseRefused, match="no space left"):
        pulser.trigger()
    assert driver.fired == []
    guard.close()


def test_a_closed_ledger_fires_nothing(tmp_path):
    guard = Guard(Envelope(), tmp_path / "ledger.jsonl")
    guard.close()
    with pytest.raises(PulseRefused, match="is closed"):
        guard.book("a", PULSE)


ENVELOPE = Envelope(rest_s=0, amplitude_T=(0.5, 6.0), slew_T=3.0, dose_T2ps=500, shots=5)
numbers = st.one_of(st.floats(-50, 150), st.sampled_from([math.nan, math.inf, 0.0]))
pulses = st.builds(
    lambda spot, **values: Pulse.model_construct(spot=spot, **values),
    amplitude_T=st.one_of(numbers, st.floats(0, 6)),
    width_ps=st.one_of(numbers, st.floats(1, 60)),
    theta_deg=st.one_of(numbers, st.floats(0, 180)),
    phi_deg=st.one_of(numbers, st.floats(0, 180)),
    peak_ps=st.one_of(numbers, st.floats(0, 200)),
    spot=st.one_of(
        st.none(),
        st.builds(Spot.model_construct, x=st.floats(0, 100), y=numbers, sigma=st.floats(0.1, 40)),
    ),
)


@given(st.lists(pulses, max_size=12))
@settings(max_examples=150, deadline=None)
def test_no_pulse_outside_the_envelope_ever_reaches_the_driver(tried):
    fired = []

    class Driver:
        def fire(self, _shot, pulse):
            fired.append(pulse)

    pulser = Pulser(name="pulser", driver=Driver(), guard=Guard(ENVELOPE))
    for number, pulse in enumerate(tried):
        try:
            pulser.set(pulse, shot=str(number))
            pulser.trigger()
        except PulseRefused:
            assert pulser.armed.get() == 0
    assert len(fired) <= ENVELOPE.shots
    for pulse in fired:
        for name, value in settings_of(pulse).items():
            low, high = getattr(ENVELOPE, name)
            assert low <= value <= high
        dose = math.sqrt(math.pi) * pulse.amplitude_T**2 * pulse.width_ps
        assert dose <= ENVELOPE.dose_T2ps
        assert pulse.spot is not None or pulse.amplitude_T <= ENVELOPE.uniform_amplitude_T
    amplitudes = [pulse.amplitude_T for pulse in fired]
    steps = [abs(b - a) for a, b in itertools.pairwise(amplitudes)]
    assert all(step <= ENVELOPE.slew_T for step in steps)


def test_pulses_inside_the_envelope_do_reach_the_driver(pulser, driver):
    pulser.set(PULSE, shot="a")
    pulser.trigger()
    assert driver.fired == [("a", PULSE)]


def sent(*pulses, every_s=1.0):
    return [Sent(every_s * n, f"s{n}", pulse) for n, pulse in enumerate(pulses)]


@pytest.mark.parametrize(
    ("envelope", "what", "fault"),
    [
        ({}, [PULSE, Pulse(width_ps=61)], "s1: 61.0 outside"),
        ({}, [PULSE.model_copy(update={"amplitude_T": math.nan})], "s0: nan outside"),
        ({}, [PULSE.model_copy(update={"amplitude_T": "2"})], "not a number"),
        ({}, [PULSE.model_copy(update={"amplitude_T": Obliging(1000.0)})], "not a number"),
        ({}, [Pulse(width_ps=8, spot=Spot(x=1, y=1, sigma=0.1))], "0.1 outside"),
        ({}, [Pulse(amplitude_T=4, width_ps=8)], "whole film"),
        ({"dose_T2ps": 70.8}, [PULSE], "dose 70.898"),
        ({"budget_T2ps": 141.0}, [PULSE, PULSE], "in all"),
        ({"shots": 1}, [PULSE, PULSE], "2 shots of 1"),
        ({"slew_T": 0.9}, [PULSE, Pulse(amplitude_T=1, width_ps=8)], "slew"),
        ({"rest_s": 1.1}, [PULSE, PULSE], "1.0"),
        ({"duty": 2.5e-11}, [PULSE, PULSE], "1.0"),
    ],
)
def test_the_judge_of_the_fuzzer_sees_what_is_unsafe(envelope, what, fault):
    (found,) = unsafe(Envelope(**envelope), sent(*what))
    assert fault in found
    assert unsafe(Envelope(), sent(PULSE, PULSE)) == []
    assert len(unsafe(Envelope(), 2 * sent(PULSE))) == 2  # fired twice, and at once


def test_the_judge_of_the_fuzzer_sees_names_and_books_that_lie():
    (fault,) = unsafe(Envelope(), [Sent(0.0, Nobody("a"), PULSE)])
    assert "Nobody" in fault
    assert unbooked(sent(PULSE), {"s0": PULSE.model_dump()}) == []
    for books in ({}, {"s0": Pulse(width_ps=9).model_dump()}):
        (fault,) = unbooked(sent(PULSE), books)
        assert fault.startswith("s0: sent 2 T 10 ps")


def assert_nothing_unsafe(outcome):
    assert outcome["unsafe"] == []
    assert outcome["second_controllers"] == 0
    assert outcome["changed_in_flight"] > 0.01 * outcome["proposals"]
    assert outcome["edited"] > 0
    assert outcome["fired"] > 0.05 * outcome["proposals"]  # else it proves little
    assert set(outcome["refused"]) == set(REFUSALS) - {"driver"}


def test_nothing_unsafe_of_2000_proposals_reaches_the_driver():
    assert_nothing_unsafe(fuzz_pulser(2000, seed=5))


@pytest.mark.slow
def test_nothing_unsafe_of_100000_proposals_reaches_the_driver():
    assert_nothing_unsafe(fuzz_pulser(100_000, seed=6))


@pytest.mark.parametrize("bad", [(3.0, 2.0), (0.0, math.inf), (math.nan, 1.0)])
def test_limits_that_bound_nothing_are_refused(bad):
    with pytest.raises(ValueError, match="width_ps"):
        Envelope(width_ps=bad)


def test_an_envelope_refuses_unknown_settings():
    with pytest.raises(ValueError, match="amplitude_mT"):
        Envelope(amplitude_mT=(0, 1))
