"""What a network sees of a frame: the sorted S_z of the film, as a fixed number of quantiles.

Sorting throws away where a spin is and keeps how many point where (arXiv:1907.01814 fig. 2).
With as many quantiles as sites the quantiles *are* the paper's sorted vector; with fewer they are
the same curve on a coarser grid, and any lattice size fits the same network.
"""

from functools import lru_cache

import numpy as np


def background_sign(sz: np.ndarray) -> float:
    """+1 or -1: where most of the film points. ``sz`` is (H, W)."""
    return 1.0 if np.median(sz) > 0 else -1.0


def quantile_features(sz: np.ndarray, count: int, orientation: float = 1.0) -> np.ndarray:
    """``count`` quantiles of ``orientation * S_z``, ascending, float32 (count,).

    sz : (H, W) or flat, finite. Quantile k stands at (k + 1/2) / count, between the sorted values,
    value i of N standing at (i + 1/2) / N.
    """
    values = np.sort((orientation * sz).astype(np.float32, copy=False), axis=None)
    if values.size == count:
        return values
    lower, weight = _interpolation(values.size, count)
    return values[lower] * (1 - weight) + values[lower + 1] * weight


@lru_cache(maxsize=16)
def _interpolation(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    position = np.clip((np.arange(count) + 0.5) / count * size - 0.5, 0, size - 1)
    lower = np.minimum(position.astype(np.intp), size - 2)
    return lower, (position - lower).astype(np.float32)
