"""Skyrmions of a micrograph whose scale, contrast and light are unknown."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from skyctl.inference.islands import SPECK, Island, islands_in
from skyctl.inference.pixels import good_pixels, pixel_noise, smoothed

# Lengths in radii of the discs. Chosen on 30 labelled Kerr micrographs.
_SCALES = (1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.3, 16.0)
_RADIUS = 1.6
_SMOOTHING, _FINEST = 0.28, 0.7
_AROUND = 2.4
_EDGE_NOISE = 0.06
"""Noise that is left where a disc's edge is drawn, over its contrast."""
_CUT = 0.38
"""Where between background and the middle of a disc its edge is drawn."""
_FAINT = 0.12
"""Least contrast of a disc, of that which the strong ones have."""
_STANDS_OUT = 4.5
"""Least contrast of a disc, in standard deviations of the noise."""
_CUT_OFF, _HUGE = 0.1, 6.0
"""Smallest area of a disc that the edge cuts, and the largest of any, of the usual."""
_LOPSIDED = (0.4, 0.9)
"""Least difference between bright and dark discs, of both: of large images and of small ones."""
_LAPLACE_NOISE = 1 / math.sqrt(2 * math.pi)
"""Standard deviation of white noise of 1 in the normalised Laplacian of scale 1."""


@dataclass(frozen=True)
class Discs:
    """Skyrmions of a micrograph.

    labels : int (H, W), 0 between them, 1 … n in each
    places : (x, y, area) of each, in pixels and pixels², in the order of the labels
    polarity : +1 where they are brighter than what is around them, -1 darker, 0 without any
    """

    labels: np.ndarray
    places: tuple[tuple[float, float, float], ...]
    polarity: int


def find_skyrmions(
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    smallest_px: float | None = None,
    largest_px: float | None = None,
    polarity: Literal[-1, 1] | None = None,
) -> Discs:
    """The skyrmions of a micrograph (H, W) of any scale, contrast and sign, in uneven light.

    mask : bool (H, W), True where a pixel is missing; NaN and infinity are missing, too
    smallest_px, largest_px : pixels² of the smallest and of the largest one; None takes what is far
        from the usual size in this image for no skyrmion
    polarity : +1 where they are brighter than the film around, -1 darker; None finds it out

    Most of the film must be background, and skyrmions about as large as one another. Where nothing
    stands out of the noise, none are found. Raises FilmUnreadable for no image at all.
    """
    values, good = good_pixels(image, mask)
    nothing = Discs(np.zeros(values.shape, np.int32), (), 0)
    low, high = (float(v) for v in np.percentile(values[good], (0.5, 99.5)))
    if low == high:
        return nothing
    values = np.clip(values, low - 0.2 * (high - low), high + 0.2 * (high - low))  # dust
    noise = pixel_noise(values, good)
    values = smoothed(values, good, 0.0) - np.median(values[good])
    found = _scale_and_polarity(values, polarity)
    if not found:
        return nothing
    scale, side = found
    values *= side
    marked = _marks(values, noise, scale)
    if not marked.any():
        return nothing
    labels, islands = islands_in(_inside(values, noise, scale, marked), 1)
    kept = _of_usual_size(labels, islands, marked, _RADIUS * scale, smallest_px, largest_px)
    renumbered = np.zeros(len(islands) + 1, np.int32)
    renumbered[kept] = np.arange(1, len(kept) + 1)
    places = tuple((islands[i].x, islands[i].y, islands[i].area) for i in kept)
    return Discs(renumbered[labels], places, side) if kept else nothing


def _inside(values: np.ndarray, noise: float, scale: float, marked: np.ndarray) -> np.ndarray:
    """Bool (H, W), True in bright discs: their edge lies between background and marked middles."""
    between = np.sum(_curvatures(values, scale), 0) < 0
    wide, fine = _AROUND * _RADIUS * scale, max(_FINEST, _SMOOTHING * _RADIUS * scale)
    far = ndimage.gaussian_filter(values, wide, truncate=3)
    flat = ndimage.gaussian_filter(values, fine, truncate=3) - far
    contrast = float(np.median(flat[marked]) - np.median(flat[between]))
    # Discs may differ in size: no more smoothing than the noise asks for.
    enough = noise / (2 * math.sqrt(math.pi) * _EDGE_NOISE * contrast) if contrast > 0 else fine
    if enough < fine:
        flat = ndimage.gaussian_filter(values, max(_FINEST, enough), truncate=3) - far
    around, inside = float(np.median(flat[between])), float(np.median(flat[marked]))
    return flat > around + _CUT * (inside - around)


