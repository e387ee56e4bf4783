"""What the camera of a real instrument shows of a film: S_z through an imperfect optical path."""

from enum import IntEnum
from functools import lru_cache
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from scipy import ndimage

# A frame of 4000 × 4000 is the largest that the stream carries.
_Side = Annotated[int, Field(ge=1, le=4000)]


class _Stream(IntEnum):
    """Which random numbers of a frame: one effect switched on does not change another's."""

    ARRIVAL = 0
    PHOTONS = 1
    READOUT = 2


class Imaging(BaseModel):
    """The optical path from spins to the image of one frame; everything is off by default.

    The order is the light's: contrast (S_z only) → drift → blur → pixels → photons → readout
    noise. A frame's random numbers depend on ``seed``, its shot and its index alone, so frames may
    be imaged in any order, again, or not at all.

    Drift interpolates linearly, which keeps |S_z| ≤ 1 and softens a shift by part of a site; what
    comes in over the edge repeats the outermost sites, as blur does. Blur samples its Gaussian at
    the sites, to 4 sigma: its width is right to 0.2 % from 0.7 sites on, 7 % too small at 0.5, and
    below that a lattice hardly shows it.

    Photons: a pixel counts ``photons`` · (1 + c S_z) / (1 + c) on average, with Poisson statistics
    and c the ``contrast``; the image is scaled back to S_z, so its variance is
    (1 + c)(1 + c S_z) / (c² ``photons``).

    Raises pydantic.ValidationError for NaN, infinity, an unknown name or a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gaussian_noise: FiniteFloat = Field(
        default=0.0, ge=0, description="readout noise, standard deviation in units of S_z; 0 off"
    )
    photons: FiniteFloat = Field(
        default=0.0, ge=0, le=1e15, description="mean counts of a pixel at S_z = +1; 0 off"
    )
    contrast: FiniteFloat = Field(
        default=1.0, gt=0, le=1, description="c = (N(+1) - N(-1)) / (N(+1) + N(-1)) of the counts"
    )
    blur_sites: FiniteFloat = Field(
        default=0.0, ge=0, le=1000, description="Gaussian point spread, sigma in sites; 0 off"
    )
    pixels: tuple[_Side, _Side] | None = Field(
        default=None, description="camera pixels (rows, columns) over the film; None: its sites"
    )
    drift_sites_per_ps: tuple[FiniteFloat, FiniteFloat] = Field(
        default=(0.0, 0.0), description="(x, y): the image's motion in each movie, from its start"
    )
    dropped: FiniteFloat = Field(
        default=0.0, ge=0, le=1, description="probability that a frame never arrives"
    )
    saturation: FiniteFloat | None = Field(
        default=1.0,
        gt=0,
        description="|S_z| at which a noisy image is cut off: the stream's classifier refuses "
        "values beyond ±1 as no S_z; None: not cut, the noise stays unbiased",
    )
    seed: int = Field(default=0, ge=0, description="of all random numbers")

    def image_shape(self, rows: int, columns: int) -> tuple[int, int]:
        """Shape (H, W) of the image of a film of ``rows`` × ``columns`` sites."""
        return self.pixels or (rows, columns)

    def image(
        self, spins: np.ndarray, *, shot: int = 0, frame: int = 0, time_ps: float = 0.0
    ) -> np.ndarray:
        """The image of one frame in units of S_z, (H, W), of the spins' floating-point type.

        spins : (3, rows, columns), or S_z alone (rows, columns)
        shot, frame : which frame of which movie, from 0; they choose the random numbers
        time_ps : movie time, which the drift is proportional to

        With everything off this is S_z itself, bit for bit. Raises ValueError for another shape.
        """
        spins = np.asarray(spins)
        if spins.ndim not in (2, 3) or (spins.ndim == 3 and len(spins) != 3):
            raise ValueError(
                f"spins of shape {spins.shape}: give (3, rows, columns), or S_z (rows, columns)"
            )
        sz = spins[2] if spins.ndim == 3 else spins
        image = sz.astype(np.float64)
        x, y = (v * time_ps for v in self.drift_sites_per_ps)
        if x or y:
            image = ndimage.shift(image, (y, x), order=1, mode="nearest")
        if self.blur_sites:
            image = ndimage.gaussian_filter(image, self.blur_sites, mode="nearest")
        if self.pixels and self.pixels != sz.shape:
            rows, columns = (
                _area_weights(sites, pixels)
                for sites, pixels in zip(sz.shape, self.pixels, strict=True)
            )
            image = rows @ image @ columns.T
        if self.photons:
            per_sz = self.photons / (1 + self.contrast)
            # Rounding may leave |S_z| a hair above 1, and Poisson takes no negative mean.
            mean = np.maximum(per_sz * (1 + self.contrast * image), 0)
            counts = self._random(_Stream.PHOTONS, shot, frame).poisson(mean)
            image = (counts / per_sz - 1) / self.contrast
        if self.gaussian_noise:
            noise = self._random(_Stream.READOUT, shot, frame).standard_normal(image.shape)
            image = image + self.gaussian_noise * noise
        if self.saturation and (self.photons or self.gaussian_noise):
            image = np.clip(image, -self.saturation, self.saturation)
        return image.astype(sz.dtype)

    def arrives(self, *, shot: int = 0, frame: int = 0) -> bool:
        """Whether this frame arrives at all, by ``dropped``."""
        return self._random(_Stream.ARRIVAL, shot, frame).random() >= self.dropped

    def _random(self, stream: _Stream, shot: int, frame: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(shot, frame, stream))
        return np.random.Generator(np.random.Philox(sequence))


@lru_cache(maxsize=16)
def _area_weights(sites: int, pixels: int) -> np.ndarray:
    """Share of each site in each pixel, (pixels, sites): rows sum to 1, columns to pixels/sites.

    Both divide the same length, so a pixel's edge may cut a site; equal column sums are what
    conserves the mean.
    """
    scale = sites / pixels
    start = np.arange(pixels)[:, None] * scale
    left = np.arange(sites)[None, :]
    overlap = np.minimum(start + scale, left + 1) - np.maximum(start, left)
    return np.clip(overlap, 0, None) / scale
