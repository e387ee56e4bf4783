"""Compiled loops of the thin film."""
import numpy as np
from numba import njit, uintp
from skyctl.simulators import llg
_OPTIONS = {"error_model": "numpy", "fastmath": True, "nogil": True, "cache": True}
_field = njit(inline="always", **_OPTIONS)(llg.interaction_field)
_turning = njit(inline="always", **_OPTIONS)(llg.turning)
_turned = njit(inline="always", **_OPTIONS)(llg.turned)

@njit(**_OPTIONS)
def multiply_tensor(spectrum, tensor, scale):
    """H(k) = scale N(k) M(k), in place."""
    for i in range(uintp(spectrum.shape[1])):
        x, y = spectrum[0, i], spectrum[1, i]
        spectrum[0, i] = scale * (tensor[0, i] * x + tensor[3, i] * y)
        spectrum[1, i] = scale * (tensor[3, i] * x + tensor[1, i] * y)
        spectrum[2, i] = scale * tensor[2, i] * spectrum[2, i]

@njit(**_OPTIONS)
def _rates(sx, sy, sz, bx0, by0, bz0, rx, ry, rz, first, last, width, exchange, ratio, local, damp):
    one = uintp(1)
    for i in range(uintp(first), uintp(last)):
        left, right, down, up = i - one, i + one, i - width, i + width
        x, y, z = sx[i], sy[i], sz[i]
        bx, by, bz = _field(
            sx[left], sy[left], sz[left], sx[right], sy[right], sz[right],
            ratio*sx[down], ratio*sy[down], ratio*sz[down], ratio*sx[up], ratio*sy[up], ratio*sz[up],
            z, exchange, 0.0, local,
        )
        ax, ay, az = _turning(x, y, z, bx + bx0[i], by + by0[i], bz + bz0[i], damp)
        rx[i], ry[i], rz[i] = _turned(x, y, z, ax, ay, az)

@njit(**_OPTIONS)
def rates(s, b, r, width, exchange, ratio, local, damp):
    n = s.shape[1]
    _rates(s[0], s[1], s[2], b[0], b[1], b[2], r[0], r[1], r[2], width, n - width, uintp(width), exchange, ratio, local, damp)

@njit(**_OPTIONS)
def combine(out, base, terms, weights, count):
    n = uintp(out.size)
    block = uintp(1024)
    start = uintp(0)
    while start < n:
        stop = min(n, start + block)
        for i in range(start, stop):
            out[i] = base[i]
        for j in range(count):
            w = weights[j]
            if w != 0.0:
                t = terms[j]
                for i in range(start, stop):
                    out[i] += w * t[i]
        start = stop

@njit(**_OPTIONS)
def normalise(s):
    x, y, z = s[0], s[1], s[2]
    for i in range(uintp(x.size)):
        sc = 1.0/np.sqrt(x[i]*x[i]+y[i]*y[i]+z[i]*z[i]+1e-300)
        x[i] *= sc
        y[i] *= sc
        z[i] *= sc
