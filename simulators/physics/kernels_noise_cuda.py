"""The thermal noise on a CUDA device: the numbers of ``kernels_noise``, to rounding."""

import math

from numba import cuda

from skyctl.simulators.physics import random
from skyctl.simulators.physics.random import u32

_LOW_WORD, _WORD_BITS = 0xFFFFFFFF, 32

_device = cuda.jit(device=True)
_threefry = random.compile_threefry(_device)
_normal_pair = random.compile_normal_pair(_device, math.log)


@_device
def normals(site, step, key):
    """The noise of a site in a step: three numbers, ``kernels_noise.draw_noise``'s to rounding."""
    low, high = u32(step & _LOW_WORD), u32(step >> _WORD_BITS)
    a, b, c, d = _threefry(u32(site), low, high, u32(0), key[0], key[1], key[2], key[3])
    x, y = _normal_pair(a, b)
    z, _ = _normal_pair(c, d)
    return x, y, z
