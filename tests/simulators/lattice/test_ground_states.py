"""Ground states: known energies, how often they are found, and what a film may begin with."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.simulators.lattice.begin import begin
from skyctl.simulators.lattice.film import Film, FilmParameters, energies_meV
from skyctl.simulators.lattice.ground_states import (
    annealed,
    fitting,
    ground_state,
    helix_period,
    texture,
)
from skyctl.simulators.lattice.states import save_state
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.topology import topological_charge

SIDE = 32
FILM = FilmParameters(
    rows=SIDE,
    columns=SIDE,
    exchange_meV=1.0,
    dmi_meV=0.6,
    anisotropy_meV=0.0,
    bias_T=(0, 0, 0.2 / (0.6 * llg.MU_B_MEV_PER_T)),
    periodic=True,
)
HELIX = 2 * np.pi / np.arctan(0.6)


def test_the_lattice_of_six_skyrmions_is_found_from_lattices_and_from_random_fields():
    found = ground_state(FILM, random_fields=8, anneals=0)
    assert found.energy_meV / SIDE**2 == pytest.approx(-2.22330918, abs=1e-8)
    assert found.charge == pytest.approx(-6, abs=1e-9)
    assert found.energy_meV == pytest.approx(float(energies_meV(FILM, found.spins)), rel=1e-14)
    assert found.found["lattice"][0] >= 1
    assert found.found["random field"][0] >= 1
    assert found.found["uniform"] == (0, 2)
    # Five skyrmions or seven, as here, are the next.
    assert {round(charge) for _, charge, _ in found.others[:2]} == {-5, -7}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "dmi", "field", "energy", "number"),
    [
        (64, 0.6, 0.2, -2.224451809, 23),
        (64, 0.3, 0.05, -2.057316335, 8),
        (128, 0.3, 0.05, -2.057484296, 30),
    ],
)
def test_known_lattices(side, dmi, field, energy, number):
    bias = (0, 0, field / (0.6 * llg.MU_B_MEV_PER_T))
    film = replace(FILM, rows=side, columns=side, dmi_meV=dmi, bias_T=bias)
    found = ground_state(film, random_fields=0, anneals=0)
    assert found.energy_meV / side**2 == pytest.approx(energy, abs=1e-8)
    assert found.charge == pytest.approx(-number, abs=1e-9)


@pytest.mark.parametrize("kind", ["dmi_meV", "interfacial_dmi_meV"])
def test_a_helix_has_the_hand_and_the_period_of_its_dmi(kind):
    film = replace(FILM, dmi_meV=0.0, bias_T=(0.0, 0.0, 0.0), rows=4, columns=48)
    film = replace(film, **{kind: 0.6})
    assert helix_period(film) == pytest.approx(HELIX)
    energies = [
        float(energies_meV(film, texture(film, [2 * np.pi * np.array([m, 0]) / 48], 0.0)))
        for m in (-4, 4, 3)
    ]
    assert energies[0] == pytest.approx(energies[1])
    # per site: -J cos q - D |sin q| along the wave vector, -J across it
    q = 2 * np.pi * 4 / 48
    exact = -(np.cos(q) + 0.6 * np.sin(q)) - 1
    assert energies[1] / film.rows / film.columns == pytest.approx(exact, rel=1e-12)
    assert energies[1] < energies[2]


def test_only_what_fits_a_periodic_film_is_tried():
    assert fitting(replace(FILM, periodic=False)) == []
    assert fitting(replace(FILM, dmi_meV=0.0)) == []
    for start in fitting(FILM):
        np.testing.assert_allclose(np.linalg.norm(start.spins, axis=0), 1, rtol=1e-12)


def test_a_hole_stays_empty():
    sites = np.ones((16, 16), bool)
    sites[6:9, 6:9] = False
    film = replace(FILM, rows=16, columns=16, periodic=False)
    found = ground_state(film, random_fields=2, anneals=2, sites=sites)
    assert (found.spins[:, ~sites] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.spins, axis=0)[sites], 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"exchange_meV": 0.0}, "exchange_meV = 0"),
        ({"rows": 4}, "half of its helix's period of 11.6 sites"),
    ],
)
def test_films_without_an_answer_are_refused(change, fault):
    with pytest.raises(ValueError, match=fault):
        ground_state(replace(FILM, **change))
    with pytest.raises(ValueError, match="even sides"):
        annealed(replace(FILM, rows=15, columns=15))


def test_a_film_begins_with_what_it_is_told(tmp_path):
    film = Film(replace(FILM, rows=24, columns=24, periodic=False))
    begin(film, "empty")
    assert topological_charge(film.spins) == 0
    begin(film, "annealed", seed=1)
    many = film.spins
    assert np.ptp(many[2]) > 1  # reversed here, not there
    save_state(film, tmp_path / "many.ovf")
    save_state(film, tmp_path / "many.h5")
    for name in ("many.ovf", "many.h5"):
        begin(film, "empty")
        begin(film, str(tmp_path / name))
        np.testing.assert_allclose(film.spins, many, atol=1e-15)
    begin(film, "ground-state")
    assert film.energy_meV() <= float(energies_meV(film.parameters, many)) + 1e-6
    with pytest.raises(ValueError, match="start 'full': give one of empty, skyrmion"):
        begin(film, "full")
    with pytest.raises(FileNotFoundError):
        begin(film, str(tmp_path / "none.ovf"))
