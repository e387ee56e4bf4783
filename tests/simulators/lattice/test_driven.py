"""Films under pulses that are no single Gaussian field, and under spin currents."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.pulse import Pulse, Ring, SpinCurrent, Spot, Stripe
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics import llg
from skyctl.waveform import Burst, Sampled, Square

SMALL = FilmParameters(rows=7, columns=13, damping=0.2, bias_T=(0.3, -0.5, 0.7))
FREE = FilmParameters(rows=1, columns=1, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, damping=0.0)
CURRENT = SpinCurrent(density_A_per_m2=1e12)


def moved(film, pulse, spins, span_ps=2.0, step_ps=None, **options):
    film = Film(film, **options)
    film.spins = spins
    film.advance(span_ps, pulse, max_step_ps=step_ps)
    return film.spins


@pytest.mark.parametrize("integrator", ["heun", "rk4", "dormand-prince"])
def test_a_gaussian_that_is_sampled_moves_a_film_as_the_gaussian_does(random_spins, integrator):
    times = np.linspace(-4, 4, 4001)
    sampled = Sampled(times_ps=tuple(times), values=tuple(np.exp(-((times / 0.5) ** 2) / 2)))
    plain = Pulse(amplitude_T=9, width_ps=sampled.width_ps, peak_ps=1)
    drawn = plain.model_copy(update={"waveform": sampled})
    assert sampled.width_ps == pytest.approx(0.5, rel=1e-3)
    start = random_spins(7, 13)
    plain = plain.model_copy(update={"width_ps": 0.5})
    run = {"step_ps": 0.002, "integrator": integrator}
    ends = [moved(SMALL, pulse, start, **run) for pulse in (plain, drawn)]
    np.testing.assert_allclose(ends[0], ends[1], atol=2e-5)


def test_two_pulses_that_are_one_move_a_film_as_it_does(random_spins):
    one = Pulse(amplitude_T=6, width_ps=0.5, peak_ps=1)
    half = one.scaled(0.5)
    both = half.model_copy(update={"second": half})
    start = random_spins(7, 13)
    ends = [moved(SMALL, pulse, start) for pulse in (one, both)]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-12)
    apart = half.model_copy(update={"second": half.model_copy(update={"peak_ps": 1.5})})
    assert np.abs(moved(SMALL, apart, start) - ends[0]).max() > 1e-3


def test_a_square_pulse_turns_a_free_spin_by_its_area():
    pulse = Pulse(
        amplitude_T=5,
        width_ps=1,
        peak_ps=1.5,
        theta_deg=0,
        waveform=Square(rise_ps=0.4, fall_ps=0.2),
    )
    end = moved(FREE, pulse, np.array([1.0, 0, 0])[:, None, None], 4.0)[:, 0, 0]
    angle = llg.GAMMA_RAD_PER_PS_T * 5 * 2  # 2 ps between half heights
    np.testing.assert_allclose(end, [np.cos(angle), np.sin(angle), 0], atol=1e-4)


def test_a_burst_at_resonance_tips_a_spin_and_one_off_it_does_not():
    """Rabi's rotation: half of the burst's amplitude turns with the spin."""
    film = replace(FREE, bias_T=(0.0, 0.0, 36.0))
    larmor_THz = llg.GAMMA_RAD_PER_PS_T * 36 / (2 * np.pi)
    up = np.array([0.0, 0, 1.0])[:, None, None]

    def tipped(frequency):
        burst = Burst(frequency_THz=frequency)
        pulse = Pulse(amplitude_T=0.6, width_ps=3, peak_ps=12, theta_deg=90, waveform=burst)
        return float(np.arccos(moved(film, pulse, up, 24.0)[2, 0, 0]))

    area = llg.GAMMA_RAD_PER_PS_T * 0.3 * 3 * np.sqrt(2 * np.pi)
    assert tipped(larmor_THz) == pytest.approx(area, rel=0.01)
    assert tipped(1.6 * larmor_THz) < 0.02 * area


@pytest.mark.parametrize("integrator", ["heun", "midpoint", "depondt", "rk4"])
def test_a_spin_current_turns_a_spin_towards_its_polarisation(integrator):
    """dS/dt = -γ S × (a S × p): along the meridian, tan(θ/2) grows by exp(-γ a t)."""
    strength, span = 3.0, 1.5
    square = Square()
    pulse = Pulse(
        amplitude_T=strength, width_ps=10, peak_ps=5, theta_deg=0, waveform=square, current=CURRENT
    )
    theta = 1.2
    start = np.array([np.sin(theta), 0, np.cos(theta)])[:, None, None]
    end = moved(FREE, pulse, start, span, integrator=integrator)[:, 0, 0]
    grown = np.exp(llg.GAMMA_RAD_PER_PS_T * strength * span)
    expected = 2 * np.arctan(np.tan(theta / 2) / grown)
    other = 2 * np.arctan(np.tan(theta / 2) * grown)
    assert np.arccos(end[2]) == pytest.approx(expected, abs=1e-5)
    assert abs(np.arccos(end[2]) - other) > 0.1
    assert end[1] == pytest.approx(0, abs=1e-9)


def test_a_macrospin_switches_above_the_threshold_of_its_damping():
    """A spin along +z in its anisotropy field B_K, polarisation -z: it leaves where a > α B_K
    (J. Z. Sun, Phys. Rev. B 62, 570 (2000))."""
    p = FilmParameters(rows=1, columns=1, exchange_meV=0, dmi_meV=0, damping=0.05)
    field = 2 * p.anisotropy_meV / p.moment_meV_per_T
    threshold = 0.05 * field
    start = np.array([0.02, 0, 1.0])[:, None, None]

    def end(share):
        pulse = Pulse(
            amplitude_T=share * threshold, width_ps=4000, peak_ps=4000, theta_deg=180,
            waveform=Square(), current=CURRENT,
        )  # fmt: skip
        return moved(p, pulse, start, 1500.0)[2, 0, 0]

    assert end(0.9) > 0.9999
    assert end(1.1) < -0.99


def test_a_field_like_torque_is_a_field():
    direction = {"theta_deg": 50, "phi_deg": 20, "width_ps": 0.5, "peak_ps": 1}
    start = np.array([0.6, 0, 0.8])[:, None, None]
    field = moved(FREE, Pulse(amplitude_T=2.0, **direction), start)
    torque = SpinCurrent(density_A_per_m2=1e12, field_like=1.0)
    both = Pulse(amplitude_T=2.0, current=torque, **direction)
    alone = Pulse(amplitude_T=2.0, current=CURRENT, **direction)
    # For small angles the torques add.
    small = [moved(FREE, pulse.scaled(1e-4), start) - start for pulse in (both, alone)]
    of_field = moved(FREE, Pulse(amplitude_T=2.0, **direction).scaled(1e-4), start) - start
    np.testing.assert_allclose(small[0], small[1] + of_field, atol=1e-8)
    assert np.abs(field - start).max() > 0.05


def test_a_stripe_and_a_ring_act_where_they_are():
    film = Film(FilmParameters(rows=41, columns=31))
    for shape, far, near in (
        (Stripe(angle_deg=90), (20, 25), [(5, 15), (35, 15)]),
        (Stripe(), (32, 15), [(20, 3), (20, 28)]),
        (Ring(radius=9), (20, 15), [(20, 24), (11, 15), (29, 15)]),
    ):
        pulse = Pulse(width_ps=8, spot=Spot(x=15, y=20, sigma=1.5, shape=shape))
        profile = film.span(pulse, 0.0, 1.0, 0.01).spot
        assert profile[far] < 0.01
        assert all(profile[place] == pytest.approx(1) for place in near)


def test_a_step_that_leaps_over_the_pulse_is_refused():
    pulse = Pulse(width_ps=8, waveform=Square(rise_ps=0.01, fall_ps=1))
    film = Film(FREE)
    film.advance(0.1, pulse)
    with pytest.raises(ValueError, match="leaps over"):
        film.advance(0.1, pulse, max_step_ps=0.01)
