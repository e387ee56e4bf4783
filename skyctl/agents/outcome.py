"""What a camera sees a pulse do: the outcome of a shot, and numbers read off its movie."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from skyctl.verdict import FilmState

Outcome = Literal["breathing", "switching", "collapse", "mixed"]
OUTCOMES: tuple[Outcome, ...] = ("breathing", "switching", "collapse", "mixed")


def outcome_of(before: FilmState, after: FilmState) -> Outcome:
    """What became of one skyrmion, from the settled film before the pulse and after it."""
    if after.is_empty:
        return "collapse"
    if not after.has_one_skyrmion:
        return "mixed"
    return "breathing" if before.background == after.background else "switching"


@dataclass(frozen=True)
class Signals:
    """What the film's mean S_z did after a pulse; it is counted against the background before it.

    flip_ps : from the pulse's peak to when half of the film had turned over; NaN where it did not
    furthest : the largest share of the film that was turned over, 0 … 1
    """

    flip_ps: float
    furthest: float


NOT_SEEN = Signals(math.nan, math.nan)
"""Of a movie of which nothing is known."""


def signals(times_ps: np.ndarray, mean_sz: np.ndarray, background: int, peak_ps: float) -> Signals:
    """Read the signals off the mean S_z (frames,) of a movie's frames at ``times_ps`` (frames,).

    background : of the film before the pulse, +1 or -1; peak_ps : of the pulse, in the movie
    """
    if len(times_ps) < 2:
        return NOT_SEEN
    turned = -background * np.asarray(mean_sz, float)
    return Signals(
        flip_ps=_rising_through_0(times_ps, turned) - peak_ps,
        furthest=float((1 + turned.max()) / 2),
    )


def _rising_through_0(times_ps: np.ndarray, values: np.ndarray) -> float:
    """When the values first rise through 0, between two frames; NaN where they never do."""
    above = values >= 0
    if above[0] or not above.any():
        return math.nan
    i = int(above.argmax())
    share = -values[i - 1] / (values[i] - values[i - 1])
    return float(times_ps[i - 1] + share * (times_ps[i] - times_ps[i - 1]))
