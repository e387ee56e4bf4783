"""How Monte Carlo moves one spin, once: every function here is compiled for the CPU and for CUDA.

A spin S sees B = h + (2K/μ)(S·n̂) n̂: its neighbours' and the outer field h, which do not depend on
it, and the anisotropy, which does. ``beta`` is μ/k_BT, 1/T, so that beta·h is a number.

Each move keeps Boltzmann's distribution: ``heat_bath`` draws S anew from exp(beta S·h) (Y. Miyatake
et al., J. Phys. C 19, 2539 (1986)) and takes the anisotropy in by accepting or not, ``metropolis``
turns S a little, ``over_relax`` reflects it at h, which costs no energy but the anisotropy's
(M. Creutz, Phys. Rev. D 36, 515 (1987)).
"""

from collections.abc import Callable
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from skyctl.simulators.physics import llg, random

_f4 = np.float32
_ZERO, _HALF, _ONE, _TWO = _f4(0), _f4(0.5), _f4(1), _f4(2)
_NO_LENGTH, _NO_FIELD, _WEAKEST = _f4(llg.TINY), _f4(1e-15), _f4(1e-4)


class Moves(NamedTuple):
    """The moves of one target. Each takes a spin and what it sees, and gives the spin after it."""

    heat_bath: Any
    metropolis: Any
    over_relax: Any


def compile_moves(compiled: Callable[[Callable[..., Any]], Any], log: Any, exp: Any) -> Moves:
    """The moves for one target: its compiler, its logarithm and exponential."""
    half_turn, uniform = random.compile_half_turn(compiled), random.compile_uniform(compiled)
    unit = compiled(llg.unit_spin)

    @compiled
    def around(x, y, z, fall, word):
        """A unit vector 1 - cos θ = ``fall`` from the unit vector (x, y, z), its direction drawn.

        The frame is that of T. Duff et al., J. Comput. Graph. Tech. 6, 1 (2017).
        """
        sine, cosine = half_turn(word)
        aside = sqrt(max(fall * (_TWO - fall), _ZERO))
        p, q = aside * (_ONE - _TWO * sine * sine), aside * _TWO * sine * cosine
        sign = _ONE if z >= _ZERO else -_ONE
        a = -_ONE / (sign + z)
        b, along = x * y * a, _ONE - fall
        return (
            along * x + p * (_ONE + sign * x * x * a) + q * b,
            along * y + p * sign * b + q * (sign + y * y * a),
            along * z - p * sign * x - q * y,
        )

    @compiled
    def gain_on_axis(x, y, z, sx, sy, sz, nx, ny, nz, anisotropy):
        """-ΔE/μ of the anisotropy, from S to (x, y, z)."""
        new, old = x * nx + y * ny + z * nz, sx * nx + sy * ny + sz * nz
        return _HALF * anisotropy * (new * new - old * old)

    @compiled
    def heat_bath(sx, sy, sz, hx, hy, hz, nx, ny, nz, anisotropy, beta, _reach, u, v, w):
        hz += _NO_FIELD  # that a spin which sees none has a direction too
        length = sqrt(hx * hx + hy * hy + hz * hz)
        strength, scale = max(beta * length, _WEAKEST), _ONE / length
        first = uniform(u)
        fall = -log(first + (_ONE - first) * exp(-_TWO * strength)) / strength
        fall = min(max(fall, _ZERO), _TWO)
        x, y, z = around(hx * scale, hy * scale, hz * scale, fall, v)
        gain = beta * gain_on_axis(x, y, z, sx, sy, sz, nx, ny, nz, anisotropy)
        taken = uniform(w) <= exp(gain)
        return (x if taken else sx), (y if taken else sy), (z if taken else sz)

    @compiled
    def metropolis(sx, sy, sz, hx, hy, hz, nx, ny, nz, anisotropy, beta, reach, u, v, w):
        x, y, z = around(sx, sy, sz, reach * uniform(u), v)
        x, y, z = unit(x, y, z, _ONE, _NO_LENGTH)
        gain = (x - sx) * hx + (y - sy) * hy + (z - sz) * hz
        gain = beta * (gain + gain_on_axis(x, y, z, sx, sy, sz, nx, ny, nz, anisotropy))
        taken = uniform(w) <= exp(gain)
        return (x if taken else sx), (y if taken else sy), (z if taken else sz)

    @compiled
    def over_relax(sx, sy, sz, hx, hy, hz, nx, ny, nz, anisotropy, beta, _reach, _u, _v, w):
        along = _TWO * (sx * hx + sy * hy + sz * hz) / (hx * hx + hy * hy + hz * hz + _NO_LENGTH)
        x, y, z = along * hx - sx, along * hy - sy, along * hz - sz
        x, y, z = unit(x, y, z, _ONE, _NO_LENGTH)
        gain = beta * gain_on_axis(x, y, z, sx, sy, sz, nx, ny, nz, anisotropy)
        taken = uniform(w) <= exp(gain)
        return (x if taken else sx), (y if taken else sy), (z if taken else sz)

    return Moves(heat_bath, metropolis, over_relax)
