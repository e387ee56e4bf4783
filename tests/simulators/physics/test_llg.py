"""Energy and motion beside each other, Spirit and their symmetries; more: ``skyctl verify``."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import Film, FilmParameters


def run(film, time_ps, pulse=None):
    return next(film.frames(pulse, [time_ps]))


@pytest.mark.parametrize("periodic", [False, True])
def test_the_field_is_minus_the_energy_gradient(small_film, random_spins, periodic):
    film = Film(replace(small_film, periodic=periodic))
    start = random_spins(7, 13)
    film.spins = start
    field = film.field_T()

    def energy(angle, axis, row, column):
        s = start[:, row, column]
        turned = start.copy()
        turned[:, row, column] = np.cos(angle) * s + np.sin(angle) * np.cross(axis, s)
        film.spins = turned
        return film.energy_meV()

    for row, column in [(0, 0), (0, 6), (6, 12), (3, 0), (3, 12), (4, 5)]:
        s = start[:, row, column]
        for seed in np.eye(3):  # two independent rotations span a spin's tangent plane
            axis = np.cross(s, seed) / np.linalg.norm(np.cross(s, seed))
            slope = (energy(1e-5, axis, row, column) - energy(-1e-5, axis, row, column)) / 2e-5
            expected = -film.parameters.moment_meV_per_T * field[:, row, column].dot(
                np.cross(axis, s)
            )
            assert slope == pytest.approx(expected, abs=1e-6)


def test_energy_terms_are_those_spirit_gives(spirit):
    parameters, start, _ = spirit
    couplings = {"exchange_meV": -68.1182, "dmi_meV": -35.8583, "anisotropy_meV": -332.3926}
    off = {**dict.fromkeys(couplings, 0.0), "bias_T": (0.0, 0.0, 0.0)}
    terms = {name: {name: getattr(parameters, name)} for name in couplings}
    terms["zeeman"] = {"bias_T": parameters.bias_T}
    for name, expected in {**couplings, "zeeman": 14.8802}.items():
        film = Film(replace(parameters, **{**off, **terms[name]}))
        film.spins = start
        assert film.energy_meV() == pytest.approx(expected, abs=1e-4), name


def spiral(turns, rows, columns):
    """The proper screw along x that a bulk DMI winds: ``turns`` in the film's length."""
    angle = 2 * np.pi * turns * np.arange(columns) / columns
    line = np.stack([np.zeros(columns), np.cos(angle), np.sin(angle)])
    return np.repeat(line[:, None], rows, axis=1)


@pytest.mark.parametrize("sense", [1, -1])
def test_the_spiral_of_period_2pi_over_arctan_d_over_j_is_the_ground_state(sense):
    rows, columns, turns = 4, 60, 5
    J = 1.3
    D = sense * J * np.tan(2 * np.pi * turns / columns)
    film = Film(
        FilmParameters(
            rows=rows,
            columns=columns,
            exchange_meV=J,
            dmi_meV=D,
            anisotropy_meV=0,
            periodic=True,
        )
    )
    energies = {}
    for n in range(-12, 13):
        film.spins = spiral(n, rows, columns)
        energies[n] = film.energy_meV()
    best = min(energies, key=energies.get)
    assert best == sense * turns
    # rows are parallel (-J a bond), columns gain -sqrt(J² + D²) a bond
    assert energies[best] == pytest.approx(-rows * columns * (J + np.hypot(J, D)), rel=1e-12)
    film.spins = spiral(best, rows, columns)
    assert film.max_torque_T() < 1e-10


def half_turn_about_x(spins):
    return spins[:, ::-1, :] * np.array([1, -1, -1])[:, None, None]


def quarter_turn_about_z(spins):
    x, y, z = np.rot90(spins, k=-1, axes=(1, 2))  # rows run along +y
    return np.stack([-y, x, z])


@pytest.mark.parametrize(
    ("turn", "theta_deg", "phi_deg"),
    [(half_turn_about_x, 140, 0), (quarter_turn_about_z, 40, 90)],
)
@pytest.mark.parametrize("periodic", [False, True])
def test_motion_has_the_symmetry_of_the_lattice(random_spins, turn, theta_deg, phi_deg, periodic):
    rows, columns = 9, 12
    start = random_spins(rows, columns)
    pulse = Pulse(width_ps=0.2, theta_deg=40, peak_ps=0.3)
    turned_pulse = pulse.model_copy(update={"theta_deg": theta_deg, "phi_deg": phi_deg})
    ends = []
    for spins, fired in [(start, pulse), (turn(start), turned_pulse)]:
        _, height, width = spins.shape
        film = Film(FilmParameters(rows=height, columns=width, periodic=periodic))
        film.spins = spins
        ends.append(run(film, 0.6, fired))
    np.testing.assert_allclose(ends[1], turn(ends[0]), atol=1e-11)
    assert np.abs(ends[0] - start).max() > 0.1


def test_a_periodic_film_does_not_know_where_it_begins(random_spins):
    start, shift = random_spins(8, 11), (3, 7)
    film = Film(FilmParameters(rows=8, columns=11, periodic=True))
    ends = []
    for spins in (start, np.roll(start, shift, axis=(1, 2))):
        film.spins = spins
        ends.append(run(film, 0.6, Pulse(width_ps=0.2, peak_ps=0.3)))
    np.testing.assert_allclose(ends[1], np.roll(ends[0], shift, axis=(1, 2)), atol=1e-11)


def test_an_open_film_knows_where_it_begins(random_spins):
    start = random_spins(8, 11)
    film = Film(FilmParameters(rows=8, columns=11))
    ends = []
    for spins in (start, np.roll(start, 3, axis=2)):
        film.spins = spins
        ends.append(run(film, 0.3))
    assert np.abs(ends[1] - np.roll(ends[0], 3, axis=2)).max() > 0.1
