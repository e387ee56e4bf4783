"""Field of a map: a Gaussian-process regression of its labels, and which shot is worth most.

One field a class over one shared covariance (Rasmussen & Williams 2006, §2.2, §6.5); its length
scales and direction come from the shots (marginal likelihood, eq. 2.30) or, with a `MapPrior`, its
covariance comes from maps of other samples.
"""

import math

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtr, owens_t

from skyctl.agents.map_prior import MapPrior

_UNSURE_CELLS, _UNSURE_CELLS_A_CANDIDATE = 600, 4


class Covariance:
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


class Field:
    """Gaussian-process regression of one-hot labels on all cells, one shot after the other.

    ``mean`` (cells, classes) and ``variance`` (cells,) are those of the labels' fields; shots are
    stored as the rows of the Cholesky factor of their covariance, reached from every cell.
    """

    def __init__(self, mean: np.ndarray, covariance: Covariance) -> None:
        self.mean, self.noise, self._covariance = mean.copy(), covariance.noise, covariance
        self.variance = covariance.variance.copy()
        self._prior_mean = mean
        self._shots: list[int] = []
        self._labels: list[int] = []
        self._rows = np.empty((64, len(mean)))
        self._all = np.arange(len(mean))

    def copy(self) -> "Field":
        """One that further shots leave this one as it is."""
        other = object.__new__(Field)
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
        mended = GAIN(score[cells][None], share).sum(1)
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


GAIN = _GainTable()
