"""When a verdict may be acted on, and what a model is valid for: fitted on movies held out for it.

They come with the model, in its file; how they are fitted is in ``skyctl.models.calibration``.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_PIXELS_ENOUGH = 2**15
"""To tell the noise of a pixel by."""


@dataclass(frozen=True)
class Rules:
    """Of a model with C classes.

    least : (C,) a class belongs to a movie's conformal set from this probability on. The true class
        of a movie is in the set of its last frame with probability ``coverage``, class by class. A
        set of one names its class; an empty one, or one of several, abstains
    early : a transition with this probability or more, of the class that is named, in ``steady``
        frames in a row, ends the movie from the pulse's peak on: with probability ``confidence``
        over calibration movies, no more than ``early_wrong`` of all movies are so ended with a
        wrong verdict; None, never
    novelty : a movie with a frame beyond this was none the network can know: it abstains
    """

    least: tuple[float, ...]
    coverage: float
    early: float | None
    early_wrong: float
    confidence: float
    novelty: float
    steady: int = 1

    def __post_init__(self) -> None:
        shares = (*self.least, self.coverage, self.early or 0.0, self.early_wrong, self.confidence)
        if not all(0 <= share <= 1 for share in shares) or math.isnan(self.novelty):
            raise ValueError(f"rules {self}: a probability is not one, or the novelty is NaN")

    @classmethod
    def from_json(cls, text: str) -> "Rules":
        """What ``as_json`` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        plain: dict[str, Any] = json.loads(text)
        return cls(**{**plain, "least": tuple(float(p) for p in plain["least"])})

    def as_json(self) -> str:
        """The rules as text."""
        return json.dumps(asdict(self))

    def named(self, probabilities: np.ndarray) -> int | None:
        """The only class of the conformal set of ``probabilities`` (C,), or None."""
        inside = np.flatnonzero(probabilities >= self.least)
        return int(inside[0]) if len(inside) == 1 else None


@dataclass(frozen=True)
class Validity:
    """The movies that a model is made for; of any other it says nothing.

    interval_ps : shortest and longest time between frames
    first_after_peak_ps : the first frame may be taken so long after the pulse's peak
    noise : of a pixel, the most, as `noise_of` estimates it
    pixels : fewest of a side
    level : least |S_z| of a first frame's background, whatever the gain: a film at rest has one
    """

    interval_ps: tuple[float, float]
    first_after_peak_ps: float
    noise: float
    pixels: int
    level: float = 0.0

    @classmethod
    def from_json(cls, text: str) -> "Validity":
        """What ``as_json`` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        plain: dict[str, Any] = json.loads(text)
        low, high = (float(value) for value in plain["interval_ps"])
        return cls(**{**plain, "interval_ps": (low, high)})

    def as_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    def refuses_first(self, image: np.ndarray, after_peak_ps: float) -> str:
        """Why a movie is none for this model, from its first frame, or ""."""
        if min(image.shape) < self.pixels:
            return (
                f"frames of {image.shape[0]} x {image.shape[1]} pixels; the model is made for "
                f"{self.pixels} or more each way"
            )
        if after_peak_ps > self.first_after_peak_ps:
            return (
                f"the first frame is {after_peak_ps:g} ps after the pulse's peak: the film before "
                "the pulse was not seen"
            )
        level = abs(float(np.median(image)))
        if level < self.level:
            return (
                f"the first frame has its background at {level:.2f}; a film at rest has it at "
                f"{self.level:g} or more"
            )
        noise = noise_of(image)
        if noise > self.noise:
            return f"pixel noise of {noise:.2f}; the model is made for {self.noise:g} or less"
        return ""

    def refuses_interval(self, interval_ps: float) -> str:
        """Why frames so far apart are none for this model, or ""."""
        low, high = self.interval_ps
        if low <= interval_ps <= high:
            return ""
        return f"frames {interval_ps:g} ps apart; the model is made for {low:g} to {high:g} ps"


def noise_of(image: np.ndarray) -> float:
    """Standard deviation of the noise of a pixel, in the image's units; image (H, W).

    From second differences along rows, which a film of wider walls hardly has: their median is that
    of a normal distribution's, whatever a few edges add. Of a large image every so many rows: so
    many pixels tell it to a hundredth, and all of 512 × 512 would take longer than the network.
    """
    image = image[:: max(1, image.size // _PIXELS_ENOUGH)]
    second = image[:, 2:] - 2 * image[:, 1:-1] + image[:, :-2]
    if not second.size:
        return 0.0
    return float(np.median(np.abs(second)) / (0.6745 * math.sqrt(6)))
