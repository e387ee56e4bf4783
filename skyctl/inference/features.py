"""What a network sees of a frame.

``sorted`` is the paper's input (arXiv:1907.01814 fig. 2), the sorted S_z of the film: all sites, so
one lattice size only. ``quantiles`` is the same curve read at fixed fractions of the sites, so that
any lattice fits. The fractions crowd at both ends (Chebyshev points): a relaxed skyrmion is 0.5 %
of the film, and 256 evenly spaced quantiles would show it in one number.

Sorting forgets where a spin is: a skyrmion, two of half its area and a piece of domain at the edge
have one sorted curve. ``shape`` keeps what topology needs, in any image of any film: the frame is
averaged on about CELLS² square cells and smoothed, then read as quantiles, fewer of them, and as
the regions above and below each of LEVELS (their boundary, how many there are inside the film and
at its edge, how large): the Minkowski functionals of a plane figure and what they are made of. How
rough the pixels are, which the cells hide, tells a noisy camera from a film that is none.

``cells`` is the film itself on GRID² cells, for a network that looks, and a clock beside it: when
the frame was taken, against the pulse. Grey values are counted from the first frame's background,
so that a camera's gain does not matter.
"""

import math
from functools import lru_cache
from typing import Literal

import numpy as np

from skyctl.inference.kernels_shape import NUMBERS_A_LEVEL, film_shape, resample

Preprocessing = Literal["quantiles", "sorted", "shape", "cells"]

GRID = 50
"""Cells of ``cells``, each way: two sites of the paper's film."""
CLOCK_NUMBERS = 4
LEAST_INTERVAL_PS = 4.0
"""Frames that follow closer than this on one that was looked at are passed over by ``cells``."""
_LEAST_LEVEL = 0.3
_FARTHEST = 4.0

CELLS = 48
"""Cells a square film is averaged on, each way: two sites of the paper's film."""
LEVELS = (-0.6, -0.3, 0.0, 0.3, 0.6)
"""S_z at which ``shape`` looks for regions."""
SMALLEST_REGION = 2
"""Cells; a smaller region is noise."""
SHAPE_NUMBERS = 1 + len(LEVELS) * NUMBERS_A_LEVEL
_LEVELS = np.array(LEVELS, np.float32)


def parameters(kind: Preprocessing) -> dict[str, object]:
    """What else decides the features of a ``kind``: a model file carries it, and must agree."""
    if kind == "cells":
        return {"grid": GRID, "clock": CLOCK_NUMBERS, "least_interval_ps": LEAST_INTERVAL_PS}
    if kind != "shape":
        return {}
    return {"cells": CELLS, "levels": list(LEVELS), "smallest_region": SMALLEST_REGION}


def background_sign(sz: np.ndarray) -> float:
    """+1 or -1: where most of the film points. ``sz`` is (H, W)."""
    return 1.0 if np.median(sz) > 0 else -1.0


def background_level(cells: np.ndarray) -> float:
    """|S_z| that a film's first frame shows as its background, no less than _LEAST_LEVEL: half of a
    film of two halves must not become noise."""
    return max(abs(float(np.median(cells))), _LEAST_LEVEL)


def on_grid(image: np.ndarray) -> np.ndarray:
    """An image (H, W) on the cells of ``cells``, float32 (GRID, GRID)."""
    return resample(np.ascontiguousarray(image, np.float32), GRID, GRID)


def clock(time_ps: float, since_ps: float, peak_ps: float, width_ps: float) -> np.ndarray:
    """When a frame was taken, as CLOCK_NUMBERS of about one, float32.

    since_ps : since the frame before, 0 for the first; peak_ps, width_ps : of the pulse
    """
    after_ps = time_ps - peak_ps
    phase = min(max(after_ps / width_ps, -_FARTHEST), _FARTHEST)
    return np.array(
        [after_ps / 50, since_ps / 20, math.log(width_ps / 10), phase / _FARTHEST], np.float32
    )


def frame_features(
    sz: np.ndarray, count: int, kind: Preprocessing = "quantiles", orientation: float = 1.0
) -> np.ndarray:
    """``orientation`` · S_z as ``count`` numbers, float32 (count,).

    sz : (H, W) (flat will do but for ``shape``), finite, 2 sites or more. Value i of N sorted ones
        stands at fraction (i + 1/2) / N; between them the curve is linear.
    ``shape`` has ``count`` - SHAPE_NUMBERS quantiles first, then the roughness and the regions.

    Raises ValueError when ``kind`` is "sorted" and the frame has not ``count`` sites, and for an
    image or a ``count`` too small for ``shape``.
    """
    oriented = (orientation * sz).astype(np.float32, copy=False)
    if kind == "shape":
        if sz.ndim != 2 or min(sz.shape) < 2 or count <= SHAPE_NUMBERS:
            raise ValueError(
                f"frame of shape {sz.shape} as {count} numbers: shape features need an image of "
                f"2 x 2 pixels or more, and more than {SHAPE_NUMBERS} numbers"
            )
        return _shape(np.ascontiguousarray(oriented), count - SHAPE_NUMBERS)
    if kind == "quantiles":
        return _quantiles(oriented, count)
    if sz.size != count:
        raise ValueError(
            f"frame of {sz.size} sites: this model takes the sorted spins of {count}; "
            "use a model with quantile features"
        )
    return np.sort(oriented, axis=None)


def _shape(image: np.ndarray, quantiles: int) -> np.ndarray:
    """Quantiles, roughness, and the regions at each level; none depends on the number of pixels.

    Lengths and areas as fractions of the film's, areas as their square root (a side), numbers of
    regions as log(1 + n): all about as large as S_z.
    """
    height, width = image.shape
    pixels_a_cell = math.sqrt(height * width) / CELLS
    rows, columns = (max(2, round(side / pixels_a_cell)) for side in (height, width))
    cells, rough, found = film_shape(image, rows, columns, _LEVELS, SMALLEST_REGION)
    found[:, 0] /= 4 * math.sqrt(cells.size)
    found[:, 1] /= 2 * (rows + columns) - 4
    found[:, [2, 3, 6, 7]] = np.log1p(found[:, [2, 3, 6, 7]])
    found[:, [4, 5, 8, 9]] = np.sqrt(found[:, [4, 5, 8, 9]] * np.float32(4 / cells.size))
    return np.concatenate(
        [_quantiles(cells, quantiles), np.array([rough], np.float32), found.ravel()]
    )


def _quantiles(values: np.ndarray, count: int) -> np.ndarray:
    values = np.sort(values, axis=None)
    lower, weight = _interpolation(values.size, count)
    return values[lower] * (1 - weight) + values[lower + 1] * weight


@lru_cache(maxsize=16)
def _interpolation(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    fraction = (1 - np.cos(np.pi * (np.arange(count) + 0.5) / count)) / 2
    position = np.clip(fraction * size - 0.5, 0, size - 1)
    lower = np.minimum(position.astype(np.intp), size - 2)
    return lower, (position - lower).astype(np.float32)
