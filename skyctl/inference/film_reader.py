"""What a camera shows of a settled film: how many skyrmions, where, and how sure that is.

``read_film`` reads an image of S_z whose scale is roughly known. A micrograph of unknown scale,
contrast and light is micrograph.find_skyrmions' business.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from skyctl.errors import FilmUnreadable
from skyctl.inference.evidence import Evidence, shipped_calibration
from skyctl.inference.islands import SPECK, Island, islands_in, whole_disc
from skyctl.inference.matched_filter import coarsest_pixel, match_discs, noise_tail
from skyctl.inference.pixels import (
    before_cut,
    cut_off,
    good_pixels,
    pixel_noise,
    restored,
    smoothed,
)
from skyctl.verdict import FilmState

SMALLEST_SITES = 9.0
"""Sites² of the smallest reversed island that counts; the film's relaxed skyrmion has about 50."""
_SURE = (1.5, 3.5)
"""Log odds, a place against none, above which the first reversed disc is there and any other."""
_LEAST_NOISE = 0.02
_SMOOTHED_NOISE = 0.1
_WIDEST_SMOOTHING = 3.0
_LEVELS = (0.2, 1.5)


def read_film(
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    pixel_sites: float | None = None,
    smallest_sites: float = SMALLEST_SITES,
) -> FilmState:
    """The state of a settled film, from an image of its S_z (H, W).

    mask : bool (H, W), True where a pixel is missing; NaN and infinity are missing, too
    pixel_sites : side of a pixel in sites; None takes 1, and looks for smaller discs as well where
        the image is as small as those of cameras that bin
    smallest_sites : sites² of the smallest reversed island that counts

    Gain, offset, blur and noise may be unknown; noise may be cut off at ±1. Raises FilmUnreadable
    for an image that is no S_z of a settled film, or too little of one.
    """
    return read_with_evidence(image, mask, pixel_sites, smallest_sites)[0]


def read_with_evidence(
    image: np.ndarray,
    mask: np.ndarray | None = None,
    pixel_sites: float | None = None,
    smallest_sites: float = SMALLEST_SITES,
) -> tuple[FilmState, Evidence]:
    """``read_film``, and what its likelihood is computed from: the calibration is fitted to it."""
    image, good = good_pixels(image, mask)
    pixel = pixel_sites or 1.0
    contrast = _contrast_of(image, good)
    scale = _scale(contrast.noise)
    picture = smoothed(contrast.values, good, scale)
    tail = noise_tail(contrast.values[good & (picture < 0.3)], contrast.noise)
    ratios, areas, expected = match_discs(
        contrast.values, good, contrast.noise, tail, pixel, pixel_sites is None
    )
    _refuse_uneven(picture, contrast.noise / max(1.0, 2 * math.sqrt(math.pi) * scale))
    smallest = smallest_sites / (pixel_sites or coarsest_pixel(image.shape)) ** 2
    labels, islands = islands_in(picture > 0.5, smallest)
    for island in islands:  # one at an edge may hold no disc at all
        held = labels == island
        whole = (contrast.values[held] - 0.5).sum() / contrast.noise**2
        ratios[held] = np.maximum(ratios[held], whole)
    hidden = np.where(labels > 0, scale > 0, True)
    regions, second = _regions(ratios, areas, labels, islands, hidden, smallest)
    evidence = _evidence(regions, ratios, second, expected)
    return _state(regions, evidence, contrast, pixel), evidence


@dataclass(frozen=True)
class _Contrast:
    """An image on a scale where the background is 0 and a reversed site 1.

    values : float32 (H, W), 0 where a pixel is missing; noise : of a pixel, on this scale
    background : +1 or -1, where it points; true_noise : of a pixel in S_z, before any cut-off
    """

    values: np.ndarray
    noise: float
    background: int
    true_noise: float


def _contrast_of(image: np.ndarray, good: np.ndarray) -> _Contrast:
    """Raises FilmUnreadable for an image that has no background of S_z."""
    seen = pixel_noise(image, good)
    values = image[good] if not good.all() else image.ravel()
    limit, clipped = cut_off(values)
    common = float(np.median(values))
    _refuse_blank(values, common, seen, clipped)
    smooth = max(_scale(seen / (2 * max(abs(common), 0.3))), 1.5)
    background, level, side = _background(smoothed(image, good, smooth))
    true_level, true_noise = before_cut(-background * image[side & good], seen, limit, clipped)
    _refuse_level(true_level, level)
    if clipped and true_noise > 0.05:
        image = restored(image, limit, true_level, true_noise)
        seen = pixel_noise(image, good)
        background, level, _ = _background(smoothed(image, good, smooth))
    contrast = (level * background - image) * background / (2 * level)
    return _Contrast(
        values=np.where(good, contrast, 0).astype(np.float32),
        noise=max(seen / (2 * level), _LEAST_NOISE),
        background=background,
        true_noise=true_noise,
    )


def _evidence(
    regions: list[Island], ratios: np.ndarray, second: float, expected: float
) -> Evidence:
    places = math.log(ratios.size)
    return Evidence(
        kind=0 if not regions else 1 if len(regions) == 1 and regions[0].is_disc else 2,
        first=float(ratios.max()) - places,
        second=second - places,
        expected=expected,
        share=sum(each.area for each in regions) / ratios.size,
    )


