"""A classifier, whichever, judged on simulated movies that it never trained on."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from skyctl.inference.model import MovieClassifier
from skyctl.inference.paper_label import paper_label
from skyctl.models.movie_set import MovieSet
from skyctl.process import MIXED
from skyctl.pulse import Pulse
from skyctl.studies.process_map import PEAK_PS, Agreement, Grid

PAPER_END_PS = 105.0
"""The paper's movies end here, though a wide pulse and what it does is not over yet."""
LATE_END_PS = 165.0
ENDS_PS = (PAPER_END_PS, LATE_END_PS)
"""Of movies with the pulse's peak at 40 ps; with a later peak they end as much later."""
_NEVER_PS = 1e-6
"""Frames are never so close in time; what differs by less is the same time."""


def watch(
    model: MovieClassifier,
    sz: np.ndarray,
    times_ps: np.ndarray,
    interval_ps: float,
    pulse: Pulse | None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Show ``model`` a movie, a frame every ``interval_ps`` from 0; after each, its time in ps and
    the probabilities, (classes,).

    sz : (frames, rows, columns); times_ps : (frames,), from 0; pulse : whose movie it is.
    Raises ValueError when there is no frame at a time that is due.
    """
    due_ps = np.arange(0.0, times_ps[-1] + _NEVER_PS, interval_ps)
    shown = np.searchsorted(times_ps, due_ps - _NEVER_PS)
    if np.abs(times_ps[shown] - due_ps).max() > _NEVER_PS:
        raise ValueError(f"movie with frames at {times_ps} ps: not one every {interval_ps:g} ps")
    yield from zip(due_ps.tolist(), model.watch(sz[shown], due_ps.tolist(), pulse), strict=True)


@dataclass(frozen=True)
class Judgement:
    """What a classifier made of each movie of a set.

    truth : (movies,) str (``MovieSet.labels``)
    named : for each of ENDS_PS the labels of the movies that end there, (movies,) str; "" where
        the classifier abstains
    likeliest : for each of ENDS_PS the classes of highest probability
    """

    truth: np.ndarray
    named: dict[float, np.ndarray]
    likeliest: dict[float, np.ndarray]

    def agreement(self, end_ps: float, where: np.ndarray | None = None) -> Agreement:
        """Over cells whose truth is B, S or C, and that are in ``where``, (movies,) bool."""
        return Agreement.count(self.truth, self.named[end_ps], where)

    def confusion(self, end_ps: float) -> dict[str, dict[str, int]]:
        """How many movies of each truth got each label ("" is none)."""
        pairs = Counter(zip(self.truth.tolist(), self.named[end_ps].tolist(), strict=True))
        rows: dict[str, dict[str, int]] = {}
        for (truth, named), count in sorted(pairs.items()):
            rows.setdefault(truth, {})[named] = count
        return rows

    def table(self, grid: Grid) -> dict[str, dict[str, float | int | None]]:
        """For each end: how the labels stand to the truth, over the whole map and inside its areas,
        the same where the classifier may not abstain, and what it makes of mixed movies.
        A share of no cells is None."""
        inside, mixed = grid.inside(self.truth), self.truth == MIXED
        table: dict[str, dict[str, float | int | None]] = {}
        for end_ps, named in self.named.items():
            whole, core = self.agreement(end_ps), self.agreement(end_ps, inside)
            likeliest = self.likeliest[end_ps]
            table[f"{end_ps:g}_ps"] = {
                "whole": whole.share,
                "cells": whole.cells,
                "wrong": whole.wrong,
                "unnamed": whole.unnamed,
                "inside": core.share,
                "inside_cells": core.cells,
                "whole_likeliest": Agreement.count(self.truth, likeliest).share,
                "inside_likeliest": Agreement.count(self.truth, likeliest, inside).share,
                "mixed_cells": int(mixed.sum()),
                "mixed_named_mixed": int((named[mixed] == MIXED).sum()),
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
    named, likeliest = (
        {end_ps: np.full(len(movies), "", dtype="<U16") for end_ps in ENDS_PS} for _ in range(2)
    )
    for row in range(len(movies)):
        pulse = movies.shot(row).pulse
        later_ps = pulse.peak_ps - PEAK_PS if pulse else 0.0
        sz, times_ps = movies.sz(row), movies.times_ps(row)
        for time_ps, p in watch(model, sz, times_ps, interval_ps, pulse):
            # Asked now: a label may depend on all that the model has seen, and on nothing later.
            image = sz[np.searchsorted(times_ps, time_ps - _NEVER_PS)]
            label, best = paper_label(model, p, image), model.card.classes[int(np.argmax(p))]
            for end_ps in ENDS_PS:
                if time_ps <= end_ps + later_ps:
                    named[end_ps][row], likeliest[end_ps][row] = label or "", best
        progress()
    return Judgement(movies.labels, named, likeliest)
