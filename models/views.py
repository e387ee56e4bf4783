"""One simulated movie as different cameras would show it: what makes a classifier camera-proof."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from skyctl.inference.features import Preprocessing, background_sign, frame_features
from skyctl.simulators.imaging import Imaging

_FEWEST_PIXELS = 20


@dataclass(frozen=True)
class View:
    """A camera, and how well its S_z is calibrated.

    imaging : the optical path
    gain, gain_drift, offset : it shows (gain + gain_drift · s) S_z + offset, at the share s of the
        movie that is over, cut off at ±1
    """

    imaging: Imaging = field(default_factory=Imaging)
    gain: float = 1.0
    gain_drift: float = 0.0
    offset: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, side: int) -> "View":
        """A random camera for a film of ``side`` sites: noise to 0.22, blur to 2.7 sites, binning
        to 4, photons from 100 a pixel, a gain that is up to 15 % low and drifts by up to 10 %."""
        pixels = max(min(_FEWEST_PIXELS, side), round(side / rng.uniform(1, 4)))
        imaging = Imaging(
            gaussian_noise=rng.uniform(0, 0.22) if rng.random() < 0.8 else 0.0,
            blur_sites=rng.uniform(0.3, 2.7) if rng.random() < 0.6 else 0.0,
            pixels=(pixels, pixels) if rng.random() < 0.6 else None,
            photons=10 ** rng.uniform(2, 4) if rng.random() < 0.2 else 0.0,
            seed=int(rng.integers(2**31)),
        )
        if rng.random() < 0.5:
            return cls(imaging)
        return cls(
            imaging, rng.uniform(0.85, 1.0), rng.uniform(-0.1, 0.1), rng.uniform(-0.04, 0.04)
        )

    def images(self, sz: np.ndarray) -> Iterator[np.ndarray]:
        """What the camera shows of a movie of S_z, (frames, rows, columns); (H, W) float32 each."""
        for index, frame in enumerate(sz):
            image = self.imaging.image(frame, frame=index)
            if (self.gain, self.gain_drift, self.offset) != (1, 0, 0):
                gain = self.gain + self.gain_drift * index / len(sz)
                image = np.clip(gain * image + self.offset, -1, 1)
            yield image.astype(np.float32, copy=False)


PERFECT = View()
"""The film itself."""


def movie_features(
    sz: np.ndarray, count: int, kind: Preprocessing, view: View = PERFECT
) -> np.ndarray:
    """What a network gets of a movie of S_z, (frames, rows, columns): float32 (frames, count).

    The film is turned so that the background of the first image is -z, as at run time.
    """
    images = list(view.images(sz))
    orientation = -background_sign(images[0])
    return np.stack([frame_features(image, count, kind, orientation) for image in images])
