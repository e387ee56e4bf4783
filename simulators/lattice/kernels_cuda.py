"""LLG kernels for CUDA: films of one size in one array, one thread a site, nothing in between.

A film lies as on the CPU (``layout``): its empty sites are an open boundary without a branch and
make every row begin on a full memory sector. A step is two passes: the predictor reads S and writes
P, the corrector reads S and P and writes S in place, because it takes neighbours from P alone.
Noise is drawn again in the corrector: 24 bytes a site-step (single precision) to keep it would cost
more than the arithmetic on all but the fastest memories.

``cuda_engine`` launches the passes in one of two ways, as kernels of the same functions: ``march``
moves a film by a block that meets itself between the passes, ``predict`` and ``correct`` are each a
launch over the whole device. Kernels are made for what a run has (scheme, precision, boundary,
spot, map, noise), when it first needs them: what it lacks costs neither time nor memory. Nothing in
a float32 kernel is wider than its arrays, bar the pulse's envelope, computed once a film and step.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.core import config

from skyctl.simulators.lattice.layout import GHOST_ROWS
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.kernels_noise_cuda import normals
from skyctl.simulators.physics.random import u32
from skyctl.simulators.physics.schemes import Scheme

FILM_BLOCK = {"f4": 1024, "f8": 512}
"""Threads of a film's block. In single precision one film takes a multiprocessor for itself, so
that the films at work stay in most devices' second cache; 64 or 128 registers are left to a thread.
"""
_REGISTERS = 65536

_device = cuda.jit(device=True)
_field = _device(llg.interaction_field)
_interfacial_field = _device(llg.interfacial_dmi_field)
_axis_field = _device(llg.axis_field)
_damping_like_field = _device(llg.damping_like_field)
_turning = _device(llg.turning)
_unit = _device(llg.unit_spin)
_envelope = _device(llg.pulse_envelope)
_u64 = np.uint64


@cuda.jit
def pulse_fields(fields, pulses, start_ps, step_ps, corrector_ps):
    """Fill ``fields`` (films, steps, 2, 6) with the pulses' B' in the two passes of each step.

    pulses : (films, 5) float64 [B'_x, B'_y, B'_z at the peak, peak time (ps), Gaussian width (ps)]
    corrector_ps : when in a step the second pass takes the field
    """
    films, steps = fields.shape[0], fields.shape[1]
    k = cuda.grid(1)
    if k < films * steps:
        film, step = k // steps, k % steps
        pulse, time_ps = pulses[film], start_ps + step * step_ps
        first = _envelope(time_ps, pulse[3], pulse[4])
        second = _envelope(time_ps + corrector_ps, pulse[3], pulse[4])
        for axis in range(3):
            fields[film, step, 0, axis] = first * pulse[axis]
            fields[film, step, 1, axis] = second * pulse[axis]
            fields[film, step, 0, 3 + axis] = fields[film, step, 1, 3 + axis] = 0


@cache
def make_kernels(
    scheme: Scheme,
    precision: str,
    periodic: bool,
    spotted: bool,
    mapped: bool,
    noisy: bool,
    terms: tuple[bool, bool, bool],
) -> tuple[Any, Any, Any]:
    """The kernels (march, predict, correct) of one kind of run. All take

    spins : (films, 3, size); predicted : (films, 3 or, with the turn that a scheme keeps, 6, size)
    rows, columns, width : of the ``Layout``
    spots, maps : (films or 1, size), the pulse's strength and the anisotropy of each site in units
        of the film's; (1, 1) where there are none
    constants : (films, 22) ``Coefficients.packed`` and the static B'
    fields : (films, steps, 2, 6) from ``pulse_fields``, or ``Span.table``
    keys : (films, 4) uint32 of the noise; lags : (films,) int64, each film's lead over ``clock``
    clock : number of the step ``fields`` begins with

    terms : ``Span.terms``, of any film

    ``march`` the number of steps, ``predict`` and ``correct`` the step among them.
    """
    turning_at = _turning_at(_neighbours(periodic), spotted, mapped, noisy, terms)
    predict, correct = _moves_of_a_site(scheme, np.dtype(precision).type)
    predict_sites = _half_step(0, turning_at, predict)
    correct_sites = _half_step(1, turning_at, correct)
    march = _march(predict_sites, correct_sites, _REGISTERS // FILM_BLOCK[precision])
    return march, _pass_of_all(predict_sites), _pass_of_all(correct_sites)


def _neighbours(periodic: bool) -> Any:
    @_device
    def neighbours(i, rows, columns, width):
        left, right, down, up = i - _u64(1), i + _u64(1), i - width, i + width
        if periodic:
            row = u32(u32(i) // u32(width))
            column = u32(u32(i) - u32(row * u32(width)))
            if column == u32(1):
                left += columns
            if column == u32(columns):
                right -= columns
            if row == u32(GHOST_ROWS):
                down += rows * width
            if row == u32(rows) + u32(GHOST_ROWS - 1):
                up -= rows * width
        return left, right, down, up

    return neighbours


def _turning_at(
    neighbours: Any, spotted: bool, mapped: bool, noisy: bool, terms: tuple[bool, bool, bool]
) -> Any:
    interfacial, tilted, current = terms

    @_device
    def turning_at(i, shape, s, spot, sites, k, g, key, step):
        """A of site ``i`` among the spins ``s``."""
        exchange, dmi, anisotropy, damping, thermal, bx0, by0, bz0 = k[:8]
        gx, gy, gz, px, py, pz = g
        left, right, down, up = neighbours(i, shape[0], shape[1], shape[2])
        along_axis = k[12]
        if mapped:
            anisotropy, along_axis = anisotropy * sites[i], along_axis * sites[i]
        x, y, z = s[0, i], s[1, i], s[2, i]
        bx, by, bz = _field(
            s[0, left], s[1, left], s[2, left], s[0, right], s[1, right], s[2, right],
            s[0, down], s[1, down], s[2, down], s[0, up], s[1, up], s[2, up], z,
            exchange, dmi, anisotropy,
        )  # fmt: skip
        if interfacial:
            ix, iy, iz = _interfacial_field(
                s[0, left], s[2, left], s[0, right], s[2, right], s[1, down], s[2, down],
                s[1, up], s[2, up], k[8],
            )  # fmt: skip
            bx, by, bz = bx + ix, by + iy, bz + iz
        if tilted:
            ix, iy, iz = _axis_field(x, y, z, k[9], k[10], k[11], along_axis)
            bx, by, bz = bx + ix, by + iy, bz + iz
        if spotted:
            near = spot[i]
            gx, gy, gz = gx * near, gy * near, gz * near
            px, py, pz = px * near, py * near, pz * near
        if current:
            ix, iy, iz = _damping_like_field(x, y, z, px, py, pz)
            bx, by, bz = bx + ix, by + iy, bz + iz
        bx, by, bz = bx + (bx0 + gx), by + (by0 + gy), bz + (bz0 + gz)
        if noisy:
            nx, ny, nz = normals(i, step, key)
            bx, by, bz = bx + thermal * nx, by + thermal * ny, bz + thermal * nz
        return _turning(x, y, z, bx, by, bz, damping)

    return turning_at


def _moves_of_a_site(scheme: Scheme, number: Any) -> tuple[Any, Any]:
    """P, and S' in place, of one site that turns by A; ``number`` is the precision's type."""
    predict_spin, correct_spin = scheme.functions(_device)
    keeps_turn = scheme.keeps_turn
    half, one, tiny = number(0.5), number(1), number(llg.TINY)
    pade = tuple(number(t) for t in llg.TAN_PADE)

    @_device
    def predict(i, s, p, ax, ay, az):
        if keeps_turn:
            p[3, i], p[4, i], p[5, i] = ax, ay, az
        x, y, z = s[0, i], s[1, i], s[2, i]
        p[0, i], p[1, i], p[2, i] = predict_spin(x, y, z, ax, ay, az, half, one, pade)

    @_device
    def correct(i, s, p, ax, ay, az):
        kx, ky, kz = ax, ay, az
        if keeps_turn:
            kx, ky, kz = p[3, i], p[4, i], p[5, i]
        x, y, z = correct_spin(
            s[0, i], s[1, i], s[2, i], p[0, i], p[1, i], p[2, i], kx, ky, kz, ax, ay, az,
            half, one, pade,
        )  # fmt: skip
        s[0, i], s[1, i], s[2, i] = _unit(x, y, z, one, tiny)

    return predict, correct


def _half_step(half: int, turning_at: Any, move: Any) -> Any:
    """All sites of a film moved by the field of S (half 0) or of P (half 1)."""

    @_device
    def move_sites(film, first, stride, s, p, shape, spots, maps, k, fields, keys, step, clock):
        g = (
            fields[film, step, half, 0],
            fields[film, step, half, 1],
            fields[film, step, half, 2],
            fields[film, step, half, 3],
            fields[film, step, half, 4],
            fields[film, step, half, 5],
        )
        spot, sites = spots[min(film, len(spots) - 1)], maps[min(film, len(maps) - 1)]
        among = p if half else s
        origin = _u64(GHOST_ROWS) * shape[2]
        end = origin + shape[0] * shape[2]
        for i in range(origin + first, end, stride):
            ax, ay, az = turning_at(i, shape, among, spot, sites, k, g, keys[film], clock + step)
            move(i, s, p, ax, ay, az)

    return move_sites


@_device
def _constants_of(film, constants):
    """What the passes read but never change, as scalars: an array might be written by them."""
    c = constants[film]
    return (
        c[0], c[1], c[2], c[3], c[4], c[-3], c[-2], c[-1], c[14], c[15], c[16], c[17], c[18],
    )  # fmt: skip


def _march(predict_sites: Any, correct_sites: Any, registers: int) -> Any:
    options = {} if config.ENABLE_CUDASIM else {"max_registers": registers}

    @cuda.jit(**options)
    def march(
        spins, predicted, rows, columns, width, spots, maps, constants, fields, keys, lags, clock,
        steps,
    ):  # fmt: skip
        """One block a film, ``steps`` steps."""
        film = cuda.blockIdx.x
        first, stride = _u64(cuda.threadIdx.x), _u64(cuda.blockDim.x)
        s, p, shape = spins[film], predicted[film], (_u64(rows), _u64(columns), _u64(width))
        k, now = _constants_of(film, constants), clock + lags[film]
        for step in range(steps):
            predict_sites(film, first, stride, s, p, shape, spots, maps, k, fields, keys, step, now)
            cuda.syncthreads()
            correct_sites(film, first, stride, s, p, shape, spots, maps, k, fields, keys, step, now)
            cuda.syncthreads()

    return march


def _pass_of_all(move_sites: Any) -> Any:
    @cuda.jit
    def one_pass(
        spins, predicted, rows, columns, width, spots, maps, constants, fields, keys, lags, clock,
        step,
    ):  # fmt: skip
        """Half a step of every film: a grid of (blocks, films)."""
        film = cuda.blockIdx.y
        first, stride = _u64(cuda.grid(2)[0]), _u64(cuda.gridsize(2)[0])
        s, p, shape = spins[film], predicted[film], (_u64(rows), _u64(columns), _u64(width))
        k, now = _constants_of(film, constants), clock + lags[film]
        move_sites(film, first, stride, s, p, shape, spots, maps, k, fields, keys, step, now)

    return one_pass
