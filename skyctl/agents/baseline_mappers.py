"""What the boundary mapper is measured against: other ways to spend shots on a map.

All take the mapper's two axes and classes and speak its protocol: `suggest`, `ingest`, `labels`.
"""

import warnings
from collections.abc import Callable, Generator, Sequence
from itertools import pairwise

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import qmc

from skyctl.agents.boundary_mapper import BoundaryMapper
from skyctl.agents.map_grid import Axis, GridAgent
from skyctl.errors import needs

with needs("bench"):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

Script = Generator[int, int, None]
"""Yields the cell of each shot and is sent its label."""


class Scripted(GridAgent):
    """Fires what a script says; an unmeasured cell has the label of the nearest shot.

    script : gets the shape (rows, columns) and a seed. One that ends is gone on with at random.
    """

    def __init__(
        self,
        rows: Axis,
        columns: Axis,
        classes: Sequence[str],
        script: Callable[[tuple[int, int], int], Script],
        seed: int = 0,
    ) -> None:
        super().__init__(rows, columns, classes)
        self.name = script.__name__.strip("_")
        self._script = script(self.shape, seed)
        self._rest = _random(self.shape, seed + 1)
        self._next = next(self._script)

    def _choose(self) -> tuple[int, bool]:
        return self._next, False

    def _learn(self, cell: int, label: int) -> None:  # noqa: ARG002
        try:
            self._next = self._script.send(label)
        except StopIteration:
            self._next = next(self._rest)

    def labels(self) -> np.ndarray:
        """(rows, columns) of class numbers; the most frequent label where a cell has several."""
        cells, labels = np.array(self._cells), np.array(self._labels)
        votes = np.zeros((self.shape[0] * self.shape[1], len(self.classes)), int)
        np.add.at(votes, (cells, labels), 1)
        shot = np.unique(cells)
        everywhere = np.indices(self.shape).reshape(2, -1).T
        _, nearest = KDTree(everywhere[shot]).query(everywhere)
        return votes[shot].argmax(1)[nearest].reshape(self.shape)


def grid(shape: tuple[int, int], seed: int) -> Script:  # noqa: ARG001
    """Every cell, coarse grids first: strides 8, 4, 2, 1."""
    done: set[int] = set()
    for stride in (8, 4, 2, 1):
        for row in range(stride // 2, shape[0], stride):
            for column in range(stride // 2, shape[1], stride):
                if (cell := row * shape[1] + column) not in done:
                    done.add(cell)
                    yield cell


def _random(shape: tuple[int, int], seed: int) -> Script:
    rng = np.random.default_rng(seed)
    while True:
        for cell in rng.permutation(shape[0] * shape[1]).tolist():  # noqa: UP028
            yield cell  # a list cannot be sent labels


def random(shape: tuple[int, int], seed: int) -> Script:
    """Every cell, in random order."""
    return _random(shape, seed)


def sobol(shape: tuple[int, int], seed: int) -> Script:
    """Scrambled Sobol points, no cell twice."""
    points = qmc.Sobol(2, rng=seed).random_base2(13)
    places = (points * shape).astype(int)
    for cell in dict.fromkeys((places[:, 0] * shape[1] + places[:, 1]).tolist()):  # noqa: UP028
        yield cell


def bisection(shape: tuple[int, int], seed: int) -> Script:  # noqa: ARG001
    """Row by row (every eighth, fourth, second, all), halve what lies between unlike labels."""
    done: set[int] = set()
    for stride in (8, 4, 2, 1):
        for row in range(stride // 2, shape[0], stride):
            if row not in done:
                done.add(row)
                yield from _halve_row(row, shape[1])


def _halve_row(row: int, columns: int) -> Generator[int, int, dict[int, int]]:
    """Labels by column; the ends first, then the middle of each gap between unlike labels."""
    known: dict[int, int] = {}
    for column in (0, columns - 1):
        known[column] = yield row * columns + column
    gaps = [(0, columns - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1 and known[low] != known[high]:
            middle = (low + high) // 2
            known[middle] = yield row * columns + middle
            gaps += [(low, middle), (middle, high)]
    return known


def staircase(shape: tuple[int, int], seed: int) -> Script:  # noqa: ARG001
    """Bisect the middle row, then follow its boundaries up and down, every other row.

    In each next row a step to either side of where a boundary was, on until the label changes.
    """
    rows, columns = shape
    middle = rows // 2
    known = yield from _halve_row(middle, columns)
    found = sorted(known)
    edges = [(a, known[a]) for a, b in pairwise(found) if known[a] != known[b]]
    for way in (2, -2):
        track = list(edges)
        for row in range(middle + way, rows if way > 0 else -1, way):
            moved = []
            for column, left in track:
                label = yield row * columns + column
                step = 1 if label == left else -1
                at = column
                while 0 <= at + step < columns:
                    at += step
                    label = yield row * columns + at
                    if (label == left) != (step > 0):
                        moved.append((at - 1 if step > 0 else at, left))
                        break
            track = moved


class LeastConfidence(GridAgent):
    """scikit-learn's Gaussian-process classifier; fires where its best class has the lowest chance.

    first : shots of a Sobol sequence before; batch : shots between two fits
    """

    name = "gp-classifier"

    def __init__(
        self,
        rows: Axis,
        columns: Axis,
        classes: Sequence[str],
        seed: int = 0,
        first: int = 16,
        batch: int = 4,
    ) -> None:
        super().__init__(rows, columns, classes)
        self._first, self._batch = first, batch
        self._start = sobol(self.shape, seed)
        self._places = np.indices(self.shape).reshape(2, -1).T / 10.0
        self._chance = np.zeros((0, 0))  # (cells, classes seen)
        self._seen = np.zeros(0, int)
        self._fitted = -batch

    def _choose(self) -> tuple[int, bool]:
        if self.shots < self._first or len(set(self._labels)) < 2:
            return next(self._start), False
        if self.shots >= self._fitted + self._batch:
            self._fit()
        confidence = self._chance.max(1)
        confidence[[*self._cells, *(cell for cell, _ in self._pending.values())]] = 2.0
        return int(confidence.argmin()), False

    def _fit(self) -> None:
        kernel = ConstantKernel(4.0, (0.1, 100.0)) * RBF([1.0, 1.0], (0.1, 10.0))  # type: ignore[arg-type]
        model = GaussianProcessClassifier(kernel)
        with warnings.catch_warnings():  # a length at its bound is no fault
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(self._places[self._cells], self._labels)
        self._chance, self._seen = model.predict_proba(self._places), model.classes_
        self._fitted = self.shots

    def labels(self) -> np.ndarray:
        """(rows, columns) of class numbers."""
        if len(set(self._labels)) < 2:
            return np.full(self.shape, self._labels[0])
        self._fit()
        return self._seen[self._chance.argmax(1)].reshape(self.shape)


class Straddle(BoundaryMapper):
    """The mapper's own field, with the straddle rule (Bryan et al., NIPS 2005): where 1.96 standard
    deviations reach furthest across a lead of zero; and without shots to check the map."""

    name = "straddle"

    def _most_worth(self) -> int:
        field = self._with_pending()
        second, first = np.sort(field.mean, axis=1)[:, -2:].T
        return int((1.96 * np.sqrt(2 * field.variance) - (first - second)).argmax())
