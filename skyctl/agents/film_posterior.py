"""What shots say of a sample: random samples of the posterior, by imagining what they show."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.agents.imagined_film import ImaginedFilm, softened
from skyctl.agents.switching_library import Evidence, SwitchBelief
from skyctl.process import OUTCOMES

_PARTICLES = 2048
_MOVES = 3
_ENOUGH = 0.5
"""Share of the samples that are to stay unlike each other as the evidence comes in bit by bit."""
_SURPRISE = 0.1
"""Share of shots that do something else than is imagined, whatever that is."""
_FLIP_BLUR_PS, _FURTHEST_BLUR, _SIZE_BLUR = 1.0, 0.03, 0.25
"""What camera and place of the skyrmion add to the networks' own spread."""
_WARM_FLIP_PS, _WARM_FLIP_BLUR_PS, _WARM_FURTHEST_BLUR = -3.3, 0.9, 0.2
"""What each K of temperature adds: the networks of these are of cold films, which turn over later
(30 samples, 0.25 to 1.5 K: -3.1 to -3.6 ps a K)."""
_HEAVY = 8.0
"""Degrees of freedom of a movie's errors: one that is far out must not decide alone."""
_LEAST_ERROR = 2.5e-3
CUT_OFF = 0.58
"""Noise of a dark pixel that is cut off at -1, over what it is before: √(1/2 - 1/2π)."""
_BINS = 4


@dataclass(frozen=True)
class ProbeSeen:
    """A probe's movie.

    amplitude_T : asked for; times_ps, change : (frames,) of the mean S_z, in units of what it was
    at rest, counted against the background; noise : of a pixel, in units of S_z; pixels : of a
    frame; resting : frames before the pulse
    """

    amplitude_T: float
    times_ps: tuple[float, ...]
    change: tuple[float, ...]
    noise: float
    pixels: int
    resting: int

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return {**vars(self), "times_ps": list(self.times_ps), "change": list(self.change)}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "ProbeSeen":
        """What ``as_json`` gave. Raises TypeError, KeyError for anything else."""
        lists = {name: tuple(map(float, saved[name])) for name in ("times_ps", "change")}
        return cls(**{**saved, **lists})


class Likelihood:
    """How well imagined samples explain what was seen; samples (n, 6), the last the temperature."""

    def __init__(
        self, film: ImaginedFilm, probes: Sequence[ProbeSeen], switching: SwitchBelief
    ) -> None:
        self._film, self._probes, self._switching = film, probes, switching

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """(n,) logarithm, up to a constant."""
        total = np.zeros(len(samples))
        for probe in self._probes:
            total += self.of_probe(probe, samples)
        for shot in self._switching.evidence:
            total += self._of_shot(shot, samples)
        if sizes := self._switching.log_sizes:  # one skyrmion seen again is one observation
            blur = math.hypot(self._film.spread["log_size"], _SIZE_BLUR)
            total += _log_student((np.mean(sizes) - self._film.log_size(samples)) / blur)
        return total

    def of_probe(self, probe: ProbeSeen, samples: np.ndarray) -> np.ndarray:
        """(n,) of one movie."""
        film = self._film
        at = np.searchsorted(film.times_ps, np.round(probe.times_ps, 6))
        expected = film.probe_movie(samples, probe.amplitude_T, probe.noise)[:, at]
        off = expected - softened(np.array(probe.change))
        log = np.empty(len(samples))
        edges = np.linspace(0, film.warmest_K, _BINS + 1)
        which = np.clip(np.searchsorted(edges, samples[:, 5]) - 1, -1, _BINS - 1)
        for each in np.unique(which):
            rows = which == each
            temperature_K = 0.0 if each < 0 else float(edges[each] + edges[each + 1]) / 2
            root = np.linalg.cholesky(self._errors(probe, at, temperature_K))
            square = np.square(np.linalg.solve(root, off[rows].T)).sum(axis=0)
            log[rows] = (
                -(_HEAVY + len(at)) / 2 * np.log1p(square / _HEAVY) - np.log(np.diag(root)).sum()
            )
        return log

    def _errors(self, probe: ProbeSeen, at: np.ndarray, temperature_K: float) -> np.ndarray:
        """(frames, frames) covariance of the network's error, the film's noise and the camera's."""
        cold, warm = self._film.errors[:, at][:, :, at]
        share = min(max(temperature_K, 0.0) / self._film.warm_K, 1.0)
        covariance = (1 - share) * cold + share * warm
        seen = (CUT_OFF * probe.noise) ** 2 / probe.pixels
        diagonal = np.eye(len(at)) * (seen + _LEAST_ERROR**2)
        return covariance + diagonal + seen / probe.resting

    def _of_shot(self, shot: Evidence, samples: np.ndarray) -> np.ndarray:
        pulse = self._switching.library.pulses[shot.pulse]
        chances = self._film.chances(samples, pulse[None])[:, 0] @ np.array(shot.outcomes)
        log = np.log((1 - _SURPRISE) * chances + _SURPRISE / len(OUTCOMES))
        flip, furthest = self._film.signals(samples, pulse)
        spread, warm_K = self._film.spread, np.maximum(samples[:, 5], 0)
        if math.isfinite(shot.signals.flip_ps):
            cold = math.hypot(spread["flip_ps"], _FLIP_BLUR_PS)
            blur, flip = np.hypot(cold, _WARM_FLIP_BLUR_PS * warm_K), flip + _WARM_FLIP_PS * warm_K
            log += _log_student((shot.signals.flip_ps - flip) / blur) - np.log(blur)
        elif math.isfinite(shot.signals.furthest):
            blur = math.hypot(spread["furthest"], _FURTHEST_BLUR) + _WARM_FURTHEST_BLUR * warm_K
            log += _log_student((shot.signals.furthest - furthest) / blur) - np.log(blur)
        return log


