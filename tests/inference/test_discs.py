"""What the camera sees of a film: discs, told from domains and noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyctl.inference.discs import film_state, smallest_disc
from skyctl.simulators.film import Film, FilmParameters
from skyctl.simulators.imaging import Imaging


@pytest.fixture(params=[-1.0, 1.0], ids=["down", "up"])
def sign(request):
    return request.param


def seen(sz):
    state = film_state(sz)
    return state.discs, state.domains


def test_an_empty_film_is_empty(film, sign):
    state = film_state(film(background=sign))
    assert state.is_empty
    assert not state.has_one_skyrmion
    assert (state.background, state.reversed_sites) == (sign, 0)


def test_one_disc_is_one_skyrmion(film, disc, sign):
    state = film_state(film(disc(40, 60, 4), background=sign))
    assert state.has_one_skyrmion
    assert not state.is_empty
    assert (state.background, state.reversed_sites) == (sign, disc(40, 60, 4).sum())


def test_two_discs_are_two(film, disc, sign):
    assert seen(film(disc(30, 30, 4), disc(70, 60, 6), background=sign)) == (2, 0)


def test_discs_that_overlap_are_one_island(film, disc):
    assert seen(film(disc(50, 50, 6), disc(50, 58, 6))) == (1, 0)


def test_discs_that_touch_at_a_corner_are_two(film):
    squares = np.zeros((100, 100), bool)
    squares[20:25, 20:25] = squares[25:30, 25:30] = True
    assert seen(film(squares)) == (2, 0)


@pytest.mark.parametrize("centre", [(2, 50), (98, 50), (50, 2), (50, 98), (0, 0)])
def test_a_disc_that_the_edge_cuts_is_a_domain(film, disc, centre, sign):
    assert seen(film(disc(*centre, 5), background=sign)) == (0, 1)


def test_a_disc_one_site_from_the_edge_is_a_disc(film, disc):
    assert seen(film(disc(6, 50, 5))) == (1, 0)


def test_a_ring_is_a_domain(film, disc, sign):
    assert seen(film(disc(50, 50, 9) & ~disc(50, 50, 5), background=sign)) == (0, 1)


def test_a_disc_within_a_ring_is_seen_beside_it(film, disc):
    assert seen(film(disc(50, 50, 20) & ~disc(50, 50, 15), disc(50, 50, 4))) == (1, 1)


def test_a_stripe_is_a_domain(film, sign):
    stripe = np.zeros((100, 100), bool)
    stripe[:, 45:55] = True
    assert seen(film(stripe, background=sign)) == (0, 1)


def test_islands_too_small_for_a_disc_are_noise(film):
    noise = np.zeros((100, 100), bool)
    noise[20:22, 20:24] = True
    state = film_state(film(noise))
    assert noise.sum() == smallest_disc(100 * 100) - 1
    assert state.is_empty
    assert state.reversed_sites == 8


def test_the_smallest_disc_counts(film):
    square = np.zeros((100, 100), bool)
    square[20:23, 20:23] = True
    assert square.sum() == smallest_disc(100 * 100)
    assert seen(film(square)) == (1, 0)


def test_the_relaxed_skyrmion_of_the_simulated_film_is_one_disc():
    film = Film(FilmParameters(), precision="f4", device="cpu", threads=1)
    film.set_skyrmion()
    assert film_state(film.spins[2]).has_one_skyrmion


@pytest.mark.parametrize("pixels", [100, 50, 34, 25])
def test_a_camera_that_bins_sees_the_relaxed_skyrmion(pixels):
    film = Film(FilmParameters(), precision="f4", device="cpu", threads=1)
    film.set_skyrmion()
    image = Imaging(pixels=(pixels, pixels), gaussian_noise=0.1).image(film.spins)
    assert film_state(image).has_one_skyrmion


@pytest.mark.parametrize(("side", "smallest"), [(25, 1), (50, 2), (100, 9), (200, 36)])
def test_the_smallest_disc_is_a_share_of_the_image(film, side, smallest):
    assert smallest_disc(side * side) == smallest
    for pixels, discs in ((smallest, 1), (smallest - 1, 0)):
        line = np.zeros((side, side), bool)
        line.flat[side + 2 : side + 2 + min(pixels, side - 4)] = True
        assert film_state(film(line, shape=(side, side))).discs == discs


@settings(deadline=None, max_examples=40)
@given(
    row=st.integers(8, 90),
    column=st.integers(8, 90),
    turns=st.integers(0, 3),
    mirrored=st.booleans(),
)
def test_the_state_does_not_depend_on_where_north_is(film, disc, row, column, turns, mirrored):
    sz = film(disc(row, column, 5), disc(50, 50, 3), disc(0, 0, 6))
    turned = np.rot90(sz[::-1] if mirrored else sz, turns)
    assert film_state(turned) == film_state(sz)


def test_a_state_says_what_it_is(film, disc):
    assert str(film_state(film(disc(40, 60, 4)))) == "1 disc in -z"
    assert str(film_state(film(disc(2, 2, 5), background=1.0))) == "0 discs, 1 domain in +z"
