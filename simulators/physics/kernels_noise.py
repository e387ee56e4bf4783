"""The thermal noise on the CPU, in operations that vectorise (``lattice.kernels_cpu``)."""

import numpy as np
from llvmlite import ir
from numba import njit, types, uintp
from numba.extending import intrinsic

from skyctl.compiled import INLINED, OPTIONS
from skyctl.simulators.physics import random
from skyctl.simulators.physics.kernels_vectors import widest_vectors
from skyctl.simulators.physics.random import u32

_f4 = np.float32
_HALF, _ONE, _LN_2 = _f4(0.5), _f4(1), _f4(np.log(2))
_SQRT_HALF, _MANTISSA = u32(0x3F3504F3), u32(0x007FFFFF)
_LOG = tuple(
    _f4(c)
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip
"""log(1 + z) ≈ z - z²/2 + z³ Σ c z^n between √½ and √2: S. L. Moshier's Cephes, logf."""


@intrinsic
def _bits(typingctx, value):
    """The bits of a float32, as they are."""

    def build(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), build


@intrinsic
def _float(typingctx, value):
    """The float32 that has these bits."""

    def build(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), build


@njit(**INLINED)
def _log(x):
    """Natural logarithm of a positive float32, in operations that vectorise."""
    bits = u32(_bits(x) - _SQRT_HALF)
    exponent = _f4(np.int32(bits) >> np.int32(23))
    z = _float(u32(u32(bits & _MANTISSA) + _SQRT_HALF)) - _ONE
    y = _LOG[0]
    y = y * z + _LOG[1]
    y = y * z + _LOG[2]
    y = y * z + _LOG[3]
    y = y * z + _LOG[4]
    y = y * z + _LOG[5]
    y = y * z + _LOG[6]
    y = y * z + _LOG[7]
    y = y * z + _LOG[8]
    square = z * z
    return z * square * y - _HALF * square + z + exponent * _LN_2


_threefry = random.compile_threefry(njit(inline="always", error_model="numpy", nogil=True))
_normal_pair = random.compile_normal_pair(njit(**INLINED), _log)


@njit(**OPTIONS)
def draw_noise(noise, first, last, shift, step, key):
    """Three standard normal numbers for each site from ``first`` to ``last``, into ``noise``.

    noise : (3, size); key : (4,) uint32. The numbers are those of the sites ``shift`` further on,
    in step ``step``; single precision, at most 6.6 standard deviations.
    """
    widest_vectors()
    nx, ny, nz = noise[0], noise[1], noise[2]
    k0, k1, k2, k3 = key[0], key[1], key[2], key[3]
    low, high, none = u32(step), u32(step >> 32), u32(0)
    for i in range(uintp(first), uintp(last)):
        site = u32(i + uintp(shift))
        a, b, c, d = _threefry(site, low, high, none, k0, k1, k2, k3)
        nx[i], ny[i] = _normal_pair(a, b)
        nz[i], _ = _normal_pair(c, d)
