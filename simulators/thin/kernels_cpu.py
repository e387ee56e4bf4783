"""Compiled loops of the thin film: its equation of motion, and the product in Fourier space.

A film is kept as flat arrays of ``(rows + 2) * (columns + 2)`` cells, row by row, with one empty
cell all around: empty cells are 0 and stay 0, so that a free edge costs nothing. Exchange is the
sum over the neighbours; what the exact Laplacian takes off, a multiple of m itself, turns nothing.
"""

from numba import njit, uintp

from skyctl.compiled import INLINED, OPTIONS
from skyctl.simulators.physics import llg

_field = njit(**INLINED)(llg.interaction_field)
_turning = njit(**INLINED)(llg.turning)
_turned = njit(**INLINED)(llg.turned)
_unit = njit(**INLINED)(llg.unit_spin)


@njit(**OPTIONS)
def multiply_tensor(spectrum, tensor, scale):
    """H(k) = scale N(k) M(k), in place.

    spectrum : (3, n) complex; tensor : (4, n) xx, yy, zz, xy
    """
    for i in range(uintp(spectrum.shape[1])):
        x, y = spectrum[0, i], spectrum[1, i]
        spectrum[0, i] = scale * (tensor[0, i] * x + tensor[3, i] * y)
        spectrum[1, i] = scale * (tensor[3, i] * x + tensor[1, i] * y)
        spectrum[2, i] = scale * (tensor[2, i] * spectrum[2, i])


@njit(**OPTIONS)
def film_rate(m, slow, rate, width, exchange_x, exchange_ratio, local, damping):
    """rate = dm/dt, 1/ps, of exchange, a local anisotropy and a given field.

    m, slow, rate : (3, n) over the padded film, ``width`` cells a row; slow in rad/ps
    exchange_x : from each neighbour along x, rad/ps; along y it is ``exchange_ratio`` of that
    local : field along z per m_z, rad/ps
    """
    n = m.shape[1]
    _film_rate(
        m[0], m[1], m[2], slow[0], slow[1], slow[2], rate[0], rate[1], rate[2],
        width, n - width, uintp(width), exchange_x, exchange_ratio, local, damping,
    )  # fmt: skip


@njit(**OPTIONS)
def _film_rate(
    mx, my, mz, hx, hy, hz, rx, ry, rz, first, last, width, exchange, ratio, local, damping
):
    one = uintp(1)
    for i in range(uintp(first), uintp(last)):
        left, right, down, up = i - one, i + one, i - width, i + width
        x, y, z = mx[i], my[i], mz[i]
        bx, by, bz = _field(
            mx[left], my[left], mz[left], mx[right], my[right], mz[right],
            ratio * mx[down], ratio * my[down], ratio * mz[down],
            ratio * mx[up], ratio * my[up], ratio * mz[up], z, exchange, 0.0, local,
        )  # fmt: skip
        ax, ay, az = _turning(x, y, z, bx + hx[i], by + hy[i], bz + hz[i], damping)
        rx[i], ry[i], rz[i] = _turned(x, y, z, ax, ay, az)


@njit(**OPTIONS)
def turn(m, was, should_be, time_ps, damping, out):
    """out = m turned by what one field has over another during a time; the largest change.

    m, was, should_be, out : (3, n); the fields in rad/ps
    """
    largest = 0.0
    one, tiny = 1.0, llg.TINY
    for i in range(uintp(m.shape[1])):
        x, y, z = m[0, i], m[1, i], m[2, i]
        ax, ay, az = _turning(
            x, y, z, time_ps * (should_be[0, i] - was[0, i]),
            time_ps * (should_be[1, i] - was[1, i]), time_ps * (should_be[2, i] - was[2, i]),
            damping,
        )  # fmt: skip
        dx, dy, dz = _turned(x, y, z, ax, ay, az)
        largest = max(largest, abs(dx), abs(dy), abs(dz))
        out[0, i], out[1, i], out[2, i] = _unit(x + dx, y + dy, z + dz, one, tiny)
    return largest
