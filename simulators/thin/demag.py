"""The demagnetising field of a flat film: Newell's tensor, and its convolution by FFT.

One layer of cells, so that N_xz = N_yz = 0 between any two of them: four components are left. The
tensor is dimensionless; a film of magnetisation M m has the field -μ0 M Σ_j N(i - j) m_j.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.fft import next_fast_len

from skyctl.simulators.thin.kernels_cpu import multiply_tensor

NEAR_CELLS = 6.0
"""Where the closed forms give way to quadrature, in longest cell edges.

The closed forms are differences of terms that grow with the cube of the distance. Relative errors
at 6 edges: closed forms 1e-10 (3e-9 at 10), quadrature 3e-12 (3e-9 at 3).
"""

_QUADRATURE_POINTS = 5


class DemagTensor(NamedTuple):
    """Components of N, each (rows, columns), at (row, column) offsets from 0; no unit.

    The others follow by symmetry: xx, yy and zz are even in both offsets, xy is odd in both.
    """

    xx: np.ndarray
    yy: np.ndarray
    zz: np.ndarray
    xy: np.ndarray


def demag_tensor(rows: int, columns: int, cell_nm: tuple[float, float, float]) -> DemagTensor:
    """N between equal cells at offsets 0 … rows - 1 along y and 0 … columns - 1 along x.

    cell_nm : edges along x, y and z; only their ratios count

    Near cells by Newell's closed forms, the others by quadrature. Source: A. J. Newell,
    W. Williams and D. J. Dunlop, J. Geophys. Res. 98, 9551 (1993), eqs. 19, 27, 28, 32.
    """
    edges = np.asarray(cell_nm, float) / max(cell_nm)
    x = np.arange(columns) * edges[0] * np.ones((rows, 1))
    y = np.arange(rows)[:, None] * edges[1] * np.ones(columns)
    near = np.hypot(x, y) < NEAR_CELLS
    tensor = DemagTensor(*(np.empty((rows, columns)) for _ in range(4)))
    for where, formula in ((near, newell_tensor), (~near, dipole_tensor)):
        if where.any():
            for component, values in zip(tensor, formula(x[where], y[where], edges), strict=True):
                component[where] = values
    return tensor


def newell_tensor(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> DemagTensor:
    """N between two cells (x, y, 0) apart, by closed forms; exact, but for what cancels.

    x, y, edges : offsets (…) and cell edges (3,), in one unit of length
    """
    cell = tuple(edges)

    def second_difference(
        function: Callable[..., np.ndarray], order: tuple[int, int, int]
    ) -> np.ndarray:
        """Newell's eq. 27: over the corners of both cells, each edge counted -1, 2, -1."""
        total = np.zeros_like(x)
        for i, j, k in np.ndindex(3, 3, 3):
            shifts = np.array([i, j, k]) - 1
            weight = np.prod(np.where(shifts == 0, 2.0, -1.0))
            corner = (x + shifts[0] * cell[0], y + shifts[1] * cell[1], shifts[2] * cell[2])
            total += weight * function(*(np.broadcast_to(corner[axis], x.shape) for axis in order))
        return total / (4 * np.pi * np.prod(cell))

    return DemagTensor(
        xx=second_difference(_newell_f, (0, 1, 2)),
        yy=second_difference(_newell_f, (1, 2, 0)),
        zz=second_difference(_newell_f, (2, 0, 1)),
        xy=second_difference(_newell_g, (0, 1, 2)),
    )


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a/b, and 0 for a zero b: the term that it stands in vanishes there."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def _newell_f(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Newell's eq. 27's f, the fourfold antiderivative behind a diagonal component."""
    x, y, z = abs(x), abs(y), abs(z)
    x2, y2, z2 = x * x, y * y, z * z
    r = np.sqrt(x2 + y2 + z2)
    return (
        y / 2 * (z2 - x2) * np.arcsinh(_ratio(y, np.sqrt(x2 + z2)))
        + z / 2 * (y2 - x2) * np.arcsinh(_ratio(z, np.sqrt(x2 + y2)))
        - x * y * z * np.arctan(_ratio(y * z, x * r))
        + (2 * x2 - y2 - z2) * r / 6
    )


