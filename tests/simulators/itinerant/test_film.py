"""The itinerant film under fields that are simple enough to know what must happen."""

import numpy as np
import pytest

from skyctl.pulse import Pulse, Spot
from skyctl.simulators.itinerant.electrons import (
    FOUR_TWISTS,
    Electrons,
    equilibrium,
    helix,
    lattice_charge,
    perpendicular,
)
from skyctl.simulators.itinerant.film import (
    ItinerantFilmParameters,
    TorqueFilm,
    exact_field,
)
from skyctl.simulators.physics import llg

SMALL = {"rows": 12, "columns": 12}


def no_field(spins):
    return np.zeros_like(spins)


def towards_x(spins):
    field = np.zeros_like(spins)
    field[0] = 0.05
    return field


def tilted(film, angle=0.5):
    p = film.parameters
    s = np.array([np.sin(angle), 0, np.cos(angle)])
    film.spins = np.broadcast_to(s[:, None, None], (3, p.rows, p.columns))


def test_a_film_without_electrons_precesses_at_larmors_frequency():
    film = TorqueFilm(no_field, ItinerantFilmParameters(**SMALL, damping=0, bias_T=(0, 0, 2.0)))
    tilted(film)
    time_ps = 1.0
    film.advance(time_ps)
    x, y, z = film.spins[:, 3, 4]
    angle = llg.GAMMA_RAD_PER_PS_T * 2.0 * time_ps
    assert np.arctan2(y, x) == pytest.approx(angle, rel=1e-3)
    assert z == pytest.approx(np.cos(0.5), abs=1e-12)


def test_units_of_field_and_time_belong_together():
    p = ItinerantFilmParameters(hopping_meV=20, moment_muB=2)
    assert p.field_unit_T * p.moment_muB * llg.MU_B_MEV_PER_T == pytest.approx(20)
    assert llg.GAMMA_RAD_PER_PS_T * p.field_unit_T * p.t0_ps == pytest.approx(1)
    assert ItinerantFilmParameters().bias_T[2] == pytest.approx(
        0.005 * ItinerantFilmParameters().field_unit_T, rel=1e-3
    )


def test_a_pulse_on_a_spot_acts_there_and_across_the_periodic_edge():
    film = TorqueFilm(no_field, ItinerantFilmParameters(rows=12, columns=24, bias_T=(0, 0, 0)))
    pulse = Pulse(
        amplitude_T=3, width_ps=1, theta_deg=90, peak_ps=2, spot=Spot(x=0, y=0, sigma=1.5)
    )
    (spins,) = film.frames(pulse, [5.0])
    turned = np.degrees(np.arccos(spins[2]))
    assert turned[0, 0] > 30
    assert turned[6, 12] < 1e-3
    assert turned[0, 1] == pytest.approx(turned[0, 23])
    # Neighbours at (1, 0) and (1, -1) are as far as those at (0, 1).
    assert turned[1, 0] == pytest.approx(turned[0, 1])
    assert turned[1, 23] == pytest.approx(turned[0, 1])
    assert turned[1, 1] < turned[0, 1]


def test_frames_are_the_same_however_they_are_cut():
    def spins(times):
        film = TorqueFilm(towards_x, ItinerantFilmParameters(**SMALL, temperature_K=5), seed=3)
        return list(film.frames(None, times, max_step_ps=0.01))[-1]

    np.testing.assert_array_equal(spins([0.5]), spins([0.25, 0.5]))
    with pytest.raises(ValueError, match="ascend"):
        next(TorqueFilm(no_field).frames(None, [1.0, 0.5]))


def test_noise_has_boltzmanns_statistics():
    p = ItinerantFilmParameters(
        rows=24, columns=24, damping=0.5, bias_T=(0, 0, 10.0), temperature_K=20.0
    )
    film = TorqueFilm(no_field, p, seed=1)
    film.advance(10.0)
    seen = []
    for _ in range(20):
        film.advance(0.5)
        seen.append(film.spins[2].mean())
    x = p.moment_muB * llg.MU_B_MEV_PER_T * 10 / (llg.K_B_MEV_PER_K * 20)
    assert np.mean(seen) == pytest.approx(1 / np.tanh(x) - 1 / x, abs=0.03)


def test_a_film_relaxes_along_its_field():
    film = TorqueFilm(towards_x, ItinerantFilmParameters(**SMALL, bias_T=(0, 0, 0)))
    assert film.max_torque_T() == pytest.approx(0.05 * film.parameters.field_unit_T)
    assert film.relax(100.0, 1e-3) <= 1e-3
    np.testing.assert_allclose(film.spins[0], 1, atol=1e-6)


def test_the_exact_field_is_that_of_the_electrons():
    electrons = Electrons(temperature=0.1)
    spins = helix(12, 12)
    field = equilibrium(electrons, spins, FOUR_TWISTS).field
    np.testing.assert_array_equal(exact_field(electrons)(spins), perpendicular(spins, field))


def test_films_start_uniform_or_as_a_skyrmion_lattice():
    film = TorqueFilm(no_field, ItinerantFilmParameters(rows=24, columns=24))
    assert film.charge() == pytest.approx(0)
    film.set_skyrmion_lattice()
    assert abs(film.charge()) == pytest.approx(12)
    assert film.charge() == lattice_charge(film.spins)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 3}, "5 or more"),
        ({"moment_muB": 0}, "above 0"),
        ({"damping": -1}, "0 or more"),
        ({"bias_T": (0, 0)}, "three finite numbers"),
        ({"temperature_K": np.inf}, "finite"),
    ],
)
def test_impossible_films_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ItinerantFilmParameters(**change)


def test_bad_values_are_refused():
    film = TorqueFilm(no_field, ItinerantFilmParameters(**SMALL))
    with pytest.raises(ValueError, match="this film needs"):
        film.spins = np.zeros((3, 4, 4))
    with pytest.raises(ValueError, match="not normalised"):
        film.spins = np.ones((3, 12, 12))
    with pytest.raises(ValueError, match="span_ps"):
        film.advance(-1)
    with pytest.raises(ValueError, match="max_step_ps"):
        film.advance(1, max_step_ps=0)
    with pytest.raises(ValueError, match="seed"):
        TorqueFilm(no_field, seed=-1)
    with pytest.raises(ValueError, match="12 divides"):
        TorqueFilm(no_field, ItinerantFilmParameters(rows=20, columns=24)).set_skyrmion_lattice()
