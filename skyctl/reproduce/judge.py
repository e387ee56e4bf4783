"""A classifier, whichever, judged on simulated movies that it never trained on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skyctl.inference.features import background_sign
from skyctl.inference.model import MovieClassifier
from skyctl.models.movie_set import MovieSet
from skyctl.reproduce.process_map import PROCESSES, Agreement, Grid
from skyctl.simulators.topology import MIXED

PAPER_END_PS = 105.0
"""The paper's movies end here, though a wide pulse and what it does is not over yet."""
LATE_END_PS = 165.0
ENDS_PS = (PAPER_END_PS, LATE_END_PS)


def probabilities_of(
    model: MovieClassifier, sz: np.ndarray, times_ps: np.ndarray, interval_ps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Show ``model`` a movie, a frame every ``interval_ps`` from 0.

    sz : (frames, rows, columns); times_ps : (frames,). Returns times (T,), ps, and probabilities
    after each frame, (T, classes).
    Raises ValueError when a time that is due has no frame.
    """
    due_ps = np.arange(0.0, times_ps[-1] + 1e-6, interval_ps)
    shown = np.searchsorted(times_ps, due_ps - 1e-6)
    if not np.allclose(times_ps[shown], due_ps):
        raise ValueError(f"movie with frames at {list(times_ps)} ps: not one every {interval_ps}")
    model.reset(-background_sign(sz[0]))
    return due_ps, np.array([model.step(sz[k]) for k in shown])


@dataclass(frozen=True)
class Judgement:
    """What a classifier made of each movie of a set.

    truth : (movies,) str, by topology at 165 ps
    named : for each of ENDS_PS the labels of the movies that end there, (movies,) str; "" where
        the classifier abstains, or names what is none of the three processes
    """

    truth: np.ndarray
    named: dict[float, np.ndarray]

    def agreement(self, end_ps: float, where: np.ndarray | None = None) -> Agreement:
        """Over cells whose truth is B, S or C, and that are in ``where``, (movies,) bool."""
        return Agreement.count(self.truth, self.named[end_ps], where)

    def table(self, grid: Grid) -> dict[str, dict[str, float | int]]:
        """For each end: agreement over the whole map and inside its areas, and what became of the
        movies that are mixed in truth."""
        inside, mixed = grid.inside(self.truth), self.truth == MIXED
        table: dict[str, dict[str, float | int]] = {}
        for end_ps, named in self.named.items():
            whole, core = self.agreement(end_ps), self.agreement(end_ps, inside)
            table[f"{end_ps:g}_ps"] = {
                "whole": whole.share,
                "cells": whole.cells,
                "wrong": whole.wrong,
                "unnamed": whole.unnamed,
                "inside": core.share,
                "inside_cells": core.cells,
                "mixed_cells": int(mixed.sum()),
                "mixed_unnamed": int((named[mixed] == "").sum()),
            }
        return table


def judge(
    model: MovieClassifier,
    movies: MovieSet,
    *,
    interval_ps: float = 15.0,
    progress: Callable[[], None] = lambda: None,
) -> Judgement:
    """Name every movie of a full set at each of ENDS_PS; ``progress`` is called after each movie.

    Raises ValueError for a set whose movies are too short or lack frames.
    """
    named = {end_ps: np.full(len(movies), "", dtype="<U16") for end_ps in ENDS_PS}
    for row in range(len(movies)):
        times_ps, probabilities = probabilities_of(
            model, movies.sz(row), movies.times_ps(row), interval_ps
        )
        for end_ps in ENDS_PS:
            seen = int(np.searchsorted(times_ps, end_ps + 1e-6)) - 1
            label = model.label(probabilities[seen])
            named[end_ps][row] = label if label in PROCESSES else ""
        progress()
    return Judgement(movies.labels, named)
