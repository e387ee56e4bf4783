"""The demagnetising tensor against sum rules, closed forms and itself; its FFT against the sum."""

import numpy as np
import pytest

from skyctl.simulators.thin.demag import (
    NEAR_CELLS,
    DemagField,
    demag_tensor,
    dipole_tensor,
    newell_tensor,
)

CELL = (1.95, 2.3, 3.0)


def signed_tensor(rows, columns, cell):
    """(3, 3, 2 rows - 1, 2 columns - 1): N at every offset, by the symmetry of its components."""
    n = demag_tensor(rows, columns, cell)
    y, x = np.mgrid[1 - rows : rows, 1 - columns : columns]
    xx, yy, zz, xy = (component[abs(y), abs(x)] for component in n)
    xy, zero = xy * np.sign(x) * np.sign(y), np.zeros_like(xx)
    return np.array([[xx, xy, zero], [xy, yy, zero], [zero, zero, zz]])


def field_by_sum(m, cell):
    """-Σ N m, cell by cell."""
    _, rows, columns = m.shape
    n = signed_tensor(rows, columns, cell)
    field = np.zeros_like(m)
    for i, j in np.ndindex(rows, columns):
        around = n[:, :, rows - 1 - i : 2 * rows - 1 - i, columns - 1 - j : 2 * columns - 1 - j]
        field[:, i, j] = -np.einsum("abyx,byx->a", around, m)
    return field


def aharoni(a, b, c):
    """N_zz of a prism with edges 2a, 2b, 2c: A. Aharoni, J. Appl. Phys. 83, 3432 (1998), eq. 1."""
    r, ab, bc, ac = np.sqrt([a * a + b * b + c * c, a * a + b * b, b * b + c * c, a * a + c * c])
    log, atan = np.log, np.arctan
    return (
        (b * b - c * c) / (2 * b * c) * log((r - a) / (r + a))
        + (a * a - c * c) / (2 * a * c) * log((r - b) / (r + b))
        + b / (2 * c) * log((ab + a) / (ab - a))
        + a / (2 * c) * log((ab + b) / (ab - b))
        + c / (2 * a) * log((bc - b) / (bc + b))
        + c / (2 * b) * log((ac - a) / (ac + a))
        + 2 * atan(a * b / (c * r))
        + (a**3 + b**3 - 2 * c**3) / (3 * a * b * c)
        + (a * a + b * b - 2 * c * c) / (3 * a * b * c) * r
        + c / (a * b) * (ac + bc)
        - (ab**3 + bc**3 + ac**3) / (3 * a * b * c)
    ) / np.pi


def test_the_trace_is_one_at_home_and_zero_elsewhere():
    n = demag_tensor(9, 40, CELL)
    trace = n.xx + n.yy + n.zz
    assert trace[0, 0] == pytest.approx(1, abs=1e-14)
    trace[0, 0] = 0
    np.testing.assert_allclose(trace, 0, atol=1e-12)


def test_a_cube_has_a_third_along_each_edge():
    n = demag_tensor(1, 1, (2.0, 2.0, 2.0))
    np.testing.assert_allclose([n.xx[0, 0], n.yy[0, 0], n.zz[0, 0]], 1 / 3, atol=1e-14)
    assert n.xy[0, 0] == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("cell", [CELL, (1.0, 50.0, 2.0), (30.0, 30.0, 1.0)])
def test_one_cell_has_the_factors_of_its_prism(cell):
    a, b, c = cell
    n = demag_tensor(1, 1, cell)
    found = [n.xx[0, 0], n.yy[0, 0], n.zz[0, 0]]
    np.testing.assert_allclose(
        found, [aharoni(b, c, a), aharoni(c, a, b), aharoni(a, b, c)], atol=1e-10
    )


@pytest.mark.parametrize(("rows", "columns"), [(5, 4), (1, 60), (48, 64)])
def test_a_uniform_film_has_on_average_the_factors_of_its_prism(rows, columns):
    a, b, c = columns * CELL[0], rows * CELL[1], CELL[2]
    expected = (aharoni(b, c, a), aharoni(c, a, b), aharoni(a, b, c))
    field = DemagField(rows, columns, CELL)
    for axis, factor in enumerate(expected):
        m, out = np.zeros((2, 3, rows, columns))
        m[axis] = 1
        field.evaluate(m, 1.0, out)
        assert -out[axis].mean() == pytest.approx(factor, abs=2e-10)


def test_closed_forms_and_quadrature_agree_where_one_gives_way_to_the_other():
    edges = np.array(CELL) / max(CELL)
    angle = np.linspace(0, np.pi / 2, 7)
    x, y = NEAR_CELLS * np.cos(angle), NEAR_CELLS * np.sin(angle)
    for near, far in zip(newell_tensor(x, y, edges), dipole_tensor(x, y, edges), strict=True):
        np.testing.assert_allclose(near, far, atol=2e-13)  # the components are 1e-4 there


def test_far_cells_are_dipoles():
    n = dipole_tensor(np.array([300.0]), np.array([400.0]), np.ones(3))
    expected = (1 - 3 * np.array([0.36, 0.64, 0])) / (4 * np.pi * 500**3)
    np.testing.assert_allclose([n.xx[0], n.yy[0], n.zz[0]], expected, rtol=1e-4)
    assert n.xy[0] == pytest.approx(-3 * 0.48 / (4 * np.pi * 500**3), rel=1e-4)


def test_the_tensor_turns_with_the_film():
    n = demag_tensor(8, 17, (1.5, 2.5, 3.0))
    turned = demag_tensor(17, 8, (2.5, 1.5, 3.0))
    np.testing.assert_allclose(turned.xx.T, n.yy, atol=1e-13)
    np.testing.assert_allclose(turned.zz.T, n.zz, atol=1e-13)
    np.testing.assert_allclose(turned.xy.T, n.xy, atol=1e-13)


@pytest.mark.parametrize(("rows", "columns"), [(7, 5), (1, 9), (9, 1), (1, 1), (6, 22)])
def test_the_transform_gives_the_sum(random_spins, rows, columns):
    m = random_spins(rows, columns)
    out = np.empty_like(m)
    field = DemagField(rows, columns, CELL)
    for _ in range(2):  # nothing is left over in the workspace
        field.evaluate(m, 2.0, out)
        np.testing.assert_allclose(out, 2 * field_by_sum(m, CELL), atol=1e-13)
