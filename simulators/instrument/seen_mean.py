"""The mean S_z that a noisy camera shows: its noise is cut off at ±1, which moves the mean."""

from functools import lru_cache

import numpy as np
from scipy.stats import norm

_LEVELS = np.linspace(-1, 1, 1001)


def seen_mean(sz: np.ndarray, noises: tuple[float, ...]) -> np.ndarray:
    """(len(noises),) mean that cameras with so much normal noise show of an S_z, cut off at ±1."""
    return np.array(
        [np.interp(sz, _LEVELS, _cut_off(noise)).mean() if noise else sz.mean() for noise in noises]
    )


@lru_cache(maxsize=32)
def _cut_off(noise: float) -> np.ndarray:
    """Mean of a pixel of each of the levels after the cut."""
    low, high = (-1 - _LEVELS) / noise, (1 - _LEVELS) / noise
    inside = norm.cdf(high) - norm.cdf(low)
    tails = 1 - norm.cdf(high) - norm.cdf(low)
    return _LEVELS * inside + tails + noise * (norm.pdf(low) - norm.pdf(high))
