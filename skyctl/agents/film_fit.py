"""A sample, fitted with the film itself: which of them answers a weak pulse as it was seen to.

A network of the film is off by a few thousandths of S_z, and samples that are far apart differ by
less than that in what a weak pulse shows. The simulated film itself is not, and so tells them
apart: it is run ten to forty times, by Gauss and Newton's method with Levenberg's damping.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from skyctl.agents.film_posterior import CUT_OFF, ProbeSeen
from skyctl.agents.imagined_film import ImaginedFilm, softened
from skyctl.pulse import Pulse

_ERROR = 5e-5
"""What is left over even by the right sample, `softened`, besides the camera's noise."""
_ITERATIONS = 6
_STEP = 0.06
"""Of a parameter, in half of its range, to tell what it does."""
_LEAPS = 0.5
_PRIOR = 3.0
"""Inverse variance of a parameter before the fit, in units of half its range: it was uniform."""
_WORTH = 0.5
"""A step that betters twice the logarithm of the likelihood by less was the last."""
_EXPLAINED = 1.0
"""No step follows where no more is left over than is to be expected."""
_DAMPING = (1e-3, 20.0, 1e3)
"""Levenberg's: the first, what it is raised by after a step that was none, and the last."""
_SAMPLES = 512


class Twin(Protocol):
    """Runs the simulated film, with one skyrmion and without temperature."""

    def __call__(
        self, samples: np.ndarray, pulse: Pulse, times_ps: np.ndarray, noise: float
    ) -> np.ndarray:
        """(n, frames) mean S_z that a camera with that noise shows after a pulse; samples (n, 5),
        the background being -1."""
        ...


@dataclass(frozen=True)
class FilmFit:
    """What a fit came to.

    sample : (5,) the likeliest; samples : (n, 6) as likely as the movie leaves them, at 0 K
    misfit : root mean square of what is left over, in units of what is to be expected
    """

    sample: np.ndarray
    samples: np.ndarray
    misfit: float


@dataclass(frozen=True)
class _Movie:
    """What was seen, and how to imagine it; positions are samples in half their range, ln α."""

    film: ImaginedFilm
    twin: Twin
    probe: ProbeSeen
    pulse: Pulse

    @property
    def sigma(self) -> float:
        return float(np.hypot(_ERROR, CUT_OFF * self.probe.noise / np.sqrt(self.probe.pixels)))

    def misses(self, positions: np.ndarray) -> np.ndarray:
        """(n, frames) what is left over of the movie, in units of ``sigma``."""
        times_ps = np.array(self.probe.times_ps)
        mean_sz = self.twin(self.samples(positions), self.pulse, times_ps, self.probe.noise)
        rest = mean_sz[:, : self.probe.resting].mean(axis=1, keepdims=True)
        seen = softened(np.array(self.probe.change))
        return (seen - softened(mean_sz / -rest + 1)) / self.sigma

    def samples(self, positions: np.ndarray) -> np.ndarray:
        middle, half = self._range()
        found = middle + half * positions
        found[:, 0] = np.exp(found[:, 0])
        return found

    def position(self, sample: np.ndarray) -> np.ndarray:
        middle, half = self._range()
        return (np.append(np.log(sample[0]), sample[1:]) - middle) / half

    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.film.lowest.copy(), self.film.highest.copy()
        low[0], high[0] = np.log(low[0]), np.log(high[0])
        return (low + high) / 2, (high - low) / 2


def fitted(
    film: ImaginedFilm, twin: Twin, probe: ProbeSeen, pulse: Pulse, start: np.ndarray
) -> FilmFit:
    """The sample that answers ``pulse`` as ``probe`` has it, from ``start`` (5,) on."""
    movie = _Movie(film, twin, probe, pulse)
    at = np.clip(movie.position(start), -1, 1)
    left = movie.misses(at[None])[0]
    slopes = np.empty((len(left), len(at)))
    damping, raised, most = _DAMPING
    for _ in range(_ITERATIONS):
        slopes = _slopes(movie, at, left)
        tried, missed, damping = _step(movie, at, left, slopes, damping)
        gain = _badness(at, left) - _badness(tried, missed)
        if gain > 0:
            at, left, damping = tried, missed, damping / raised
        if gain < _WORTH or damping > most or _misfit(left) <= _EXPLAINED:
            break
    return FilmFit(
        movie.samples(at[None])[0],
        _drawn(movie, at, slopes),
        _misfit(left),
    )


def _misfit(left: np.ndarray) -> float:
    return float(np.sqrt(np.mean(left**2)))


def _slopes(movie: _Movie, at: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(frames, parameters) how what is left over changes with each."""
    steps = np.where(at > 0, -_STEP, _STEP)
    return (movie.misses(at + np.diag(steps)) - left).T / steps


def _step(
    movie: _Movie, at: np.ndarray, left: np.ndarray, slopes: np.ndarray, damping: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Where to go, what is left over there, and the damping that it took to get better, if any."""
    curvature = slopes.T @ slopes + _PRIOR * np.eye(len(at))
    down = -slopes.T @ left - _PRIOR * at
    while True:
        off = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), down)
        tried = np.clip(at + np.clip(off, -_LEAPS, _LEAPS), -1, 1)
        missed = movie.misses(tried[None])[0]
        if _badness(tried, missed) < _badness(at, left) or damping > _DAMPING[2]:
            return tried, missed, damping
        damping *= _DAMPING[1]


def _badness(at: np.ndarray, left: np.ndarray) -> float:
    """Twice the negative logarithm of posterior probability, but for a constant."""
    return float(left @ left + _PRIOR * at @ at)


def _drawn(movie: _Movie, at: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """(n, 6) samples of the normal distribution that the slopes leave, inside the range."""
    covariance = np.linalg.inv(slopes.T @ slopes + _PRIOR * np.eye(len(at)))
    rng = np.random.default_rng(0)
    positions = np.clip(rng.multivariate_normal(at, covariance, _SAMPLES), -1, 1)
    return np.column_stack([movie.samples(positions), np.zeros(_SAMPLES)])