def prior(film: ImaginedFilm, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 6) samples before any shot: uniform; half of them are below 0 K, which is cold."""
    return rng.uniform(*_limits(film), (count, 6))


def _limits(film: ImaginedFilm) -> tuple[np.ndarray, np.ndarray]:
    return (np.append(film.lowest, -film.warmest_K), np.append(film.highest, film.warmest_K))


def posterior(
    film: ImaginedFilm, probes: Sequence[ProbeSeen], switching: SwitchBelief, seed: int = 0
) -> np.ndarray:
    """(n, 6) samples as likely as the evidence leaves them, as `prior` has them.

    probes : seen of this sample; switching : what its other shots and looks told

    The evidence is taken in bit by bit, and the samples are moved after each (sequential Monte
    Carlo: P. Del Moral et al., J. R. Stat. Soc. B 68, 411 (2006)).
    """
    rng = np.random.default_rng(seed)
    likelihood = Likelihood(film, probes, switching)
    samples = prior(film, _PARTICLES, rng)
    log, taken = likelihood(samples), 0.0
    while taken < 1:
        more = _next_share(log, 1 - taken, _ENOUGH * len(log))
        taken += more
        weights = _normalised(more * log)
        kept = rng.choice(len(samples), len(samples), p=weights)
        samples, log = samples[kept], log[kept]
        samples, log = _moved(film, likelihood, samples, log, taken, rng)
    return samples


def reweighed(film: ImaginedFilm, samples: np.ndarray, switching: SwitchBelief) -> np.ndarray:
    """As many of samples (n, 6), some again and again, as likely as shots and looks leave them."""
    weights = _normalised(Likelihood(film, (), switching)(samples))
    count = len(samples)
    places = np.searchsorted(weights.cumsum(), (np.arange(count) + 0.5) / count)
    return samples[np.minimum(places, count - 1)]


def _next_share(log: np.ndarray, most: float, fewest: float) -> float:
    """How much more of the evidence leaves so many samples, by bisection."""

    def left(share: float) -> float:
        return 1 / (_normalised(share * log) ** 2).sum()

    if left(most) >= fewest:
        return most
    low, high = 0.0, most
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) >= fewest else (low, middle)
    return max(low, 1e-6)


def _normalised(log: np.ndarray) -> np.ndarray:
    weights = np.exp(log - log.max())
    return weights / weights.sum()


def _moved(
    film: ImaginedFilm,
    likelihood: Callable[[np.ndarray], np.ndarray],
    samples: np.ndarray,
    log: np.ndarray,
    taken: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The samples after some Metropolis steps, and their likelihoods."""
    lowest, highest = _limits(film)
    for move in range(_MOVES):
        scale = (2.4 if move % 2 else 0.8) / math.sqrt(samples.shape[1])
        root = np.linalg.cholesky(np.cov(samples.T) + 1e-10 * np.diag((highest - lowest) ** 2))
        tried = samples + scale * rng.standard_normal(samples.shape) @ root.T
        inside = ((tried >= lowest) & (tried <= highest)).all(axis=1)
        found = likelihood(np.clip(tried, lowest, highest))
        better = taken * (found - log) > np.log(rng.uniform(size=len(log)))
        taken_up = inside & better
        samples = np.where(taken_up[:, None], tried, samples)
        log = np.where(taken_up, found, log)
    return samples, log


def _log_student(z: np.ndarray) -> np.ndarray:
    """Logarithm of Student's t with 4 degrees of freedom, up to a constant."""
    return -2.5 * np.log1p(z**2 / 4)
