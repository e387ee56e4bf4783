"""Terms that the plain film has not: an interface's DMI, an easy axis of any direction."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.topology import film_truth

NEEL = FilmParameters(
    rows=7, columns=13, damping=0.2, bias_T=(0.3, -0.5, 0.7), dmi_meV=0.0, interfacial_dmi_meV=0.24
)
EVERYTHING = replace(NEEL, dmi_meV=0.17, easy_axis=(1.0, -2.0, 0.5))


def quarter_turn(spins):
    """Spins turned by +90° about z, where they are."""
    return np.stack([-spins[1], spins[0], spins[2]])


@pytest.mark.parametrize("periodic", [False, True])
def test_the_field_is_minus_the_energy_gradient(random_spins, periodic):
    sites = np.random.default_rng(3).uniform(0.5, 2, (7, 13))
    there = np.ones((7, 13), bool)
    there[3, 5] = there[0, 0] = False
    film = Film(replace(EVERYTHING, periodic=periodic), anisotropy_map=sites, sites=there)
    start = random_spins(7, 13)
    film.spins = start
    field = film.field_T()

    def energy(angle, axis, row, column):
        s = start[:, row, column]
        turned = start.copy()
        turned[:, row, column] = np.cos(angle) * s + np.sin(angle) * np.cross(axis, s)
        film.spins = turned
        return film.energy_meV()

    for row, column in [(0, 1), (0, 6), (6, 12), (3, 4), (3, 12), (2, 5)]:
        s = start[:, row, column]
        for seed in np.eye(3):
            axis = np.cross(s, seed) / np.linalg.norm(np.cross(s, seed))
            slope = (energy(1e-5, axis, row, column) - energy(-1e-5, axis, row, column)) / 2e-5
            expected = -film.parameters.moment_meV_per_T * field[:, row, column].dot(
                np.cross(axis, s)
            )
            assert slope == pytest.approx(expected, abs=1e-6)


def test_the_energy_of_a_bond_is_d_times_its_turn():
    """Two spins a quarter turn apart in the plane of the bond and z: ±D', and nothing of D."""
    p = FilmParameters(
        rows=1, columns=2, exchange_meV=0, anisotropy_meV=0, dmi_meV=0.3, interfacial_dmi_meV=0.2
    )
    film = Film(p)
    film.spins = np.array([[[0, 1]], [[0, 0]], [[1, 0]]])  # z, then x: S1 × S2 = y
    # (r̂ × ẑ) = x × z = -y
    assert film.energy_meV() == pytest.approx(0.2, abs=1e-14)
    film.spins = np.array([[[0, 0]], [[0, 1]], [[1, 0]]])  # z, then y: S1 × S2 = -x
    assert film.energy_meV() == pytest.approx(0.3, abs=1e-14)


@pytest.mark.parametrize("integrator", ["heun", "midpoint", "depondt", "rk4"])
@pytest.mark.parametrize("periodic", [False, True])
def test_a_neel_film_is_the_bulk_one_with_spins_turned_by_90_degrees(
    random_spins, integrator, periodic
):
    neel = replace(NEEL, periodic=periodic)
    bx, by, bz = neel.bias_T
    bulk = replace(neel, dmi_meV=0.24, interfacial_dmi_meV=0.0, bias_T=(-by, bx, bz))
    films = [Film(p, integrator=integrator) for p in (neel, bulk)]
    films[0].spins = random_spins(7, 13)
    films[1].spins = quarter_turn(films[0].spins)
    pulse = Pulse(amplitude_T=3, width_ps=0.5, peak_ps=0.5, phi_deg=20)
    for film, phi in zip(films, (20.0, 110.0), strict=True):
        film.advance(1.0, pulse.model_copy(update={"phi_deg": phi}))
    np.testing.assert_allclose(quarter_turn(films[0].spins), films[1].spins, atol=5e-14)


@pytest.mark.parametrize("integrator", ["heun", "midpoint", "depondt"])
def test_the_kernels_move_a_spin_by_the_field_that_the_film_says(random_spins, integrator):
    film = Film(EVERYTHING, integrator=integrator)
    film.spins = random_spins(7, 13)
    spins, field, c = film.spins, film.field_T(), film.coefficients()
    cross = np.cross(spins, field, axis=0)
    rate = -c.rate * (cross + c.damping * np.cross(spins, cross, axis=0))
    film.advance(1e-6)
    np.testing.assert_allclose((film.spins - spins) / 1e-6, rate, atol=2e-4 * np.abs(rate).max())


