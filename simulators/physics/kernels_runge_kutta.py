"""Compiled loops of the Runge–Kutta methods: sums of arrays, and unit vectors."""

from numba import njit, uintp

from skyctl.compiled import INLINED, OPTIONS
from skyctl.simulators.physics import llg

_unit = njit(**INLINED)(llg.unit_spin)
_BLOCK = 1024  # numbers that stay in the innermost cache while the terms are added to them


@njit(**OPTIONS)
def weighted_sum(out, terms, weights):
    """out = Σ_j weights[j] terms[j], block by block; terms of weight 0 are not read.

    out : (n,) floats, none of ``terms``; terms : (k, n); weights : (k,), all of one dtype
    """
    end = uintp(out.size)
    first = uintp(0)
    while first < end:
        last = min(end, first + uintp(_BLOCK))
        out[first:last] = 0
        for j in range(weights.size):
            weight = weights[j]
            if weight != 0:
                term = terms[j]
                for i in range(first, last):
                    out[i] += weight * term[i]
        first = last


@njit(**OPTIONS)
def normalise(source, target):
    """target = source/|source|, vector by vector; zero vectors stay zero.

    source, target : (3, n) floats, never the same array
    """
    sx, sy, sz = source[0], source[1], source[2]
    tx, ty, tz = target[0], target[1], target[2]
    one, tiny = source.dtype.type(1), source.dtype.type(llg.TINY)
    for i in range(uintp(sx.size)):
        tx[i], ty[i], tz[i] = _unit(sx[i], sy[i], sz[i], one, tiny)
