"""Boundary mapper: few shots to all the boundaries of a map of labels over two settings.

It sees the label of each shot and nothing else of the sample. The map is a Gaussian-process
regression of the labels, one field a class over one shared covariance (Rasmussen & Williams 2006,
§2.2, §6.5); its length scales and direction come from the shots (marginal likelihood, eq. 2.30) or,
with a `MapPrior`, its covariance comes from maps of other samples. The next shot is the one after
which the fewest cells are expected to be named wrong (a step-wise uncertainty reduction, Bect et
al., Stat. Comput. 22, 773, 2012).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtr, owens_t
from scipy.stats import binomtest, qmc

from skyctl.agents.map_prior import MapPrior

ID_KEY = "_id"
"""What bluesky-adaptive calls the name of a suggestion."""

_LABEL = "label"
_FIRST_SHOTS = 12
_REFIT_GROWTH = 1.12
_UNSURE_CELLS, _UNSURE_CELLS_A_CANDIDATE = 600, 4
_FALSIFIED_P = 0.01


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


class MapAgent:
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

    def labels(self) -> np.ndarray:
        """(rows, columns) of class numbers, from the shots so far."""
        raise NotImplementedError

    def _choose(self) -> tuple[int, bool]:
        """(the cell of the next shot, whether it is fired to falsify the map)"""
        raise NotImplementedError

    def _learn(self, cell: int, label: int) -> None:
        """One shot more, already in the books."""

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


class BoundaryMapper(MapAgent):
    """Suggests shots on a grid of two settings and names every cell of it.

    An `Optimizer` of bluesky-adaptive 1.0 (`suggest`, `ingest`, `get_best_points`, `should_stop`,
    `register_failures`). The same seed and shots give the same suggestions.

    rows, columns : the two settings
    classes : labels that `ingest` may be given
    seed : of the first shots and of the check shots
    check_every : each so manieth shot is fired at a random place, to falsify the map; the others
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
        self._covariance = _Covariance(np.stack(places, -1).reshape(-1, 2), prior)
        self._refit_at = _FIRST_SHOTS
        self._field: _Field | None = None
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

    def _with_pending(self) -> "_Field":
        """The field as if shots under way had brought what it expects of them."""
        field = self._conditioned()
        if self._pending:
            field = field.copy()
            for cell, _ in self._pending.values():
                field.condition(cell, int(field.mean[cell].argmax()))
        return field

    def _conditioned(self) -> "_Field":
        """The field of all shots so far, its covariance learned anew as their number grows."""
        if self._field is None or self.shots >= self._refit_at:
            cells, labels = np.array(self._cells, int), np.array(self._labels, int)
            if self.shots >= _FIRST_SHOTS:
                self._covariance.fit(cells, labels, len(self.classes))
                self._refit_at = max(self.shots + 4, int(self.shots * _REFIT_GROWTH))
            mean = self._covariance.mean(labels, len(self.classes))
            self._field = _Field(mean, self._covariance)
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


