"""States that the shipped generator draws: unit vectors, low energies, what was asked for."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.inference.session import shipped_model
from skyctl.inference.state_generator import SHIPPED_GENERATOR, StateGenerator, scaled_field
from skyctl.models.generator_data import AnnealPlan
from skyctl.simulators.lattice.film import FilmParameters, energies_meV
from skyctl.simulators.lattice.ground_states import random_field
from skyctl.simulators.lattice.monte_carlo import FilmArrays, downhill
from skyctl.simulators.lattice.places import apart, centres
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.topology import topological_charge

FILM = AnnealPlan().film(0.55, 96)
PAPER = replace(FILM, dmi_meV=0.3, bias_T=(0.0, 0.0, 0.05), rows=64, columns=128)


@pytest.fixture(scope="module")
def generator():
    return StateGenerator(shipped_model(SHIPPED_GENERATOR))


def energy(film, spins):
    return energies_meV(film, spins).mean() / (film.rows * film.columns)


@pytest.mark.parametrize("film", [FILM, PAPER])
def test_a_draw_is_near_a_minimum_where_a_random_field_is_far(generator, film):
    drawn = generator.draw(film, 4, relax=0)
    assert drawn.shape == (4, 3, film.rows, film.columns)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(1, abs=1e-12)
    arrays, rng = FilmArrays.of(film, None, None), np.random.default_rng(0)
    fields = np.stack([random_field(film, rng, k).spins for k in range(4)])
    relaxed = arrays.unpack(downhill(arrays, arrays.pack(fields, np.float64), 100, 1.9))
    # Without a step downhill below random fields after a hundred.
    assert energy(film, drawn) < energy(film, relaxed)


@pytest.mark.parametrize("film", [FILM, PAPER, replace(FILM, periodic=False)])
def test_it_draws_as_many_as_it_is_asked_for(generator, film):
    number = len(generator.places(film, 1)[0])
    for wanted in (number // 2, number):
        for state in generator.draw(film, 2, number=wanted):
            assert len(centres(state, film.periodic)) == wanted
            assert abs(topological_charge(state, film.periodic)) == pytest.approx(wanted, abs=1.5)


@pytest.mark.parametrize(
    "film",
    [
        replace(FILM, dmi_meV=-0.6),
        replace(FILM, dmi_meV=0.0, interfacial_dmi_meV=0.6),
        replace(FILM, dmi_meV=0.36, interfacial_dmi_meV=0.48),
        replace(FILM, bias_T=(0.0, 0.0, -FILM.bias_T[2])),
    ],
)
def test_the_symmetries_of_the_film_are_exact(generator, film):
    expected = energies_meV(FILM, generator.draw(FILM, 1, relax=0))
    assert energies_meV(film, generator.draw(film, 1, relax=0)) == pytest.approx(expected, rel=1e-9)


def test_places_given_by_hand_are_where_the_skyrmions_are(generator):
    places = np.array([[20.0, 30.0], [60.0, 50.0], [0.5, 80.0]])
    (state,) = generator.states_at(FILM, [places], relax=5)
    found = centres(state, periodic=True)
    assert len(found) == 3
    for place in places:
        away = (found - place + 48) % 96 - 48
        assert np.hypot(*away.T).min() < 1


def test_more_order_costs_less_energy_and_seeds_repeat(generator):
    by_order = [energy(FILM, generator.draw(FILM, 4, order=n, relax=50)) for n in (5, 50, 500)]
    assert by_order == sorted(by_order, reverse=True)
    one, again = (generator.draw(FILM, 1, seed=3, relax=0) for _ in range(2))
    assert (one == again).all()
    assert (one != generator.draw(FILM, 1, seed=4, relax=0)).any()


def test_a_hot_draw_has_the_energy_of_its_temperature(generator):
    hot = 0.1
    kelvin = hot * FILM.exchange_meV / llg.K_B_MEV_PER_K
    warm = energy(FILM, generator.draw(FILM, 2, temperature_K=kelvin))
    # Two directions of each spin, k_BT/2 each.
    assert warm - energy(FILM, generator.draw(FILM, 2)) == pytest.approx(hot, rel=0.1)


@pytest.mark.parametrize(
    ("change", "options", "complaint"),
    [
        ({"bias_T": (0.0, 0.0, 0.05)}, {}, r"the generator saw 0.45 to 0.7: give 0.162 to 0.252 T"),
        ({"bias_T": (0.1, 0.0, 0.2)}, {}, "tilted"),
        ({"anisotropy_meV": 0.1}, {}, "learned films without"),
        ({"dmi_meV": 0.0}, {}, "without exchange or DMI"),
        ({"rows": 20}, {}, "its helix's period is 11.6. Give 2 periods"),
        ({}, {"number": 1000}, "this film has room for 1 to"),
        ({}, {"number": 0}, "this film has room for 1 to"),
        ({}, {"temperature_K": -1.0}, "temperature of -1 K: give 0 to"),
        ({}, {"temperature_K": float("nan")}, "temperature of nan K"),
        ({}, {"temperature_K": 1e5}, "above which such states lose skyrmions"),
        ({}, {"relax": -1}, "-1 sweeps downhill"),
        ({}, {"order": -1}, "-1 steps of order"),
    ],
)
def test_what_it_does_not_know_is_refused_by_name(generator, change, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        generator.draw(replace(FILM, **change), 1, **options)


def test_a_film_depends_on_its_scaled_field_alone():
    assert scaled_field(PAPER) == pytest.approx(5 / 9)
    assert scaled_field(replace(FilmParameters(), bias_T=(0, 0, 0.0))) == 0


def test_points_are_pushed_apart_inside_the_film():
    for periodic in (True, False):
        rng = np.random.default_rng(0)
        points = apart(40, 60, 100, periodic, 200, rng)
        assert ((points >= 0) & (points <= (100, 60))).all()
        away = points[:, None] - points[None]
        if periodic:
            away -= np.array([100, 60]) * np.round(away / np.array([100, 60]))
        nearest = np.hypot(*np.moveaxis(away, -1, 0))
        assert nearest[nearest > 0].min() > 9  # of 13.2 in a triangular lattice
