"""Matched filter: how likely a reversed disc is at each pixel of an image, against none."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import fft, ndimage

from skyctl.errors import FilmUnreadable

_WALL_SITES = 2.2
_RADII_SITES = (2.6, 3.6, 5.5)
_BLURS_SITES = (0.0, 2.5)
_AMPLITUDES = (0.75, 1.5)
"""Contrast that a reversed region may have, over what the background's level says it has."""
_INSIDE, _GOOD = 0.9, 0.5
"""Shares of a disc's signal that must lie inside the image, and on good pixels, to look for it."""
_USUAL_FILM = 100
"""Sites a side: an image of fewer pixels than two thirds of it may be a camera's that bins."""


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


def match_discs(
    contrast: np.ndarray, good: np.ndarray, noise: float, tail: float, pixel: float, guess: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Log likelihood ratio of a disc at each pixel against none, and its area in pixels, (H, W).

    The third is the log of the ratio that a skyrmion of average size would have.

    Of the likeliest amplitude in _AMPLITUDES and the likeliest template; noise is white, ``tail``
    as `noise_tail` gives it. pixel : its side in sites, where ``guess`` a coarser one is tried, too

    Raises FilmUnreadable for an image into which no skyrmion fits.
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


def noise_tail(background: np.ndarray, noise: float) -> float:
    """How much oftener noise looks like a reversed site than normal noise would: 1 or more.

    A ratio of its cumulant generating functions where a likelihood ratio needs it, at the amplitude
    that is looked for. Noise cut off on one side has a longer tail to the other.
    """
    if noise < 0.25 or background.size < 100:
        return 1.0
    at = _AMPLITUDES[0] / noise**2
    generated = math.log(float(np.exp(at * background, dtype=np.float64).mean()))
    return min(max(generated / (at**2 * noise**2 / 2), 1.0), 2.0)


def coarsest_pixel(shape: tuple[int, ...]) -> float:
    """Sites that a pixel may have where nobody says: as if a small image showed the usual film."""
    coarsest = _USUAL_FILM / min(shape)
    return coarsest if coarsest > 1.5 else 1.0


@lru_cache(maxsize=8)
def _templates(shape: tuple[int, int], pixel: float, guess: bool) -> _Templates:
    profiles, areas = _profiles(shape, {pixel, coarsest_pixel(shape)} if guess else {pixel})
    if not profiles:
        rows, columns = shape
        raise FilmUnreadable(
            f"image of {rows} x {columns} pixels of {pixel:g} sites: smaller than a skyrmion. Film "
            "more of the film, or give the pixel's side (pixel_sites)"
        )
    margin = max(len(disc) for disc in profiles)
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


def _profiles(shape: tuple[int, int], pixels: set[float]) -> tuple[list[np.ndarray], list[float]]:
    """Discs of every size that fit into an image, and their areas in pixels."""
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
    return profiles, areas


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


def _correlate(image: np.ndarray, transforms: np.ndarray, padded: Any) -> np.ndarray:
    """The image correlated with each template, (templates, H, W); 0 outside the image."""
    rows, columns = image.shape
    there = np.asarray(fft.rfft2(image, padded)) * transforms
    return np.asarray(fft.irfft2(there, padded))[:, :rows, :columns]
