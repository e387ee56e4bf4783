"""What a camera counts of a film: uneven light, gains, dead pixels, a sample that drifts."""

import numpy as np
from scipy import ndimage

_MARGIN = 16
"""Pixels of the sample around the image, which drift may bring in."""
_GRAIN = 2.0
_READ = 100.0
_OFFSETS = 5.0


class CountingCamera:
    """Counts a film by its dichroism, through what is between it and a number.

    Uneven light, 3 % gains, 0.5 % dead pixels, 100 counts in the dark, Poisson statistics, and a
    sample with grains of its own: 20 % of the light, over about two pixels.

    side : pixels of the image, each way; contrast : (I↑ − I↓) / (I↑ + I↓); photons : a pixel's, in
        full light
    """

    def __init__(
        self, seed: int, side: int = 128, contrast: float = 0.05, photons: float = 2e6
    ) -> None:
        self.rng, self.side = np.random.default_rng(seed), side
        self.contrast, self.photons = contrast, photons
        y, x = np.mgrid[:side, :side] / side
        self.light = 0.6 + 0.5 * np.exp(-((x - 0.4) ** 2 + (y - 0.6) ** 2) / 0.2)
        self.gain = self.rng.normal(1.0, 0.03, (side, side))
        self.dark = _READ + _OFFSETS * self.rng.random((side, side))
        self.dead = self.rng.random((side, side)) < 0.005
        whole = side + 2 * _MARGIN
        grains = ndimage.gaussian_filter(self.rng.standard_normal((whole, whole)), _GRAIN)
        self.sample = np.maximum(1.0 + 0.2 * grains / grains.std(), 0.3)

    def counts(
        self,
        sz: np.ndarray | None = None,
        drift: tuple[float, float] = (0.0, 0.0),
        light: float = 1.0,
    ) -> np.ndarray:
        """Counts of a film, float32 (side, side).

        sz : of the film, (side, side); None with the sample out
        drift : of the sample, pixels (rows, columns), up to 16
        """
        seen = np.ones((self.side, self.side))
        if sz is not None:
            whole = self.sample * (1 + self.contrast * np.pad(sz, _MARGIN, mode="edge"))
            moved = ndimage.shift(whole, drift, order=3, mode="nearest")
            seen = moved[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        mean = light * self.photons * self.light * self.gain * seen
        counts = self.rng.poisson(np.maximum(mean, 0)) + self.dark
        counts[self.dead] = 0
        return counts.astype(np.float32)


def discs(side: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """S_z with so many discs, -1 in +1, apart from each other and from the edge; 0 to 4."""
    y, x = np.mgrid[:side, :side].astype(float)
    near, far = side * 5 / 16, side * 11 / 16
    places = [(near, near), (near, far), (far, near), (far, far)][:count]
    sz = np.ones((side, side))
    for place in places:
        row, column = np.add(place, rng.uniform(-side / 32, side / 32, 2))
        sz = np.minimum(sz, np.tanh((np.hypot(y - row, x - column) - side * 9 / 128) / 2))
    return sz
