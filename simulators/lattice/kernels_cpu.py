"""LLG kernels for the CPU: one flat, vectorised stencil over the lattice of ``layout``.

A step is a predictor and a corrector, each one pass over the film, whatever the scheme. Threads
share a film by bands of rows; each predicts one row beyond its own on either side, so that they
meet once a step.

What keeps the loops vectorised (a scalar loop is several times slower, and nothing says so):
``error_model="numpy"``, unsigned indices, input and output arrays that are never the same one, and
no Python number in the loop (it would widen float32).
"""

import threading

import numpy as np
from numba import njit, types, uintp
from numba.extending import (
    NativeValue,
    intrinsic,
    models,
    overload,
    register_model,
    typeof_impl,
    unbox,
)

from skyctl.compiled import INLINED, NOT_KEPT, OPTIONS, only_compiled
from skyctl.simulators.lattice.layout import GHOST_ROWS
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.kernels_noise import draw_noise
from skyctl.simulators.physics.kernels_vectors import widest_vectors
from skyctl.simulators.physics.schemes import SCHEMES, Scheme

_field = njit(**INLINED)(llg.interaction_field)
_interfacial_field = njit(**INLINED)(llg.interfacial_dmi_field)
_axis_field = njit(**INLINED)(llg.axis_field)
_damping_like_field = njit(**INLINED)(llg.damping_like_field)
_turning = njit(**INLINED)(llg.turning)
_turned = njit(**INLINED)(llg.turned)
_unit = njit(**INLINED)(llg.unit_spin)
_envelope = njit(**OPTIONS)(llg.pulse_envelope)

_BLOCK_SITES = 16384


def _row(array, k):
    only_compiled()


def _at(array, i, otherwise):
    only_compiled()


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


def _at_interface(wanted, field, sx, sy, sz, left, right, down, up, dmi): ...
def _along_axis(wanted, field, sx, sy, sz, i, sites, nx, ny, nz, anisotropy, one): ...
def _under_current(wanted, field, sx, sy, sz, i, px, py, pz, near): ...
def _drive(g, table, pulse, step, half, time_ps): ...
def _unless(gone, value, one): ...


@overload(_at_interface, inline="always")
def _overload_at_interface(wanted, field, sx, sy, sz, left, right, down, up, dmi):
    """``field`` and an interfacial DMI's; as it is where none is wanted."""
    if isinstance(wanted, types.NoneType):
        return lambda wanted, field, sx, sy, sz, left, right, down, up, dmi: field

    def add(wanted, field, sx, sy, sz, left, right, down, up, dmi):
        x, y, z = _interfacial_field(
            sx[left], sz[left], sx[right], sz[right], sy[down], sz[down], sy[up], sz[up], dmi
        )
        return field[0] + x, field[1] + y, field[2] + z

    return add


@overload(_along_axis, inline="always")
def _overload_along_axis(wanted, field, sx, sy, sz, i, sites, nx, ny, nz, anisotropy, one):
    """``field`` and that of a tilted easy axis; as it is where none is wanted."""
    if isinstance(wanted, types.NoneType):
        return lambda wanted, field, sx, sy, sz, i, sites, nx, ny, nz, anisotropy, one: field

    def add(wanted, field, sx, sy, sz, i, sites, nx, ny, nz, anisotropy, one):
        k = anisotropy * _at(sites, i, one)
        bx, by, bz = _axis_field(sx[i], sy[i], sz[i], nx, ny, nz, k)
        return field[0] + bx, field[1] + by, field[2] + bz

    return add


@overload(_under_current, inline="always")
def _overload_under_current(wanted, field, sx, sy, sz, i, px, py, pz, near):
    """``field`` and a spin current's damping-like one; as it is where none is wanted."""
    if isinstance(wanted, types.NoneType):
        return lambda wanted, field, sx, sy, sz, i, px, py, pz, near: field

    def add(wanted, field, sx, sy, sz, i, px, py, pz, near):
        bx, by, bz = _damping_like_field(sx[i], sy[i], sz[i], near * px, near * py, near * pz)
        return field[0] + bx, field[1] + by, field[2] + bz

    return add


@overload(_unless, inline="always")
def _overload_unless(gone, value, one):
    """``value``, or a 0 that the compiler knows to be one: what is times it costs nothing."""
    if isinstance(gone, types.NoneType):
        return lambda gone, value, one: value
    return lambda gone, value, one: one - one


@overload(_drive)
def _overload_drive(g, table, pulse, step, half, time_ps):
    """Put into ``g`` what drives the film now: a row of the table, or a Gaussian's field."""
    if isinstance(table, types.NoneType):

        def gaussian(g, table, pulse, step, half, time_ps):
            g[:3] = pulse[:3] * _envelope(time_ps, pulse[3], pulse[4])

        return gaussian

    def tabulated(g, table, pulse, step, half, time_ps):
        g[:] = table[step, half]

    return tabulated