def _newell_g(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Newell's eq. 32's g, behind N_xy."""
    z = abs(z)
    x2, y2, z2 = x * x, y * y, z * z
    r = np.sqrt(x2 + y2 + z2)
    return (
        x * y * z * np.arcsinh(_ratio(z, np.sqrt(x2 + y2)))
        + y / 6 * (3 * z2 - y2) * np.arcsinh(_ratio(x, np.sqrt(y2 + z2)))
        + x / 6 * (3 * z2 - x2) * np.arcsinh(_ratio(y, np.sqrt(x2 + z2)))
        - z2 * z / 6 * np.arctan(_ratio(x * y, z * r))
        - z * y2 / 2 * np.arctan(_ratio(x * z, y * r))
        - z * x2 / 2 * np.arctan(_ratio(y * z, x * r))
        - x * y * r / 3
    )


def dipole_tensor(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> DemagTensor:
    """N between two cells (x, y, 0) apart, by quadrature of the dipole field over both of them.

    x, y, edges : offsets (…) and cell edges (3,), in one unit of length

    The distances between points of two equal cells are weighted by a triangle along each axis;
    Gauss–Legendre points on both halves of it.
    """
    points, weights = np.polynomial.legendre.leggauss(_QUADRATURE_POINTS)
    points, weights = (points + 1) / 2, weights / 2
    u = np.concatenate([-points, points])
    w = np.tile(weights * (1 - points), 2)
    tensor = DemagTensor(*(np.zeros(x.shape) for _ in range(4)))
    for i, j, k in np.ndindex(len(u), len(u), _QUADRATURE_POINTS):  # even in z: half the points
        a, b, c = x + u[i] * edges[0], y + u[j] * edges[1], points[k] * edges[2]
        square = a * a + b * b + c * c
        strength = 2 * w[i] * w[j] * w[k] * np.prod(edges) / (4 * np.pi) / (square**2.5)
        tensor.xx[...] += strength * (square - 3 * a * a)
        tensor.yy[...] += strength * (square - 3 * b * b)
        tensor.zz[...] += strength * (square - 3 * c * c)
        tensor.xy[...] -= strength * 3 * a * b
    return tensor


class DemagField:
    """-N m of a film of ``rows`` x ``columns`` cells, by FFT; allocates nothing when evaluated.

    cell_nm : edges along x, y and z; only their ratios count

    Only what is neither padding nor thrown away is transformed: the film's own rows along x, then
    half the spectrum along y, and back.
    """

    def __init__(self, rows: int, columns: int, cell_nm: tuple[float, float, float]) -> None:
        self._rows, self._columns = rows, columns
        # Twice the film, less one, keeps the convolution from closing on itself.
        self._y, self._x = _fast_length(2 * rows - 1), _fast_length(2 * columns - 1)
        self._tensor = _transformed_tensor(rows, columns, cell_nm, self._y, self._x)
        half = self._x // 2 + 1
        self._along_x = np.empty((3, rows, half), complex)
        self._spectrum = np.empty((3, self._y, half), complex)
        self._field = np.empty((3, rows, self._x))

    def evaluate(self, magnetisation: np.ndarray, scale: float, out: np.ndarray) -> None:
        """out = -scale N m.

        magnetisation, out : (3, rows, columns), m in unit vectors
        scale : μ0 M_s for a field in tesla
        """
        # numpy's transforms can write into arrays that are there (scipy's cannot): fresh pages for
        # every result take as long as the transforms.
        np.fft.rfft(magnetisation, self._x, axis=2, out=self._along_x)
        np.fft.fft(self._along_x, self._y, axis=1, out=self._spectrum)
        multiply_tensor(self._spectrum.reshape(3, -1), self._tensor, -scale)
        np.fft.ifft(self._spectrum, axis=1, out=self._spectrum)
        np.fft.irfft(self._spectrum[:, : self._rows], self._x, axis=2, out=self._field)
        out[...] = self._field[:, :, : self._columns]


def _fast_length(at_least: int) -> int:
    length: Any = next_fast_len(at_least, real=True)
    return length


@lru_cache(maxsize=4)
def _transformed_tensor(
    rows: int, columns: int, cell_nm: tuple[float, float, float], y: int, x: int
) -> np.ndarray:
    """Transforms of the four components, (4, y (x/2 + 1)); real, by the symmetry of N."""
    tensor = demag_tensor(rows, columns, cell_nm)
    result = np.empty((4, y, x // 2 + 1))
    for component, transform, parity in zip(tensor, result, (1, 1, 1, -1), strict=True):
        whole = np.zeros((y, x))
        whole[:rows, :columns] = component
        whole[:rows, x - columns + 1 :] = parity * component[:, :0:-1]
        whole[y - rows + 1 :, :columns] = parity * component[:0:-1]
        whole[y - rows + 1 :, x - columns + 1 :] = component[:0:-1, :0:-1]
        transform[:] = np.fft.rfftn(whole).real
    return result.reshape(4, -1)
