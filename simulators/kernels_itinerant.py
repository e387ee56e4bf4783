"""The Chebyshev recursion of the s–d Hamiltonian on many vectors at once, without its matrix."""

import numpy as np
from numba import njit

from skyctl.simulators.kernels_shared import OPTIONS


@njit(**OPTIONS)
def recurse(current, other, totals, weights, neighbours, hop, exchange, shift, scale):
    """Put scale (H - shift) current - other into ``other`` and add it, weighted, to ``totals``.

    With scale 2/a, shift b and T_m, T_{m-1} in ``current``, ``other``, that is T_{m+1} of
    (H - b)/a; with 1/a and zeros in ``other``, T_1.

    current, other : (sites, 4, vectors), of each site the real and imaginary part of spin up, then
        of spin down: hopping treats all four alike, and the vectors fill the processor's
    totals, weights : (functions, sites, 4, vectors), (functions,)
    neighbours : (sites, 12), the nearest six first; hop : (2,), their hoppings and the others'
    exchange : (3, sites), J S
    """
    sites, _, vectors = current.shape
    width = 4 * vectors
    v, out = current.reshape(sites, width), other.reshape(sites, width)
    near, far = -scale * hop[0], -scale * hop[1]
    for i in range(sites):
        j = neighbours[i]
        a, b, c, d, e, f = v[j[0]], v[j[1]], v[j[2]], v[j[3]], v[j[4]], v[j[5]]
        g, h, k, m, n, o = v[j[6]], v[j[7]], v[j[8]], v[j[9]], v[j[10]], v[j[11]]
        row = out[i]
        for r in range(width):
            row[r] = (
                near * (a[r] + b[r] + c[r] + d[r] + e[r] + f[r])
                + far * (g[r] + h[r] + k[r] + m[r] + n[r] + o[r])
                - row[r]
            )
        x, y, z = scale * exchange[0, i], scale * exchange[1, i], scale * exchange[2, i]
        up, down, level = -z - scale * shift, z - scale * shift, current[i]
        target = other[i]
        for r in range(vectors):
            ur, ui, dr, di = level[0, r], level[1, r], level[2, r], level[3, r]
            target[0, r] += up * ur - x * dr - y * di
            target[1, r] += up * ui - x * di + y * dr
            target[2, r] += down * dr - x * ur + y * ui
            target[3, r] += down * di - x * ui - y * ur
        for q in range(len(weights)):
            weight, total = weights[q], totals[q].reshape(sites, width)[i]
            for r in range(width):
                total[r] += weight * row[r]


@njit(**OPTIONS)
def expand(start, totals, coefficients, neighbours, hop, exchange, centre, half_width):
    """Add Σ_m coefficients[q, m] T_m((H - centre)/half_width) start to ``totals[q]``.

    start : (sites, 4, vectors), unchanged; the rest as in ``recurse``
    """
    moments = coefficients.shape[1]
    for q in range(len(coefficients)):
        totals[q] += coefficients[q, 0] * start
    before, now = start.copy(), np.zeros_like(start)
    recurse(
        start, now, totals, coefficients[:, 1].copy(), neighbours, hop, exchange, centre,
        1 / half_width,
    )  # fmt: skip
    for m in range(2, moments):
        recurse(
            now, before, totals, coefficients[:, m].copy(), neighbours, hop, exchange, centre,
            2 / half_width,
        )  # fmt: skip
        before, now = now, before
