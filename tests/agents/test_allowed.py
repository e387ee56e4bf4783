"""Allowed says of each pulse what the guard says, and clamps to pulses that it fires."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyctl.agents.allowed import Allowed
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse, Spot, pulse_of, settings_of

ENVELOPES = [
    Envelope(),
    Envelope(amplitude_T=(0.5, 7.0), width_ps=(2.0, 20.0)),
    Envelope(amplitude_T=(0.0, 2.0), theta_deg=(20.0, 150.0), dose_T2ps=100.0),
    Envelope(peak_ps=(50.0, 60.0), narrowest_spot=4.0, spot_sigma=(0.0, 5.0), spot_x=(10, 90)),
    Envelope(spot_sigma=(3.0, 9.0)),  # never the whole film
]
PULSES = st.builds(
    Pulse,
    amplitude_T=st.floats(0, 15),
    width_ps=st.floats(0.5, 80),
    theta_deg=st.floats(-10, 190),
    peak_ps=st.floats(0, 250),
    spot=st.none()
    | st.builds(Spot, x=st.floats(-5, 105), y=st.floats(-5, 105), sigma=st.floats(0.1, 30)),
)


def fires(envelope: Envelope, pulse: Pulse) -> bool:
    try:
        Guard(envelope).check(pulse)
    except PulseRefused:
        return False
    return True


@pytest.mark.parametrize("envelope", ENVELOPES)
@given(pulse=PULSES)
@settings(max_examples=150, deadline=None)
def test_it_allows_what_the_guard_allows(envelope, pulse):
    allowed = Allowed.from_envelope(envelope.model_dump())
    assert allowed.allows(pulse) is fires(envelope, pulse)
    assert bool(allowed.why_not(pulse)) is not allowed.allows(pulse)


@pytest.mark.parametrize("envelope", ENVELOPES[:4])
@given(pulse=PULSES)
@settings(max_examples=150, deadline=None)
def test_a_clamped_pulse_is_fired_unless_its_spot_lies_outside(envelope, pulse):
    allowed = Allowed.from_envelope(envelope.model_dump())
    clamped = allowed.clamp(pulse)
    at = settings_of(pulse)  # the whole film is at 0, 0 to the guard, too
    inside = all(
        low <= at[name] <= high
        for name, (low, high) in (("spot_x", envelope.spot_x), ("spot_y", envelope.spot_y))
    )
    assert fires(envelope, clamped) is inside
    if allowed.allows(pulse):
        assert clamped == pulse


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_the_ends_of_its_ranges_are_fired_and_nothing_beyond(envelope):
    allowed = Allowed.from_envelope(envelope.model_dump())
    sigma = max(envelope.narrowest_spot, 4.5)
    pulse = allowed.clamp(Pulse(width_ps=16.0, spot=Spot(x=50, y=50, sigma=sigma)))
    _, most = allowed.amplitudes(pulse)
    _, longest = allowed.widths(pulse)
    assert fires(envelope, pulse.model_copy(update={"amplitude_T": most}))
    assert not fires(envelope, pulse.model_copy(update={"amplitude_T": most * 1.001}))
    assert fires(envelope, pulse.model_copy(update={"width_ps": longest}))
    assert not fires(envelope, pulse.model_copy(update={"width_ps": longest * 1.001}))


def test_the_default_allows_everything():
    assert Allowed().allows(Pulse(amplitude_T=1e3, width_ps=1e3))
    assert Allowed().amplitudes(Pulse(width_ps=1)) == (-math.inf, math.inf)


def test_an_envelope_from_json_is_the_same():
    envelope = ENVELOPES[1].model_dump()
    assert Allowed.from_envelope(json.loads(json.dumps(envelope))) == Allowed.from_envelope(
        envelope
    )


def test_a_limit_that_is_missing_is_refused():
    envelope = Envelope().model_dump()
    del envelope["dose_T2ps"]
    with pytest.raises(KeyError, match="dose_T2ps"):
        Allowed.from_envelope(envelope)


@pytest.mark.parametrize("spot", [None, Spot(x=1, y=2, sigma=3)])
def test_settings_are_named_as_the_pulser_names_them(spot):
    pulse = Pulse(width_ps=7, spot=spot)
    assert set(settings_of(pulse)) <= set(Pulser.component_names)
    assert pulse_of(settings_of(pulse)) == pulse
