"""The film's reader: states and probabilities from images of films."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skyctl.errors import FilmUnreadable
from skyctl.inference.film_reader import read_film
from skyctl.models.reader_calibration import settled_films
from skyctl.process import KINDS
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import Film, FilmParameters


@pytest.fixture(params=[-1.0, 1.0], ids=["down", "up"])
def sign(request):
    return request.param


def seen(sz, **options):
    state = read_film(sz, **options)
    return state.discs, state.domains


def noisy(sz, noise=0.05, seed=0, **options):
    return Imaging(gaussian_noise=noise, seed=seed, **options).image(sz.astype(np.float32))


@pytest.fixture(scope="module")
def films():
    """(empty, with one skyrmion) S_z of three samples, backgrounds -1."""
    pairs = []
    for seed in (31, 32, 33):
        film = Film(replace(SampleSpread().draw(seed).parameters, damping=1.0), precision="f4")
        film.set_uniform(-1)
        film.relax()
        empty = film.spins[2]
        film.set_skyrmion(-1)
        film.spins = np.roll(film.spins, (17, -22), (1, 2))
        film.relax(50)
        pairs.append((empty, film.spins[2]))
    return pairs


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("cut", [1.0, None], ids=["cut off", "not cut off"])
def test_empty_films_and_single_skyrmions_are_told_at_any_noise(films, sign, noise, cut):
    for seed, (empty, one) in enumerate(films):
        for sz, state in ((empty, "empty"), (one, "one")):
            found = read_film(noisy(-sign * sz, noise, seed, saturation=cut))
            assert (found.is_empty, found.has_one_skyrmion) == (state == "empty", state == "one")
            assert found.background == sign
            assert KINDS[int(np.argmax(found.likelihood))] == state
            assert found.noise == pytest.approx(noise, rel=0.1, abs=0.001)


def test_a_skyrmion_is_seen_where_it_is_and_as_large_as_it_is(films):
    for _, one in films:
        ys, xs = np.nonzero(one > 0)
        for noise, slack in ((0.05, 0.3), (1.0, 1.5)):
            ((x, y, area),) = read_film(noisy(one, noise)).places
            assert np.hypot(x - xs.mean(), y - ys.mean()) < slack
            assert area == pytest.approx(len(xs), rel=0.1 if noise < 0.1 else 0.9)


@pytest.mark.parametrize("bins", [2, 4])
def test_a_camera_that_bins_says_sites(films, bins):
    for _, one in films:
        image = noisy(one, 0.05, pixels=(100 // bins, 100 // bins))
        ys, xs = np.nonzero(one > 0)
        state = read_film(image, pixel_sites=bins)
        assert state.has_one_skyrmion
        x, y, area = state.places[0]
        assert np.hypot(x - xs.mean(), y - ys.mean()) < bins
        assert area == pytest.approx(len(xs), rel=0.6)


@pytest.mark.parametrize("pixels", [100, 50, 34, 25])
def test_a_camera_that_does_not_say_how_it_bins_sees_the_skyrmion(films, pixels):
    for empty, one in films:
        assert seen(noisy(empty, 0.1, pixels=(pixels, pixels))) == (0, 0)
        assert seen(noisy(one, 0.1, pixels=(pixels, pixels))) == (1, 0)


@pytest.mark.parametrize("blur", [1.0, 3.0])
@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.2), (0.5, -0.2), (1.1, 0.1)])
def test_blur_gain_and_offset_may_be_unknown(films, blur, gain, offset):
    for empty, one in films:
        for sz, discs in ((empty, 0), (one, 1)):
            assert seen(noisy(gain * sz + offset, 0.1, blur_sites=blur, saturation=None)) == (
                discs,
                0,
            )


@pytest.mark.parametrize(
    ("side", "periodic"),
    [(30, False), (30, True), (300, False), pytest.param(300, True, marks=pytest.mark.slow)],
)
def test_films_of_any_size_show_their_skyrmion(side, periodic):
    film = Film(FilmParameters(side, side, periodic=periodic), precision="f4")
    film.set_skyrmion()
    assert read_film(noisy(film.spins[2], 0.3)).has_one_skyrmion
    film.set_uniform()
    assert read_film(noisy(film.spins[2], 0.3)).is_empty


def test_the_edge_twist_is_no_domain():
    film = Film(replace(FilmParameters(), dmi_meV=1.15 * FilmParameters().dmi_meV), precision="f4")
    film.set_uniform()
    film.relax()
    for noise in (0.0, 0.2, 1.0):
        assert read_film(noisy(film.spins[2], noise)).is_empty


@pytest.mark.parametrize("share", [0.0005, 0.02, 0.2])
@pytest.mark.parametrize("marked", ["mask", "nan"])
def test_missing_pixels_are_missing_not_zero(films, share, marked):
    for _, one in films:
        image = noisy(one, 0.1)
        mask = np.random.default_rng(4).random(image.shape) < share
        ys, xs = np.nonzero(one > 0)
        mask[int(ys.mean()), int(xs.mean())] = True
        image[mask] = np.nan if marked == "nan" else 0.7
        assert seen(image, mask=mask if marked == "mask" else None) == (1, 0)


def test_a_missing_row_through_a_skyrmion_leaves_one(films):
    _, one = films[0]
    row = int(np.nonzero(one > 0)[0].mean())
    mask = np.zeros(one.shape, bool)
    mask[row] = True
    assert seen(noisy(np.where(mask, 0, one), 0.05), mask=mask) == (1, 0)


def test_two_discs_are_two_and_the_smallest_is_absolute(film, disc, sign):
    image = film(disc(30, 30, 4), disc(70, 60, 6), background=sign)
    assert seen(noisy(image)) == (2, 0)
    assert seen(noisy(image), smallest_sites=60) == (1, 0)
    large = film(disc(60, 40, 4, (300, 300)), background=sign, shape=(300, 300))
    assert seen(noisy(large)) == (1, 0)


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_domains_are_no_skyrmions(film, disc, sign, noise):
    stripe = np.zeros((100, 100), bool)
    stripe[:, 45:55] = True
    for island in (
        disc(2, 50, 7),
        disc(0, 0, 10),
        disc(50, 50, 14) & ~disc(50, 50, 8),
        stripe,
        disc(50, 0, 40),
    ):
        state = read_film(noisy(film(island, background=sign), noise))
        assert (state.discs, state.domains) == (0, 1)
        assert KINDS[int(np.argmax(state.likelihood))] == "other"


def test_half_and_half_is_other_and_its_background_uncertain(film):
    half = np.zeros((100, 100), bool)
    half[:50] = True
    state = read_film(noisy(film(half), 0.3))
    assert KINDS[int(np.argmax(state.likelihood))] == "other"
    assert state.domains > 0
    assert state.background_probability < 0.95
    assert read_film(noisy(film(), 0.3)).background_probability > 0.99


def test_nothing_is_ever_certain(films):
    for noise in (0.02, 1.5):
        for sz in films[0]:
            given = read_film(noisy(sz, noise)).likelihood
            assert min(given) > 1e-5
            assert sum(given) == pytest.approx(1)


def test_more_noise_is_less_certain(films):
    def doubt(noise):
        looks = [read_film(noisy(films[1][0], noise, seed)).likelihood[0] for seed in range(20)]
        return 1 - np.mean(looks)

    assert doubt(0.05) < 2e-3 < doubt(1.5) < 0.5


def test_likelihoods_are_as_often_right_as_they_say():
    said, right = [], []
    for seed in range(900, 912):
        for film in settled_films(seed, 60):
            for look in range(6):
                image = noisy(film.sz, 0.8 + 0.15 * look, seed * 10 + look)
                given = read_film(image).likelihood
                said.append(max(given))
                right.append(KINDS[int(np.argmax(given))] == film.state)
    assert np.mean(right) == pytest.approx(np.mean(said), abs=0.06)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (np.full((50, 50), 0.3), "blank"),
        (np.full((50, 50), -1.0), "blank"),
        (np.full((50, 50), np.nan), "masked or NaN"),
        (np.where(np.random.default_rng(0).random((50, 50)) < 0.5, 1.0, -1.0), "saturated"),
        (np.random.default_rng(0).normal(0.0, 0.2, (50, 50)), "near 0"),
        (np.random.default_rng(0).normal(31000, 900, (50, 50)), "beyond"),
        (np.random.default_rng(0).integers(90, 140, (50, 50)).astype(np.uint8), "beyond"),
        (np.linspace(-1.2, 0.1, 2500).reshape(50, 50) - 0.1, "uneven"),
        (np.zeros((50, 50), complex), "real numbers"),
        (np.zeros((3, 50, 50)), "pixels"),
    ],
)
def test_what_is_no_film_is_refused_by_name(image, why):
    with pytest.raises(FilmUnreadable, match=why):
        read_film(image)


@pytest.mark.parametrize(("side", "pixel_sites"), [(12, 1.0), (24, 0.25), (100, 0.1)])
def test_an_image_into_which_no_skyrmion_fits_is_refused(side, pixel_sites):
    image = np.random.default_rng(0).normal(0.9, 0.1, (side, side)).astype(np.float32)
    with pytest.raises(FilmUnreadable, match=f"{side} x {side} pixels.*smaller than a skyrmion"):
        read_film(image, pixel_sites=pixel_sites)


def _said_empty(image):
    try:
        return read_film(image).is_empty
    except FilmUnreadable:
        return False


def test_an_image_of_0_to_1_is_refused_or_its_skyrmion_seen(films):
    for _, one in films:
        for image in ((one + 1) / 2, (1 - one) / 2):
            assert not _said_empty(noisy(image, 0.02, saturation=None))


def test_all_masked_is_refused():
    with pytest.raises(FilmUnreadable, match="masked"):
        read_film(noisy(-np.ones((40, 40)), 0.1), mask=np.ones((40, 40), bool))


_VALUES = st.floats(-1e300, 1e300) | st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 0.0, 1.0])


@settings(deadline=None, max_examples=150)
@given(arrays(np.float64, st.tuples(st.integers(0, 14), st.integers(0, 14)), elements=_VALUES))
def test_garbage_is_read_or_refused_and_nothing_else(image):
    with np.errstate(all="raise", under="ignore"):
        try:
            state = read_film(image)
        except FilmUnreadable:
            return
    if state.is_empty:
        assert np.mean(np.sign(image) == state.background) > 0.5


@settings(deadline=None, max_examples=60)
@given(
    row=st.integers(12, 87),
    column=st.integers(12, 87),
    turns=st.integers(0, 3),
    mirrored=st.booleans(),
    flipped=st.booleans(),
)
def test_the_state_does_not_depend_on_where_north_and_up_are(
    film, disc, row, column, turns, mirrored, flipped
):
    sz = film(disc(row, column, 5), disc(0, 0, 8)) * (-1 if flipped else 1)
    turned = np.rot90(sz[::-1] if mirrored else sz, turns)
    for a, b in ((read_film(noisy(sz, 0.0)), read_film(noisy(turned, 0.0))),):
        assert (a.background, a.discs, a.domains) == (b.background, b.discs, b.domains)
        assert a.reversed_sites == b.reversed_sites


@pytest.mark.parametrize(
    "hole", [np.s_[49, 49], np.s_[:, 49], np.s_[48:52], np.s_[:4], np.s_[46:53, 49]]
)
def test_what_was_not_measured_changes_no_film(hole):
    """Dead pixels and module gaps, exactly 0, also in the middle of the skyrmion."""
    film = Film()
    film.set_skyrmion()
    image = film.spins[2].astype(np.float32)
    clean = read_film(image)
    image[hole] = 0
    seen = read_film(image)
    assert (seen.kind, seen.discs, seen.background) == ("one", 1, clean.background)