@njit(**INLINED)
def _turning_at(i, width, sx, sy, sz, spot, sites, terms, nx, ny, nz, k):
    """A of site ``i`` among the spins (sx, sy, sz); ``k`` as from ``_constants``."""
    exchange, dmi, anisotropy, damping, thermal, one, bx0, by0, bz0, gx, gy, gz = k[:12]
    interfacial, ax, ay, az, along_axis, px, py, pz = k[12:]
    left, right, down, up = i - uintp(1), i + uintp(1), i - width, i + width
    z = sz[i]
    field = _field(
        sx[left], sy[left], sz[left], sx[right], sy[right], sz[right],
        sx[down], sy[down], sz[down], sx[up], sy[up], sz[up], z,
        exchange, _unless(terms[1], dmi, one),
        _unless(terms[2], anisotropy * _at(sites, i, one), one),
    )  # fmt: skip
    field = _at_interface(terms[0], field, sx, sy, sz, left, right, down, up, interfacial)
    field = _along_axis(terms[2], field, sx, sy, sz, i, sites, ax, ay, az, along_axis, one)
    near = _at(spot, i, one)
    bx, by, bz = _under_current(terms[3], field, sx, sy, sz, i, px, py, pz, near)
    bx += bx0 + gx * near + thermal * _at(nx, i, one)
    by += by0 + gy * near + thermal * _at(ny, i, one)
    bz += bz0 + gz * near + thermal * _at(nz, i, one)
    return _turning(sx[i], sy[i], z, bx, by, bz, damping)


@njit(**INLINED)
def _constants(c, bias, g):
    """What a loop reads but never changes, as scalars: an array might be written by the loop."""
    return (
        c[0], c[1], c[2], c[3], c[4], c[6], bias[0], bias[1], bias[2], g[0], g[1], g[2],
        c[14], c[15], c[16], c[17], c[18], g[3], g[4], g[5],
    )  # fmt: skip


class SchemeType(types.Type):
    """numba's type of one scheme, which its name tells; its values carry nothing.

    So a kernel is compiled for the scheme that it is called with, and kept under it.
    """

    def __init__(self, scheme_name):
        self.scheme_name = scheme_name
        super().__init__(name=f"Scheme({scheme_name})")


register_model(SchemeType)(models.OpaqueModel)


@typeof_impl.register(Scheme)
def _type_of_scheme(scheme, context):
    return SchemeType(scheme.name)


@unbox(SchemeType)
def _unbox_scheme(kind, scheme, context):
    return NativeValue(context.context.get_dummy_value())


def _passes(scheme):
    """The two passes of a scheme over the sites from ``first`` to ``last``."""
    (predict, correct), keeps_turn = scheme.functions(njit(**INLINED)), scheme.keeps_turn

    @njit(**NOT_KEPT)
    def predict_sites(s, p, kept, first, last, width, spot, sites, terms, noise, c, bias, g):
        """P, and A(S) into ``kept`` if there is one."""
        widest_vectors()
        sx, sy, sz, px, py, pz = s[0], s[1], s[2], p[0], p[1], p[2]
        kx, ky, kz = _row(kept, 0), _row(kept, 1), _row(kept, 2)
        nx, ny, nz = _row(noise, 0), _row(noise, 1), _row(noise, 2)
        k, half, one = _constants(c, bias, g), c[5], c[6]
        pade = (c[8], c[9], c[10], c[11], c[12], c[13])
        for i in range(uintp(first), uintp(last)):
            ax, ay, az = _turning_at(i, width, sx, sy, sz, spot, sites, terms, nx, ny, nz, k)
            if keeps_turn:
                kx[i], ky[i], kz[i] = ax, ay, az
            px[i], py[i], pz[i] = predict(sx[i], sy[i], sz[i], ax, ay, az, half, one, pade)

    @njit(**NOT_KEPT)
    def correct_sites(s, p, kept, t, first, last, width, spot, sites, terms, noise, c, bias, g):
        """S', into ``t``."""
        widest_vectors()
        sx, sy, sz, px, py, pz, tx, ty, tz = s[0], s[1], s[2], p[0], p[1], p[2], t[0], t[1], t[2]
        kx, ky, kz = _row(kept, 0), _row(kept, 1), _row(kept, 2)
        nx, ny, nz = _row(noise, 0), _row(noise, 1), _row(noise, 2)
        k, half, one, tiny = _constants(c, bias, g), c[5], c[6], c[7]
        pade = (c[8], c[9], c[10], c[11], c[12], c[13])
        for i in range(uintp(first), uintp(last)):
            ax, ay, az = _turning_at(i, width, px, py, pz, spot, sites, terms, nx, ny, nz, k)
            jx, jy, jz = ax, ay, az
            if keeps_turn:
                jx, jy, jz = kx[i], ky[i], kz[i]
            x, y, z = px[i], py[i], pz[i]
            x, y, z = correct(sx[i], sy[i], sz[i], x, y, z, jx, jy, jz, ax, ay, az, half, one, pade)
            tx[i], ty[i], tz[i] = _unit(x, y, z, one, tiny)

    return predict_sites, correct_sites


_PASSES = {name: _passes(scheme) for name, scheme in SCHEMES.items()}


