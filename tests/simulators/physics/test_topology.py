import numpy as np
import pytest

from skyctl.simulators.lattice.film import Film, FilmParameters, analytic_skyrmion
from skyctl.simulators.physics.topology import film_truth, process_label, topological_charge


def uniform(sign):
    return np.stack([np.zeros((60, 60)), np.zeros((60, 60)), np.full((60, 60), float(sign))])


def skyrmion(background):
    return analytic_skyrmion(60, 60, 6, background)


def two_skyrmions(background):
    return np.concatenate([skyrmion(background)] * 2, axis=2)


def edge_twisted(background):
    """One skyrmion in a film whose edge is canted, so that Q is not whole."""
    spins = skyrmion(background)
    rim = np.ones((60, 60), bool)
    rim[1:-1, 1:-1] = False
    y, x = np.mgrid[:60, :60] - 29.5
    angle = np.arctan2(y, x) + np.pi / 2
    canted = np.stack([0.3 * np.cos(angle), 0.3 * np.sin(angle), np.full((60, 60), background)])
    return np.where(rim, canted / np.linalg.norm(canted, axis=0), spins)


@pytest.mark.parametrize("background", [-1, 1])
@pytest.mark.parametrize("dmi", [-1, 1])
@pytest.mark.parametrize("radius", [3, 6, 14])
def test_an_analytic_skyrmion_has_charge_one(background, dmi, radius):
    charge = topological_charge(analytic_skyrmion(60, 70, radius, background, dmi))
    assert charge == pytest.approx(-background, abs=1e-9)


def test_charges_add():
    assert topological_charge(two_skyrmions(-1)) == pytest.approx(2, abs=1e-9)
    assert topological_charge(uniform(1)) == 0


def test_charge_changes_sign_in_a_mirror_and_with_the_spins_but_not_by_turning():
    spins = edge_twisted(-1)
    charge = topological_charge(spins)
    assert 0.8 < charge < 0.999
    assert topological_charge(-spins) == pytest.approx(-charge)
    assert topological_charge(spins[:, :, ::-1]) == pytest.approx(-charge, abs=1e-3)
    assert topological_charge(np.rot90(spins, axes=(1, 2))) == pytest.approx(charge, abs=1e-3)
    turned = spins[[1, 2, 0]]  # a proper rotation of all spins
    assert topological_charge(turned) == pytest.approx(charge)


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        (skyrmion(-1), skyrmion(-1), "breathing"),
        (skyrmion(-1), edge_twisted(-1), "breathing"),
        (skyrmion(1), skyrmion(1), "breathing"),
        (skyrmion(-1), skyrmion(1), "switching"),
        (edge_twisted(1), skyrmion(-1), "switching"),
        (skyrmion(-1), uniform(-1), "collapse"),
        (skyrmion(-1), uniform(1), "collapse"),
        (uniform(-1), skyrmion(-1), "nucleation"),
        (uniform(-1), skyrmion(1), "nucleation"),
        (uniform(-1), uniform(-1), "nothing"),
        (uniform(-1), two_skyrmions(-1), "mixed"),
        (skyrmion(-1), two_skyrmions(-1), "mixed"),
        (two_skyrmions(-1), two_skyrmions(-1), "mixed"),
        (two_skyrmions(-1), skyrmion(-1), "mixed"),
        (skyrmion(-1), skyrmion(1)[:, :, ::-1], "mixed"),
        (skyrmion(-1), skyrmion(-1)[:, :, ::-1], "mixed"),
        (skyrmion(-1), uniform(-1)[[2, 0, 1]], "mixed"),
        (uniform(-1)[[2, 0, 1]], skyrmion(-1), "mixed"),
    ],
)
def test_a_process_is_named_by_its_ends(before, after, label):
    assert process_label(before, after) == label


def with_sz(sz):
    """Spins with this S_z, canted along x where it is not whole."""
    return np.stack([np.sqrt(1 - sz**2), np.zeros_like(sz), sz])


@pytest.mark.parametrize("background", [-1, 1])
def test_truth_of_films_of_known_content(background):
    assert film_truth(uniform(background)) == ("empty", background)
    assert film_truth(skyrmion(background)) == ("one", background)
    assert film_truth(edge_twisted(background)) == ("one", background)
    assert film_truth(two_skyrmions(background)) == ("other", background)


@pytest.mark.parametrize("sides", [(30, 30), (100, 100), (60, 90)])
@pytest.mark.parametrize("background", [-1, 1])
def test_truth_of_relaxed_films(sides, background):
    film = Film(FilmParameters(*sides), precision="f4")
    film.set_uniform(background)
    film.relax()
    assert film_truth(film.spins) == ("empty", background)
    film.set_skyrmion(background)
    assert film_truth(film.spins) == ("one", background)


def test_a_skyrmion_with_a_domain_beside_it_is_other():
    spins = skyrmion(-1)
    spins[:, :5, :5] = with_sz(np.ones((5, 5)))
    assert film_truth(spins) == ("other", -1)


def test_a_reversed_edge_without_charge_is_other():
    sz = -np.ones((40, 40))
    sz[:, :4] = 1
    assert film_truth(with_sz(sz)) == ("other", -1)


def test_a_ring_is_other_whatever_its_charge():
    spins = skyrmion(-1)
    spins[:, 28:32, 28:32] = with_sz(-np.ones((4, 4)))
    assert film_truth(spins) == ("other", -1)


def test_half_and_half_is_other():
    sz = -np.ones((40, 40))
    sz[:, :20] = 1
    assert film_truth(with_sz(sz))[0] == "other"
