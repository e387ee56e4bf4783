"""What a camera shows of a film: how many skyrmions, where, and how sure that is.

``read_film`` reads an image of S_z of a settled film, whose scale is roughly known;
``find_skyrmions`` a micrograph of unknown scale, contrast and light.
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import fft, ndimage, special

from skyctl.errors import FilmUnreadable
from skyctl.verdict import FilmState

SMALLEST_SITES = 9.0
"""Sites² of the smallest reversed island that counts; the film's relaxed skyrmion has about 50."""
_MOST_MISSING = 0.5
_SMALLEST_SIDE = 8
_WALL_SITES = 2.2
_RADII_SITES = (2.6, 3.6, 5.5)
_BLURS_SITES = (0.0, 2.5)
_AMPLITUDES = (0.75, 1.5)
"""Contrast that a reversed region may have, over what the background's level says it has."""
_INSIDE, _GOOD = 0.9, 0.5
"""Shares of a disc's signal that must lie inside the image, and on good pixels, to look for it."""
_SURE = (1.5, 3.5)
"""Log odds, a place against none, above which the first reversed disc is there and any other."""
_LEAST_NOISE = 0.02
_SMOOTHED_NOISE = 0.1
_WIDEST_SMOOTHING = 3.0
_USUAL_FILM = 100
"""Sites a side: an image of fewer pixels than two thirds of it may be a camera's that bins."""
_LEVELS = (0.2, 1.5)
_MOST_NOISE = 3.0

# Of find_skyrmions; lengths in radii of its discs. Chosen on 30 labelled Kerr micrographs.
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
_SPECK, _CUT_OFF, _HUGE = 0.25, 0.1, 6.0
"""Smallest areas of a whole disc and of one that the edge cuts, and the largest, of the usual."""
_LOPSIDED = (0.4, 0.9)
"""Least difference between bright and dark discs, of both: of large images and of small ones."""
_LAPLACE_NOISE = 1 / math.sqrt(2 * math.pi)
"""Standard deviation of white noise of 1 in the normalised Laplacian of scale 1."""


@dataclass(frozen=True)
class Evidence:
    """What the calibration sees of an image.

    kind : 0, 1 or 2, which of STATES the islands say
    first, second : log likelihood ratio of the best reversed disc and of the best one elsewhere,
        for its being there against its not, a place of the image being as likely as another
    expected : log of the ratio that a typical skyrmion would give in this noise and these pixels
    share : of the film that is reversed
    """

    kind: int
    first: float
    second: float
    expected: float
    share: float

    def inputs(self) -> np.ndarray:
        """What the logistic model takes, (4,)."""
        return np.array(
            [
                np.clip(self.first, -20, 40) / 10,
                np.clip(self.second, -20, 40) / 10,
                self.expected / 5,
                1.0,
            ]
        )


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
    image, good = _pixels(image, mask)
    pixel = pixel_sites or 1.0
    seen = _noise(image, good)
    values = image[good] if not good.all() else image.ravel()
    limit, clipped = _cut_off(values)
    common = float(np.median(values))
    _refuse_blank(values, common, seen, clipped)
    smooth = _scale(seen / (2 * max(abs(common), 0.3)))
    background, level, side = _background(smoothed(image, good, max(smooth, 1.5)))
    true_level, true_noise = _before_cut(-background * image[side & good], seen, limit, clipped)
    _refuse_level(true_level, level)
    if clipped and true_noise > 0.05:
        image = _restored(image, limit, true_level, true_noise)
        seen = _noise(image, good)
        background, level, _ = _background(smoothed(image, good, max(smooth, 1.5)))
    # From here on the background is 0 and a reversed site 1.
    contrast = (level * background - image) * background / (2 * level)
    contrast = np.where(good, contrast, 0).astype(np.float32)
    noise = max(seen / (2 * level), _LEAST_NOISE)
    scale = _scale(noise)
    picture = smoothed(contrast, good, scale)
    tail = _tail(contrast[good & (picture < 0.3)], noise)
    ratios, areas, expected = _match(contrast, good, noise, tail, pixel, pixel_sites is None)
    _refuse_uneven(picture, noise / max(1.0, 2 * math.sqrt(math.pi) * scale))
    places = math.log(ratios.size)
    smallest = smallest_sites / (pixel_sites or _coarsest(image.shape)) ** 2
    labels, islands = _islands(picture > 0.5, smallest)
    for island in islands:  # one at an edge may hold no disc at all
        held = labels == island
        ratios[held] = np.maximum(ratios[held], (contrast[held] - 0.5).sum() / noise**2)
    hidden = np.where(labels > 0, scale > 0, True)
    objects, second = _objects(ratios, areas, labels, islands, hidden, places, smallest)
    discs = [each for each in objects if each.is_disc]
    share = sum(each.area for each in objects) / image.size
    kind = 0 if not objects else 1 if len(objects) == len(discs) == 1 else 2
    evidence = Evidence(kind, float(ratios.max()) - places, second - places, expected, share)
    state = FilmState(
        background=background,
        discs=len(discs),
        domains=len(objects) - len(discs),
        reversed_sites=round(sum(each.area for each in objects) * pixel**2),
        likelihood=_calibration().likelihood(evidence),
        background_probability=_calibration().background(evidence),
        places=tuple(
            ((e.x + 0.5) * pixel - 0.5, (e.y + 0.5) * pixel - 0.5, e.area * pixel**2) for e in discs
        ),
        noise=true_noise,
    )
    return state, evidence


