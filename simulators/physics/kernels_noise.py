"""The thermal noise on the CPU, in operations that vectorise (``lattice.kernels_cpu``)."""

from numba import njit, uintp

from skyctl.compiled import INLINED, OPTIONS
from skyctl.simulators.physics import random
from skyctl.simulators.physics.kernels_float32 import log
from skyctl.simulators.physics.kernels_vectors import widest_vectors
from skyctl.simulators.physics.random import u32

_threefry = random.compile_threefry(njit(inline="always", error_model="numpy", nogil=True))
_normal_pair = random.compile_normal_pair(njit(**INLINED), log)


@njit(**OPTIONS)
def draw_noise(noise, first, last, shift, step, key):
    """Three standard normal numbers for each site from ``first`` to ``last``, into ``noise``.

    noise : (3, size); key : (4,) uint32. The numbers are those of the sites ``shift`` further on,
    in step ``step``; single precision, at most 6.6 standard deviations.
    """
    widest_vectors()
    nx, ny, nz = noise[0], noise[1], noise[2]
    k0, k1, k2, k3 = key[0], key[1], key[2], key[3]
    low, high, none = u32(step), u32(step >> 32), u32(0)
    for i in range(uintp(first), uintp(last)):
        site = u32(i + uintp(shift))
        a, b, c, d = _threefry(site, low, high, none, k0, k1, k2, k3)
        nx[i], ny[i] = _normal_pair(a, b)
        nz[i], _ = _normal_pair(c, d)
