"""When a verdict may be acted on: rules with a guarantee, fitted on movies held out for it.

They come with the model, in its file; how they are fitted is in ``skyctl.models.calibration``.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rules:
    """Of a model with C classes.

    least : (C,) a class belongs to a movie's conformal set from this probability on. The true class
        of a movie is in the set of its last frame with probability ``coverage``, class by class. A
        set of one names its class; an empty one, or one of several, abstains
    early : a class that is named with this probability or more, ``early_after_ps`` after the
        pulse's peak or later, may be acted on before the movie is over: with probability
        ``confidence`` over calibration movies, such verdicts cost no more than ``early_gap`` of the
        accuracy of whole movies; None, never
    novelty : a movie with a frame beyond this was none the network can know: it abstains
    """

    least: tuple[float, ...]
    coverage: float
    early: float | None
    early_after_ps: float
    early_gap: float
    confidence: float
    novelty: float

    def __post_init__(self) -> None:
        shares = (*self.least, self.coverage, self.early or 0.0, self.early_gap, self.confidence)
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
