"""What makes a verdict one to act on: temperature, conformal sets, early stopping, novelty.

All of it is fitted on movies the network did not learn from, one example a movie: the guarantees
hold for movies like these, drawn independently.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp
from scipy.stats import binom

from skyctl.errors import needs
from skyctl.process import PROCESS_OF, process_probabilities

COVERAGE = 0.97
EARLY_WRONG = 0.01
STEADY = 2
"""Frames in a row that must be sure of one transition: a verdict may flicker while a pulse acts."""
CONFIDENCE = 0.95
_NOVELTY_SHARE = 0.99
_BINS = 15


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide ``logits`` (n, C) by so that ``labels`` (n,) are most likely.

    Source: arXiv:1706.04599, section 4.2.
    """
    chosen = np.arange(len(labels))

    def surprise(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[chosen, labels].mean()

    found = minimize_scalar(surprise, bounds=(-3, 3), method="bounded")
    return float(np.exp(found.x))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of the named class: |accuracy - confidence| averaged over 15 bins
    of confidence, by how many movies (n, C) are in each. Source: arXiv:1706.04599, eq. 3."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, right - confidence.astype(float), minlength=_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def conformal_floors(
    probabilities: np.ndarray, labels: np.ndarray, coverage: float = COVERAGE
) -> tuple[float, ...]:
    """From which probability each class is in the set, (C,).

    Of the n movies of a class, one more falls below the k-th smallest probability of its class with
    probability k/(n + 1): k = (n + 1)(1 - coverage), rounded down, and 0 where there is none.
    Split conformal prediction conditional on the class; source: V. Vovk, arXiv:1209.2673,
    section 4, with 1 - p as the score.
    """
    floors = []
    for c in range(probabilities.shape[1]):
        p = np.sort(probabilities[labels == c, c])
        k = int(np.floor((len(p) + 1) * (1 - coverage) + 1e-9))
        floors.append(float(p[k - 1]) if k else 0.0)
    return tuple(floors)


@dataclass(frozen=True)
class Early:
    """What a stopping rule does to movies.

    threshold : probability it stops at; None where it never may
    stopped : share of the movies that it stops; wrong : share of all movies that it stops with a
        wrong transition
    accuracy, accuracy_of_whole : of its verdicts, and of those at the ends of the movies
    read : share of the frames after the pulse's peak that it reads, on average
    """

    threshold: float | None
    stopped: float
    wrong: float
    accuracy: float
    accuracy_of_whole: float
    read: float


@dataclass(frozen=True)
class Watched:
    """What a network says of movies.

    transitions : (n, T, TRANSITIONS) probabilities after each frame; labels : (n,) the truth
    frames : (n,) of each movie; first : (n,) index of the first frame at the pulse's peak or later
    """

    transitions: np.ndarray
    labels: np.ndarray
    frames: np.ndarray
    first: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """Probabilities at the end of each movie, (n, TRANSITIONS)."""
        return self.transitions[np.arange(len(self.labels)), self.frames - 1]


def stop_at(
    watched: Watched, floors: tuple[float, ...], threshold: float | None
) -> tuple[Early, np.ndarray]:
    """Stop each movie at its first frame from the pulse's peak on whose process is named and where
    one transition, of that process, has ``threshold`` or more, as STEADY frames in a row had it;
    else at its end.

    Returns the rule's figures, and the index of each movie's last frame that is read, (n,).
    """
    n, steps, _ = watched.transitions.shape
    index = np.arange(steps)
    best = watched.transitions.max(axis=2)
    likeliest = watched.transitions.argmax(axis=2)
    inside = process_probabilities(watched.transitions) >= np.asarray(floors)
    alone = inside.sum(axis=2) == 1
    named = alone & np.take_along_axis(inside, PROCESS_OF[likeliest][..., None], axis=2)[..., 0]
    sure = named & (best >= (2.0 if threshold is None else threshold))
    stops = _steady(sure, likeliest)
    stops &= (index >= watched.first[:, None]) & (index < watched.frames[:, None])
    stopped = stops.any(axis=1)
    at = np.where(stopped, stops.argmax(axis=1), watched.frames - 1)
    right = likeliest[np.arange(n), at] == watched.labels
    whole = likeliest[np.arange(n), watched.frames - 1] == watched.labels
    after = np.maximum(watched.frames - watched.first, 1)
    early = Early(
        threshold=threshold,
        stopped=float(stopped.mean()),
        wrong=float((stopped & ~right).mean()),
        accuracy=float(right.mean()),
        accuracy_of_whole=float(whole.mean()),
        read=float((np.maximum(at - watched.first + 1, 0) / after).mean()),
    )
    return early, at


