"""Boundary mapper: finds all boundaries of a map of labels over two settings in few shots.

It sees the label of each shot and nothing else of the sample. Its map is the field of the labels
(map_field). The next shot is the one after which the fewest cells are expected to be named wrong (a
step-wise uncertainty reduction, Bect et al., Stat. Comput. 22, 773, 2012).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, qmc

from skyctl.agents.map_field import Covariance, Field
from skyctl.agents.map_grid import Axis, GridAgent
from skyctl.agents.map_prior import MapPrior

_FIRST_SHOTS = 12
_REFIT_GROWTH = 1.12
_FALSIFIED_P = 0.01


@dataclass(frozen=True)
class ProcessMap:
    """What the mapper makes of its shots.

    labels : (rows, columns) of class numbers; probabilities : (rows, columns, classes)
    error : (rows, columns), the chance that the label is wrong, as the model sees it
    checks, misses : shots fired at random places to falsify the map, and how many of them the
        map made of all *other* shots names wrong
    """

    labels: np.ndarray
    probabilities: np.ndarray
    error: np.ndarray
    checks: int
    misses: int

    @property
    def expected_error(self) -> float:
        """Share of cells that the model expects to be wrong."""
        return float(self.error.mean())

    @property
    def held_out_error(self) -> tuple[float, float, float]:
        """Share of check shots named wrong, and its 95 % interval (Wilson); NaNs without any."""
        if not self.checks:
            return math.nan, math.nan, math.nan
        interval = binomtest(self.misses, self.checks).proportion_ci(method="wilson")
        return self.misses / self.checks, interval.low, interval.high


class BoundaryMapper(GridAgent):
    """Suggests shots on a grid of two settings and names every cell of it.

    An `Optimizer` of bluesky-adaptive 1.0 (`suggest`, `ingest`, `get_best_points`, `should_stop`,
    `register_failures`). The same seed and shots give the same suggestions.

    rows, columns : the two settings
    classes : labels that `ingest` may be given
    seed : of the first shots and of the check shots
    check_every : after so many shots one is fired at a random place, to falsify the map; the others
        go where they are worth most
    max_shots : stop after so many
    worth_cells : stop when another shot is expected to mend fewer cells than this
    prior : what maps of other samples taught; None learns from the shots alone

    Raises ValueError for fewer than two classes, a class given twice, or a prior of another grid.
    """

    name = "boundary-mapper"

    def __init__(
        self,
        rows: Axis,
        columns: Axis,
        classes: Sequence[str],
        *,
        seed: int = 0,
        check_every: int = 8,
        max_shots: int = 250,
        worth_cells: float = 0.25,
        prior: MapPrior | None = None,
    ) -> None:
        super().__init__(rows, columns, classes)
        if prior is not None and prior.mean.shape != (*self.shape, len(classes)):
            raise ValueError(
                f"prior of {prior.mean.shape}: the map has {self.shape} cells and "
                f"{len(classes)} classes; make the prior on this grid"
            )
        self.max_shots, self.check_every, self.worth_cells = max_shots, check_every, worth_cells
        self._rng = np.random.default_rng(seed)
        self._first = _spread_cells(self.shape, _FIRST_SHOTS, seed)
        places = np.meshgrid(rows.places, columns.places, indexing="ij")
        self._covariance = Covariance(np.stack(places, -1).reshape(-1, 2), prior)
        self._refit_at = _FIRST_SHOTS
        self._field: Field | None = None
        self._worth: list[float] = []

    def should_stop(self) -> tuple[bool, str | None]:
        """Whether to stop, and why.

        The map is not finished while its check shots contradict it: misses that the chances it
        states would bring with a probability below 1 %.
        """
        if self.shots >= self.max_shots:
            return True, f"{self.shots} shots fired, of {self.max_shots}"
        worth = self._worth[-5:]
        if self.shots < 2 * _FIRST_SHOTS or len(worth) < 5 or np.mean(worth) > self.worth_cells:
            return False, None
        if self.falsified:
            return False, None
        return True, f"another shot is expected to mend {np.mean(worth):.2g} cells"

    @property
    def falsified(self) -> bool:
        """Whether the check shots contradict what the map says of its own errors."""
        checks, misses, expected = self._judge_checks()
        if not checks:
            return False
        chance = min(max(expected / checks, 1e-3), 1.0)
        return bool(binomtest(misses, checks, chance, alternative="greater").pvalue < _FALSIFIED_P)

    def map(self) -> ProcessMap:
        """Every cell named, with probabilities; before any shot, what the prior says."""
        field = self._conditioned()
        checks, misses, _ = self._judge_checks()
        probabilities = field.probabilities()
        return ProcessMap(
            labels=probabilities.argmax(1).reshape(self.shape),
            probabilities=probabilities.reshape(*self.shape, -1),
            error=(1 - probabilities.max(1)).reshape(self.shape),
            checks=checks,
            misses=misses,
        )

    def labels(self) -> np.ndarray:
        """(rows, columns) of class numbers."""
        return self.map().labels

    def _choose(self) -> tuple[int, bool]:
        number = self._suggested
        if number < len(self._first):
            return self._first[number], False
        if number % self.check_every == 0:
            return int(self._rng.integers(math.prod(self.shape))), True
        return self._most_worth(), False

    def _learn(self, cell: int, label: int) -> None:
        if self._field is not None:
            self._field.condition(cell, label)

    def _most_worth(self) -> int:
        cell, worth = self._with_pending().most_worth()
        self._worth.append(worth)
        return cell

    def _with_pending(self) -> Field:
        """The field as if shots under way had brought what it expects of them."""
        field = self._conditioned()
        if self._pending:
            field = field.copy()
            for cell, _ in self._pending.values():
                field.condition(cell, int(field.mean[cell].argmax()))
        return field

    def _conditioned(self) -> Field:
        """The field of all shots so far, its covariance learned anew as their number grows."""
        if self._field is None or self.shots >= self._refit_at:
            cells, labels = np.array(self._cells, int), np.array(self._labels, int)
            if self.shots >= _FIRST_SHOTS:
                self._covariance.fit(cells, labels, len(self.classes))
                self._refit_at = max(self.shots + 4, int(self.shots * _REFIT_GROWTH))
            mean = self._covariance.mean(labels, len(self.classes))
            self._field = Field(mean, self._covariance)
            for cell, label in zip(cells, labels, strict=True):
                self._field.condition(int(cell), int(label))
        return self._field

    def _judge_checks(self) -> tuple[int, int, float]:
        """(check shots, those that the map of all other shots names wrong, misses expected)."""
        if not self._checks:
            return 0, 0, 0.0
        field = self._conditioned()
        probabilities = field.left_out(np.array(self._checks))
        labels = np.array(self._labels)[self._checks]
        misses = int((probabilities.argmax(1) != labels).sum())
        return len(labels), misses, float((1 - probabilities.max(1)).sum())


def _spread_cells(shape: tuple[int, int], count: int, seed: int) -> list[int]:
    """Cells that cover a map evenly: scrambled Sobol points, no cell twice."""
    points = qmc.Sobol(2, rng=seed).random_base2(8)
    places = (points * shape).astype(int)
    cells = dict.fromkeys((places[:, 0] * shape[1] + places[:, 1]).tolist())
    return list(cells)[:count]
