"""Where the sites of a film are in memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyctl.simulators.lattice.layout import GHOST_ROWS, Layout

sides = st.integers(1, 40)


@given(sides, sides)
def test_what_is_laid_out_is_read_back(rows, columns):
    values = np.random.default_rng(rows).normal(size=(2, rows, columns))
    layout = Layout(rows, columns)
    flat = layout.flat(values, np.float64)
    assert flat.shape == (2, layout.size)
    np.testing.assert_array_equal(layout.inner(flat), values)


@given(sides, sides)
def test_every_site_has_four_places_beside_it_and_the_film_is_empty_around(rows, columns):
    layout = Layout(rows, columns)
    flat = layout.flat(np.ones((rows, columns)), np.float64)
    (sites,) = np.nonzero(flat)
    assert len(sites) == rows * columns
    reach = GHOST_ROWS * layout.width
    assert sites.min() - reach >= 0
    assert sites.max() + reach < layout.size
    for step, neighbours in ((1, (columns - 1) * rows), (layout.width, columns * (rows - 1))):
        assert flat[sites + step].sum() == neighbours
        assert flat[sites - step].sum() == neighbours


@given(sides, sides)
def test_rows_are_aligned_for_vectors(rows, columns):
    layout = Layout(rows, columns)
    assert layout.width % 8 == 0
    assert layout.width >= columns + 2
    assert layout.size % 16 == 0


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_arrays_begin_on_a_cache_line(dtype):
    for _ in range(20):
        zeros = Layout(3, 5).zeros(2, 3, dtype=dtype)
        assert zeros.ctypes.data % 64 == 0
        assert zeros.dtype == np.dtype(dtype)
        assert not zeros.any()


def test_the_inner_view_writes_into_the_array():
    layout = Layout(4, 6)
    flat = layout.zeros(3, dtype="f8")
    layout.inner(flat)[1, 2, 3] = 7.0
    assert flat[1, (GHOST_ROWS + 2) * layout.width + 4] == 7.0
