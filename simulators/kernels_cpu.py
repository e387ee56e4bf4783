"""LLG kernels for the CPU: one flat, vectorised stencil over the padded lattice.

A film of ``ny`` rows and ``nx`` columns is kept as three flat arrays (S_x, S_y, S_z) of
``(ny + 2) * (nx + 2)`` sites, row by row, with one empty site all around. Empty sites are S = 0:
they add nothing to a neighbour's field and the equation of motion keeps them 0, so an open
boundary costs nothing; a periodic one copies the opposite edge into them after each half step.

What keeps the loops vectorised (a scalar loop is several times slower, and nothing says so):
``error_model="numpy"``, unsigned indices, input and output arrays that are never the same one, and
no Python float in the loop (it would widen float32).
"""

import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types, uintp
from numba.extending import intrinsic

from skyctl.simulators import llg

_OPTIONS = {"error_model": "numpy", "fastmath": True, "nogil": True, "cache": True}
_field = njit(inline="always", **_OPTIONS)(llg.interaction_field)
_rate = njit(inline="always", **_OPTIONS)(llg.spin_rate)
_normalise = njit(inline="always", **_OPTIONS)(llg.unit_spin)
_envelope = njit(**_OPTIONS)(llg.pulse_envelope)
_PHYSICS = f"{zlib.crc32(Path(llg.__file__).read_bytes()):08x}"


def _with_physics(kernel: Callable[..., Any]) -> Any:
    """Compile a kernel that ``llg`` is part of, and name its cache after that.

    numba's cache watches the kernel's own file alone: it would outlive a change of ``llg``.
    """
    kernel.__qualname__ += f"_{_PHYSICS}"
    return njit(**_OPTIONS)(kernel)


@_with_physics
def _predict(sx, sy, sz, px, py, pz, spot, first, last, width, c, bias, g):
    """P = S + dt f(S): the Euler half of Heun's step, left at its own length."""
    exchange, dmi, anisotropy, precession, damping, dt = c[0], c[1], c[2], c[3], c[4], c[5]
    bx0, by0, bz0, gx, gy, gz = bias[0], bias[1], bias[2], g[0], g[1], g[2]
    one = uintp(1)
    for i in range(uintp(first), uintp(last)):
        left, right, down, up = i - one, i + one, i - width, i + width
        x, y, z = sx[i], sy[i], sz[i]
        bx, by, bz = _field(
            sx[left], sy[left], sz[left], sx[right], sy[right], sz[right],
            sx[down], sy[down], sz[down], sx[up], sy[up], sz[up], z, exchange, dmi, anisotropy,
        )  # fmt: skip
        s = spot[i]
        rx, ry, rz = _rate(
            x, y, z, bx + bx0 + gx * s, by + by0 + gy * s, bz + bz0 + gz * s, precession, damping
        )
        px[i] = x + dt * rx
        py[i] = y + dt * ry
        pz[i] = z + dt * rz


@_with_physics
def _correct(
    sx, sy, sz, px, py, pz, nx, ny, nz, spot, first, last, width, c, bias, g
):  # fmt: skip
    """S' = unit((S + P + dt f(P)) / 2): the trapezoidal half of Heun's step."""
    exchange, dmi, anisotropy, precession, damping, dt = c[0], c[1], c[2], c[3], c[4], c[5]
    half, unit, tiny = c[6], c[6] + c[6], c[7]
    bx0, by0, bz0, gx, gy, gz = bias[0], bias[1], bias[2], g[0], g[1], g[2]
    one = uintp(1)
    for i in range(uintp(first), uintp(last)):
        left, right, down, up = i - one, i + one, i - width, i + width
        x, y, z = px[i], py[i], pz[i]
        bx, by, bz = _field(
            px[left], py[left], pz[left], px[right], py[right], pz[right],
            px[down], py[down], pz[down], px[up], py[up], pz[up], z, exchange, dmi, anisotropy,
        )  # fmt: skip
        s = spot[i]
        rx, ry, rz = _rate(
            x, y, z, bx + bx0 + gx * s, by + by0 + gy * s, bz + bz0 + gz * s, precession, damping
        )
        nx[i], ny[i], nz[i] = _normalise(
            half * (sx[i] + x + dt * rx),
            half * (sy[i] + y + dt * ry),
            half * (sz[i] + z + dt * rz),
            unit,
            tiny,
        )