@dataclass(frozen=True)
class _Object:
    """A reversed region: centre and area in pixels; a disc is not at an edge and has no hole."""

    x: float
    y: float
    area: float
    is_disc: bool
    at_edge: bool


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
    values, good = _pixels(image, mask)
    nothing = Discs(np.zeros(values.shape, np.int32), (), 0)
    low, high = (float(v) for v in np.percentile(values[good], (0.5, 99.5)))
    if low == high:
        return nothing
    values = np.clip(values, low - 0.2 * (high - low), high + 0.2 * (high - low))  # dust
    noise = _noise(values, good)
    values = smoothed(values, good, 0.0) - np.median(values[good])
    found = _scale_and_polarity(values, polarity)
    if not found:
        return nothing
    scale, side = found
    values *= side
    marked = _marks(values, noise, scale)
    if not marked.any():
        return nothing
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
    labels, islands = _islands(flat > around + _CUT * (inside - around), 1)
    kept = _of_usual_size(labels, islands, marked, _RADIUS * scale, smallest_px, largest_px)
    renumbered = np.zeros(len(islands) + 1, np.int32)
    renumbered[kept] = np.arange(1, len(kept) + 1)
    places = tuple((islands[i].x, islands[i].y, islands[i].area) for i in kept)
    return Discs(renumbered[labels], places, side) if kept else nothing


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
    islands: dict[int, _Object],
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
        least = smallest if smallest is not None else _SPECK * usual
        if island.at_edge:
            least = min(least, max(3.0, _CUT_OFF * usual))
        elif i not in held:
            continue
        if least <= island.area <= most:
            kept.append(i)
    return kept


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