def _steady(sure: np.ndarray, likeliest: np.ndarray) -> np.ndarray:
    """Which frames (n, T) are the last of STEADY sure ones in a row of one transition."""
    same = np.ones_like(sure)
    same[:, 1:] = likeliest[:, 1:] == likeliest[:, :-1]
    steady = sure
    for _ in range(STEADY - 1):
        before = np.zeros_like(steady)
        before[:, 1:] = steady[:, :-1] & same[:, 1:]
        steady = sure & before
    return steady


def fit_early(watched: Watched, floors: tuple[float, ...]) -> Early:
    """The lowest threshold that is certified to stop few movies with a wrong verdict.

    Learn then test (arXiv:2110.01052), as arXiv:2402.00857 uses it for early verdicts. Each
    threshold is the hypothesis that it stops more than EARLY_WRONG of all movies with a wrong
    transition; they are tested from the strictest down (fixed sequence) with exact binomial
    p-values, until one is not rejected. So with probability CONFIDENCE over the calibration movies,
    no rejected one is wrong more often.
    """
    certified, _ = stop_at(watched, floors, None)
    n = len(watched.labels)
    for threshold in 1 - np.geomspace(1e-4, 0.5, 80):
        early, _ = stop_at(watched, floors, float(threshold))
        if binom.cdf(round(early.wrong * n), n, EARLY_WRONG) > 1 - CONFIDENCE:
            break
        certified = early
    return certified


FIRST_MARK = 8.0
"""Of a first frame, beside its features: as far from the others as standardised features go."""


def _marked(frames: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.column_stack([frames, FIRST_MARK * first])


@dataclass(frozen=True)
class Novelty:
    """How unlike what was learned a frame's features are: its surprise under a mixture of normals.

    The features, standardised as the network takes them, and whether the frame is the first of its
    movie, are projected on ``axes`` (features + 1, k), their principal axes over √variance; what is
    left is measured by its length, over ``rest``. A first frame shows a film at rest: much of what
    a pulse may make of it is foreign there.
    means : (m, k), factors : (m, k, k), of each normal; offsets : (m,), log weights and norms
    limit : 99 % of calibration movies stay below it in every frame
    """

    axes: np.ndarray
    centre: np.ndarray
    rest: float
    means: np.ndarray
    factors: np.ndarray
    offsets: np.ndarray
    limit: float = float("inf")

    @classmethod
    def fit(
        cls,
        frames: np.ndarray,
        first: np.ndarray,
        axes: int = 24,
        normals: int = 16,
        seed: int = 0,
    ) -> "Novelty":
        """Fit to standardised features of frames, (n, features); ``first`` as ``surprise``'s."""
        with needs("train"):
            from sklearn.mixture import GaussianMixture

        frames = _marked(frames, first)
        centre = frames.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov((frames - centre).T))
        variances, directions = variances[::-1], directions[:, ::-1]
        scaled = directions[:, :axes] / np.sqrt(variances[:axes])
        z = (frames - centre) @ scaled
        mixture: Any = GaussianMixture(
            normals, reg_covar=1e-2, random_state=seed, max_iter=40, init_params="k-means++"
        ).fit(z)
        factors = mixture.precisions_cholesky_
        offsets = np.log(mixture.weights_) + np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(
            axis=1
        )
        # Not zero where the axes span everything.
        rest = max(float(variances[axes:].sum()), 1e-9 * float(variances.sum()))
        return cls(scaled, centre, rest, mixture.means_, factors, offsets)

    def limited(self, most_novel: np.ndarray) -> "Novelty":
        """With its limit where 99 % of ``most_novel`` (movies,), a surprise each, are below."""
        return replace(self, limit=float(np.quantile(most_novel, _NOVELTY_SHARE, method="higher")))

    def surprise(self, frames: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Of standardised features (n, features): (n,). ``first`` : (n,) bool, of its movie."""
        centred = _marked(frames, first) - self.centre
        z = centred @ self.axes
        # Principal axes are orthogonal: what they do not span, by Pythagoras.
        back = z / (self.axes**2).sum(axis=0)
        rest = (centred**2).sum(axis=1) - (z * back).sum(axis=1)
        square = (
            (
                np.einsum("nk,mkj->nmj", z, self.factors)
                - np.einsum("mk,mkj->mj", self.means, self.factors)
            )
            ** 2
        ).sum(axis=2)
        inside = logsumexp(self.offsets - square / 2, axis=1)
        return rest / self.rest - inside
