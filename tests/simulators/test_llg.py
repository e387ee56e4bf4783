"""The equation of motion against closed forms, symmetries and its own energy."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.pulse import Pulse
from skyctl.simulators import llg
from skyctl.simulators.film import Film, FilmParameters

FREE = FilmParameters(
    rows=3, columns=3, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, damping=0, bias_T=(0, 0, 2)
)
"""Nine spins that do not see each other, in 2 T along z."""


def uniform(direction, rows=3, columns=3):
    return np.broadcast_to(np.reshape(direction, (3, 1, 1)), (3, rows, columns)).astype(float)


def run(film, time_ps, pulse=None, **options):
    return next(film.frames(pulse, [time_ps], **options))


def test_a_free_spin_precesses_with_the_larmor_period():
    film = Film(FREE)
    film.spins = uniform([1, 0, 0])
    period = 2 * np.pi / (llg.GAMMA_RAD_PER_PS_T * 2)
    quarter, whole = film.frames(None, [period / 4, period], max_step_ps=0.005)
    np.testing.assert_allclose(quarter, uniform([0, 1, 0]), atol=1e-5)
    np.testing.assert_allclose(whole, uniform([1, 0, 0]), atol=1e-5)


@pytest.mark.parametrize("damping", [0.04, 0.36, 2.0])
def test_a_damped_spin_falls_to_the_field_at_the_exact_rate(damping):
    film = Film(replace(FREE, damping=damping))
    film.spins = uniform([1, 0, 0.2])
    times = np.arange(1.0, 6.0)
    theta = [np.arccos(frame[2, 1, 1]) for frame in film.frames(None, times, max_step_ps=0.002)]
    rate, _ = np.polyfit(times, np.log(np.tan(np.array(theta) / 2)), 1)
    assert -rate == pytest.approx(llg.GAMMA_RAD_PER_PS_T * 2 * damping / (1 + damping**2), rel=1e-5)


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


@pytest.mark.parametrize("mode", [(1, 0), (-1, 0), (3, 0), (-3, 0), (0, 2), (5, -3)])
@pytest.mark.parametrize("along", ["x", "z"])
def test_spin_waves_have_the_lattice_dispersion(along, mode):
    """Along x, in the plane, the DMI makes waves to the right and to the left differ."""
    rows, columns, field_T = 12, 16, 3.0
    p = FilmParameters(
        rows=rows,
        columns=columns,
        anisotropy_meV=0.1 if along == "z" else 0.0,
        damping=0,
        periodic=True,
        bias_T=(field_T, 0, 0) if along == "x" else (0, 0, field_T),
    )
    kx, ky = 2 * np.pi * mode[0] / columns, 2 * np.pi * mode[1] / rows
    y, x = np.mgrid[:rows, :columns]
    wave = np.exp(1j * (kx * x + ky * y))
    small = 1e-3 * np.stack([np.ones_like(x), wave.real, wave.imag])
    small[0] = 1.0
    axes = [0, 1, 2] if along == "x" else [2, 0, 1]  # (magnetisation, its two transverse axes)
    film = Film(p)
    film.spins = small[np.argsort(axes)]
    time_ps = 0.02
    end = run(film, time_ps, max_step_ps=1e-4)[axes]
    amplitude = ((end[1] + 1j * end[2]) * wave.conj()).mean()
    mu = p.moment_meV_per_T
    expected = field_T + 2 * p.exchange_meV / mu * (2 - np.cos(kx) - np.cos(ky))
    if along == "x":
        expected -= 2 * p.dmi_meV / mu * np.sin(kx)
    else:
        expected += 2 * p.anisotropy_meV / mu
    omega = np.angle(amplitude) / time_ps
    assert omega == pytest.approx(llg.GAMMA_RAD_PER_PS_T * expected, rel=1e-4)


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


def test_a_twisted_spiral_relaxes_back_to_its_period():
    rows, columns, turns = 3, 24, 2
    p = FilmParameters(rows=rows, columns=columns, anisotropy_meV=0, periodic=True)
    p = replace(p, dmi_meV=p.exchange_meV * np.tan(2 * np.pi * turns / columns))
    film = Film(p)
    angle = np.linspace(0, 4 * np.pi, columns, endpoint=False)
    angle += 0.3 * np.sin(angle)
    line = np.stack([np.zeros(columns), np.cos(angle), np.sin(angle)])
    film.spins = np.repeat(line[:, None], rows, axis=1)
    assert film.relax(max_ps=1000, torque_T=1e-6) <= 1e-6
    step = np.einsum("cij,cij->ij", film.spins, np.roll(film.spins, -1, axis=2))
    np.testing.assert_allclose(np.arccos(step), np.arctan(p.dmi_meV / p.exchange_meV), atol=1e-6)


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
