"""Features: the sorted spins of a film, or the same curve read at fixed fractions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skyctl.inference.features import background_sign, frame_features

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
