"""Evidence that an image gives of a film's state, turned into probabilities."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Evidence:
    """What the calibration sees of an image.

    kind : 0, 1 or 2, which of `process.KINDS` the islands say
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


@dataclass(frozen=True)
class Calibration:
    """What `skyctl train reader` fitted: how evidence became truth in films made for it.

    weights : for each kind that the islands say, (3, inputs), of a softmax over `process.KINDS`
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

    def background(self, evidence: Evidence) -> float:
        """Probability that the background's sign is right."""
        a, b = self.background_weights
        given = float(special.expit(a + b * (0.5 - min(evidence.share, 0.5))))
        return min(max(given, 0.5), 1 - self.floor)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "weights": self.weights.tolist(),
            "background_weights": self.background_weights.tolist(),
            "floor": self.floor,
        }


CALIBRATION = Path(__file__).with_name("reader.json")


@lru_cache(maxsize=1)
def shipped_calibration() -> Calibration:
    """The one that comes with skyctl."""
    held = json.loads(CALIBRATION.read_text())
    return Calibration(
        np.array(held["weights"]), np.array(held["background_weights"]), held["floor"]
    )
