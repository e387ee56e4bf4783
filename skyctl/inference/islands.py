"""Islands: connected regions of reversed pixels, their holes, and whether the edge cuts them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

SPECK = 0.25
"""An island of less than this share of the usual, or the largest, one is a speck of noise."""


@dataclass(frozen=True)
class Island:
    """A reversed region: centre and area in pixels; a disc is not at an edge and has no hole."""

    x: float
    y: float
    area: float
    is_disc: bool
    at_edge: bool


def islands_in(reversed_: np.ndarray, smallest: float) -> tuple[np.ndarray, dict[int, Island]]:
    """The labels (H, W) of 4-connected regions, and by label those of ``smallest`` pixels or more.

    reversed_ : bool (H, W). A hole of one pixel, or of less than a third of the smallest island,
    is none.
    """
    found: Any = ndimage.label(reversed_)
    labels, count = found
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    pierced = {
        int(labels[y - 1, x]) for y, x, area in _holes(reversed_) if area > max(1, smallest / 3)
    }
    islands: dict[int, Island] = {}
    for island, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[island] < smallest:
            continue
        ys, xs = np.nonzero(labels[box] == island)
        at_edge = _touches_edge(box, reversed_.shape)
        islands[island] = Island(
            x=float(xs.mean()) + box[1].start,
            y=float(ys.mean()) + box[0].start,
            area=float(sizes[island]),
            is_disc=not at_edge and island not in pierced,
            at_edge=at_edge,
        )
    return labels, islands


def _holes(reversed_: np.ndarray) -> list[tuple[int, int, int]]:
    """(y, x) of a pixel in the top row of each hole, and its area. Above it is its island."""
    found: Any = ndimage.label(~reversed_)
    around, _ = found
    sizes = np.bincount(around.ravel())
    holes: list[tuple[int, int, int]] = []
    for hole, box in enumerate(ndimage.find_objects(around), start=1):
        if not _touches_edge(box, reversed_.shape):
            y = box[0].start
            x = box[1].start + int((around[y, box[1]] == hole).argmax())
            holes.append((y, x, int(sizes[hole])))
    return holes


def _touches_edge(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    return any(
        side.start <= 0 or side.stop >= length for side, length in zip(box, shape, strict=True)
    )


def whole_disc(x: int, y: int, area: float, shape: tuple[int, ...]) -> Island:
    """A disc of this centre and area, pixels and pixels², in an image of this shape."""
    radius = round(math.sqrt(area / math.pi))
    box = tuple(slice(at - radius, at + radius + 1) for at in (y, x))
    at_edge = _touches_edge(box, shape)
    return Island(float(x), float(y), area, not at_edge, at_edge)
