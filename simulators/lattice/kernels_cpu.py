"""LLG kernels for the CPU: one flat, vectorised stencil over the lattice of ``layout``.

A step is a predictor and a corrector, each one pass over the film. Threads share a film by bands of
rows; each predicts one row beyond its own on either side, so that they meet once a step.

What keeps the loops vectorised (a scalar loop is several times slower, and nothing says so):
``error_model="numpy"``, unsigned indices, input and output arrays that are never the same one, and
no Python number in the loop (it would widen float32).
"""

import threading

import numpy as np
from llvmlite import ir
from numba import njit, types, uintp
from numba.extending import intrinsic, overload

from skyctl.simulators.lattice.layout import GHOST_ROWS
from skyctl.simulators.physics import llg, random
from skyctl.simulators.physics.compiled import INLINED, OPTIONS, compiled_with
from skyctl.simulators.physics.random import u32

_field = njit(**INLINED)(llg.interaction_field)
_turning = njit(**INLINED)(llg.turning)
_turned = njit(**INLINED)(llg.turned)
_unit = njit(**INLINED)(llg.unit_spin)
_full_turn = njit(**INLINED)(llg.full_turn)
_envelope = njit(**OPTIONS)(llg.pulse_envelope)
_threefry = random.compile_threefry(njit(inline="always", error_model="numpy", nogil=True))
_with_physics = compiled_with(llg, random)

_BLOCK_SITES = 16384

HEUN, MIDPOINT, DEPONDT = np.int8(0), np.int16(0), np.int32(0)
"""Integrators. Their types differ, and only those: numba compiles one at a time, when used."""


@intrinsic
def _widest_vectors(typingctx):
    """Let this function use 512-bit vectors, which LLVM avoids on many CPUs: 10 to 25 % here."""

    def build(context, builder, signature, args):
        # llvmlite lists only the attributes without a value; LLVM takes the others as text.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), build


def _row(array, k): ...
def _at(array, i, otherwise): ...


@overload(_row, inline="always")
def _overload_row(array, k):
    """array[k], or None where there is no array: a film without noise has no code for it."""
    if isinstance(array, types.NoneType):
        return lambda array, k: None
    return lambda array, k: array[k]


@overload(_at, inline="always")
def _overload_at(array, i, otherwise):
    """array[i], or ``otherwise`` where there is no array."""
    if isinstance(array, types.NoneType):
        return lambda array, i, otherwise: otherwise
    return lambda array, i, otherwise: array[i]


@njit(**INLINED)
def _turning_at(i, width, sx, sy, sz, spot, sites, nx, ny, nz, k):
    """A of site ``i`` among the spins (sx, sy, sz); ``k`` as from ``_constants``."""
    exchange, dmi, anisotropy, damping, thermal, one, bx0, by0, bz0, gx, gy, gz = k
    left, right, down, up = i - uintp(1), i + uintp(1), i - width, i + width
    z = sz[i]
    bx, by, bz = _field(
        sx[left], sy[left], sz[left], sx[right], sy[right], sz[right],
        sx[down], sy[down], sz[down], sx[up], sy[up], sz[up], z,
        exchange, dmi, anisotropy * _at(sites, i, one),
    )  # fmt: skip
    near = _at(spot, i, one)
    bx += bx0 + gx * near + thermal * _at(nx, i, one)
    by += by0 + gy * near + thermal * _at(ny, i, one)
    bz += bz0 + gz * near + thermal * _at(nz, i, one)
    return _turning(sx[i], sy[i], z, bx, by, bz, damping)


@njit(**INLINED)
def _constants(c, bias, g):
    """What a loop reads but never changes, as scalars: an array might be written by the loop."""
    return (c[0], c[1], c[2], c[3], c[4], c[6], bias[0], bias[1], bias[2], g[0], g[1], g[2])


@_with_physics
def _heun_predict(s, p, first, last, width, spot, sites, noise, c, bias, g):
    """P = S - S×A(S): Euler's step, left at its own length."""
    _widest_vectors()
    sx, sy, sz, px, py, pz = s[0], s[1], s[2], p[0], p[1], p[2]
    nx, ny, nz = _row(noise, 0), _row(noise, 1), _row(noise, 2)
    k = _constants(c, bias, g)
    for i in range(uintp(first), uintp(last)):
        ax, ay, az = _turning_at(i, width, sx, sy, sz, spot, sites, nx, ny, nz, k)
        x, y, z = sx[i], sy[i], sz[i]
        rx, ry, rz = _turned(x, y, z, ax, ay, az)
        px[i], py[i], pz[i] = x + rx, y + ry, z + rz