def _scale_and_polarity(values: np.ndarray, polarity: int | None) -> tuple[float, int] | None:
    """At which scale, and to which side, the image is the most lopsided: that of its discs.

    None where that grows up to the largest scale: it is the light that is uneven.
    """
    scales = [scale for scale in _SCALES if 6 * scale <= min(values.shape)]
    tails = np.array([_lopsided(values, scale) for scale in scales])
    if polarity:
        tails = np.maximum(tails * polarity, 0) * polarity
    sizes = np.abs(np.append(tails, 0))
    peaks = [i for i in range(len(scales)) if sizes[i] > max(sizes[i - 1], sizes[i + 1])]
    if len(scales) == len(_SCALES):
        peaks = [i for i in peaks if i < len(scales) - 1]
    if not peaks:
        return None
    best = max(peaks, key=sizes.__getitem__)
    return scales[best], polarity or int(np.sign(tails[best]))


def _lopsided(values: np.ndarray, scale: float) -> float:
    """How much stronger bright discs of this scale are than dark ones; 0 where none stands out.

    By the cubes of their curvatures, which noise has to either side alike.
    """
    smaller, larger = _curvatures(values, scale)
    bright, dark = (
        float((np.minimum(disc, np.percentile(disc, 99.95)) ** 3).mean())  # the rest is dust
        for disc in (np.maximum(smaller, 0), np.maximum(-larger, 0))
    )
    if not bright + dark:
        return 0.0
    by_chance = math.sqrt(6 * 4 * math.pi * scale**2 / values.size)
    least = min(max(_LOPSIDED[0], 4 * by_chance), _LOPSIDED[1])
    share = (bright - dark) / (bright + dark)
    return math.cbrt(bright - dark) if abs(share) > least else 0.0


def _curvatures(values: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The smaller and the larger of the two downward curvatures at this scale, (H, W) each.

    Normalised so that their mean is the Laplacian's. The smaller is positive within bright discs,
    the larger negative within dark ones; on straight edges and lines neither is.
    """
    xx, yy, xy = (
        -(scale**2) * ndimage.gaussian_filter(values, scale, order=order)  # pyright: ignore[reportArgumentType]
        for order in ((0, 2), (2, 0), (1, 1))
    )
    mean, apart = xx + yy, np.hypot(xx - yy, 2 * xy)
    return mean - apart, mean + apart


def _marks(values: np.ndarray, noise: float, scale: float) -> np.ndarray:
    """Where a bright disc stands out: (H, W), True in its middle."""
    given, _ = _curvatures(values, scale)
    side = 2 * max(1, round(0.7 * _RADIUS * scale)) + 1
    peaks = (given == ndimage.maximum_filter(given, side)) & (given > 0)
    if not peaks.any():
        return peaks
    usual = float(np.percentile(given[peaks], 90))
    return peaks & (given > max(_FAINT * usual, _STANDS_OUT * _LAPLACE_NOISE * noise / scale))


def _of_usual_size(
    labels: np.ndarray,
    islands: dict[int, Island],
    marked: np.ndarray,
    radius: float,
    smallest: float | None,
    largest: float | None,
) -> list[int]:
    """Labels of marked islands that are no specks; one that the edge cuts may be smaller."""
    held = set(np.unique(labels[marked]).tolist()) - {0}
    if not held:
        return []
    usual = float(np.median([islands[i].area for i in held]))
    most = largest or _HUGE * math.pi * radius**2
    kept: list[int] = []
    for i, island in islands.items():
        least = smallest if smallest is not None else SPECK * usual
        if island.at_edge:
            least = min(least, max(3.0, _CUT_OFF * usual))
        elif i not in held:
            continue
        if least <= island.area <= most:
            kept.append(i)
    return kept
