"""From a full movie set to a model file and its card: examples, training, calibration, test."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import softmax

from skyctl.inference.features import SHAPE_NUMBERS
from skyctl.inference.model import MovieClassifier
from skyctl.inference.rules import Rules
from skyctl.models import calibration
from skyctl.models.calibration import Early, Novelty
from skyctl.models.card import model_card
from skyctl.models.classifier import GatedClassifier
from skyctl.models.export import export_classifier
from skyctl.models.movie_set import MovieSet
from skyctl.models.shots import FRAME_PS
from skyctl.models.training import (
    CLASSES,
    Examples,
    Settings,
    all_logits,
    make_examples,
    train_classifier,
)

SHORT_AFTER_PEAK_PS = 65.0
"""Where the paper's movies end: 105 ps, for a peak at 40 ps."""
_SURE = 0.8
_NOVELTY_FRAMES = 40_000


@dataclass(frozen=True)
class Watched:
    """Movies as a camera of some frame interval sees them, and what the network says.

    logits : (n, T, C) after each frame; frames : (n,) how many there are; first : (n,) index of the
        first frame at or after the pulse's peak; labels : (n,)
    """

    logits: np.ndarray
    frames: np.ndarray
    first: np.ndarray
    labels: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """(n, T, C)."""
        return softmax(self.logits, axis=2)

    @property
    def last(self) -> np.ndarray:
        """Logits at the end of each movie, (n, C)."""
        return self.logits[np.arange(len(self.labels)), self.frames - 1]


def watch(
    network: GatedClassifier, examples: Examples, strides: np.ndarray, short: np.ndarray
) -> Watched:
    """Show ``examples`` to the network.

    strides : (n,) frame interval of each, in units of FRAME_PS
    short : (n,) bool, those that end SHORT_AFTER_PEAK_PS after the peak
    """
    until_ps = np.where(short, examples.peak_ps + SHORT_AFTER_PEAK_PS, np.inf)
    whole = np.minimum(examples.frames, np.floor(until_ps / FRAME_PS) + 1).astype(int)
    logits = np.zeros((len(examples), examples.features.shape[1], len(CLASSES)), np.float32)
    for stride in np.unique(strides):
        those = np.flatnonzero(strides == stride)
        seen = all_logits(network, examples.at(those), int(stride))
        logits[those, : seen.shape[1]] = seen
    return Watched(
        logits,
        frames=(whole - 1) // strides + 1,
        first=np.ceil(examples.peak_ps / (strides * FRAME_PS)).astype(int),
        labels=examples.labels,
    )


def one_a_movie(examples: Examples) -> Examples:
    """One view of each movie, a different one from row to row: guarantees need movies that are
    independent."""
    views = int(examples.views.max()) + 1
    return examples.at(examples.views == examples.rows % views)


def calibrate(
    network: GatedClassifier, training: Examples, held_out: Examples
) -> tuple[Rules, Novelty, Early]:
    """Fit temperature (in ``network``), conformal sets, early stopping and novelty.

    Movies of ``held_out`` at 5, 10 and 15 ps, half of them cut off where the paper's end.
    """
    movies = one_a_movie(held_out)
    strides, short = 1 + movies.rows % 3, movies.rows // 3 % 2 == 0
    seen = watch(network, movies, strides, short)
    network.temperature.fill_(calibration.fit_temperature(seen.last, seen.labels))
    seen = watch(network, movies, strides, short)
    floors = calibration.conformal_floors(softmax(seen.last, axis=1), seen.labels)
    whole = watch(network, movies, strides, np.zeros_like(short))
    early = calibration.fit_early(
        whole.probabilities, whole.labels, whole.frames, whole.first, floors
    )
    novelty = fit_novelty(network, training, movies)
    rules = Rules(
        least=floors,
        coverage=calibration.COVERAGE,
        early=early.threshold,
        early_gap=calibration.EARLY_GAP,
        confidence=calibration.CONFIDENCE,
        novelty=novelty.limit,
    )
    return rules, novelty, early


def fit_novelty(network: GatedClassifier, training: Examples, held_out: Examples) -> Novelty:
    """Learn what frames look like from ``training``, and how far ``held_out`` movies go."""
    rng = np.random.default_rng(0)
    frames = standardised(network, training)[filled(training)]
    novelty = Novelty.fit(frames[rng.permutation(len(frames))[:_NOVELTY_FRAMES]])
    return novelty.limited(most_novel(network, novelty, held_out))


def most_novel(network: GatedClassifier, novelty: Novelty, examples: Examples) -> np.ndarray:
    """The surprise of the most surprising frame of each movie, (n,)."""
    there = filled(examples)
    surprise = np.full(there.shape, -np.inf)
    surprise[there] = novelty.surprise(standardised(network, examples)[there])
    return surprise.max(axis=1)


def standardised(network: GatedClassifier, examples: Examples) -> np.ndarray:
    """The features as the network takes them, (n, T, features)."""
    import torch

    return network.standardised(torch.from_numpy(examples.features)).numpy()


def filled(examples: Examples) -> np.ndarray:
    """Which frames are there, bool (n, T)."""
    return np.arange(examples.features.shape[1]) < examples.frames[:, None]
