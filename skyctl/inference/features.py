"""What a network sees of a frame: the sorted S_z of the film, which forgets where a spin is.

``sorted`` is the paper's input (arXiv:1907.01814 fig. 2): all sites, so one lattice size only.
``quantiles`` is the same curve read at fixed fractions of the sites, so that any lattice fits. The
fractions crowd at both ends (Chebyshev points): a relaxed skyrmion is 0.5 % of the film, and 256
evenly spaced quantiles would show it in one number.
"""

from functools import lru_cache
from typing import Literal

import numpy as np

Preprocessing = Literal["quantiles", "sorted"]


def background_sign(sz: np.ndarray) -> float:
    """+1 or -1: where most of the film points. ``sz`` is (H, W)."""
    return 1.0 if np.median(sz) > 0 else -1.0


def frame_features(
    sz: np.ndarray, count: int, kind: Preprocessing = "quantiles", orientation: float = 1.0
) -> np.ndarray:
    """``orientation`` · S_z sorted, ascending, as ``count`` numbers: float32 (count,).

    sz : (H, W) or flat, finite, 2 sites or more. Value i of N sorted ones stands at fraction
    (i + 1/2) / N; between them the curve is linear.

    Raises ValueError when ``kind`` is "sorted" and the frame has not ``count`` sites.
    """
    values = np.sort((orientation * sz).astype(np.float32, copy=False), axis=None)
    if kind == "sorted":
        if values.size != count:
            raise ValueError(
                f"frame of {values.size} sites: this model takes the sorted spins of {count}; "
                "use a model with quantile features"
            )
        return values
    lower, weight = _interpolation(values.size, count)
    return values[lower] * (1 - weight) + values[lower + 1] * weight


@lru_cache(maxsize=16)
def _interpolation(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    fraction = (1 - np.cos(np.pi * (np.arange(count) + 0.5) / count)) / 2
    position = np.clip(fraction * size - 0.5, 0, size - 1)
    lower = np.minimum(position.astype(np.intp), size - 2)
    return lower, (position - lower).astype(np.float32)
