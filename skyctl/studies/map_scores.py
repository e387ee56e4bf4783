"""How good a map of labels is: its boundaries and areas beside those of the truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.ndimage import label as _label
from scipy.spatial import KDTree

from skyctl.studies.truth_maps import CLASSES, TruthMap

AREA_SIDE = 4
"""An area is a patch of one label that holds a square of so many cells a side: what does not is a
streak, or chaos."""


@dataclass(frozen=True)
class Score:
    """How good a map is.

    macro_f1 : over all cells; area_f1 : over the cells of areas
    boundary_cells : mean distance of the areas' boundaries; islands : whether all are found
    """

    macro_f1: float
    area_f1: float
    boundary_cells: float
    islands: bool

    @classmethod
    def of(cls, truth: np.ndarray, named: np.ndarray) -> "Score":
        """The score of a map as named; truth, named : (rows, columns) of class numbers."""
        smooth, kept = areas(truth)
        found, count = islands_found(truth, named)
        return cls(
            macro_f1(truth, named),
            macro_f1(truth[kept], named[kept]),
            boundary_error(smooth, areas(named)[0]),
            found == count,
        )

    @property
    def reached(self) -> bool:
        """Mean boundary error of a cell or less and a macro-F1 of 0.95 or more over the areas."""
        return self.boundary_cells <= 1.0 and self.area_f1 >= 0.95


def macro_f1(truth: np.ndarray, named: np.ndarray) -> float:
    """Mean over the classes of the truth of 2 TP / (2 TP + FP + FN)."""
    scores = []
    for c in np.unique(truth):
        right = np.sum((truth == c) & (named == c))
        scores.append(2 * right / (np.sum(truth == c) + np.sum(named == c)))
    return float(np.mean(scores))


def boundary_error(truth: np.ndarray, named: np.ndarray) -> float:
    """Mean distance of the two maps' boundaries, cells: half each way; infinite without any.

    A boundary is the middles of the sides between unlike neighbours.
    """
    ours, theirs = _boundary(named), _boundary(truth)
    if not len(ours) or not len(theirs):
        return float("inf")
    there, _ = KDTree(ours).query(theirs)
    back, _ = KDTree(theirs).query(ours)
    return float((np.mean(there) + np.mean(back)) / 2)


def _boundary(labels: np.ndarray) -> np.ndarray:
    """(sides, 2)"""
    below = np.add(np.argwhere(labels[1:] != labels[:-1]), (0.5, 0.0))
    right = np.add(np.argwhere(labels[:, 1:] != labels[:, :-1]), (0.0, 0.5))
    return np.concatenate([below, right])


def islands_found(truth: np.ndarray, named: np.ndarray) -> tuple[int, int]:
    """(areas of which half the cells or more are named right, areas)."""
    islands = _areas(truth)
    right = named == truth
    return sum(bool(right[cells].mean() >= 0.5) for cells in islands), len(islands)


def areas(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the map with every cell outside areas given to the nearest area, which cells are areas').

    labels : (rows, columns)
    """
    found = _areas(labels)
    if not found:
        return labels, np.zeros(labels.shape, bool)
    kept = np.any(found, axis=0)
    nearest: Any = distance_transform_edt(~kept, return_distances=False, return_indices=True)
    return labels[tuple(nearest)], kept


def _areas(labels: np.ndarray) -> list[np.ndarray]:
    """The cells of each area, (rows, columns) of bool; cells that touch by a side are one patch."""
    found = []
    for c in np.unique(labels):
        patches, _ = _patches(labels == c)
        # Where a square lies inside a class it lies inside one patch.
        held: Any = binary_erosion(labels == c, np.ones((AREA_SIDE, AREA_SIDE)))
        found += [patches == patch for patch in np.unique(patches[held])]
    return found


def _patches(cells: np.ndarray) -> tuple[np.ndarray, int]:
    """(the number of each cell's patch, 0 outside, how many)."""
    found: Any = _label(cells)
    return found


def topology(name: str) -> dict[str, Any]:
    """What a truth map allows: the best that a map of areas can do, and how much is chaos."""
    truth = TruthMap.load(name).labels
    smooth, kept = areas(truth)
    patches = sum(_patches(truth == c)[1] for c in np.unique(truth))
    return {
        "map": name,
        "cells": int(truth.size),
        "cells_beside_a_boundary": int(_beside_a_boundary(truth).sum()),
        "patches": int(patches),
        "islands": islands_found(truth, truth)[1],
        "cells_outside_areas": int((~kept).sum()),
        "cells_of_areas": {
            letter: int(np.sum(kept & (truth == c))) for c, letter in enumerate(CLASSES)
        },
        "macro_f1_of_all_areas_known": macro_f1(truth, smooth),
    }


def _beside_a_boundary(labels: np.ndarray) -> np.ndarray:
    beside = np.zeros(labels.shape, bool)
    below, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    beside[1:] |= below
    beside[:-1] |= below
    beside[:, 1:] |= right
    beside[:, :-1] |= right
    return beside
