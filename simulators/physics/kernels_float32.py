"""Logarithm and exponential of float32 on the CPU, in operations that vectorise.

A library's are a call each, and no loop that calls is made into vectors. To 1e-7 of their value.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from skyctl.compiled import INLINED
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
_EXP = tuple(
    _f4(c)
    for c in (
        1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
        5.0000001201e-1,
    )
)  # fmt: skip
"""exp z ≈ 1 + z + z² Σ c z^n between ±ln √2: Cephes, expf; ln 2 in two parts, the first exact."""
_LOG2_E, _LN_2_HIGH, _LN_2_LOW = _f4(1.44269504088896), _f4(0.693359375), _f4(-2.12194440e-4)
_LOWEST, _HIGHEST = _f4(-87.0), _f4(88.0)
_UP, _DOWN = _f4(128.5), np.int32(128)


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
def log(x):
    """Natural logarithm of a positive float32."""
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


@njit(**INLINED)
def exp(x):
    """Exponential of a float32; at -87 and 88 it stops, before it would leave the range."""
    x = min(max(x, _LOWEST), _HIGHEST)
    whole = np.int32(np.int32(x * _LOG2_E + _UP) - _DOWN)  # rounds: what is cut is above 0
    n = _f4(whole)
    z = x - n * _LN_2_HIGH - n * _LN_2_LOW
    y = _EXP[0]
    y = y * z + _EXP[1]
    y = y * z + _EXP[2]
    y = y * z + _EXP[3]
    y = y * z + _EXP[4]
    y = y * z + _EXP[5]
    y = y * z * z + z + _ONE
    return y * _float(u32(u32(whole + np.int32(127)) << u32(23)))
