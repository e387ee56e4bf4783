"""One movie as different cameras would show it, so that a classifier does not learn one camera.

In torch and in batches, on the cells that `skyctl.models.lives` keeps: a cell is four pixels of a
camera that has one a site.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from skyctl.inference.features import GRID

_BLUR_CELLS = 3
"""Reach of a blur, cells."""
_PIXELS = (2 * GRID, GRID, GRID // 2)


@dataclass(frozen=True)
class Cameras:
    """A camera for each of B movies.

    noise : (B,) standard deviation of a pixel, in units of S_z; clipped : (B,) cut off at ±1
    blur : (B,) sigma in cells; gain, drift, offset : (B,) it shows (gain + drift · s) S_z + offset,
        at the share s of the movie that is over
    pixels : of all of them, each way
    """

    noise: Tensor
    clipped: Tensor
    blur: Tensor
    gain: Tensor
    drift: Tensor
    offset: Tensor
    pixels: int

    @classmethod
    def draw(cls, count: int, generator: torch.Generator, noise: float | None = None) -> "Cameras":
        """Random cameras. ``noise`` : the same for all of them; None is 0 to 1.6."""

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator)

        def some(share: float) -> Tensor:
            return torch.rand(count, generator=generator) < share

        level = torch.rand(count, generator=generator)
        spread = torch.where(level < 0.45, uniform(0, 0.25), uniform(0.25, 1.6))
        calibrated = some(0.5)
        which = int(torch.randint(0, 10, (), generator=generator))
        return cls(
            noise=spread if noise is None else torch.full((count,), noise),
            clipped=some(0.6),
            blur=torch.where(some(0.4), uniform(0.1, 1.4), torch.zeros(count)),
            gain=torch.where(calibrated, torch.ones(count), uniform(0.6, 1.1)),
            drift=torch.where(calibrated, torch.zeros(count), uniform(-0.1, 0.1)),
            offset=torch.where(calibrated, torch.zeros(count), uniform(-0.12, 0.12)),
            pixels=_PIXELS[0 if which < 6 else 1 if which < 8 else 2],
        )

    @classmethod
    def perfect(cls, count: int) -> "Cameras":
        """The film itself."""
        zero, one = torch.zeros(count), torch.ones(count)
        return cls(zero, zero > 0, zero, one, zero, zero, GRID)

    def show(self, sz: Tensor, generator: torch.Generator) -> Tensor:
        """What the cameras show of movies of S_z, (B, T, GRID, GRID) both."""
        movies, frames = sz.shape[:2]
        if self.blur.any():
            sz = _blurred(sz, self.blur)
        share = torch.linspace(0, 1, frames)[None, :]
        gain = self.gain[:, None] + self.drift[:, None] * share
        image = gain[..., None, None] * sz + self.offset[:, None, None, None]
        if not self.noise.any():
            return image
        noise = self.noise.repeat_interleave(frames)[:, None, None]
        cut = self.clipped.repeat_interleave(frames)
        image = image.flatten(0, 1)
        seen = torch.empty_like(image)
        seen[cut] = self._noisy(image[cut], noise[cut], generator, self.pixels)
        # Without a cut, the noise of a cell is that of the mean of its pixels.
        finer = max(self.pixels // GRID, 1)
        seen[~cut] = self._noisy(
            image[~cut], noise[~cut] / finer, generator, min(self.pixels, GRID), clip=False
        )
        return seen.unflatten(0, (movies, frames))

    @staticmethod
    def _noisy(
        image: Tensor, noise: Tensor, generator: torch.Generator, pixels: int, clip: bool = True
    ) -> Tensor:
        """Images (N, GRID, GRID) through a camera of so many pixels, with noise (N, 1, 1)."""
        if not len(image):
            return image
        image = image[:, None]
        if pixels > GRID:
            image = interpolate(image, scale_factor=pixels // GRID, mode="nearest")
        elif pixels < GRID:
            image = avg_pool2d(image, GRID // pixels)
        image = image + noise[:, None] * torch.randn(image.shape, generator=generator)
        if clip:
            image = image.clamp(-1, 1)
        if pixels > GRID:
            image = avg_pool2d(image, pixels // GRID)
        elif pixels < GRID:
            image = interpolate(image, scale_factor=GRID // pixels, mode="nearest")
        return image[:, 0]


def _blurred(sz: Tensor, blur: Tensor) -> Tensor:
    """Each movie with a Gaussian of its own, sigma in cells; the edge repeats itself."""
    at = torch.arange(-_BLUR_CELLS, _BLUR_CELLS + 1)
    weights = torch.exp(-(at**2) / (2 * blur.clamp(min=0.05)[:, None] ** 2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    movies, frames, rows, columns = sz.shape
    x = torch.nn.functional.pad(sz, (_BLUR_CELLS,) * 4, mode="replicate")
    x = x.transpose(0, 1)
    x = conv2d(x, weights[:, None, None, :], groups=movies)
    x = conv2d(x, weights[:, None, :, None], groups=movies)
    return x.transpose(0, 1).reshape(movies, frames, rows, columns)
