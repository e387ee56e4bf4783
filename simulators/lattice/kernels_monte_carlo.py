"""Monte Carlo sweeps on the CPU: the replicas of a film are the vectors.

The sites of one colour of the checkerboard see those of the other alone, so the order within a
colour does not matter. A site's replicas lie side by side, and all do the same with other random
numbers: that vectorises whatever the film's shape. A random number depends on its site, sweep and
replica alone (``random``).
"""

import numpy as np
from numba import njit, uintp

from skyctl.compiled import INLINED, NOT_KEPT, OPTIONS
from skyctl.simulators.lattice.layout import GHOST_ROWS
from skyctl.simulators.physics import llg, random
from skyctl.simulators.physics.kernels_float32 import exp, log
from skyctl.simulators.physics.kernels_vectors import widest_vectors
from skyctl.simulators.physics.moves import compile_moves
from skyctl.simulators.physics.random import u32

_interactions = njit(**INLINED)(llg.interaction_field)
_interfacial = njit(**INLINED)(llg.interfacial_dmi_field)
_axis = njit(**INLINED)(llg.axis_field)
_unit = njit(**INLINED)(llg.unit_spin)
_threefry = random.compile_threefry(njit(inline="always", error_model="numpy", nogil=True))
_MOVES = compile_moves(njit(**INLINED), log, exp)


@njit(**INLINED)
def _field(left, right, down, up, r, zero, exchange, dmi, interfacial):
    """What replica ``r`` of a site sees of its neighbours, (3, replicas) each."""
    lx, ly, lz, rx, ry, rz = (
        left[0, r], left[1, r], left[2, r], right[0, r], right[1, r], right[2, r]
    )  # fmt: skip
    dx, dy, dz, ux, uy, uz = down[0, r], down[1, r], down[2, r], up[0, r], up[1, r], up[2, r]
    hx, hy, hz = _interactions(
        lx, ly, lz, rx, ry, rz, dx, dy, dz, ux, uy, uz, zero, exchange, dmi, zero
    )
    ix, iy, iz = _interfacial(lx, lz, rx, rz, dy, dz, uy, uz, interfacial)
    return hx + ix, hy + iy, hz + iz


def _half_sweep(move):
    """A kernel that moves the sites of one colour."""

    @njit(**NOT_KEPT)
    def half_sweep(
        spins, shape, colour, there, anisotropies, c, betas, reach, key, step, first, words, moved
    ):
        widest_vectors()
        rows, columns, width = shape
        replicas = spins.shape[2]
        u, v, w = words[0], words[1], words[2]
        mx, my, mz = moved[0], moved[1], moved[2]
        low, high = u32(step), u32(step >> 32)
        k0, k1, k2, k3 = key[0], key[1], key[2], key[3]
        exchange, dmi, interfacial, zero = c[0], c[1], c[2], c[9]
        nx, ny, nz, bx, by, bz = c[3], c[4], c[5], c[6], c[7], c[8]
        for row in range(rows):
            for column in range((row + colour) % 2, columns, 2):
                i = uintp((row + GHOST_ROWS) * width + 1 + column)
                if not there[i]:
                    continue
                for r in range(uintp(replicas)):
                    u[r], v[r], w[r], _ = _threefry(
                        u32(i), low, high, u32(r + uintp(first)), k0, k1, k2, k3
                    )
                s, left, right = spins[i], spins[i - uintp(1)], spins[i + uintp(1)]
                down, up = spins[i - uintp(width)], spins[i + uintp(width)]
                k = anisotropies[i]
                for r in range(uintp(replicas)):
                    hx, hy, hz = _field(left, right, down, up, r, zero, exchange, dmi, interfacial)
                    mx[r], my[r], mz[r] = move(
                        s[0, r], s[1, r], s[2, r], hx + bx, hy + by, hz + bz, nx, ny, nz,
                        k, betas[r], reach, u[r], v[r], w[r],
                    )  # fmt: skip
                s[:] = moved  # written in place above, it would be no loop of vectors

    return half_sweep


