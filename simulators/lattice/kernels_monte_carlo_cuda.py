"""Monte Carlo sweeps on CUDA: a thread a replica of a site of one colour.

Replicas lie side by side, so threads of one warp read side by side; arguments and numbers as in
``kernels_monte_carlo``, to rounding.
"""

import math

from numba import cuda

from skyctl.simulators.lattice.layout import GHOST_ROWS
from skyctl.simulators.physics import llg, random
from skyctl.simulators.physics.moves import compile_moves
from skyctl.simulators.physics.random import u32

_LOW_WORD, _WORD_BITS = 0xFFFFFFFF, 32

_device = cuda.jit(device=True)
_interactions = _device(llg.interaction_field)
_interfacial = _device(llg.interfacial_dmi_field)
_threefry = random.compile_threefry(_device)
_MOVES = compile_moves(_device, math.log, math.exp)


@_device
def _beside(place, count, step, stride, periodic):
    """From a site to its neighbour, ``step`` = ±1 along an axis of ``count`` sites, in memory. At
    an open edge an empty site is there."""
    beyond = place + step < 0 or place + step >= count
    return (step - step * count) * stride if periodic and beyond else step * stride


def _half_sweep(move):
    """A kernel that moves the sites of one colour."""

    @cuda.jit
    def half_sweep(spins, shape, colour, there, anisotropies, c, betas, reach, key, step, periodic):
        rows, columns, width = shape
        replicas = spins.shape[2]
        k, across = cuda.grid(1), (columns + 1) // 2
        site, r = k // replicas, k % replicas
        row = site // across
        column = 2 * (site % across) + (row + colour) % 2
        i = (row + GHOST_ROWS) * width + 1 + column
        if row < rows and column < columns and there[i]:
            left = spins[i + _beside(column, columns, -1, 1, periodic)]
            right = spins[i + _beside(column, columns, 1, 1, periodic)]
            down = spins[i + _beside(row, rows, -1, width, periodic)]
            up = spins[i + _beside(row, rows, 1, width, periodic)]
            lx, ly, lz, rx, ry, rz = (
                left[0, r], left[1, r], left[2, r], right[0, r], right[1, r], right[2, r]
            )  # fmt: skip
            dx, dy, dz, ux, uy, uz = (
                down[0, r],
                down[1, r],
                down[2, r],
                up[0, r],
                up[1, r],
                up[2, r],
            )
            hx, hy, hz = _interactions(
                lx, ly, lz, rx, ry, rz, dx, dy, dz, ux, uy, uz, c[9], c[0], c[1], c[9]
            )
            ix, iy, iz = _interfacial(lx, lz, rx, rz, dy, dz, uy, uz, c[2])
            low, high = u32(step & _LOW_WORD), u32(step >> _WORD_BITS)
            u, v, w, _ = _threefry(u32(i), low, high, u32(r), key[0], key[1], key[2], key[3])
            s = spins[i]
            s[0, r], s[1, r], s[2, r] = move(
                s[0, r], s[1, r], s[2, r], hx + ix + c[6], hy + iy + c[7], hz + iz + c[8],
                c[3], c[4], c[5], anisotropies[i], betas[r], reach, u, v, w,
            )  # fmt: skip

    return half_sweep


HALF_SWEEPS = dict(
    zip(("heat-bath", "metropolis", "over-relax"), map(_half_sweep, _MOVES), strict=True)
)
