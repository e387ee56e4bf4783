"""Pulse, Movie and Exposure: what can be asked for, and what is refused."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import integrate

from skyctl.pulse import SETTINGS, Exposure, FrameSchedule, Pulse, Spot, pulse_of, settings_of

bounded = settings(deadline=None, max_examples=100)
angles = st.floats(-360, 360)


@bounded
@given(theta=angles, phi=angles, amplitude=st.floats(0, 20))
def test_field_at_the_peak_is_as_long_as_the_amplitude(theta, phi, amplitude):
    pulse = Pulse(amplitude_T=amplitude, width_ps=8, theta_deg=theta, phi_deg=phi)
    assert math.hypot(*pulse.peak_field_T) == pytest.approx(amplitude, abs=1e-12)


@pytest.mark.parametrize(
    ("theta", "phi", "direction"),
    [(0, 0, (0, 0, 1)), (90, 0, (1, 0, 0)), (90, 90, (0, 1, 0)), (180, 0, (0, 0, -1))],
)
def test_angles_are_polar_from_z_and_azimuth_from_x(theta, phi, direction):
    pulse = Pulse(amplitude_T=3, width_ps=8, theta_deg=theta, phi_deg=phi)
    assert pulse.peak_field_T == pytest.approx([3 * c for c in direction], abs=1e-12)


def test_dose_is_the_integral_of_the_squared_field():
    pulse = Pulse(amplitude_T=2.5, width_ps=7, peak_ps=0)
    integral, _ = integrate.quad(lambda t: (2.5 * math.exp(-t * t / (2 * 7**2))) ** 2, -99, 99)
    assert pulse.dose_T2ps == pytest.approx(integral, rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["amplitude_T", "width_ps", "theta_deg", "phi_deg", "peak_ps"])
def test_numbers_that_are_not_finite_are_refused(name, bad):
    with pytest.raises(ValidationError, match=name):
        Pulse(**{"width_ps": 8, name: bad})


@pytest.mark.parametrize(
    "fields",
    [
        {"width_ps": 0},
        {"width_ps": -1},
        {"width_ps": 8, "amplitude_T": -2},
        {"width_ps": 8, "amplitude": 2},
        {"width_ps": 8, "spot": {"x": 1, "y": 1, "sigma": 0}},
        {},
    ],
)
def test_a_pulse_that_cannot_be_is_refused(fields):
    with pytest.raises(ValidationError):
        Pulse.model_validate(fields)


def test_a_pulse_cannot_be_changed_after_it_was_checked():
    with pytest.raises(ValidationError):
        Pulse(width_ps=8).width_ps = -1


def test_a_pulse_survives_json():
    pulse = Pulse(width_ps=8.125, spot=Spot(x=1.5, y=2.5, sigma=6))
    assert Pulse.model_validate_json(pulse.model_dump_json()) == pulse


@pytest.mark.parametrize("spot", [None, Spot(x=1, y=2, sigma=3)])
def test_a_pulse_survives_its_settings(spot):
    pulse = Pulse(amplitude_T=1.5, width_ps=7, theta_deg=30, phi_deg=-9, peak_ps=21, spot=spot)
    numbers = settings_of(pulse)
    assert tuple(numbers) == SETTINGS
    assert (numbers["phi_deg"], numbers["spot_sigma"]) == (-9, 3 if spot else 0)
    assert pulse_of(numbers) == pulse


def test_the_default_movie_is_the_papers():
    assert FrameSchedule().times_ps == [0, 15, 30, 45, 60, 75, 90, 105]


@bounded
@given(count=st.integers(1, 500), interval=st.floats(0.1, 50))
def test_a_movie_has_its_last_frame_whatever_the_rounding(count, interval):
    movie = FrameSchedule(duration_ps=(count - 1) * interval, interval_ps=interval)
    assert len(movie.times_ps) == count


def test_a_movie_ends_before_its_duration_when_the_interval_does_not_divide_it():
    assert FrameSchedule(duration_ps=10, interval_ps=4).times_ps == [0, 4, 8]


@pytest.mark.parametrize("name", ["", "x" * 65, "shot\n", "a\0", "Schuß", " lead"])
def test_names_that_a_file_could_garble_are_refused(name):
    with pytest.raises(ValidationError):
        Exposure(shot=name)


def test_a_movie_has_few_frames_before_the_pulse_where_it_may():
    movie = FrameSchedule(duration_ps=60, interval_ps=5, quiet_ps=40)
    assert movie.times_ps == [0, 20, 40, 45, 50, 55, 60]
    assert [movie.time_ps(i) for i in range(7)] == movie.times_ps
    assert FrameSchedule(duration_ps=60, interval_ps=5).times_ps == [5.0 * i for i in range(13)]
    assert FrameSchedule(duration_ps=30, interval_ps=10, quiet_ps=50).times_ps == [0, 20, 30]
    assert FrameSchedule(duration_ps=60, interval_ps=30, quiet_ps=50).times_ps == [0, 30, 50]