@_with_physics
def _heun_correct(s, p, t, first, last, width, spot, sites, noise, c, bias, g):
    """S' = unit(S + P - P×A(P)): the trapezoidal half of Heun's step."""
    _widest_vectors()
    sx, sy, sz, px, py, pz, tx, ty, tz = s[0], s[1], s[2], p[0], p[1], p[2], t[0], t[1], t[2]
    nx, ny, nz = _row(noise, 0), _row(noise, 1), _row(noise, 2)
    k, one, tiny = _constants(c, bias, g), c[6], c[7]
    for i in range(uintp(first), uintp(last)):
        ax, ay, az = _turning_at(i, width, px, py, pz, spot, sites, nx, ny, nz, k)
        x, y, z = px[i], py[i], pz[i]
        rx, ry, rz = _turned(x, y, z, ax, ay, az)
        x, y, z = sx[i] + x + rx, sy[i] + y + ry, sz[i] + z + rz
        tx[i], ty[i], tz[i] = _unit(x, y, z, one, tiny)


_cayley = njit(**INLINED)(llg.cayley)


@_with_physics
def _midpoint_predict(s, p, first, last, width, spot, sites, noise, c, bias, g):
    """P = (S + S̃)/2 with S̃ - S = -(S + S̃)/2 × A(S): where the corrector takes its field."""
    _widest_vectors()
    sx, sy, sz, px, py, pz = s[0], s[1], s[2], p[0], p[1], p[2]
    nx, ny, nz = _row(noise, 0), _row(noise, 1), _row(noise, 2)
    k, half, one = _constants(c, bias, g), c[5], c[6]
    for i in range(uintp(first), uintp(last)):
        ax, ay, az = _turning_at(i, width, sx, sy, sz, spot, sites, nx, ny, nz, k)
        x, y, z = sx[i], sy[i], sz[i]
        qx, qy, qz = _cayley(x, y, z, ax, ay, az, half, one)
        px[i], py[i], pz[i] = half * (x + qx), half * (y + qy), half * (z + qz)


@_with_physics
def _midpoint_correct(s, p, t, first, last, width, spot, sites, noise, c, bias, g):
    """S' - S = -(S + S')/2 × A(P): Mentink's semi-implicit step, which keeps |S|."""
    _widest_vectors()
    sx, sy, sz, px, py, pz, tx, ty, tz = s[0], s[1], s[2], p[0], p[1], p[2], t[0], t[1], t[2]
    nx, ny, nz = _row(noise, 0), _row(noise, 1), _row(noise, 2)
    k, half, one, tiny = _constants(c, bias, g), c[5], c[6], c[7]
    for i in range(uintp(first), uintp(last)):
        ax, ay, az = _turning_at(i, width, px, py, pz, spot, sites, nx, ny, nz, k)
        x, y, z = _cayley(sx[i], sy[i], sz[i], ax, ay, az, half, one)
        tx[i], ty[i], tz[i] = _unit(x, y, z, one, tiny)


@_with_physics
def _depondt_predict(s, p, first, last, width, spot, sites, noise, c, bias, g):
    """P = S turned by A(S); A(S) is kept in the rows of P behind it."""
    _widest_vectors()
    sx, sy, sz, px, py, pz = s[0], s[1], s[2], p[0], p[1], p[2]
    kx, ky, kz = p[3], p[4], p[5]
    nx, ny, nz = _row(noise, 0), _row(noise, 1), _row(noise, 2)
    k, half, one = _constants(c, bias, g), c[5], c[6]
    pade = (c[8], c[9], c[10], c[11], c[12], c[13])
    for i in range(uintp(first), uintp(last)):
        ax, ay, az = _turning_at(i, width, sx, sy, sz, spot, sites, nx, ny, nz, k)
        kx[i], ky[i], kz[i] = ax, ay, az
        ax, ay, az = _full_turn(ax, ay, az, half, pade)
        px[i], py[i], pz[i] = _cayley(sx[i], sy[i], sz[i], ax, ay, az, half, one)


@_with_physics
def _depondt_correct(s, p, t, first, last, width, spot, sites, noise, c, bias, g):
    """S' = S turned by (A(S) + A(P))/2."""
    _widest_vectors()
    sx, sy, sz, px, py, pz, tx, ty, tz = s[0], s[1], s[2], p[0], p[1], p[2], t[0], t[1], t[2]
    kx, ky, kz = p[3], p[4], p[5]
    nx, ny, nz = _row(noise, 0), _row(noise, 1), _row(noise, 2)
    k, half, one, tiny = _constants(c, bias, g), c[5], c[6], c[7]
    pade = (c[8], c[9], c[10], c[11], c[12], c[13])
    for i in range(uintp(first), uintp(last)):
        ax, ay, az = _turning_at(i, width, px, py, pz, spot, sites, nx, ny, nz, k)
        ax, ay, az = half * (kx[i] + ax), half * (ky[i] + ay), half * (kz[i] + az)
        ax, ay, az = _full_turn(ax, ay, az, half, pade)
        x, y, z = _cayley(sx[i], sy[i], sz[i], ax, ay, az, half, one)
        tx[i], ty[i], tz[i] = _unit(x, y, z, one, tiny)


