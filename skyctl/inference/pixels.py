"""The pixels of an image: which are good, how noisy they are, and what a cut-off hid of them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage, special

from skyctl.errors import FilmUnreadable

_SMALLEST_SIDE = 8
_MOST_MISSING = 0.5
MOST_GAPS = 0.25
"""Share of pixels. More of exactly 0 are no gaps between modules, but what the image shows."""


def gaps(image: np.ndarray) -> np.ndarray:
    """Where an image of S_z (H, W) holds nothing, bool (H, W): exactly 0.

    So do sources mark what is no measurement (``Scaling.masked``): module gaps, dead pixels. A
    measured 0, in the middle of a wall, is as well told by its neighbours.
    """
    zeros = image == 0
    return zeros if zeros.mean() <= MOST_GAPS else np.zeros_like(zeros)


def into_gaps(missing: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fills the pixels that are missing, bool (H, W), with what the good one nearest to each has.

    What it costs is worked out once: it touches nothing but the gaps of each image.
    """
    nearest: Any = ndimage.distance_transform_edt(
        missing, return_distances=False, return_indices=True
    )
    there = np.flatnonzero(missing)
    beside = np.ravel_multi_index(tuple(nearest), missing.shape).ravel()[there]

    def filled(image: np.ndarray) -> np.ndarray:
        whole = image.copy()
        whole.reshape(-1)[there] = image.reshape(-1)[beside]
        return whole

    return filled


def good_pixels(image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Finite float32 values of an image (H, W), and which of them are good, bool (H, W).

    mask : True where a pixel is missing, besides those of `gaps`. Raises FilmUnreadable for no
    image, another mask's shape, and too few good pixels.
    """
    image = np.asarray(image)
    if image.ndim != 2 or min(image.shape) < _SMALLEST_SIDE or image.dtype.kind not in "fiub":
        raise FilmUnreadable(
            f"image of shape {image.shape}, {image.dtype}: give real numbers, {_SMALLEST_SIDE} x "
            f"{_SMALLEST_SIDE} pixels or more"
        )
    good = (np.abs(image) < 1e15) & ~gaps(image)  # of which NaN makes False
    if mask is not None:
        if np.shape(mask) != image.shape:
            raise FilmUnreadable(
                f"mask of shape {np.shape(mask)} on an image of {image.shape}: give one of its own"
            )
        good &= ~np.asarray(mask, bool)
    missing = 1 - good.mean()
    if missing > _MOST_MISSING:
        raise FilmUnreadable(
            f"{missing:.0%} of the pixels are masked or NaN: check the camera's mask"
        )
    values = np.where(good, image, np.median(image[good])) if missing else image
    return values.astype(np.float32), good


def smoothed(image: np.ndarray, good: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian average of the good pixels alone, (H, W); masked ones get their neighbours'."""
    if sigma < 0.4:
        if good.all():
            return image
        filled = smoothed(image, good, 1.0)
        return np.where(good, image, filled)
    if good.all():
        return ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3)
    weight = ndimage.gaussian_filter(good.astype(np.float32), sigma, mode="nearest")
    total = ndimage.gaussian_filter(np.where(good, image, 0), sigma, mode="nearest")
    known = weight > 1e-3
    average = np.where(known, total / np.where(known, weight, 1), np.nan)
    return np.where(known, average, np.nanmedian(average)).astype(image.dtype)


def pixel_noise(image: np.ndarray, good: np.ndarray) -> float:
    """Standard deviation of the noise of a pixel as the image shows it, whatever the film.

    Of what is left of 2 × 2 pixels when level and both slopes are taken out; the median over
    blocks, most of which hold no wall.
    """
    rough = image[1:, 1:] - image[1:, :-1] - image[:-1, 1:] + image[:-1, :-1]
    whole = good[1:, 1:] & good[1:, :-1] & good[:-1, 1:] & good[:-1, :-1]
    rows, columns = (side // 6 * 6 for side in rough.shape)
    if not (rows and columns):
        rows, columns = rough.shape
    square = np.where(whole, rough, 0)[:rows, :columns] ** 2
    blocks = (rows // 6 or 1, rows // (rows // 6 or 1), columns // 6 or 1)
    shape = (*blocks, columns // blocks[2])
    count = whole[:rows, :columns].reshape(shape).sum((1, 3))
    mean = square.reshape(shape).sum((1, 3), dtype=np.float64)[count > 3] / count[count > 3]
    return math.sqrt(float(np.median(mean)) / 4) if mean.size else 0.0


def cut_off(values: np.ndarray) -> tuple[float, float]:
    """Where values are cut off, and the share of the pixels that are."""
    size = np.abs(values)
    limit = float(size.max())
    share = np.count_nonzero(size >= limit * (1 - 1e-6)) / size.size
    return limit, share if share > 0.005 else 0.0


def before_cut(
    values: np.ndarray, seen: float, limit: float, clipped: float
) -> tuple[float, float]:
    """Level and noise of the background before its noise was cut off at ±``limit``.

    values : of the pixels that point along the background, which is -1; seen : their noise now
    """
    low = float((values <= -limit * (1 - 1e-6)).mean())
    high = float((values >= limit * (1 - 1e-6)).mean())
    if not clipped or not 0.01 < low < 0.9:  # of fewer, or of what is left, no shape can be told
        return -float(np.median(values)), seen
    z = float(special.ndtri(low))
    if high > 0.003:
        noise = 2 * limit / float(special.ndtri(1 - high) - z)
    else:
        noise = seen / _deviation_above(z)  # not from their mean, which film's edges move as well
    return limit + noise * z, noise


def _deviation_above(z: float) -> float:
    """Standard deviation of normal noise of width 1 that is cut off below ``z``."""
    low, density = float(special.ndtr(z)), math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    mean = z * low + density
    return math.sqrt(z * z * low + 1 - low + z * density - mean * mean)


def restored(image: np.ndarray, limit: float, level: float, noise: float) -> np.ndarray:
    """The image, cut-off values replaced by those that say as much of a pixel's direction.

    Between the limits the log odds of +``level`` against -``level`` are linear in the value; beyond
    them only the two tails tell.
    """
    tails = special.log_ndtr((level - limit) / noise) - special.log_ndtr(-(level + limit) / noise)
    beyond = max(float(tails) * noise**2 / (2 * level), limit)
    cut = np.abs(image) >= limit * (1 - 1e-6)
    return np.where(cut, np.copysign(np.float32(beyond), image), image)
