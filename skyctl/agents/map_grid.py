"""Grid of a map: its two axes, and an agent's account of which cells it has named."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ID_KEY = "_id"
"""What bluesky-adaptive calls the name of a suggestion."""
_LABEL = "label"


@dataclass(frozen=True)
class Axis:
    """One setting of the map: its name, as plans and devices call it, and its grid, ascending.

    log : whether the setting acts by its ratio, as a pulse width or a damping does: cells are then
        as far apart as the logarithms of their values. Otherwise neighbours are all equally far.

    Raises ValueError for fewer than two values, values that do not ascend or, with ``log``, that
    are not all above 0.
    """

    name: str
    values: tuple[float, ...]
    log: bool = False

    def __post_init__(self) -> None:
        if len(self.values) < 2 or not np.isfinite(self.values).all():
            raise ValueError(f"axis {self.name!r}: give two finite values or more")
        if np.any(np.diff(self.values) <= 0):
            raise ValueError(f"axis {self.name!r}: its values must ascend")
        if self.log and self.values[0] <= 0:
            raise ValueError(
                f"axis {self.name!r}: {self.values[0]:g} has no logarithm; leave log out"
            )

    @property
    def places(self) -> np.ndarray:
        """(values,): where they lie along the axis, in mean cells from the first."""
        cells = len(self.values) - 1
        if not self.log:
            return np.arange(cells + 1.0)
        logs = np.log(self.values)
        return (logs - logs[0]) / (logs[-1] - logs[0]) * cells

    def index(self, value: float) -> int:
        """Of the nearest value; ValueError for one more than half a step outside."""
        i = int(np.argmin(np.abs(np.subtract(self.values, value))))
        steps = np.diff(self.values)
        reach = 0.5 * (steps[0] if i == 0 else steps[-1] if i == len(steps) else math.inf)
        if not abs(self.values[i] - value) <= reach * 1.001:
            raise ValueError(
                f"{self.name} = {value:g}: outside the map, {self.values[0]:g} … "
                f"{self.values[-1]:g}; give a setting on it"
            )
        return i


class GridAgent(ABC):
    """Bookkeeping of an agent that labels a grid of two settings; a subclass chooses the shots.

    An `Optimizer` of bluesky-adaptive 1.0 (`suggest`, `ingest`, `get_best_points`,
    `register_failures`).

    rows, columns : the two settings; classes : labels that `ingest` may be given

    Raises ValueError for fewer than two classes or a class given twice.
    """

    name = ""

    def __init__(self, rows: Axis, columns: Axis, classes: Sequence[str]) -> None:
        if len(classes) < 2 or len(set(classes)) != len(classes):
            raise ValueError(f"classes {list(classes)}: give two or more, each once")
        self.rows, self.columns, self.classes = rows, columns, tuple(classes)
        self.shape = (len(rows.values), len(columns.values))
        self._cells: list[int] = []
        self._labels: list[int] = []
        self._checks: list[int] = []  # which of the shots were fired to falsify the map
        self._pending: dict[Any, tuple[int, bool]] = {}
        self._suggested = 0

    @property
    def shots(self) -> int:
        """How many shots it has been told of."""
        return len(self._cells)

    @property
    def cells(self) -> list[int]:
        """Numbers of the cells fired at, in order; rows × columns, row by row."""
        return list(self._cells)

    @property
    def checks(self) -> list[int]:
        """Which of the shots were fired at random places, to falsify the map."""
        return list(self._checks)

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """The next shots: a name under ``"_id"``, and a value for each of the two settings.

        Shots suggested and not yet ingested count as fired, so that a batch spreads.
        """
        count = 1 if num_points is None else num_points
        if count < 1:
            raise ValueError(f"num_points = {num_points}: must be 1 or more")
        found = []
        for _ in range(count):
            cell, is_check = self._choose()
            self._pending[self._suggested] = (cell, is_check)
            found.append({ID_KEY: self._suggested, **self._settings(cell)})
            self._suggested += 1
        return found

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Learn from shots: each the two settings and ``"label"``, one of the classes.

        A point without ``"_id"`` is a shot that this agent did not ask for.
        Raises ValueError for a label that is no class, a setting that is missing or outside; then
        nothing of the batch is learned.
        """
        read = [self._read(point) for point in points]
        for (cell, label), point in zip(read, points, strict=True):
            _, is_check = self._pending.pop(point.get(ID_KEY), (cell, False))
            if is_check:
                self._checks.append(len(self._cells))
            self._cells.append(cell)
            self._labels.append(label)
            self._learn(cell, label)

    def register_failures(self, suggestions: Sequence[Mapping[str, Any]]) -> None:
        """Forget suggestions that were not fired or gave no label."""
        for suggestion in suggestions:
            self._pending.pop(suggestion.get(ID_KEY), None)

    def get_best_points(self) -> list[tuple[Any, dict[str, Any], dict[str, Any]]]:
        """None: a map has no best point."""
        return []

    @abstractmethod
    def labels(self) -> np.ndarray:
        """(rows, columns) of class numbers, from the shots so far."""

    @abstractmethod
    def _choose(self) -> tuple[int, bool]:
        """(the cell of the next shot, whether it is fired to falsify the map)"""

    def _learn(self, cell: int, label: int) -> None:  # noqa: B027 - a script learns nothing
        """One shot more, already accounted for; for those that learn."""

    def _read(self, point: Mapping[str, Any]) -> tuple[int, int]:
        try:
            row = self.rows.index(float(point[self.rows.name]))
            column = self.columns.index(float(point[self.columns.name]))
            label = point[_LABEL]
        except KeyError as error:
            raise ValueError(
                f"point {dict(point)}: {error} is missing; give {self.rows.name!r}, "
                f"{self.columns.name!r} and {_LABEL!r}"
            ) from None
        if label not in self.classes:
            raise ValueError(f"label {label!r}: choose one of {', '.join(self.classes)}")
        return row * self.shape[1] + column, self.classes.index(label)

    def _settings(self, cell: int) -> dict[str, float]:
        row, column = divmod(cell, self.shape[1])
        return {
            self.rows.name: self.rows.values[row],
            self.columns.name: self.columns.values[column],
        }
