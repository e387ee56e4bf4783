"""A sample, fitted with the film itself: which of them answers a weak pulse as it was seen to.

A network of the film is off by a few thousandths of S_z, and samples that are far apart differ by
less than that in what a weak pulse shows. The simulated film itself is not, and so tells them
apart: it is run some ten times, by Gauss and Newton's method with Levenberg's damping. Slopes are
taken once, and corrected by what each step shows (C. G. Broyden, Math. Comput. 19, 577 (1965)).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from skyctl.agents.film_posterior import CUT_OFF, ProbeSeen
from skyctl.agents.imagined_film import ImaginedFilm, softened
from skyctl.pulse import Pulse

_ERROR = 5e-5
"""What is left over even by the right sample, `softened`, besides the camera's noise: a film is
never quite at rest."""
_STEPS = 14
_STEP = 0.06
"""Of a parameter, in half of its range, to tell what it does."""
_LEAP = 0.5
_LEAST_STEP = 1e-3
_PRIOR = 3.0
"""Inverse variance of a parameter before the fit, in units of half its range: it was uniform."""
_EXPLAINED, _PATIENCE = 1.0, 6
"""No step follows where no more is left over than is to be expected; so many steps double what is,
for no sample explains all that a large skyrmion, never quite at rest, leaves over."""
_DAMPING, _EASED, _RAISED, _LEAST_DAMPING = 1e-2, 0.1, 8.0, 1e-3
"""Levenberg's: the first, what it is multiplied by after a step that helped and after one that did
not, and the least."""
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
    slopes, damping = _slopes(movie, at, left), _DAMPING
    for taken in range(_STEPS):
        tried = _step(at, left, slopes, damping)
        step = tried - at
        enough = _EXPLAINED * (1 + taken / _PATIENCE)
        if _misfit(left) <= enough or np.abs(step).max() < _LEAST_STEP:
            break
        missed = movie.misses(tried[None])[0]
        slopes += np.outer(missed - left - slopes @ step, step) / (step @ step)
        if _badness(tried, missed) < _badness(at, left):
            at, left, damping = tried, missed, max(damping * _EASED, _LEAST_DAMPING)
        else:
            damping *= _RAISED
    return FilmFit(movie.samples(at[None])[0], _drawn(movie, at, left, slopes), _misfit(left))


def _misfit(left: np.ndarray) -> float:
    return float(np.sqrt(np.mean(left**2)))


def _slopes(movie: _Movie, at: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(frames, parameters) how what is left over changes with each."""
    steps = np.where(at > 0, -_STEP, _STEP)
    return (movie.misses(at + np.diag(steps)) - left).T / steps


def _step(at: np.ndarray, left: np.ndarray, slopes: np.ndarray, damping: float) -> np.ndarray:
    """Where to go, inside the range: what would leave it is held at its end, and the others go
    where they then should."""
    curvature = slopes.T @ slopes + _PRIOR * np.eye(len(at))
    down = -slopes.T @ left - _PRIOR * at
    curvature += damping * np.diag(np.diag(curvature))
    off, free = np.zeros(len(at)), np.ones(len(at), bool)
    while free.any():
        pull = down - curvature @ np.where(free, 0, off)
        off[free] = np.linalg.solve(curvature[np.ix_(free, free)], pull[free])
        off *= min(1.0, _LEAP / max(np.abs(off).max(), _LEAST_STEP))
        leaving = free & (np.abs(at + off) > 1)
        if not leaving.any():
            break
        off[leaving] = np.sign(off[leaving]) - at[leaving]
        free &= ~leaving
    return np.clip(at + off, -1, 1)


def _badness(at: np.ndarray, left: np.ndarray) -> float:
    """Twice the negative logarithm of posterior probability, but for a constant."""
    return float(left @ left + _PRIOR * at @ at)


def _drawn(movie: _Movie, at: np.ndarray, left: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """(n, 6) samples of the normal distribution that the slopes leave, inside the range."""
    covariance = np.linalg.inv(slopes.T @ slopes + _PRIOR * np.eye(len(at)))
    rng = np.random.default_rng(0)
    middle = _step(at, left, slopes, 0.0)
    positions = np.clip(rng.multivariate_normal(middle, covariance, _SAMPLES), -1, 1)
    return np.column_stack([movie.samples(positions), np.zeros(_SAMPLES)])
