"""Compiled loop that undoes bitshuffle.

Bits of a block's numbers, sorted by their place, become numbers again, as in the bitshuffle library
(Masui et al., Astronomy and Computing 12 (2015) 181)."""

import numpy as np
from numba import njit, uint64, uintp

from skyctl.compiled import OPTIONS


@njit(cache=OPTIONS["cache"], nogil=True, error_model="numpy")
def unshuffle(rows, planes, numbers):
    """Put the numbers of equal blocks together.

    rows : uint8 (blocks, bytes of a number, 8, n), the same bit of all 8 n numbers in each row
    planes : uint64 (bytes of a number, n), scratch: the same byte of all numbers in each row
    numbers : unsigned (blocks, 8 n), written
    """
    blocks, size, _, n = rows.shape
    number = numbers.dtype.type
    for block in range(uintp(blocks)):
        for byte in range(uintp(size)):
            r = rows[block, byte]
            plane = planes[byte]
            for i in range(uintp(n)):
                x = uint64(r[0, i])
                x |= uint64(r[1, i]) << uint64(8)
                x |= uint64(r[2, i]) << uint64(16)
                x |= uint64(r[3, i]) << uint64(24)
                x |= uint64(r[4, i]) << uint64(32)
                x |= uint64(r[5, i]) << uint64(40)
                x |= uint64(r[6, i]) << uint64(48)
                x |= uint64(r[7, i]) << uint64(56)
                # Transposes the 8 × 8 bits of x (Warren, Hacker's Delight, 7-3).
                t = (x ^ (x >> uint64(7))) & uint64(0x00AA00AA00AA00AA)
                x = x ^ t ^ (t << uint64(7))
                t = (x ^ (x >> uint64(14))) & uint64(0x0000CCCC0000CCCC)
                x = x ^ t ^ (t << uint64(14))
                t = (x ^ (x >> uint64(28))) & uint64(0x00000000F0F0F0F0)
                plane[i] = x ^ t ^ (t << uint64(28))
        out = numbers[block]
        out[:] = 0
        for byte in range(uintp(size)):
            plane8 = planes[byte].view(np.uint8)
            shift = number(8 * byte)
            for i in range(uintp(8 * n)):
                out[i] |= number(plane8[i]) << shift
