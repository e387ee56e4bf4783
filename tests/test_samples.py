"""Samples by their hash: a pulse is the same after it, and none is made up where they are gone."""

import json

import pytest

from skyctl.pulse import Pulse, Ring, SpinCurrent, Spot
from skyctl.recording import layout
from skyctl.samples import brief, brief_text, samples_of, whole
from skyctl.waveform import MOST_SAMPLES, Sampled


def sampled(count, last=1.0):
    """A ramp of so many samples, 0.01 ps apart."""
    times = tuple(-1234.567890123456 + 0.01 * n for n in range(count))
    return Sampled(times_ps=times, values=(*(n / count for n in range(count - 1)), last))


def pulse_of(wave, **parts):
    return Pulse(width_ps=wave.width_ps, waveform=wave, **parts)


LONG, OTHER = sampled(5000), sampled(3000, last=-1 / 3)
BOTH = pulse_of(LONG, second=pulse_of(OTHER))


@pytest.mark.parametrize("pulse", [Pulse(width_ps=8), pulse_of(LONG), BOTH])
def test_what_is_written_briefly_comes_back_whole(pulse):
    there = samples_of(pulse)
    told = brief(pulse)
    assert whole(json.loads(json.dumps(told)), there.__getitem__) == pulse
    waves = [part["waveform"] for part in (told, told.get("second", {})) if "waveform" in part]
    assert [wave["sha256"] for wave in waves] == list(there)
    for wave, of_it in zip(waves, (LONG, OTHER), strict=False):
        assert wave["on_ps"] == pytest.approx(of_it.on_ps(1.0))
        assert (wave["from_ps"], wave["to_ps"]) == (of_it.times_ps[0], of_it.times_ps[-1])


def test_samples_that_are_gone_or_others_make_no_pulse():
    told, there = brief(BOTH), samples_of(BOTH)
    for digest in there:
        fewer = {other: content for other, content in there.items() if other != digest}
        with pytest.raises(ValueError, match=f"samples {digest} of its waveform are missing"):
            whole(told, fewer.__getitem__)
        changed = {**there, digest: there[digest][:-1] + b"\x01"}
        with pytest.raises(ValueError, match="not as they were written"):
            whole(told, changed.__getitem__)


def test_the_longest_pulse_fits_into_a_ledgers_line_a_reading_and_a_recordings_row():
    shape = Ring(radius=12.345678901234567)
    spot = Spot(x=50.12345678901234, y=50.12345678901234, sigma=6.123456789012345, shape=shape)
    current = SpinCurrent(density_A_per_m2=1.2345678901234567e12, field_like=-0.12345678901234567)
    parts = {
        "amplitude_T": 1.2345678901234567e-5, "theta_deg": 40.12345678901234,
        "phi_deg": -100.12345678901234, "peak_ps": 40.123456789012345, "current": current,
        "spot": spot,
    }  # fmt: skip
    wave = sampled(MOST_SAMPLES, last=-1 / 3)
    longest = brief_text(pulse_of(wave, **parts, second=pulse_of(wave, **parts)))
    assert len(longest) < 2000
    assert layout.STARTS["header"].itemsize == 4096  # with MOST_DELAYS and what else is in it
    with pytest.raises(ValueError, match="at most 20000"):
        sampled(MOST_SAMPLES + 1)