_SCHEMES = {
    types.int8: (_heun_predict, _heun_correct),
    types.int16: (_midpoint_predict, _midpoint_correct),
    types.int32: (_depondt_predict, _depondt_correct),
}


def _predict(scheme, *arguments): ...
def _correct(scheme, *arguments): ...


@overload(_predict)
def _overload_predict(scheme, *arguments):
    step = _SCHEMES[scheme][0]
    return lambda scheme, *arguments: step(*arguments)


@overload(_correct)
def _overload_correct(scheme, *arguments):
    step = _SCHEMES[scheme][1]
    return lambda scheme, *arguments: step(*arguments)


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


_normal_pair = random.compile_normal_pair(njit(**INLINED), _log)


@_with_physics
def draw_noise(noise, first, last, shift, step, key):
    """Three standard normal numbers for each site from ``first`` to ``last``, into ``noise``.

    noise : (3, size); key : (4,) uint32. The numbers are those of the sites ``shift`` further on,
    in step ``step``; single precision, at most 6.6 standard deviations.
    """
    _widest_vectors()
    nx, ny, nz = noise[0], noise[1], noise[2]
    k0, k1, k2, k3 = key[0], key[1], key[2], key[3]
    low, high, none = u32(step), u32(step >> 32), u32(0)
    for i in range(uintp(first), uintp(last)):
        site = u32(i + uintp(shift))
        a, b, c, d = _threefry(site, low, high, none, k0, k1, k2, k3)
        nx[i], ny[i] = _normal_pair(a, b)
        nz[i], _ = _normal_pair(c, d)


@njit(**OPTIONS)
def _draw_rows(noise, first_row, last_row, rows, width, periodic, step, key):
    """Noise of some rows; of a periodic film, a row beyond the edge has the opposite row's."""
    first, last = max(first_row, 0), min(last_row, rows)
    origin = GHOST_ROWS * width
    draw_noise(noise, origin + first * width, origin + last * width, 0, step, key)
    if periodic and first_row < 0:
        draw_noise(noise, origin - width, origin, rows * width, step, key)
    if periodic and last_row > rows:
        edge = origin + rows * width
        draw_noise(noise, edge, edge + width, -rows * width, step, key)


@njit(**OPTIONS)
def _wrap_columns(fields, first_row, last_row, columns, width):
    """Copy the opposite edge beside either end of some rows (periodic boundary)."""
    for k in range(len(fields)):
        for row in range(first_row + GHOST_ROWS, last_row + GHOST_ROWS):
            fields[k, row * width] = fields[k, row * width + columns]
            fields[k, row * width + columns + 1] = fields[k, row * width + 1]


@njit(**OPTIONS)
def _wrap_rows(fields, first_row, last_row, rows, width):
    """Copy those of some rows that are near an edge beyond the opposite one."""
    size = GHOST_ROWS * width
    for k in range(len(fields)):
        for row in range(first_row, last_row):
            here = size + row * width
            if row < GHOST_ROWS:
                there = here + rows * width
                fields[k, there : there + width] = fields[k, here : here + width]
            if row >= rows - GHOST_ROWS:
                there = here - rows * width
                fields[k, there : there + width] = fields[k, here : here + width]


@njit(**OPTIONS)
def wrap(fields, rows, columns, width):
    """Fill the sites around a periodic film, (n, size), with the opposite edges."""
    _wrap_columns(fields, 0, rows, columns, width)
    _wrap_rows(fields, 0, rows, rows, width)


@_with_physics
def rate(spins, out, shape, spot, sites, c, bias, g, periodic):
    """dS/dt of a whole film, for Runge–Kutta methods: as ``advance``, with c for a step of 1 ps."""
    _widest_vectors()
    rows, columns, width = shape
    stride = uintp(width)
    sx, sy, sz, rx, ry, rz = spins[0], spins[1], spins[2], out[0], out[1], out[2]
    k = _constants(c, bias, g)
    for i in range(uintp(GHOST_ROWS * width), uintp((GHOST_ROWS + rows) * width)):
        ax, ay, az = _turning_at(i, stride, sx, sy, sz, spot, sites, None, None, None, k)
        rx[i], ry[i], rz[i] = _turned(sx[i], sy[i], sz[i], ax, ay, az)
    if periodic:
        wrap(out, rows, columns, width)