def _pixels(image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Finite float32 values, and which of them are good."""
    image = np.asarray(image)
    if image.ndim != 2 or min(image.shape) < _SMALLEST_SIDE or image.dtype.kind not in "fiub":
        raise FilmUnreadable(
            f"image of shape {image.shape}, {image.dtype}: give real numbers, {_SMALLEST_SIDE} x "
            f"{_SMALLEST_SIDE} pixels or more"
        )
    good = np.abs(image) < 1e15  # of which NaN makes False
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


def _noise(image: np.ndarray, good: np.ndarray) -> float:
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


def _cut_off(values: np.ndarray) -> tuple[float, float]:
    """Where values are cut off, and the share of the pixels that are."""
    size = np.abs(values)
    limit = float(size.max())
    share = np.count_nonzero(size >= limit * (1 - 1e-6)) / size.size
    return limit, share if share > 0.005 else 0.0


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


@dataclass(frozen=True)
class _Templates:
    """Images of a reversed disc of several sizes, ready to be correlated with one of ``shape``.

    transforms : (templates, …) of the template and of its square, on ``padded``
    areas : (templates,) pixels above half
    energies : (templates, H, W) of what of the template lies in the image, at each place
    floors : (templates, H, W) least energy that counts: infinite where too little lies inside
    typical : energy of a skyrmion of average size
    """

    padded: tuple[int, int]
    transforms: np.ndarray
    squares: np.ndarray
    areas: np.ndarray
    energies: np.ndarray
    floors: np.ndarray
    typical: float


def _profile(radius: float, blur: float, pixel: float) -> np.ndarray:
    """A disc between two walls, 0 … 1, averaged over pixels; odd sides, centred."""
    reach = radius + 2 * _WALL_SITES + 2 * blur
    half = max(1, math.ceil(reach / pixel - 0.5))
    fine = max(1, round(pixel)) if pixel > 1 else 1
    at = (np.arange((2 * half + 1) * fine) - ((2 * half + 1) * fine - 1) / 2) * pixel / fine
    r = np.hypot(at[:, None], at[None, :])
    core = math.sinh(radius / _WALL_SITES) ** 2
    disc = core / (core + np.sinh(r / _WALL_SITES) ** 2)
    if blur:
        disc = ndimage.gaussian_filter(disc, blur * fine / pixel)
    side = 2 * half + 1
    return disc.reshape(side, fine, side, fine).mean((1, 3))


def _coarsest(shape: tuple[int, ...]) -> float:
    """Sites that a pixel may have where nobody says: as if a small image showed the usual film."""
    coarsest = _USUAL_FILM / min(shape)
    return coarsest if coarsest > 1.5 else 1.0


@lru_cache(maxsize=8)
def _templates(shape: tuple[int, int], pixel: float, guess: bool) -> _Templates:
    pixels = {pixel, _coarsest(shape)} if guess else {pixel}
    profiles: list[np.ndarray] = []
    areas: list[float] = []
    for side in sorted(pixels):
        for blur in _BLURS_SITES:
            for radius in _RADII_SITES:
                disc = _profile(radius, blur, side)
                if min(shape) < len(disc):
                    continue
                profiles.append(disc)
                areas.append(math.pi * (radius / side) ** 2)
    margin = max((len(disc) for disc in profiles), default=1)
    wanted = [side + margin // 2 for side in shape]
    padded: Any = tuple(fft.next_fast_len(side, real=True) for side in wanted)
    transforms, squares = [], []
    for disc in profiles:
        board = np.zeros(padded, np.float32)
        board[: len(disc), : len(disc)] = disc
        board = np.roll(board, (-(len(disc) // 2),) * 2, (0, 1))
        transforms.append(np.conj(np.asarray(fft.rfft2(board))))
        squares.append(np.conj(np.asarray(fft.rfft2(board**2))))
    transform, square = np.stack(transforms), np.stack(squares)
    energies = _correlate(np.ones(shape, np.float32), square, padded)
    whole = np.array([(disc**2).sum() for disc in profiles], np.float32)[:, None, None]
    typical = float((_profile(_RADII_SITES[1], 0.0, pixel) ** 2).sum())
    floors = np.where(energies >= _INSIDE * whole, _GOOD * whole, np.inf).astype(np.float32)
    return _Templates(padded, transform, square, np.array(areas), energies, floors, typical)


def _correlate(image: np.ndarray, transforms: np.ndarray, padded: Any) -> np.ndarray:
    """The image correlated with each template, (templates, H, W); 0 outside the image."""
    rows, columns = image.shape
    there = np.asarray(fft.rfft2(image, padded)) * transforms
    return np.asarray(fft.irfft2(there, padded))[:, :rows, :columns]


def _tail(background: np.ndarray, noise: float) -> float:
    """How much oftener noise looks like a reversed site than normal noise would: 1 or more.

    A ratio of its cumulant generating functions where a likelihood ratio needs it, at the amplitude
    that is looked for. Noise cut off on one side has a longer tail to the other.
    """
    if noise < 0.25 or background.size < 100:
        return 1.0
    at = _AMPLITUDES[0] / noise**2
    generated = math.log(float(np.exp(at * background, dtype=np.float64).mean()))
    return min(max(generated / (at**2 * noise**2 / 2), 1.0), 2.0)


def _match(
    contrast: np.ndarray, good: np.ndarray, noise: float, tail: float, pixel: float, guess: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Log likelihood ratio of a disc at each pixel against none, and its area in pixels, (H, W).

    The third is the log of the ratio that a skyrmion of average size would have.

    Of the likeliest amplitude in _AMPLITUDES and the likeliest template; noise is white, ``tail``
    as below.
    """
    templates = _templates(contrast.shape, pixel, guess)
    overlap = _correlate(contrast, templates.transforms, templates.padded)
    energy = templates.energies
    if not good.all():
        energy = _correlate(good.astype(np.float32), templates.squares, templates.padded)
    energy = np.maximum(energy, templates.floors)
    amplitude = np.clip(overlap / energy, *_AMPLITUDES)
    ratios = amplitude * (overlap - tail * amplitude * energy / 2) / noise**2
    best = ratios.argmax(0)
    ratio = np.take_along_axis(ratios, best[None], 0)[0]
    return ratio, templates.areas[best], math.log(templates.typical / (2 * noise**2))


def _objects(
    ratios: np.ndarray,
    areas: np.ndarray,
    labels: np.ndarray,
    islands: dict[int, _Object],
    hidden: np.ndarray,
    places: float,
    smallest: float,
) -> tuple[list[_Object], float]:
    """Reversed regions that are there for sure, and the best ratio apart from the best of them.

    Where the evidence is, islands of the smoothed picture are counted as they are; evidence without
    an island is a disc that the smoothing has made smaller, where ``hidden`` says that it can have.
    """
    first = float(ratios.max()) > places + _SURE[0]
    sure: Any = ndimage.label(ratios > places + _SURE[1])
    regions, count = sure
    if first and not count:
        regions = (ratios == ratios.max()).astype(regions.dtype)
    held: set[int] = set()
    found: list[_Object] = []
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
            found.append(_whole_disc(x, y, float(areas[y, x]), ratios.shape))
    return [islands[i] for i in sorted(held)] + found, _apart(ratios, areas, regions)


def _without_specks(together: set[int], islands: dict[int, _Object]) -> set[int]:
    """Islands of one region, without those that noise splits off the wall of another."""
    least = min(SMALLEST_SITES, _SPECK * max(islands[i].area for i in together))
    return {i for i in together if islands[i].area >= least}


def _apart(ratios: np.ndarray, areas: np.ndarray, regions: np.ndarray) -> float:
    """The best ratio outside the region of the best, -inf where that is the whole image."""
    y, x = np.unravel_index(int(ratios.argmax()), ratios.shape)
    near = regions == regions[y, x] if regions[y, x] else np.zeros(ratios.shape, bool)
    reach = 2 * math.ceil(math.sqrt(areas[y, x]))
    near[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = True
    rest = ratios[~near]
    return float(rest.max()) if rest.size else -math.inf


def _islands(reversed_: np.ndarray, smallest: float) -> tuple[np.ndarray, dict[int, _Object]]:
    """The labels (H, W) of 4-connected regions, and by label those of ``smallest`` pixels or more.

    A hole of one pixel, or of less than a third of the smallest island, is none.
    """
    found: Any = ndimage.label(reversed_)
    labels, count = found
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    pierced = {
        int(labels[y - 1, x]) for y, x, area in _holes(reversed_) if area > max(1, smallest / 3)
    }
    islands: dict[int, _Object] = {}
    for island, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[island] < smallest:
            continue
        ys, xs = np.nonzero(labels[box] == island)
        at_edge = _touches_edge(box, reversed_.shape)
        islands[island] = _Object(
            x=float(xs.mean()) + box[1].start,
            y=float(ys.mean()) + box[0].start,
            area=float(sizes[island]),
            is_disc=not at_edge and island not in pierced,
            at_edge=at_edge,
        )
    return labels, islands


def _holes(reversed_: np.ndarray) -> list[tuple[int, int, int]]:
    """(y, x) of a pixel in the top row of each hole, and its area. Above it is its island."""
    found: Any = ndimage.label(~reversed_)
    around, _ = found
    sizes = np.bincount(around.ravel())
    holes: list[tuple[int, int, int]] = []
    for hole, box in enumerate(ndimage.find_objects(around), start=1):
        if not _touches_edge(box, reversed_.shape):
            y = box[0].start
            x = box[1].start + int((around[y, box[1]] == hole).argmax())
            holes.append((y, x, int(sizes[hole])))
    return holes


def _touches_edge(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    return any(
        side.start <= 0 or side.stop >= length for side, length in zip(box, shape, strict=True)
    )


def _whole_disc(x: int, y: int, area: float, shape: tuple[int, ...]) -> _Object:
    radius = round(math.sqrt(area / math.pi))
    box = tuple(slice(at - radius, at + radius + 1) for at in (y, x))
    at_edge = _touches_edge(box, shape)
    return _Object(float(x), float(y), area, not at_edge, at_edge)


def _before_cut(
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
        beyond = math.exp(-z * z / 2) / math.sqrt(2 * math.pi) - z * (1 - low)
        noise = (float(values.mean()) + limit) / beyond
    return limit + noise * z, noise


def _restored(image: np.ndarray, limit: float, level: float, noise: float) -> np.ndarray:
    """The image, cut-off values replaced by those that say as much of a pixel's direction.

    Between the limits the log odds of +``level`` against -``level`` are linear in the value; beyond
    them only the two tails tell.
    """
    tails = special.log_ndtr((level - limit) / noise) - special.log_ndtr(-(level + limit) / noise)
    beyond = max(float(tails) * noise**2 / (2 * level), limit)
    cut = np.abs(image) >= limit * (1 - 1e-6)
    return np.where(cut, np.copysign(np.float32(beyond), image), image)


@dataclass(frozen=True)
class Calibration:
    """What `skyctl train reader` fitted: how evidence became truth in films made for it.

    weights : for each kind that the islands say, (3, inputs), of a softmax over STATES
    background_weights : (2,), of a logistic function of the film's reversed share
    floor : least probability that is ever given
    """

    weights: np.ndarray
    background_weights: np.ndarray
    floor: float

    def likelihood(self, evidence: Evidence) -> tuple[float, ...]:
        """P(state | image), all states being as likely before."""
        given = special.softmax(self.weights[evidence.kind] @ evidence.inputs())
        given = np.maximum(given, self.floor)
        return tuple(float(p) for p in given / given.sum())

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "weights": self.weights.tolist(),
            "background_weights": self.background_weights.tolist(),
            "floor": self.floor,
        }

    def background(self, evidence: Evidence) -> float:
        """Probability that the background's sign is right."""
        a, b = self.background_weights
        given = float(special.expit(a + b * (0.5 - min(evidence.share, 0.5))))
        return min(max(given, 0.5), 1 - self.floor)


CALIBRATION = Path(__file__).with_name("reader.json")


@lru_cache(maxsize=1)
def _calibration() -> Calibration:
    held = json.loads(CALIBRATION.read_text())
    return Calibration(
        np.array(held["weights"]), np.array(held["background_weights"]), held["floor"]
    )
