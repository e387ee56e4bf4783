"""A thin film under pulses: closed forms, and the same as the film under constant fields."""

import math
from itertools import accumulate

import numpy as np
import pytest

from skyctl.formats.ovf_writer import write_ovf
from skyctl.formats.spin_states import SpinState, field_of
from skyctl.pulse import Pulse, SpinCurrent, Spot
from skyctl.simulators.thin.film import ThinFilm, ThinFilmParameters
from skyctl.simulators.thin.pulsed import PulsedThinFilm, field_pieces
from skyctl.waveform import Burst, Sampled, Square

CUBE = ThinFilmParameters(rows=1, columns=1, cell_nm=(3.0, 3.0, 3.0), damping=0.0)
"""One cell, whose own field turns nothing."""
SMALL = ThinFilmParameters(rows=8, columns=30, cell_nm=(15.6, 15.6, 3.0))
SAMPLED = Sampled(times_ps=(-20.0, 0.0, 20.0), values=(0.0, 1.0, 0.0))


def square(first_ps, last_ps, amplitude_T, phi_deg, **parts):
    """A field in the film's plane, on from one time to another."""
    width, middle = (last_ps - first_ps) / 2, (first_ps + last_ps) / 2
    return Pulse(
        amplitude_T=amplitude_T, width_ps=width, peak_ps=middle, theta_deg=90.0, phi_deg=phi_deg,
        waveform=Square(), **parts,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("width", "waveform"),
    [
        (20.0, None),
        (20.0, Square()),
        (20.0, Square(rise_ps=5, fall_ps=9)),
        (20.0, Burst(frequency_THz=0.005)),
        (SAMPLED.width_ps, SAMPLED),
    ],
)
def test_a_spin_turns_about_the_field_by_its_integral(width, waveform):
    film = PulsedThinFilm(CUBE, "x")
    pulse = Pulse(amplitude_T=0.1, width_ps=width, theta_deg=0, peak_ps=100.0, waveform=waveform)
    for until_ps, seen in zip((97.0, 250.0), film.frames(pulse, [97.0, 250.0]), strict=True):
        times = np.linspace(0, until_ps, 1_000_001)
        angle = CUBE.gamma_rad_per_ps_T * 0.1 * np.trapezoid(pulse.at(times), times)
        turned = math.atan2(seen[1, 0, 0], seen[0, 0, 0])
        assert turned == pytest.approx(angle, rel=3e-3)
        assert abs(turned) > 0.1


def test_a_sequence_of_fields_is_one_field_after_the_other():
    plain, film = ThinFilm(SMALL), PulsedThinFilm(SMALL)
    plain.magnetisation = start = film.spins
    sequence = square(0, 100, 0.03, 170.0, second=square(100, 160, 0.02, -60.0))
    directions = [(0.03, 170.0), (0.02, -60.0)]
    ends = []
    for (strength, phi), span in zip(directions, (100.0, 60.0), strict=True):
        field = strength * np.array([math.cos(math.radians(phi)), math.sin(math.radians(phi)), 0])
        ends += plain.frames(field, [span])
    seen = list(film.frames(sequence, [0.0, 37.0, 100.0, 160.0]))
    np.testing.assert_array_equal(seen[0], start)
    np.testing.assert_allclose(seen[2], ends[0], atol=1e-3)
    np.testing.assert_allclose(seen[3], ends[1], atol=2e-3)


def test_pieces_are_the_whole_time_and_few_where_the_field_is_constant():
    sequence = square(10, 110, 0.03, 0.0, second=square(110, 200, 0.02, 90.0))
    pieces = list(field_pieces(sequence, 0.0, 300.0))
    assert list(accumulate(span for _, span in pieces)) == pytest.approx([10, 110, 200, 300])
    found = [np.round(field, 12).tolist() for field, _ in pieces]
    assert found == [[0, 0, 0], [0.03, 0, 0], [0, 0.02, 0], [0, 0, 0]]


def test_a_field_against_the_film_switches_it_and_it_comes_to_rest():
    film = PulsedThinFilm(SMALL, "x")
    *_, last = film.frames(square(0, 400, 0.06, 170.0), [200.0, 400.0])
    film.settle()
    assert film.spins[0].mean() < -0.9
    assert film.film.max_torque_T() < 1e-5
    assert abs(last - film.spins).max() > 0.01


def test_it_begins_with_what_it_is_told(tmp_path):
    turned = PulsedThinFilm(SMALL, "-x")
    assert turned.spins[0].mean() < -0.9
    np.save(tmp_path / "m.npy", turned.spins)
    write_ovf(tmp_path / "m.ovf", [field_of(SpinState(turned.spins, 15.6))])
    for name in ("m.npy", "m.ovf"):
        again = PulsedThinFilm(SMALL, str(tmp_path / name))
        np.testing.assert_allclose(again.spins, turned.spins, atol=1e-7)
    s_state = PulsedThinFilm(SMALL).spins
    np.testing.assert_allclose(s_state, s_state[:, ::-1, ::-1], atol=1e-6)
    with pytest.raises(ValueError, match="start 'vortex': give s-state, x, -x"):
        PulsedThinFilm(SMALL, "vortex")


@pytest.mark.parametrize(
    "parts",
    [{"spot": Spot(x=1, y=1, sigma=1)}, {"current": SpinCurrent(density_A_per_m2=1e12)}],
)
def test_spots_and_currents_are_refused_before_it_moves(parts):
    film = PulsedThinFilm(SMALL, "x")
    pulse = Pulse(width_ps=8, **parts)
    before = film.spins
    with pytest.raises(ValueError, match="no spots and no currents"):
        film.frames(pulse, [0.0, 10.0])
    with pytest.raises(ValueError, match="no spots and no currents"):
        film.frames(Pulse(width_ps=8, spot=pulse.spot, second=pulse), [0.0, 10.0])
    np.testing.assert_array_equal(film.spins, before)
