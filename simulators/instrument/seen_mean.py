"""The mean S_z that a noisy camera shows: its noise is cut off at ±1, which moves the mean."""

from functools import lru_cache

import numpy as np
from scipy.stats import norm

_LEVELS = 1001


def seen_mean(sz: np.ndarray, noises: tuple[float, ...]) -> np.ndarray:
    """(len(noises),) mean that cameras with so much normal noise show of an S_z, cut off at ±1."""
    counts, _ = np.histogram(sz, np.linspace(-1, 1, _LEVELS + 1))
    return _seen_of_levels(noises) @ counts / sz.size


@lru_cache(maxsize=32)
def _seen_of_levels(noises: tuple[float, ...]) -> np.ndarray:
    """(noises, levels) mean of a pixel of each level after the cut."""
    edges = np.linspace(-1, 1, _LEVELS + 1)
    level = (edges[:-1] + edges[1:]) / 2
    return np.array([_cut_off(level, noise) if noise else level for noise in noises])


def _cut_off(level: np.ndarray, noise: float) -> np.ndarray:
    low, high = (-1 - level) / noise, (1 - level) / noise
    inside = norm.cdf(high) - norm.cdf(low)
    tails = 1 - norm.cdf(high) - norm.cdf(low)
    return level * inside + tails + noise * (norm.pdf(low) - norm.pdf(high))
