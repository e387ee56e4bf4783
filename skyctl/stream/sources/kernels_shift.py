"""Compiled loops that move an image by less and more than a pixel: a cubic spline, as taps.

Source: M. Unser, A. Aldroubi, M. Eden, IEEE Trans. Signal Process. 41, 821 (1993), for the cardinal
spline. A shift is the same for every pixel, so what `scipy.ndimage.shift` solves for and evaluates
is one convolution along each axis: twenty times as fast.
"""

import functools
import math

import numpy as np
from numba import njit

from skyctl.compiled import OPTIONS

# Not fastmath: the same image gives the same bits on every machine that rounds alike.
_compiled = njit(cache=OPTIONS["cache"], nogil=True, error_model="numpy")

_POLE = math.sqrt(3) - 2
_REACH = 8
"""Taps to either side; what is cut off is the pole's eighth power, 3e-5."""
_NEAR = 3
"""Pixels: one that says nothing is filled from so near."""
_TOUCHED = 0.01
"""A moved pixel says something where no more than this of it is of one that does not."""
_SHARES = np.exp(-0.5 * (np.mgrid[-_NEAR : _NEAR + 1, -_NEAR : _NEAR + 1] ** 2).sum(0))
"""Of what is around a pixel in what it is filled with."""


@functools.lru_cache(maxsize=8)
def _taps(fraction: float) -> np.ndarray:
    """Weights of the pixels at -_REACH + 1 … _REACH around a place ``fraction`` after pixel 0."""
    places = fraction - np.arange(-_REACH + 1, _REACH + 1)
    taps = np.zeros(places.size)
    for n in range(-_REACH, _REACH + 1):  # the inverse of the spline's own samples, 1/6 4/6 1/6
        distance = np.abs(places - n)
        near = 2 / 3 - distance**2 + distance**3 / 2
        spline = np.where(distance < 1, near, np.maximum(2 - distance, 0) ** 3 / 6)
        taps += _POLE ** abs(n) * spline
    return (taps / taps.sum()).astype(np.float32)


def moved(image: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """An image (H, W), float32, moved by so many pixels: what was at (r, c) is at (r + rows, …).

    NaN says nothing: it is filled from around before it takes part, and what it has a part in, as
    what comes from outside, is NaN.
    """
    image = np.ascontiguousarray(image, np.float32)
    silent = np.flatnonzero(~np.isfinite(image))
    down, right = math.floor(-rows), math.floor(-columns)
    up_to, left = -rows - down, -columns - right
    filled = _fill(image, silent)
    result = _along_rows(_along_columns(filled, right, _taps(left)), down, _taps(up_to))
    _forget(result, silent, down, right, np.float32(up_to), np.float32(left))
    return result


@_compiled
def _fill(image, silent):
    """The image with what is around them in the pixels that say nothing."""
    height, width = image.shape
    filled = image.copy()
    for place in silent:
        r, c = place // width, place % width
        total = weight = 0.0
        for i in range(max(0, r - _NEAR), min(height, r + _NEAR + 1)):
            for j in range(max(0, c - _NEAR), min(width, c + _NEAR + 1)):
                if np.isfinite(image[i, j]):
                    share = _SHARES[i - r + _NEAR, j - c + _NEAR]
                    total += share * image[i, j]
                    weight += share
        filled[r, c] = total / weight if weight else 0.0
    return filled


@_compiled
def _along_columns(image, whole, taps):
    height, width = image.shape
    result = np.zeros((height, width), np.float32)
    count = taps.size
    padded = np.empty(width + count, np.float32)
    for r in range(height):
        for j in range(width + count):
            padded[j] = image[r, min(max(j + whole - _REACH + 1, 0), width - 1)]
        for k in range(count):
            for c in range(width):
                result[r, c] += taps[k] * padded[c + k]
    return result


@_compiled
def _along_rows(image, whole, taps):
    height, width = image.shape
    result = np.zeros((height, width), np.float32)
    for r in range(height):
        for k in range(taps.size):
            i = min(max(r + whole + k - _REACH + 1, 0), height - 1)
            for c in range(width):
                result[r, c] += taps[k] * image[i, c]
    return result


@_compiled
def _forget_from(result, r, c, down, right, up_to, left):
    """NaN in those of the four places that have a part of this pixel."""
    height, width = result.shape
    for i in range(2):
        for j in range(2):
            share = (up_to if i else 1 - up_to) * (left if j else 1 - left)
            y, x = r - down - i, c - right - j
            if share > _TOUCHED and 0 <= y < height and 0 <= x < width:
                result[y, x] = np.nan


@_compiled
def _forget(result, silent, down, right, up_to, left):
    """NaN where a pixel comes, by more than a hundredth, from outside or from one that is NaN."""
    height, width = result.shape
    for place in silent:
        _forget_from(result, place // width, place % width, down, right, up_to, left)
    for r in range(-1, height + 1):  # around the image
        for c in range(-1, width + 1, 1 if r in (-1, height) else width + 1):
            _forget_from(result, r, c, down, right, up_to, left)
    for r in range(height):
        if not 0 <= r + down < height:
            result[r] = np.nan
    for c in range(width):
        if not 0 <= c + right < width:
            result[:, c] = np.nan