def _predict(scheme, *arguments):
    only_compiled()


def _correct(scheme, *arguments):
    only_compiled()


@overload(_predict)
def _overload_predict(scheme, *arguments):
    sweep = _PASSES[scheme.scheme_name][0]
    return lambda scheme, *arguments: sweep(*arguments)


@overload(_correct)
def _overload_correct(scheme, *arguments):
    sweep = _PASSES[scheme.scheme_name][1]
    return lambda scheme, *arguments: sweep(*arguments)


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


@njit(**OPTIONS)
def rate(spins, out, shape, spot, sites, terms, c, bias, g, periodic):
    """dS/dt of a whole film, for Runge–Kutta methods: as ``advance``, with c for a step of 1 ps."""
    widest_vectors()
    rows, columns, width = shape
    stride = uintp(width)
    sx, sy, sz, rx, ry, rz = spins[0], spins[1], spins[2], out[0], out[1], out[2]
    k = _constants(c, bias, g)
    for i in range(uintp(GHOST_ROWS * width), uintp((GHOST_ROWS + rows) * width)):
        ax, ay, az = _turning_at(i, stride, sx, sy, sz, spot, sites, terms, None, None, None, k)
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


@njit(**OPTIONS)
def advance(
    scheme, state, predicted, kept, noise, shape, spot, sites, terms, c, bias, pulse, table, key,
    clock, first_step, steps, periodic, band, bands, arrivals,
):  # fmt: skip
    """Move rows ``band`` of ``bands`` by ``steps`` steps; the last is in ``state[steps % 2]``.

    scheme : ``schemes.Scheme``
    state : (2, 3, size) the spins, in ``state[0]`` at the start
    predicted : (3, size), this band's own workspace; kept : (3, size) too, or None where the
        scheme keeps no turn; noise : (3, size) too, or None at T = 0
    shape : (rows, columns, width) of the ``Layout``
    spot : (size,) the pulse's strength over the film, or None for 1 everywhere
    sites : (size,) anisotropy of each site in units of the film's, or None for 1 everywhere
        (both wrapped in a periodic film)
    terms : (interfacial DMI, and no other, tilted easy axis, spin current), each True, or None
        where the film has none: there is no code for it then
    c : (19,) coefficients as from ``Coefficients.packed``; bias : (3,) static B'
    pulse : (5,) float64 [B'_x, B'_y, B'_z at the peak, peak time (ps), Gaussian width (ps)]
    table : (steps, 2, 6) for a pulse that is no Gaussian, or None: in each pass of each step its
        B', and the polarisation P' of its damping-like torque
    key : (4,) uint32 of the noise, ``first_step`` its first step's number
    clock : (start, step, from a step's start to when its corrector takes the field), ps
    arrivals : (1,) int64, 0 at the start, shared by the bands: where they meet

    ``state``, ``spot``, ``sites``, ``table``, ``c`` and ``bias`` share one dtype: the precision of
    the run.
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
    start_g, end_g = np.zeros(6, c.dtype), np.zeros(6, c.dtype)
    for step in range(steps):
        now, target = state[step % 2], state[(step + 1) % 2]
        time_ps = clock[0] + step * clock[1]
        _drive(start_g, table, pulse, step, 0, time_ps)
        _drive(end_g, table, pulse, step, 1, time_ps + clock[2])
        ahead = before
        for begin in range(first, last, block):
            end = min(begin + block, last)
            reach = min(end + 1, after)
            if noise is not None:
                _draw_rows(noise, ahead, reach, rows, width, periodic, first_step + step, key)
            _predict(
                scheme, now, predicted, kept, origin + ahead * width, origin + reach * width,
                stride, spot, sites, terms, noise, c, bias, start_g,
            )  # fmt: skip
            if periodic:
                _wrap_columns(predicted, ahead, reach, columns, width)
            ahead = reach
            _correct(
                scheme, now, predicted, kept, target, origin + begin * width,
                origin + end * width, stride, spot, sites, terms, noise, c, bias, end_g,
            )  # fmt: skip
            if periodic:
                _wrap_columns(target, begin, end, columns, width)
                _wrap_rows(target, begin, end, rows, width)
        if bands > 1:
            _meet(arrivals, (step + 1) * bands)


def run(threads, scheme, state, predicted, kept, noise, *arguments):
    """``advance`` over the whole film by ``threads`` threads, the spins in ``state[0]`` after it.

    predicted, kept, noise : (threads, 3, size), the last two None where there is none
    arguments : from ``shape`` to ``periodic``
    """
    arrivals = np.zeros(1, np.int64)

    def work(band):
        own = (None if all_of is None else all_of[band] for all_of in (predicted, kept, noise))
        advance(scheme, state, *own, *arguments, band, threads, arrivals)

    others = [threading.Thread(target=work, args=(band,)) for band in range(1, threads)]
    for thread in others:
        thread.start()
    work(0)
    for thread in others:
        thread.join()
    steps = arguments[-2]
    if steps % 2:
        state[0] = state[1]
