"""The Chebyshev recursion of the s–d Hamiltonian on many vectors at once, without its matrix.

What one site does is here as plain scalar functions, compiled for the CPU below and for CUDA by
``kernels_cuda``, which has the same ``expand`` and ``colours_at_once``.
"""

import numpy as np
from numba import njit

from skyctl.compiled import INLINED, OPTIONS

_COLOURS = 16  # the fastest of 4 to 24 on lattices of 24² to 96² sites


def hopped(near, far, a, b, c, d, e, f, g, h, k, m, n, o):
    """What hops onto a site from its six nearest and six third neighbours."""
    return near * (a + b + c + d + e + f) + far * (g + h + k + m + n + o)


def coupled(up_re, up_im, down_re, down_im, up, down, x, y):
    """What a site's own block, ((up, -x + iy), (-x - iy, down)), makes of a spinor: its four
    numbers."""
    return (
        up * up_re - x * down_re - y * down_im,
        up * up_im - x * down_im + y * down_re,
        down * down_re - x * up_re + y * up_im,
        down * down_im - x * up_im - y * up_re,
    )


_hopped = njit(**INLINED)(hopped)
_coupled = njit(**INLINED)(coupled)


def colours_at_once(sites: int, colours: int) -> int:
    """How many of so many colours ``expand`` should take in one call."""
    return min(_COLOURS, colours)


@njit(**OPTIONS)
def recurse(current, other, answers, weights, own, neighbours, hop, exchange, shift, scale):
    """Put scale (H - shift) current - other into ``other``; add what it answers, weighted.

    With scale 2/a, shift b and T_m, T_{m-1} in ``current``, ``other``, that is T_{m+1} of
    (H - b)/a; with 1/a and zeros in ``other``, T_1.

    current, other : (sites, 4, vectors), of each site the real and imaginary part of spin up, then
        of spin down: hopping treats all four alike, and the vectors fill the processor's
    answers, weights : (functions, 2, sites, 4), (functions,)
    the rest as in ``expand``
    """
    sites, _, vectors = current.shape
    width, colours = 4 * vectors, vectors // 2
    v, out = current.reshape(sites, width), other.reshape(sites, width)
    near, far = -scale * hop[0], -scale * hop[1]
    for i in range(sites):
        j = neighbours[i]
        a, b, c, d, e, f = v[j[0]], v[j[1]], v[j[2]], v[j[3]], v[j[4]], v[j[5]]
        g, h, k, m, n, o = v[j[6]], v[j[7]], v[j[8]], v[j[9]], v[j[10]], v[j[11]]
        row = out[i]
        for r in range(width):
            row[r] = (
                _hopped(
                    near, far, a[r], b[r], c[r], d[r], e[r], f[r], g[r], h[r], k[r], m[r], n[r],
                    o[r],
                )
                - row[r]
            )  # fmt: skip
        x, y, z = scale * exchange[0, i], scale * exchange[1, i], scale * exchange[2, i]
        up, down, level = -z - scale * shift, z - scale * shift, current[i]
        target = other[i]
        for r in range(vectors):
            s, t, p, q = _coupled(
                level[0, r], level[1, r], level[2, r], level[3, r], up, down, x, y
            )
            target[0, r] += s
            target[1, r] += t
            target[2, r] += p
            target[3, r] += q
        if own[i] >= 0:
            for function in range(len(weights)):
                for spin in range(2):
                    for part in range(4):
                        answer = target[part, own[i] + spin * colours]
                        answers[function, spin, i, part] += weights[function] * answer


@njit(**OPTIONS)
def expand(coefficients, own, colours, phases, neighbours, hop, exchange, centre, half_width):
    """What Σ_m coefficients[q, m] T_m((H - centre)/half_width) has on each site of a vector that
    starts there: (functions, 2, sites, 4), as starting with spin up or down.

    There are two vectors a colour: its sites' phases, all with spin up, or all with spin down.

    coefficients : (functions, moments); colours : how many there are
    own : (sites,), the colour of each site, or -1 for one that is not among them: its answer is 0
    phases : (2, sites), real and imaginary part
    neighbours : (sites, 12), the nearest six first; hop : (2,), their hoppings and the others'
    exchange : (3, sites), J S
    """
    functions, moments = coefficients.shape
    sites = len(own)
    answers = np.zeros((functions, 2, sites, 4))
    before = np.zeros((sites, 4, 2 * colours))
    for i in range(sites):
        if own[i] >= 0:
            for spin in range(2):
                for part in range(2):
                    before[i, 2 * spin + part, own[i] + spin * colours] = phases[part, i]
                    for q in range(functions):
                        answers[q, spin, i, 2 * spin + part] = coefficients[q, 0] * phases[part, i]
    now = np.zeros_like(before)
    recurse(
        before, now, answers, coefficients[:, 1].copy(), own, neighbours, hop, exchange, centre,
        1 / half_width,
    )  # fmt: skip
    for m in range(2, moments):
        recurse(
            now, before, answers, coefficients[:, m].copy(), own, neighbours, hop, exchange, centre,
            2 / half_width,
        )  # fmt: skip
        before, now = now, before
    return answers