def _state(
    regions: list[Island], evidence: Evidence, contrast: _Contrast, pixel: float
) -> FilmState:
    discs = [each for each in regions if each.is_disc]
    return FilmState(
        background=contrast.background,
        discs=len(discs),
        domains=len(regions) - len(discs),
        reversed_sites=round(sum(each.area for each in regions) * pixel**2),
        likelihood=shipped_calibration().likelihood(evidence),
        background_probability=shipped_calibration().background(evidence),
        places=tuple(
            ((e.x + 0.5) * pixel - 0.5, (e.y + 0.5) * pixel - 0.5, e.area * pixel**2) for e in discs
        ),
        noise=contrast.true_noise,
    )


def _refuse_blank(values: np.ndarray, common: float, noise: float, clipped: float) -> None:
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise FilmUnreadable(
            f"blank image: every pixel holds {low:g}; is the camera's shutter open, its gain right?"
        )
    if clipped > 0.97 and noise > 0.3 * max(-low, high):
        raise FilmUnreadable(
            f"saturated image: {clipped:.0%} of the pixels are at its limit; lower the gain"
        )
    if np.count_nonzero(values != common) < 4:
        raise FilmUnreadable(
            f"blank image: all but a few pixels hold {common:g}; is the camera's shutter open?"
        )


def _scale(noise: float) -> float:
    """Sigma of the Gaussian, in pixels, that leaves noise of _SMOOTHED_NOISE."""
    sigma = noise / (2 * math.sqrt(math.pi) * _SMOOTHED_NOISE)
    return min(sigma, _WIDEST_SMOOTHING) if sigma > 0.3 else 0.0


def _background(picture: np.ndarray) -> tuple[int, float, np.ndarray]:
    """Sign of what most of the film points along, the level |S_z| it shows, and where it is."""
    up = picture > 0
    background = 1 if 2 * np.count_nonzero(up) > up.size else -1
    side = up if background > 0 else ~up
    return background, abs(float(np.median(picture[side]))), side


def _refuse_level(level: float, shown: float) -> None:
    if min(level, 3 * shown) < _LEVELS[0]:
        raise FilmUnreadable(
            f"background at {level:.2g}, near 0: no S_z of a settled film. Scale the image so that "
            "-1 and +1 are the two directions (an image of 0 … 1: 2 I - 1)"
        )
    if shown > _LEVELS[1]:
        raise FilmUnreadable(
            f"background at {shown:.4g}, beyond ±1: no S_z. Scale the image so that -1 and +1 are "
            "the two directions; of detector counts, give the counts of both"
        )


def _refuse_uneven(picture: np.ndarray, noise: float) -> None:
    """Refuse what is brighter than the background: the film cannot be more than magnetised."""
    beyond = float((picture < -0.3 - 4 * noise).mean())
    if beyond > 0.03:
        raise FilmUnreadable(
            f"{beyond:.0%} of the image lies beyond its background's level: uneven light, or no "
            "S_z of a settled film; divide by an image of the saturated film"
        )


def _regions(
    ratios: np.ndarray,
    areas: np.ndarray,
    labels: np.ndarray,
    islands: dict[int, Island],
    hidden: np.ndarray,
    smallest: float,
) -> tuple[list[Island], float]:
    """Reversed regions that are there for sure, and the best ratio apart from the best of them.

    Where the evidence is, islands of the smoothed picture are counted as they are; evidence without
    an island is a disc that the smoothing has made smaller, where ``hidden`` says that it can have.
    """
    places = math.log(ratios.size)
    first = float(ratios.max()) > places + _SURE[0]
    sure: Any = ndimage.label(ratios > places + _SURE[1])
    regions, count = sure
    if first and not count:
        regions = (ratios == ratios.max()).astype(regions.dtype)
    held: set[int] = set()
    found: list[Island] = []
    for region, box in enumerate(ndimage.find_objects(regions), start=1):
        inside = regions[box] == region
        here = islands.keys() & set(np.unique(labels[box][inside]).tolist())
        if here:
            held |= _without_specks(here, islands)
            continue
        row, column = np.unravel_index(
            np.where(inside, ratios[box], -np.inf).argmax(), inside.shape
        )
        y, x = int(row) + box[0].start, int(column) + box[1].start
        if areas[y, x] >= smallest and hidden[y, x]:
            found.append(whole_disc(x, y, float(areas[y, x]), ratios.shape))
    return [islands[i] for i in sorted(held)] + found, _apart(ratios, areas, regions)


def _without_specks(together: set[int], islands: dict[int, Island]) -> set[int]:
    """Islands of one region, without those that noise splits off the wall of another."""
    least = min(SMALLEST_SITES, SPECK * max(islands[i].area for i in together))
    return {i for i in together if islands[i].area >= least}


def _apart(ratios: np.ndarray, areas: np.ndarray, regions: np.ndarray) -> float:
    """The best ratio outside the region of the best, -inf where that is the whole image."""
    y, x = np.unravel_index(int(ratios.argmax()), ratios.shape)
    near = regions == regions[y, x] if regions[y, x] else np.zeros(ratios.shape, bool)
    reach = 2 * math.ceil(math.sqrt(areas[y, x]))
    near[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = True
    rest = ratios[~near]
    return float(rest.max()) if rest.size else -math.inf
