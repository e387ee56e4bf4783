"""Random numbers that depend on where and when they are used, and on nothing else.

Threefry-4x32 with 20 rounds (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC11) maps (counter, key) to four random words. The counter is a site and a step, the key a seed:
noise is the same whatever the threads, the batch or the device, and after a restart.
"""

from collections.abc import Callable
from math import factorial, sqrt
from typing import Any

import numpy as np

u32 = np.uint32
_PARITY = u32(0x1BD11BDA)
_f4 = np.float32
_ONE, _TWO, _UNIT_31, _UNIT_32 = _f4(1), _f4(2), _f4(2.0**-31), _f4(2.0**-32)
_SIN = tuple(_f4((-1) ** n * (np.pi / 2) ** (2 * n + 1) / factorial(2 * n + 1)) for n in range(6))
_COS = tuple(_f4((-1) ** n * (np.pi / 2) ** (2 * n) / factorial(2 * n)) for n in range(7))
"""sin and cos of π t/2 for |t| ≤ 1: their Taylor series, to 6e-8. A library's would bring a branch
for huge angles: no vectors on the CPU, double precision on CUDA."""


def compile_threefry(compiled: Callable[[Callable[..., Any]], Any]) -> Any:
    """Threefry for one target; ``compiled`` is its compiler (``numba.njit``, ``cuda.jit``).

    Every operation is closed by ``u32``: numba would widen it to 64 bits, and the vectoriser would
    lose half its lanes.
    """

    @compiled
    def mix(a, b, left, right):
        a = u32(a + b)
        b = u32(u32(b << left) | u32(b >> right))
        return a, u32(b ^ a)

    @compiled
    def four_rounds(a, b, c, d, p, q, r, s, t, u, v, w):
        a, b = mix(a, b, u32(p), u32(32 - p))
        c, d = mix(c, d, u32(q), u32(32 - q))
        a, d = mix(a, d, u32(r), u32(32 - r))
        c, b = mix(c, b, u32(s), u32(32 - s))
        a, b = mix(a, b, u32(t), u32(32 - t))
        c, d = mix(c, d, u32(u), u32(32 - u))
        a, d = mix(a, d, u32(v), u32(32 - v))
        c, b = mix(c, b, u32(w), u32(32 - w))
        return a, b, c, d

    @compiled
    def even_rounds(a, b, c, d):
        return four_rounds(a, b, c, d, 10, 26, 11, 21, 13, 27, 23, 5)

    @compiled
    def odd_rounds(a, b, c, d):
        return four_rounds(a, b, c, d, 6, 20, 17, 11, 25, 10, 18, 20)

    @compiled
    def add_key(a, b, c, d, k0, k1, k2, k3, times):
        return u32(a + k0), u32(b + k1), u32(c + k2), u32(u32(d + k3) + times)

    @compiled
    def threefry(a, b, c, d, k0, k1, k2, k3):
        """Four random 32-bit words from a counter (a, b, c, d) and a key (k0, k1, k2, k3)."""
        k4 = u32(u32(u32(k0 ^ k1) ^ u32(k2 ^ k3)) ^ _PARITY)
        a, b, c, d = add_key(a, b, c, d, k0, k1, k2, k3, u32(0))
        a, b, c, d = even_rounds(a, b, c, d)
        a, b, c, d = add_key(a, b, c, d, k1, k2, k3, k4, u32(1))
        a, b, c, d = odd_rounds(a, b, c, d)
        a, b, c, d = add_key(a, b, c, d, k2, k3, k4, k0, u32(2))
        a, b, c, d = even_rounds(a, b, c, d)
        a, b, c, d = add_key(a, b, c, d, k3, k4, k0, k1, u32(3))
        a, b, c, d = odd_rounds(a, b, c, d)
        a, b, c, d = add_key(a, b, c, d, k4, k0, k1, k2, u32(4))
        a, b, c, d = even_rounds(a, b, c, d)
        return add_key(a, b, c, d, k0, k1, k2, k3, u32(5))

    return threefry


def compile_half_turn(compiled: Callable[[Callable[..., Any]], Any]) -> Any:
    """Half of a random angle, for one target."""

    @compiled
    def half_turn(word):
        """sin and cos of half of the angle that a random word draws: the half is in ±π/2."""
        t = _f4(np.int32(word)) * _UNIT_31
        q = t * t
        sine = _SIN[3] + q * (_SIN[4] + q * _SIN[5])
        sine = t * (_SIN[0] + q * (_SIN[1] + q * (_SIN[2] + q * sine)))
        cosine = _COS[4] + q * (_COS[5] + q * _COS[6])
        cosine = _COS[0] + q * (_COS[1] + q * (_COS[2] + q * (_COS[3] + q * cosine)))
        return sine, cosine

    return half_turn


def compile_uniform(compiled: Callable[[Callable[..., Any]], Any]) -> Any:
    """A uniform number, for one target."""

    @compiled
    def uniform(word):
        """A float32 above 0 and up to 1, from a random word."""
        return _f4(np.int32(word >> u32(1))) * _UNIT_31 + _UNIT_32

    return uniform


def compile_normal_pair(compiled: Callable[[Callable[..., Any]], Any], log: Any) -> Any:
    """Two normal numbers from two random words, for one target; ``log`` is its logarithm."""
    half_turn, uniform = compile_half_turn(compiled), compile_uniform(compiled)

    @compiled
    def normal_pair(u, v):
        """Two independent standard normal float32, at most 6.6, by Box and Muller."""
        radius = sqrt(-_TWO * log(uniform(u)))
        sine, cosine = half_turn(v)
        return radius * (_ONE - _TWO * sine * sine), radius * _TWO * sine * cosine

    return normal_pair
