"""What a pulse did: how likely each outcome of a shot is, and numbers read off its movie."""

import math
from dataclasses import dataclass

import numpy as np

from skyctl.belief import Belief
from skyctl.process import KINDS, OUTCOMES, Kind, Outcome

TELLING = 0.9
"""What is less likely than this does not move a bracket or label a map."""
_FAINT = 0.1
"""A film whose first frame has a mean S_z nearer to 0 gives no scale to read the others by."""


def outcome_of(before: Belief, after: Belief) -> np.ndarray:
    """(len(OUTCOMES),) probabilities of what became of one skyrmion.

    before, after : of the film at rest. As far as there was none before, every outcome is as likely
    """
    down, up = (before.probability("one", sign) for sign in (-1, 1))
    one_down, one_up = (after.probability("one", sign) for sign in (-1, 1))
    was_one = down + up
    became = np.array(
        [
            down * one_down + up * one_up,
            down * one_up + up * one_down,
            was_one * after.probability("empty"),
            was_one * after.probability("other"),
        ]
    )
    return became + (1 - was_one) / len(OUTCOMES)


def certain(outcome: Outcome) -> np.ndarray:
    """(len(OUTCOMES),) of an outcome that is known: for tests and simulations."""
    return np.eye(len(OUTCOMES))[OUTCOMES.index(outcome)]


def likeliest(chances: np.ndarray) -> Outcome:
    """The likeliest of the outcomes."""
    return OUTCOMES[int(chances.argmax())]


def told_kind(belief: Belief) -> Kind | None:
    """What the film is, where the belief is `TELLING`."""
    return next((kind for kind in KINDS if belief.probability(kind) >= TELLING), None)


@dataclass(frozen=True)
class SzSignals:
    """What the film's mean S_z did after a pulse; it is counted against the background before it.

    flip_ps : from the pulse's peak to when half of the film had turned over; NaN where it did not
    furthest : the largest share of the film that was turned over, 0 … 1; NaN where the movie was
        ended before that could be known
    """

    flip_ps: float
    furthest: float


NOT_SEEN = SzSignals(math.nan, math.nan)
"""Of a movie of which nothing is known."""


def signals(
    times_ps: np.ndarray,
    mean_sz: np.ndarray,
    background: int,
    peak_ps: float,
    *,
    whole: bool = True,
) -> SzSignals:
    """Read the signals off the mean S_z (frames,) of a movie's frames at ``times_ps`` (frames,).

    It is measured in units of the first frame's, since noise that is cut off, and a gain that
    nobody knows, make every level fainter than it is.

    background : of the film before the pulse, +1 or -1; peak_ps : of the pulse, in the movie
    whole : the movie was not ended early
    """
    if len(times_ps) < 2:
        return NOT_SEEN
    turned = -background * np.asarray(mean_sz, float)
    if not turned[0] <= -_FAINT:
        return NOT_SEEN
    turned = turned / -turned[0]
    return SzSignals(
        flip_ps=_rising_through_0(times_ps, turned) - peak_ps,
        furthest=float((1 + turned.max()) / 2) if whole else math.nan,
    )


def _rising_through_0(times_ps: np.ndarray, values: np.ndarray) -> float:
    """When the values first rise through 0, between two frames; NaN where they never do."""
    above = values >= 0
    if above[0] or not above.any():
        return math.nan
    i = int(above.argmax())
    share = -values[i - 1] / (values[i] - values[i - 1])
    return float(times_ps[i - 1] + share * (times_ps[i] - times_ps[i - 1]))