@njit(**OPTIONS)
def wrap(spins, rows, columns, width):
    """Copy the edges of a periodic film beyond the opposite ones."""
    for row in range(GHOST_ROWS, rows + GHOST_ROWS):
        spins[row * width] = spins[row * width + columns]
        spins[row * width + columns + 1] = spins[row * width + 1]
    first, last = GHOST_ROWS * width, (GHOST_ROWS + rows - 1) * width
    for k in range(columns + 2):
        spins[first - width + k] = spins[last + k]
        spins[last + width + k] = spins[first + k]


def _sweep(half_sweep):
    """A kernel that moves the sites of one colour, then those of the other."""

    @njit(**NOT_KEPT)
    def sweep(spins, shape, there, anisotropies, c, betas, reach, key, step, first, periodic):
        words, moved = np.empty(spins.shape[1:], np.uint32), np.empty(spins.shape[1:], np.float32)
        for colour in range(2):
            half_sweep(
                spins, shape, colour, there, anisotropies, c, betas, reach, key, step, first,
                words, moved,
            )  # fmt: skip
            if periodic:
                wrap(spins, shape[0], shape[1], shape[2])

    return sweep


_heat_bath, _metropolis, _over_relax = (_sweep(_half_sweep(move)) for move in _MOVES)


@njit(**OPTIONS)
def heat_bath(*arguments):
    """One sweep; see ``SWEEPS``."""
    _heat_bath(*arguments)


@njit(**OPTIONS)
def metropolis(*arguments):
    """One sweep; see ``SWEEPS``."""
    _metropolis(*arguments)


@njit(**OPTIONS)
def over_relax(*arguments):
    """One sweep; see ``SWEEPS``."""
    _over_relax(*arguments)


SWEEPS = {"heat-bath": heat_bath, "metropolis": metropolis, "over-relax": over_relax}
"""One sweep over both colours, by its rule.

spins : (size, 3, replicas) float32, laid out as ``Layout`` with the replicas innermost
shape : (rows, columns, width) of the layout
there : (size,) bool, where there is a site; anisotropies : (size,) float32, 2K/μ of each
c : (11,) float32 [J/μ, D/μ, D'/μ, easy axis, B, 0, 1]; betas : (replicas,) float32, μ/k_BT of each
reach : float32, the most 1 - cos θ of a Metropolis trial
key : (4,) uint32 of the random numbers; step : this sweep's number; first : the first replica's
"""


@njit(**OPTIONS)
def descend(spins, shape, there, anisotropies, c, stay, go, tiny, periodic):
    """One sweep downhill: S' along ``go`` b̂ + ``stay`` S, b the whole field (arguments as above,
    float32 or float64). With go = 1.9, stay = -0.9 it goes beyond and arrives much earlier."""
    widest_vectors()
    rows, columns, width = shape
    exchange, dmi, interfacial, zero, one = c[0], c[1], c[2], c[9], c[10]
    nx, ny, nz, bx, by, bz = c[3], c[4], c[5], c[6], c[7], c[8]
    moved = np.empty_like(spins[0])
    mx, my, mz = moved[0], moved[1], moved[2]
    for colour in range(2):
        for row in range(rows):
            for column in range((row + colour) % 2, columns, 2):
                i = uintp((row + GHOST_ROWS) * width + 1 + column)
                if not there[i]:
                    continue
                s, left, right = spins[i], spins[i - uintp(1)], spins[i + uintp(1)]
                down, up = spins[i - uintp(width)], spins[i + uintp(width)]
                k = anisotropies[i]
                for r in range(uintp(spins.shape[2])):
                    x, y, z = s[0, r], s[1, r], s[2, r]
                    hx, hy, hz = _field(left, right, down, up, r, zero, exchange, dmi, interfacial)
                    ax, ay, az = _axis(x, y, z, nx, ny, nz, k)
                    hx, hy, hz = _unit(hx + bx + ax, hy + by + ay, hz + bz + az, one, tiny)
                    x, y, z = go * hx + stay * x, go * hy + stay * y, go * hz + stay * z
                    mx[r], my[r], mz[r] = _unit(x, y, z, one, tiny)
                s[:] = moved
        if periodic:
            wrap(spins, rows, columns, width)