class _Covariance:
    """Covariance of a class's field between cells: a prior's, if any, and one of our own.

    Our own is exponential: a field that jumps at a boundary is rough, and smoother covariances
    were surer of themselves than right. It has a height, a length along each of two directions at
    right angles, and their angle (a boundary is long one way and sharp the other); with the noise
    they maximise the likelihood of the shots, held near what is common by broad log-normal priors.

    places : (cells, 2), of every cell, in cells
    """

    _COMMON = np.log([0.25, 15.0, 8.0, 0.02])  # height, lengths in cells, noise
    _BREADTH = np.array([0.7, 0.7, 0.7, 1.5])
    _BOUNDS = (*np.log([(0.005, 1.0), (2.0, 80.0), (2.0, 80.0), (0.002, 0.5)]), (None, None))

    def __init__(self, places: np.ndarray, prior: MapPrior | None) -> None:
        self._places = places
        self._prior = prior
        common = self._COMMON.copy()
        if prior is not None:
            common[0] = np.log(0.05)  # the prior explains most
        self._common = common
        self._settings = np.array([*common, math.pi / 4])
        self._fitted = False

    @property
    def noise(self) -> float:
        """Variance of a label about its field: label noise, and chaos finer than the grid."""
        return float(np.exp(self._settings[3]))

    @property
    def variance(self) -> np.ndarray:
        """(cells,)"""
        height = np.full(len(self._places), np.exp(self._settings[0]))
        return height if self._prior is None else height + np.diag(self._prior.covariance)

    def between(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(len(a), len(b)), of the cells with these numbers."""
        found = _fading(self._settings, self._places[a], self._places[b])
        return found if self._prior is None else found + self._prior.covariance[np.ix_(a, b)]

    def mean(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """(cells, classes) before any shot: the prior's, or the shots' class frequencies."""
        if self._prior is not None:
            return self._prior.mean.reshape(-1, classes)
        counts = np.bincount(labels, minlength=classes) + 0.5
        return np.tile(counts / counts.sum(), (len(self._places), 1))

    def fit(self, cells: np.ndarray, labels: np.ndarray, classes: int) -> None:
        """Choose height, lengths, angle and noise by the likelihood of the shots."""
        residual = np.eye(classes)[labels] - self.mean(labels, classes)[cells]
        shared = 0.0 if self._prior is None else self._prior.covariance[np.ix_(cells, cells)]
        places = self._places[cells]

        def cost(settings: np.ndarray) -> float:
            k = _fading(settings, places, places) + shared
            k[np.diag_indices_from(k)] += np.exp(settings[3])
            try:
                factor = cholesky(k, lower=True, check_finite=False)
            except LinAlgError:
                return 1e9
            white = solve_triangular(factor, residual, lower=True, check_finite=False)
            odd = (settings[:4] - self._common) / self._BREADTH
            # Of the residuals, which add up to 0, all but one class are free.
            free = classes - 1
            return float(
                0.5 * (white**2).sum() + free * np.log(np.diag(factor)).sum() + 0.5 * odd @ odd
            )

        turns = [0.0] if self._fitted else [0.0, math.pi / 2]
        starts = [self._settings + np.array([0, 0, 0, 0, turn]) for turn in turns]
        fits = [
            minimize(
                cost,
                start,
                method="Nelder-Mead",
                bounds=self._BOUNDS,
                options={
                    "maxfev": 60,
                    "xatol": 0.03,
                    "fatol": 0.05,
                    "initial_simplex": np.vstack([start, start + 0.4 * np.eye(5)]),
                },
            )
            for start in starts
        ]
        self._settings = min(fits, key=lambda fit: fit.fun).x
        self._fitted = True


def _fading(settings: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(a), len(b)) exponential covariances of places (n, 2), R&W eq. 4.18."""
    height, along, across = np.exp(settings[:3])
    cosine, sine = math.cos(settings[4]), math.sin(settings[4])
    turn = np.array([[cosine, -sine], [sine, cosine]]) / [along, across]
    a, b = a @ turn, b @ turn
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return height * np.exp(-np.sqrt(np.maximum(square, 0)))


class _Field:
    """Gaussian-process regression of one-hot labels on all cells, one shot after the other.

    ``mean`` (cells, classes) and ``variance`` (cells,) are those of the labels' fields; shots are
    stored as the rows of the Cholesky factor of their covariance, reached from every cell.
    """

    def __init__(self, mean: np.ndarray, covariance: _Covariance) -> None:
        self.mean, self.noise, self._covariance = mean.copy(), covariance.noise, covariance
        self.variance = covariance.variance.copy()
        self._prior_mean = mean
        self._shots: list[int] = []
        self._labels: list[int] = []
        self._rows = np.empty((64, len(mean)))
        self._all = np.arange(len(mean))

    def copy(self) -> "_Field":
        other = object.__new__(_Field)
        other.__dict__.update(self.__dict__)
        other.mean, other.variance = self.mean.copy(), self.variance.copy()
        other._shots, other._labels = list(self._shots), list(self._labels)
        other._rows = self._rows.copy()
        return other

    def condition(self, cell: int, label: int) -> None:
        """Add one shot: a rank-one step of the Cholesky factorisation."""
        n = len(self._shots)
        if n == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        reach = self._covariance.between(np.array([cell]), self._all)[0]
        reach = reach - self._rows[:n, cell] @ self._rows[:n]
        pivot = math.sqrt(self.variance[cell] + self.noise)
        row = reach / pivot
        self._rows[n] = row
        surprise = -self.mean[cell]
        surprise[label] += 1
        self.mean += np.outer(row, surprise / pivot)
        self.variance = np.maximum(self.variance - row**2, 1e-9)
        self._shots.append(cell)
        self._labels.append(label)

    def probabilities(self) -> np.ndarray:
        """(cells, classes): chance that a class is the one whose field is highest."""
        return _chances(self.mean, self.variance)

    def most_worth(self) -> tuple[int, float]:
        """(the cell whose shot leaves the fewest cells expected wrong, how many that mends).

        Only the cells that are least sure are looked at, as places to shoot and as what is mended:
        elsewhere there is next to nothing to mend.
        """
        score = _score(self.mean, self.variance)
        unsure = ndtr(-score) + 1e-4 * self.variance
        cells = np.argsort(-unsure, kind="stable")[:_UNSURE_CELLS]
        candidates = cells[::_UNSURE_CELLS_A_CANDIDATE]
        n = len(self._shots)
        shared = self._covariance.between(candidates, cells)
        shared = shared - self._rows[:n, candidates].T @ self._rows[:n, cells]
        share = shared**2 / np.outer(self.variance[candidates] + self.noise, self.variance[cells])
        mended = _GAIN(score[cells][None], share).sum(1)
        best = int(mended.argmax())
        return int(candidates[best]), float(mended[best])

    def left_out(self, which: np.ndarray) -> np.ndarray:
        """(len(which), classes) chances at these shots, each from all the others (R&W eq. 5.12)."""
        shots = np.array(self._shots)
        covariance = self._covariance.between(shots, shots)
        inverse = np.linalg.inv(covariance + self.noise * np.eye(len(shots)))
        residual = np.eye(self.mean.shape[1])[self._labels] - self._prior_mean[shots]
        variance = 1 / np.diag(inverse)[which]
        own = np.eye(self.mean.shape[1])[np.array(self._labels)[which]]
        mean = own - (inverse @ residual)[which] * variance[:, None]
        return _chances(mean, np.maximum(variance - self.noise, 1e-9))


def _score(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(cells,): by how many deviations the highest field leads the second."""
    second, first = np.sort(mean, axis=1)[:, -2:].T
    return (first - second) / np.sqrt(2 * variance)


def _chances(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(cells, classes): each class against the highest of the others, normalised."""
    order = np.sort(mean, axis=1)
    rival = np.where(mean == order[:, -1:], order[:, -2:-1], order[:, -1:])
    chance = ndtr((mean - rival) / np.sqrt(2 * variance)[:, None])
    return chance / chance.sum(1, keepdims=True)


class _GainTable:
    """How much a shot is expected to lower the chance that a cell is wrong.

    For a lead of z deviations of which the shot explains a share r of the variance, the chance that
    the lead's sign then still is wrong is 2 T(z, √((1 − r)/r)), Owen's T; it is Φ(−z) before.
    Interpolated linearly in z and arccos √r, in which it has no kinks: faster than T itself.
    """

    HIGHEST_Z, Z_STEPS, R_STEPS = 6.0, 96, 64

    def __init__(self) -> None:
        z = np.linspace(0, self.HIGHEST_Z, self.Z_STEPS + 1)[:, None]
        angle = np.linspace(0, np.pi / 2, self.R_STEPS + 1)[None]
        self._table = ndtr(-z) - 2 * owens_t(z, np.tan(angle))

    def __call__(self, z: np.ndarray, r: np.ndarray) -> np.ndarray:
        angle = np.arccos(np.sqrt(np.minimum(r, 1.0)))
        z = np.clip(z * (self.Z_STEPS / self.HIGHEST_Z), 0, self.Z_STEPS - 1e-6)
        angle = np.clip(angle * (self.R_STEPS / (np.pi / 2)), 0, self.R_STEPS - 1e-6)
        i, j = z.astype(np.intp), angle.astype(np.intp)
        a, b = z - i, angle - j
        t = self._table
        return (1 - a) * ((1 - b) * t[i, j] + b * t[i, j + 1]) + a * (
            (1 - b) * t[i + 1, j] + b * t[i + 1, j + 1]
        )


_GAIN = _GainTable()


def _spread_cells(shape: tuple[int, int], count: int, seed: int) -> list[int]:
    """Cells that cover a map evenly: scrambled Sobol points, no cell twice."""
    points = qmc.Sobol(2, rng=seed).random_base2(8)
    places = (points * shape).astype(int)
    cells = dict.fromkeys((places[:, 0] * shape[1] + places[:, 1]).tolist())
    return list(cells)[:count]