@njit(**_OPTIONS)
def wrap(spins, rows, columns):
    """Copy the opposite edges into the empty sites around the film (periodic boundary)."""
    width = columns + 2
    for k in range(3):
        for row in range(1, rows + 1):
            spins[k, row * width] = spins[k, row * width + columns]
            spins[k, row * width + columns + 1] = spins[k, row * width + 1]
        for column in range(1, columns + 1):
            spins[k, column] = spins[k, rows * width + column]
            spins[k, (rows + 1) * width + column] = spins[k, width + column]


@intrinsic
def _add_atomically(typingctx, array, amount):  # noqa: ARG001 the signature numba calls it with
    """array[0] += amount as one operation seen by all threads; returns the value before."""
    signature = types.int64(array, types.int64)

    def build(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, args[1], "seq_cst")

    return signature, build


_yield_core = types.ExternalFunction("sched_yield", types.int32())


@njit(**_OPTIONS)
def _meet(arrivals, expected):
    """Wait until ``expected`` threads have arrived: a spin, because a half step takes 20 µs."""
    _add_atomically(arrivals, 1)
    spins = 0
    while _add_atomically(arrivals, 0) < expected:
        spins += 1
        if spins % 1024 == 0:
            _yield_core()


@_with_physics
def heun(
    state, rows, columns, spot, c, bias, pulse, start_ps, dt_ps, steps, periodic,
    band, bands, arrivals,
):  # fmt: skip
    """Advance rows ``band`` of ``bands`` by ``steps`` Heun steps; the result is in ``state[0]``.

    state : (3, 3, n) floats: [0] the spins (S_x, S_y, S_z), [1] and [2] workspace; n padded sites
    spot : (n,) profile of the pulse over the film, 1 everywhere for a uniform pulse
    c : (8,) [J/μ, D/μ, 2K/μ (T), γ/(1+α²), γα/(1+α²) (rad/ps/T), dt (ps), 1/2, tiny]
    bias : (3,) static field, T
    pulse : (5,) float64 [B_x, B_y, B_z at the peak (T), peak time (ps), Gaussian width (ps)]
    arrivals : (1,) int64, 0 at the start, shared by the bands: where they meet

    ``state``, ``spot``, ``c`` and ``bias`` share one dtype, which is the precision of the run.
    """
    width = columns + 2
    stride = uintp(width)
    first = (1 + rows * band // bands) * width
    last = (1 + rows * (band + 1) // bands) * width
    predicted = state[1]
    now, new, meetings = 0, 2, 0
    g = np.empty(3, c.dtype)
    for step in range(steps):
        spins, target = state[now], state[new]
        time_ps = start_ps + step * dt_ps
        g[:] = pulse[:3] * _envelope(time_ps, pulse[3], pulse[4])
        _predict(
            spins[0], spins[1], spins[2], predicted[0], predicted[1], predicted[2],
            spot, first, last, stride, c, bias, g,
        )  # fmt: skip
        meetings = _finish_half_step(
            predicted, rows, columns, periodic, band, bands, arrivals, meetings
        )
        g[:] = pulse[:3] * _envelope(time_ps + dt_ps, pulse[3], pulse[4])
        _correct(
            spins[0], spins[1], spins[2], predicted[0], predicted[1], predicted[2],
            target[0], target[1], target[2], spot, first, last, stride, c, bias, g,
        )  # fmt: skip
        meetings = _finish_half_step(
            target, rows, columns, periodic, band, bands, arrivals, meetings
        )
        now, new = new, now
    if now != 0 and band == 0:
        state[0] = state[now]


@njit(**_OPTIONS)
def _finish_half_step(spins, rows, columns, periodic, band, bands, arrivals, meetings):
    """Let all bands finish, close the periodic edges; returns how often the bands have met."""
    if bands > 1:
        meetings += 1
        _meet(arrivals, meetings * bands)
    if periodic:
        if band == 0:
            wrap(spins, rows, columns)
        if bands > 1:
            meetings += 1
            _meet(arrivals, meetings * bands)
    return meetings


def run(threads, *arguments):
    """``heun`` over the whole film, shared by ``threads`` threads; arguments as ``heun``'s."""
    arrivals = np.zeros(1, np.int64)
    others = [
        threading.Thread(target=heun, args=(*arguments, band, threads, arrivals))
        for band in range(1, threads)
    ]
    for thread in others:
        thread.start()
    heun(*arguments, 0, threads, arrivals)
    for thread in others:
        thread.join()
