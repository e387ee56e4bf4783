"""Paths of least energy: barriers in closed form, and a skyrmion's collapse."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.simulators.lattice.elastic_band import between, least_energy_path
from skyctl.simulators.lattice.film import Film, FilmParameters, effective_field_T
from skyctl.simulators.physics.topology import topological_charge

AXIAL = FilmParameters(rows=1, columns=1, exchange_meV=0.0, dmi_meV=0.0, anisotropy_meV=1.0)
MOMENT = AXIAL.moment_meV_per_T
UP = np.array([0.0, 0.0, 1.0])[:, None, None]


def test_a_spin_with_an_easy_axis_turns_over_in_the_field_s_direction():
    """K (1 - b/2K)², b = μB across the axis."""
    b = 0.6
    film = replace(AXIAL, bias_T=(b / AXIAL.moment_meV_per_T, 0.0, 0.0))
    tilt = np.arcsin(b / 2)
    ends = [np.array([np.sin(tilt), 0.0, s * np.cos(tilt)])[:, None, None] for s in (1, -1)]
    crooked = between(*ends, np.linspace(0, 1, 15))
    crooked[1:-1] += 0.05 * np.random.default_rng(0).standard_normal((13, 3, 1, 1))
    crooked /= np.linalg.norm(crooked, axis=1, keepdims=True)
    path = least_energy_path(film, *ends, through=crooked)
    assert path.barrier_meV == pytest.approx((1 - b / 2) ** 2, rel=1e-5)
    np.testing.assert_allclose(path.spins[path.saddle].ravel(), [1, 0, 0], atol=1e-3)
    assert np.ptp(np.diff(path.distances)) < 0.3 * path.distances[-1] / 14


def test_spins_that_are_held_together_turn_over_together():
    film = replace(AXIAL, rows=3, columns=4, exchange_meV=5.0)
    up = np.broadcast_to(UP, (3, 3, 4))
    path = least_energy_path(film, up, -up, images=9)
    assert path.barrier_meV == pytest.approx(12.0, rel=1e-9)
    np.testing.assert_array_equal(path.spins[0], up)
    np.testing.assert_array_equal(path.spins[-1], -up)


def test_a_skyrmion_collapses_over_a_saddle_from_which_both_ends_are_reached():
    small = FilmParameters(
        rows=14, columns=14, exchange_meV=1.0, dmi_meV=0.6, bias_T=(0, 0, 0.3 / MOMENT)
    )
    film = Film(small)
    film.set_skyrmion(background=1)
    skyrmion = film.spins
    film.set_uniform(1)
    film.relax()
    path = least_energy_path(film.parameters, skyrmion, film.spins, tolerance_T=0.05)
    saddle = path.spins[path.saddle]
    torque = np.cross(saddle, effective_field_T(film.parameters, saddle), axis=0)
    assert np.linalg.norm(torque, axis=0).max() < 0.05
    assert path.barrier_meV > 0.05
    charges = []
    for image in (path.saddle - 2, path.saddle + 2):
        film.spins = path.spins[image]
        film.relax()
        charges.append(abs(topological_charge(film.spins)))
    assert charges[0] > 0.5 > 0.2 > charges[1]


def test_what_is_no_path_is_refused():
    with pytest.raises(ValueError, match="are the same"):
        least_energy_path(AXIAL, UP, UP)
    with pytest.raises(ValueError, match=r"needs \(3, 1, 1\)"):
        least_energy_path(AXIAL, UP, np.ones((3, 2, 2)))
    with pytest.raises(ValueError, match="images = 2"):
        least_energy_path(AXIAL, UP, -UP, images=2)
    with pytest.raises(RuntimeError, match="still pulled by"):
        least_energy_path(
            replace(AXIAL, rows=1, columns=2, exchange_meV=1.0),
            np.repeat(UP, 2, 2),
            np.repeat(-UP, 2, 2) * [[[1, -1]]],
            most_steps=2,
        )