@intrinsic
def _add_atomically(typingctx, array, amount):
    """array[0] += amount as one operation seen by all threads; returns the value before."""
    signature = types.int64(array, types.int64)

    def build(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, args[1], "seq_cst")

    return signature, build


@intrinsic
def _read_atomically(typingctx, array):
    """array[0] as other threads left it. A load: waiting must not take the line from the others."""

    def build(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(data, "acquire", 8)

    return types.int64(array), build


_yield_core = types.ExternalFunction("sched_yield", types.int32())


@njit(**OPTIONS)
def _meet(arrivals, expected):
    """Wait until ``expected`` threads have arrived: a spin, because a step takes some 10 µs."""
    _add_atomically(arrivals, 1)
    spins = 0
    while _read_atomically(arrivals) < expected:
        spins += 1
        if spins % 1024 == 0:
            _yield_core()


@_with_physics
def advance(
    scheme, state, predicted, noise, shape, spot, sites, c, bias, pulse, key, clock, first_step,
    steps, periodic, band, bands, arrivals,
):  # fmt: skip
    """Move rows ``band`` of ``bands`` by ``steps`` steps; the last is in ``state[steps % 2]``.

    scheme : HEUN, MIDPOINT or DEPONDT
    state : (2, 3, size) the spins, in ``state[0]`` at the start
    predicted : (3 or 6, size), this band's own workspace; noise : (3, size) too, or None at T = 0
    shape : (rows, columns, width) of the ``Layout``
    spot : (size,) the pulse's strength over the film, or None for 1 everywhere
    sites : (size,) anisotropy of each site in units of the film's, or None for 1 everywhere
        (both wrapped in a periodic film)
    c : (14,) coefficients as from ``engines.pack_coefficients``; bias : (3,) static B'
    pulse : (5,) float64 [B'_x, B'_y, B'_z at the peak, peak time (ps), Gaussian width (ps)]
    key : (4,) uint32 of the noise, ``first_step`` its first step's number
    clock : (start, step, from a step's start to when its corrector takes the field), ps
    arrivals : (1,) int64, 0 at the start, shared by the bands: where they meet

    ``state``, ``spot``, ``sites``, ``c`` and ``bias`` share one dtype: the precision of the run.
    """
    rows, columns, width = shape
    stride, origin = uintp(width), GHOST_ROWS * width
    first, last = rows * band // bands, rows * (band + 1) // bands
    # A predicted row is wanted beyond the band, where the corrector looks for its neighbours.
    before, after = first - 1, last + 1
    if not periodic:
        before, after = max(before, 0), min(after, rows)
    # A large film is swept in blocks of rows that stay in the cache between the two passes.
    block = max(_BLOCK_SITES // width, 2)
    start_g, end_g = np.empty(3, c.dtype), np.empty(3, c.dtype)
    for step in range(steps):
        now, target = state[step % 2], state[(step + 1) % 2]
        time_ps = clock[0] + step * clock[1]
        start_g[:] = pulse[:3] * _envelope(time_ps, pulse[3], pulse[4])
        end_g[:] = pulse[:3] * _envelope(time_ps + clock[2], pulse[3], pulse[4])
        ahead = before
        for begin in range(first, last, block):
            end = min(begin + block, last)
            reach = min(end + 1, after)
            if noise is not None:
                _draw_rows(noise, ahead, reach, rows, width, periodic, first_step + step, key)
            _predict(
                scheme, now, predicted, origin + ahead * width, origin + reach * width, stride,
                spot, sites, noise, c, bias, start_g,
            )  # fmt: skip
            if periodic:
                _wrap_columns(predicted, ahead, reach, columns, width)
            ahead = reach
            _correct(
                scheme, now, predicted, target, origin + begin * width, origin + end * width,
                stride, spot, sites, noise, c, bias, end_g,
            )  # fmt: skip
            if periodic:
                _wrap_columns(target, begin, end, columns, width)
                _wrap_rows(target, begin, end, rows, width)
        if bands > 1:
            _meet(arrivals, (step + 1) * bands)


def run(threads, scheme, state, predicted, noise, *arguments):
    """``advance`` over the whole film by ``threads`` threads, the spins in ``state[0]`` after it.

    predicted : (threads, 3 or 6, size); noise : (threads, 3, size), or None; arguments : from
    ``shape`` to ``periodic``
    """
    arrivals = np.zeros(1, np.int64)

    def work(band):
        own = None if noise is None else noise[band]
        advance(scheme, state, predicted[band], own, *arguments, band, threads, arrivals)

    others = [threading.Thread(target=work, args=(band,)) for band in range(1, threads)]
    for thread in others:
        thread.start()
    work(0)
    for thread in others:
        thread.join()
    steps = arguments[-2]
    if steps % 2:
        state[0] = state[1]
