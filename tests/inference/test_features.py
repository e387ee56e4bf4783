"""Features: the sorted spins of a film, or the same curve read at fixed fractions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from skyctl.inference.features import (
    LEVELS,
    SHAPE_NUMBERS,
    SMALLEST_REGION,
    background_sign,
    frame_features,
)
from skyctl.inference.kernels_shape import islands, resample, roughness, smooth
from skyctl.simulators.instrument.imaging import Imaging

bounded = settings(deadline=None, max_examples=100)
spins = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(2, 40)),
    elements=st.floats(-1, 1, width=32),
)


def fractions(count):
    """Chebyshev points on 0…1, written out anew."""
    return 0.5 - 0.5 * np.cos(np.pi * (2 * np.arange(count) + 1) / (2 * count))


@bounded
@given(spins, st.integers(1, 300))
def test_quantiles_are_those_of_the_sorted_spins_whatever_the_lattice(sz, count):
    expected = np.quantile(sz.astype(np.float64), fractions(count), method="hazen")
    np.testing.assert_allclose(frame_features(sz, count), expected, atol=2e-6)


@bounded
@given(spins, st.integers(1, 300), st.sampled_from([1.0, -1.0]))
def test_features_are_ascending_float32_within_the_spins(sz, count, orientation):
    features = frame_features(sz, count, orientation=orientation)
    assert features.dtype == np.float32
    assert features.shape == (count,)
    assert (np.diff(features) >= -1e-6).all()
    assert features.min() >= (orientation * sz).min() - 1e-6
    assert features.max() <= (orientation * sz).max() + 1e-6


@bounded
@given(spins)
def test_sorted_is_the_sorted_film_itself(sz):
    features = frame_features(sz, sz.size, "sorted")
    np.testing.assert_array_equal(features, np.sort(sz.ravel()))


def test_sorted_features_of_another_lattice_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"400 sites.*of 10000.*quantile"):
        frame_features(np.zeros((20, 20), np.float32), 10_000, "sorted")


@bounded
@given(spins, st.randoms(use_true_random=False), st.sampled_from(["quantiles", "sorted"]))
def test_features_do_not_change_when_sites_change_places(sz, random, kind):
    mixed = sz.ravel().tolist()
    random.shuffle(mixed)
    count = sz.size if kind == "sorted" else 64
    mixed = np.array(mixed, np.float32).reshape(sz.shape)
    np.testing.assert_array_equal(
        frame_features(mixed, count, kind), frame_features(sz, count, kind)
    )


@bounded
@given(spins, st.integers(1, 100))
def test_turning_the_film_over_turns_the_features_over(sz, count):
    up, down = (frame_features(sz, count, orientation=sign) for sign in (1.0, -1.0))
    np.testing.assert_allclose(down, -up[::-1], atol=2e-6)


def test_features_do_not_change_the_frame():
    sz = np.random.default_rng(0).uniform(-1, 1, (30, 30)).astype(np.float32)
    before = sz.copy()
    frame_features(sz, 900, "sorted")
    np.testing.assert_array_equal(sz, before)


@pytest.mark.parametrize("side", [50, 100, 200])
def test_quantiles_resolve_a_skyrmion_of_half_a_percent(film, disc, side):
    shape = (side, side)
    empty = frame_features(film(shape=shape), 256)
    radius = np.sqrt(0.005 * side**2 / np.pi)
    skyrmion = frame_features(film(disc(side / 2, side / 2, radius, shape), shape=shape), 256)
    assert np.count_nonzero(np.abs(skyrmion - empty) > 0.5) >= 10


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_background_is_where_most_of_the_film_points(film, disc, sign):
    assert background_sign(film(disc(50, 50, 25), background=sign)) == sign


def smooth_film(seed, shape, sigma):
    """Random domains, up to S_z = ±1."""
    rng = np.random.default_rng(seed)
    sz = ndimage.gaussian_filter(rng.uniform(-1, 1, shape), sigma)
    return (sz / np.abs(sz).max()).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_islands_are_those_that_scipy_labels(seed):
    rng = np.random.default_rng(seed)
    cells = smooth_film(seed, tuple(rng.integers(3, 50, 2)), rng.uniform(0, 2))
    found = islands(cells, np.array(LEVELS, np.float32), SMALLEST_REGION)
    for level, numbers in zip(LEVELS, found, strict=True):
        above = cells > np.float32(level)
        rim = np.ones_like(above)
        rim[1:-1, 1:-1] = False
        steps = (above[1:] != above[:-1]).sum() + (above[:, 1:] != above[:, :-1]).sum()
        assert numbers[0] == steps
        assert numbers[1] == (above & rim).sum()
        for first, side in ((2, ~above), (6, above)):
            labels, _ = ndimage.label(side)
            sizes = np.bincount(labels.ravel())
            regions = [i for i in range(1, len(sizes)) if sizes[i] >= SMALLEST_REGION]
            inside = [sizes[i] for i in regions if not (rim & (labels == i)).any()]
            expected = [len(inside), len(regions) - len(inside), sum(inside), max([0, *inside])]
            assert numbers[first : first + 4].tolist() == expected


@bounded
@given(spins, st.integers(1, 60), st.integers(1, 60))
def test_cells_keep_the_mean_and_stay_within_the_film(sz, rows, columns):
    cells = resample(sz, rows, columns)
    assert cells.shape == (rows, columns)
    assert cells.mean() == pytest.approx(sz.mean(), abs=1e-5)
    assert cells.max() <= sz.max() + 1e-5
    assert cells.min() >= sz.min() - 1e-5


def test_cells_of_whole_pixels_are_their_means():
    sz = smooth_film(0, (12, 20), 1)
    expected = sz.reshape(4, 3, 5, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(resample(sz, 4, 5), expected, atol=1e-6)


def test_smoothing_weighs_neighbours_1_2_1_and_repeats_the_edge():
    sz = smooth_film(1, (9, 7), 0.5)
    weights = np.array([1, 2, 1]) / 4
    expected = ndimage.convolve(sz, np.outer(weights, weights), mode="nearest")
    np.testing.assert_allclose(smooth(sz), expected, atol=1e-6)


def test_roughness_is_the_mean_step_between_pixels():
    sz = smooth_film(2, (9, 7), 0.5)
    steps = np.concatenate([np.diff(sz, axis=axis).ravel() for axis in (0, 1)])
    assert roughness(sz) == pytest.approx(np.abs(steps).mean(), rel=1e-5)


COUNT = 32 + SHAPE_NUMBERS


def test_sorted_spins_cannot_tell_what_shape_can(film, disc):
    """A skyrmion, its double of half the area each, and a domain of its area at the edge."""
    one = np.zeros((100, 100), bool)
    one[40:60, 40:60] = True
    two = np.zeros((100, 100), bool)
    two[20:40, 20:30] = two[60:80, 60:70] = True
    edge = np.zeros((100, 100), bool)
    edge[40:60, :20] = True
    films = [film(island) for island in (one, two, edge)]
    for kind, count in (("sorted", 10_000), ("quantiles", 256)):
        alike = [frame_features(sz, count, kind) for sz in films]
        np.testing.assert_array_equal(alike[0], alike[1])
        np.testing.assert_array_equal(alike[0], alike[2])
    seen = [frame_features(sz, COUNT, "shape") for sz in films]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(seen[a] - seen[b]).max() > 0.3


@bounded
@given(st.integers(0, 99), st.integers(0, 7))
def test_shape_does_not_depend_on_where_north_is(seed, turn):
    sz = smooth_film(seed, (48, 48), 3)
    turned = np.rot90(sz[::-1] if turn > 3 else sz, turn)
    np.testing.assert_allclose(
        frame_features(turned, COUNT, "shape"), frame_features(sz, COUNT, "shape"), atol=2e-3
    )


@pytest.mark.parametrize(
    "imaging",
    [
        Imaging(pixels=(50, 50)),
        Imaging(pixels=(200, 200)),
        Imaging(pixels=(73, 91)),
        Imaging(blur_sites=1.0),
        Imaging(gaussian_noise=0.1),
    ],
)
def test_another_camera_sees_nearly_the_same_shape(disc, imaging):
    reversed_ = disc(50, 50, 14) | disc(15, 80, 9) | disc(0, 30, 12)
    sz = ndimage.gaussian_filter(np.where(reversed_, 0.97, -0.97), 2.0).astype(np.float32)
    seen = frame_features(imaging.image(sz), COUNT, "shape")
    bare = frame_features(sz, COUNT, "shape")
    rough = 32
    assert np.abs(np.delete(seen - bare, rough)).max() < 0.13


@pytest.mark.parametrize(("shape", "count"), [((1, 50), COUNT), ((100,), COUNT), ((9, 9), 20)])
def test_what_has_no_shape_is_refused(shape, count):
    with pytest.raises(ValueError, match="shape features need"):
        frame_features(np.zeros(shape, np.float32), count, "shape")
