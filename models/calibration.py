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

COVERAGE = 0.95
EARLY_GAP = 0.01
CONFIDENCE = 0.95
EARLY_AFTER_PS = 10.0
"""After the peak: before it is over, a pulse may still do more than it has."""
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
    accuracy, accuracy_of_whole : of its verdicts, and of those at the ends of the movies
    gap : share of movies that are right at the end and wrong where it stopped
    read : share of the frames after the pulse's peak that it reads, on average
    """

    threshold: float | None
    accuracy: float
    accuracy_of_whole: float
    gap: float
    read: float


def stop_at(
    probabilities: np.ndarray,
    labels: np.ndarray,
    frames: np.ndarray,
    first: np.ndarray,
    allowed: np.ndarray,
    floors: tuple[float, ...],
    threshold: float | None,
) -> Early:
    """Stop each movie at its first frame from ``allowed`` on where a class is alone in its
    conformal set with ``threshold`` or more; else at its end.

    probabilities : (n, T, C); frames : (n,) of each movie
    first, allowed : (n,) index of the first frame after the peak, and of the first to stop at
    """
    n, steps, _ = probabilities.shape
    index = np.arange(steps)
    whole = probabilities[np.arange(n), frames - 1].argmax(axis=1)
    inside = probabilities >= np.asarray(floors)
    best = probabilities.max(axis=2)
    # A lone class that is not the likeliest would be named all the same: it must not stop a movie.
    named = (inside.sum(axis=2) == 1) & np.take_along_axis(
        inside, probabilities.argmax(axis=2)[..., None], axis=2
    )[..., 0]
    stops = named & (best >= (2.0 if threshold is None else threshold))
    stops &= (index >= allowed[:, None]) & (index < frames[:, None])
    at = np.where(stops.any(axis=1), stops.argmax(axis=1), frames - 1)
    answer = probabilities[np.arange(n), at].argmax(axis=1)
    right, right_whole = answer == labels, whole == labels
    return Early(
        threshold=threshold,
        accuracy=float(right.mean()),
        accuracy_of_whole=float(right_whole.mean()),
        gap=float((right_whole & ~right).mean()),
        read=float(((at - first + 1) / (frames - first)).mean()),
    )


def fit_early(
    probabilities: np.ndarray,
    labels: np.ndarray,
    frames: np.ndarray,
    first: np.ndarray,
    allowed: np.ndarray,
    floors: tuple[float, ...],
    gap: float = EARLY_GAP,
    confidence: float = CONFIDENCE,
) -> Early:
    """The lowest threshold whose accuracy gap is certified; arguments as ``stop_at``'s.

    Learn then test (arXiv:2110.01052) as arXiv:2402.00857 uses it for early verdicts. Each
    threshold is the hypothesis that it costs more than ``gap``; they are tested from the strictest
    down (fixed sequence) with exact binomial p-values, until one is not rejected. So with
    probability ``confidence`` over the calibration movies, no rejected one costs more.
    """
    certified = stop_at(probabilities, labels, frames, first, allowed, floors, None)
    n = len(labels)
    for threshold in 1 - np.geomspace(1e-4, 0.6, 80):
        early = stop_at(probabilities, labels, frames, first, allowed, floors, float(threshold))
        if binom.cdf(round(early.gap * n), n, gap) > 1 - confidence:
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
