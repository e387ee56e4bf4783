"""The guard: nothing outside the envelope is booked, and what is booked is never forgotten."""

import itertools
import json
import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.guard import settings as plain
from skyctl.devices.pulser import Pulser
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse, Spot

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
        ({"amplitude_T": 3.1}, "whole film"),
        ({"amplitude_T": 12.0, "width_ps": 40.0, "spot": SPOT}, "dose"),
    ],
)
def test_a_pulse_outside_the_envelope_is_refused_by_name(change, named):
    pulse = Pulse(**{**PULSE.model_dump(), **change})
    with pytest.raises(PulseRefused, match=named):
        Guard(Envelope()).check(pulse)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["amplitude_T", "width_ps", "theta_deg", "phi_deg", "peak_ps"])
def test_a_number_that_is_none_is_refused_even_behind_the_pulse_type(name, bad):
    pulse = PULSE.model_copy(update={name: bad})
    with pytest.raises(PulseRefused, match=name):
        Guard(Envelope()).check(pulse)


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
    with pytest.raises(PulseRefused, match=r"4\.000 s after the last"):
        guard.book("b", PULSE)
    assert not guard.has_fired("b")
    clock.now += guard.rest_left_s
    guard.book("b", PULSE)


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
        order.append(("fsync", json.loads(ledger.read_text())["shot"]))

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
    assert Guard(Envelope(), ledger).has_fired("a")


def test_the_ledger_survives_a_restart(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    Guard(Envelope(shots=2), ledger).book("a", PULSE)
    clock = Clock()
    again = Guard(Envelope(shots=2, slew_T=1.0, rest_s=1.0), ledger, clock)
    assert again.shots_fired == 1
    assert again.has_fired("a")
    with pytest.raises(PulseRefused, match="after the last"):
        again.book("b", PULSE)
    clock.now += 1.0
    with pytest.raises(PulseRefused, match="step"):
        again.book("b", Pulse(amplitude_T=0.5, width_ps=10))
    again.book("b", PULSE)
    with pytest.raises(PulseRefused, match="budget"):
        Guard(Envelope(shots=2, rest_s=0), ledger).book("c", PULSE)


@pytest.mark.parametrize(
    "content",
    [b"{", b"5\n", b'"a"\n', b'{"name": "a"}\n', b"\xff\xfe\n", b'{"shot": "a"}\n', b"[]\n"],
)
def test_a_corrupt_ledger_fails_closed(tmp_path, content):
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(content)
    with pytest.raises(PulseRefused, match="cannot be read"):
        Guard(Envelope(), ledger)


def test_a_ledger_cut_in_a_crash_fails_closed(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    guard = Guard(Envelope(rest_s=0), ledger)
    guard.book("a", PULSE)
    guard.book("b", PULSE)
    ledger.write_bytes(ledger.read_bytes()[:-20])
    with pytest.raises(PulseRefused, match="cannot be read"):
        Guard(Envelope(), ledger)


def test_a_ledger_that_cannot_be_written_fires_nothing(tmp_path, driver):
    (tmp_path / "file").write_text("")
    pulser = Pulser(
        name="pulser", driver=driver, guard=Guard(Envelope(), tmp_path / "file" / "ledger.jsonl")
    )
    pulser.set(PULSE, shot="a")
    with pytest.raises(PulseRefused, match="cannot be written"):
        pulser.trigger()
    assert driver.fired == []
    assert pulser.guard.shots_fired == 0
    assert pulser.armed.get() == 0


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
        for name, value in plain(pulse).items():
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


def test_an_envelope_refuses_unknown_settings():
    with pytest.raises(ValueError, match="amplitude_mT"):
        Envelope(amplitude_mT=(0, 1))
