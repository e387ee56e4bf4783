"""The Chebyshev recursion of ``kernels_cpu`` on a CUDA device: a thread a site and vector.

Vectors lie side by side in a warp, so that what it reads of a site or a neighbour is consecutive;
the sites of a block follow each other in a row of the lattice and share most of their neighbours.
The vectors stay on the device through all moments; what leaves it are the answers.
"""

from typing import Any

import numpy as np
from numba import cuda

from skyctl.simulators.itinerant.kernels_cpu import coupled, hopped
from skyctl.simulators.physics.cuda import launcher

_BLOCK = (32, 8)  # vectors, sites
_BYTES = 2 * 2 * 4 * 8  # a site and colour: two levels of two vectors of four numbers
_OF_FREE = 0.5  # the rest is for the answers, and for whoever else is there

_device = cuda.jit(device=True)
_hopped = _device(hopped)
_coupled = _device(coupled)


def colours_at_once(sites: int, colours: int) -> int:
    """How many of so many colours ``expand`` should take in one call: what half the memory holds.

    Raises MemoryError where that is not one.
    """
    free = cuda.current_context().get_memory_info().free
    fit = _OF_FREE * free / (_BYTES * sites)
    if fit < 1:
        raise MemoryError(
            f"device cuda: a lattice of {sites} sites takes {_BYTES * sites / 1e9:.3g} GB for one "
            f"colour, half of the {free / 1e9:.3g} GB that are free at most. Choose a smaller "
            "lattice, or device='cpu'."
        )
    return int(min(fit, colours))


@_device
def _site_and_vector():
    site = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    return site, cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x


@_device
def _around(v, j, part, r, near, far):
    return _hopped(
        near, far, v[j[0], part, r], v[j[1], part, r], v[j[2], part, r], v[j[3], part, r],
        v[j[4], part, r], v[j[5], part, r], v[j[6], part, r], v[j[7], part, r], v[j[8], part, r],
        v[j[9], part, r], v[j[10], part, r], v[j[11], part, r],
    )  # fmt: skip


@cuda.jit
def begin(level, answers, coefficients, own, phases):
    """Write T_0, the vectors as they start, into ``level`` and their share into ``answers``."""
    i, r = _site_and_vector()
    sites, _, vectors = level.shape
    if i < sites and r < vectors:
        colours = vectors // 2
        spin = r // colours
        for part in range(4):
            level[i, part, r] = 0
        if own[i] == r - spin * colours:
            for part in range(2):
                level[i, 2 * spin + part, r] = phases[part, i]
                for q in range(len(coefficients)):
                    answers[q, spin, i, 2 * spin + part] = coefficients[q, 0] * phases[part, i]


@cuda.jit
def recurse(
    current, other, answers, coefficients, moment, own, neighbours, hop, exchange, shift, scale
):
    """As ``kernels_cpu.recurse``, for one ``moment``; that of T_1 finds no T_{-1}."""
    i, r = _site_and_vector()
    sites, _, vectors = current.shape
    if i < sites and r < vectors:
        near, far, j = -scale * hop[0], -scale * hop[1], neighbours[i]
        x, y, z = scale * exchange[0, i], scale * exchange[1, i], scale * exchange[2, i]
        a, b, c, d = _coupled(
            current[i, 0, r], current[i, 1, r], current[i, 2, r], current[i, 3, r],
            -z - scale * shift, z - scale * shift, x, y,
        )  # fmt: skip
        a += _around(current, j, 0, r, near, far)
        b += _around(current, j, 1, r, near, far)
        c += _around(current, j, 2, r, near, far)
        d += _around(current, j, 3, r, near, far)
        if moment > 1:
            a -= other[i, 0, r]
            b -= other[i, 1, r]
            c -= other[i, 2, r]
            d -= other[i, 3, r]
        other[i, 0, r] = a
        other[i, 1, r] = b
        other[i, 2, r] = c
        other[i, 3, r] = d
        colours = vectors // 2
        spin = r // colours
        if own[i] == r - spin * colours:
            for q in range(len(coefficients)):
                weight = coefficients[q, moment]
                answers[q, spin, i, 0] += weight * a
                answers[q, spin, i, 1] += weight * b
                answers[q, spin, i, 2] += weight * c
                answers[q, spin, i, 3] += weight * d


def expand(
    coefficients: np.ndarray, own: np.ndarray, colours: int, phases: np.ndarray,
    neighbours: np.ndarray, hop: np.ndarray, exchange: np.ndarray, centre: float, half_width: float,
) -> np.ndarray:  # fmt: skip
    """As ``kernels_cpu.expand``."""
    (functions, moments), sites = coefficients.shape, len(own)
    answers = cuda.to_device(np.zeros((functions, 2, sites, 4)))
    before: Any = cuda.device_array((sites, 4, 2 * colours))
    now: Any = cuda.device_array((sites, 4, 2 * colours))
    vectors_a_block, sites_a_block = _BLOCK
    grid = (-(-sites // sites_a_block), -(-2 * colours // vectors_a_block))
    series, asked = cuda.to_device(coefficients), cuda.to_device(own)
    launcher(begin, grid, _BLOCK)(before, answers, series, asked, cuda.to_device(phases))
    lattice = [cuda.to_device(array) for array in (neighbours, hop, exchange)]
    step = launcher(recurse, grid, _BLOCK)
    for m in range(1, moments):
        times = 1 if m == 1 else 2
        step(before, now, answers, series, m, asked, *lattice, centre, times / half_width)
        before, now = now, before
    return answers.copy_to_host()