def test_a_turned_frame_moves_as_the_film_that_was_turned_with_it(random_spins):
    """Exchange and anisotropy alone know no direction: turned axis, turned spins, same motion."""
    axis = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1, -2, 0.5])
    p = replace(NEEL, interfacial_dmi_meV=0.0, bias_T=(0.0, 0.0, 0.0), damping=0.3)
    third = np.array([axis[1], -axis[0], 0.0]) / np.hypot(axis[0], axis[1])
    turn = np.stack([np.cross(third, axis), third, axis], axis=1)  # z goes to the axis
    assert np.linalg.det(turn) == pytest.approx(1)
    upright, tilted = Film(p), Film(replace(p, easy_axis=tuple(axis)))
    upright.spins = random_spins(7, 13)
    tilted.spins = np.einsum("ij,jrc->irc", turn, upright.spins)
    for film in (upright, tilted):
        film.advance(1.0)
    turned = np.einsum("ij,jrc->irc", turn, upright.spins)
    np.testing.assert_allclose(tilted.spins, turned, atol=1e-12)


def test_a_free_spin_falls_into_its_tilted_axis():
    axis = np.array([3.0, 1.0, 2.0]) / np.linalg.norm([3, 1, 2])
    p = FilmParameters(rows=1, columns=1, damping=0.5, easy_axis=(3, 1, 2))
    assert p.easy_axis == pytest.approx(axis)
    film = Film(p)
    film.spins = np.array([1.0, 0.0, 0.0])[:, None, None]
    assert film.energy_meV() == pytest.approx(-p.anisotropy_meV * axis[0] ** 2)
    film.relax(torque_T=1e-6)
    np.testing.assert_allclose(film.spins[:, 0, 0], axis, atol=1e-6)


def test_the_skyrmion_of_an_interface_is_of_neels_kind():
    for sense in (1, -1):
        p = FilmParameters(rows=40, columns=40, dmi_meV=0, interfacial_dmi_meV=0.24 * sense)
        film = Film(p)
        film.set_skyrmion()
        assert film_truth(film.spins) == ("one", -1)
        x, y, z = film.spins
        row, column = np.indices(z.shape) - 19.5
        ring = np.abs(z) < 0.8
        ring &= np.hypot(row, column) < 12  # not the canted edge
        radial = (x * column + y * row)[ring] / np.hypot(row, column)[ring]
        around = (y * column - x * row)[ring] / np.hypot(row, column)[ring]
        assert np.abs(around).max() < 0.05
        assert (np.sign(radial) == np.sign(radial[0])).all()
        assert np.sign(radial[0]) == -sense  # D' > 0: inward, from a core that points up


def wave_frequencies(k, **dmi):
    """Of a magnet along x magnetised along its own length and across it, rad/ps; k per site."""
    p = FilmParameters(
        rows=2, columns=32, damping=0, periodic=True, anisotropy_meV=0, dmi_meV=0, **dmi
    )
    mode = round(k * 32 / (2 * np.pi))
    # An interface's DMI shows in a film that lies in its plane across the wave: along y.
    film = Film(replace(p, bias_T=(0.0, 40.0, 0.0)), integrator="rk4")
    phase = 2 * np.pi * mode * np.arange(32) / 32
    amplitude = 1e-4
    spins = np.zeros((3, 2, 32))
    spins[1] = 1
    spins[0], spins[2] = amplitude * np.sin(phase), amplitude * np.cos(phase)
    film.spins = spins
    times = np.linspace(0, 0.6, 61)
    wave = [
        ((now[2] + 1j * now[0])[0] * np.exp(-1j * phase)).mean() for now in film.frames(None, times)
    ]
    return float(np.polyfit(times, np.unwrap(np.angle(wave)), 1)[0])


def test_spin_waves_of_an_interface_go_faster_one_way_than_the_other():
    """ω(k) - ω(-k) = ±4 (γ/μ) D' sin k (J.-H. Moon et al., Phys. Rev. B 88, 184404 (2013))."""
    from skyctl.simulators.physics import llg

    k, D = 2 * np.pi * 5 / 32, 0.3
    for interfacial in (D, -D):
        there, back = (
            wave_frequencies(sign * k, interfacial_dmi_meV=interfacial) for sign in (1, -1)
        )
        moment = FilmParameters().moment_meV_per_T
        expected = 4 * llg.GAMMA_RAD_PER_PS_T * interfacial / moment * np.sin(k)
        assert abs(there - back) == pytest.approx(abs(expected), rel=1e-4)
    symmetric = [wave_frequencies(sign * k) for sign in (1, -1)]
    assert symmetric[0] == pytest.approx(symmetric[1], rel=1e-6)


@pytest.mark.parametrize("fault", [(0, 0, 0), (0, 1), (np.nan, 0, 1)])
def test_an_axis_that_is_none_is_refused(fault):
    with pytest.raises(ValueError, match="easy_axis"):
        FilmParameters(easy_axis=fault)
