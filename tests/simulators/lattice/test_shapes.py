"""Films of other shapes: which sites there are, and that those are all that counts."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.errors import FormatError
from skyctl.pulse import Pulse
from skyctl.simulators.lattice import shapes
from skyctl.simulators.lattice.files import load_film
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.states import read_state, save_state, sites_or_none
from skyctl.simulators.physics.topology import film_truth


@pytest.mark.parametrize("integrator", ["heun", "midpoint", "depondt", "rk4"])
def test_a_film_cut_out_of_a_larger_one_moves_as_one_of_its_own(integrator, random_spins):
    small = FilmParameters(rows=7, columns=13, damping=0.2, bias_T=(0.3, -0.5, 0.7))
    sites = np.zeros((12, 20), bool)
    sites[3:10, 4:17] = True
    own, cut = Film(small, integrator=integrator), Film(
        replace(small, rows=12, columns=20), integrator=integrator, sites=sites
    )  # fmt: skip
    own.spins = random_spins(7, 13)
    inside = random_spins(12, 20)
    inside[:, 3:10, 4:17] = own.spins
    cut.spins = inside
    assert cut.energy_meV() == pytest.approx(own.energy_meV(), abs=1e-12)
    assert cut.charge() == pytest.approx(own.charge(), abs=1e-12)
    for film in (own, cut):
        film.advance(1.0, Pulse(width_ps=2, peak_ps=1))
    np.testing.assert_allclose(cut.spins[:, 3:10, 4:17], own.spins, atol=1e-13)
    assert not cut.spins[:, ~sites].any()


def test_the_rim_of_a_disc_is_tilted_by_the_dmi():
    """With D/J the canting at an edge is that of the film's own edge, outward or inward alike."""
    p = FilmParameters(rows=41, columns=41)
    film = Film(p, sites=shapes.disc(41, 41, 18.5))
    film.relax()
    edge = Film(p)
    edge.relax()
    assert abs(film.spins[0, 20, 20]) < 0.02
    # At the rim's right end the bulk DMI turns a spin about the normal, x: into y.
    assert film.spins[1, 20, 38] == pytest.approx(edge.spins[1, 20, 40], abs=0.05)
    assert abs(film.spins[1, 20, 38]) > 0.15


def test_a_skyrmion_in_a_disc_is_one_and_is_saved_with_its_sites(tmp_path):
    film = Film(FilmParameters(rows=50, columns=46, lattice_nm=0.5), sites=shapes.disc(50, 46, 22))
    film.set_skyrmion()
    assert film_truth(film.spins) == ("one", -1)
    for name in ("film.h5", "film.ovf"):
        save_state(film, tmp_path / name)
    whole, state = load_film(tmp_path / "film.h5"), read_state(tmp_path / "film.ovf")
    np.testing.assert_array_equal(whole.sites, film.sites)
    np.testing.assert_array_equal(sites_or_none(state), film.sites)
    np.testing.assert_array_equal(whole.spins, film.spins)
    assert state.lattice_nm == 0.5
    np.testing.assert_allclose(state.spins, film.spins, atol=1e-15)


def test_a_domain_at_the_rim_of_a_disc_is_no_skyrmion_and_a_vacancy_makes_no_hole():
    film = Film(FilmParameters(rows=50, columns=50), sites=shapes.disc(50, 50, 22))
    film.set_skyrmion()
    spins = film.spins
    core = tuple(np.argwhere(spins[2] > 0.9)[0])
    with_vacancy = spins.copy()
    with_vacancy[:, core[0], core[1]] = 0
    assert film_truth(with_vacancy) == ("one", -1)
    at_the_rim = np.roll(spins, 20, axis=2) * film.sites
    assert film_truth(at_the_rim)[0] == "other"


@pytest.mark.parametrize(
    ("sites", "fault"),
    [
        (np.ones((3, 4)), "shape"),
        (np.zeros((3, 5)), "none is left"),
        ([[1, 1, 0, 1, 1]] * 3, "2 pieces that do not touch, of 6 and 6"),
        ([[1, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1]], "of 8 and 1"),
    ],
)
def test_sites_that_are_no_film_are_refused(sites, fault):
    with pytest.raises(ValueError, match=fault):
        Film(FilmParameters(rows=3, columns=5), sites=sites)


def test_pieces_that_meet_across_a_periodic_edge_are_one():
    halves = np.array([[1, 1, 0, 1, 1]] * 3)
    assert shapes.checked_sites(halves, 3, 5, periodic=True).sum() == 12
    with pytest.raises(ValueError, match="3 pieces"):
        shapes.checked_sites([[1, 1, 0, 1, 0, 1, 0]] * 3, 3, 7, periodic=True)


def test_shapes_are_read_from_words_and_files(tmp_path):
    from PIL import Image

    picture = np.zeros((6, 8), np.uint8)
    picture[4:, :5] = 255  # low in the picture: low in y
    Image.fromarray(picture).save(tmp_path / "shape.png")
    np.save(tmp_path / "shape.npy", picture[::-1])
    for name in ("shape.png", "shape.npy"):
        sites = shapes.sites_of(str(tmp_path / name), 6, 8)
        assert sites[:2, :5].all()
        assert sites.sum() == 10
    assert shapes.sites_of("disc:3", 9, 9)[4].sum() == 7
    assert shapes.sites_of("ring:4,2", 9, 9)[4].tolist() == [1, 1, 1, 0, 0, 0, 1, 1, 1]
    assert shapes.sites_of("hole:1", 9, 9).sum() == 81 - 5
    assert 70 < shapes.sites_of("vacancies:10,3", 9, 9).sum() < 81
    (tmp_path / "bad.ovf").write_text("no")
    for text, fault in (
        ("disc", "disc:RADIUS"), ("disc:-1", "disc:RADIUS"), ("ring:1", "RADIUS,INNER"),
        ("triangle:3", "give disc"), (str(tmp_path / "x.png"), "no such file"),
        (str(tmp_path / "bad.ovf"), "no OVF"), ("ring:1,3", "none is left"),
    ):  # fmt: skip
        with pytest.raises((ValueError, FormatError), match=fault):
            shapes.sites_of(text, 9, 9)
