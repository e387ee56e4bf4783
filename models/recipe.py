"""From a full movie set to a model file and its card: examples, training, calibration, test."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import softmax

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
_NOVELTY_FRAMES = 8000
"""First ones, and others."""


@dataclass(frozen=True)
class Watched:
    """Movies as a camera of some frame interval sees them, and what the network says.

    logits : (n, T, C) after each frame; frames : (n,) how many there are; first : (n,) index of the
        first frame at or after the pulse's peak, allowed : and of the first that may end a movie
    labels : (n,)
    """

    logits: np.ndarray
    frames: np.ndarray
    first: np.ndarray
    allowed: np.ndarray
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
    interval_ps = strides * FRAME_PS
    allowed_ps = examples.peak_ps + calibration.EARLY_AFTER_PS
    return Watched(
        logits,
        frames=(whole - 1) // strides + 1,
        first=np.ceil(examples.peak_ps / interval_ps).astype(int),
        allowed=np.ceil(allowed_ps / interval_ps).astype(int),
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

    Movies of ``held_out`` at 5, 10 and 15 ps, whole and cut off where the paper's end.
    """
    movies = one_a_movie(held_out)
    strides, short = 1 + movies.rows % 3, movies.rows // 3 % 2 == 0
    seen = watch(network, movies, strides, short)
    network.temperature.fill_(calibration.fit_temperature(seen.last, seen.labels))
    # The least that a class gets at any interval and either length: its set then holds at each.
    least = np.minimum.reduce(
        [
            softmax(watch(network, movies, np.full_like(strides, stride), ends).last, axis=1)
            for stride in (1, 2, 3)
            for ends in (np.zeros_like(short), np.ones_like(short))
        ]
    )
    floors = calibration.conformal_floors(least, movies.labels)
    whole = watch(network, movies, strides, np.zeros_like(short))
    early = calibration.fit_early(
        whole.probabilities, whole.labels, whole.frames, whole.first, whole.allowed, floors
    )
    novelty = fit_novelty(network, training, movies)
    rules = Rules(
        least=floors,
        coverage=calibration.COVERAGE,
        early=early.threshold,
        early_after_ps=calibration.EARLY_AFTER_PS,
        early_gap=calibration.EARLY_GAP,
        confidence=calibration.CONFIDENCE,
        novelty=novelty.limit,
    )
    return rules, novelty, early


def fit_novelty(network: GatedClassifier, training: Examples, held_out: Examples) -> Novelty:
    """Learn what frames look like from ``training``, and how far ``held_out`` movies go."""
    rng = np.random.default_rng(0)
    there = filled(training)
    first = np.zeros_like(there)
    first[:, 0] = True
    # First frames are few, and have to be known best.
    chosen = np.concatenate(
        [
            rng.permutation(np.flatnonzero(those))[:_NOVELTY_FRAMES]
            for those in (first, there & ~first)
        ]
    )
    frames = standardised(network, training).reshape(-1, training.features.shape[2])
    novelty = Novelty.fit(frames[chosen], first.ravel()[chosen])
    return novelty.limited(most_novel(network, novelty, held_out))


def most_novel(network: GatedClassifier, novelty: Novelty, examples: Examples) -> np.ndarray:
    """The surprise of the most surprising frame of each movie, (n,)."""
    there = filled(examples)
    surprise = np.full(there.shape, -np.inf)
    first = np.zeros_like(there)
    first[:, 0] = True
    surprise[there] = novelty.surprise(standardised(network, examples)[there], first[there])
    return surprise.max(axis=1)


def standardised(network: GatedClassifier, examples: Examples) -> np.ndarray:
    """The features as the network takes them, (n, T, features)."""
    import torch

    return network.standardised(torch.from_numpy(examples.features)).numpy()


def filled(examples: Examples) -> np.ndarray:
    """Which frames are there, bool (n, T)."""
    return np.arange(examples.features.shape[1]) < examples.frames[:, None]


def judge(
    network: GatedClassifier, rules: Rules, novelty: Novelty, test: Examples
) -> dict[str, Any]:
    """What a calibrated network does on movies it never met, for card and ``--json``.

    Whole movies at 15 ps, but for ``accuracy_short`` (SHORT_AFTER_PEAK_PS); early stopping at 5, 10
    and 15 ps, every view, as it was calibrated.
    """
    views = [test.at(test.views == 0), test.at(test.views > 0)]
    film, cameras = (_watch_all(network, part) for part in views)
    short = _watch_all(network, views[0], short=True)
    p = softmax(film.last, axis=1)
    named_as, truth = p.argmax(axis=1), film.labels
    size = len(CLASSES)
    confusion = np.zeros((size, size), int)
    np.add.at(confusion, (truth, named_as), 1)
    sets = p >= np.array(rules.least)
    named = sets.sum(axis=1) == 1
    right_named = sets[named].argmax(axis=1) == truth[named]
    every_view = _watch_all(network, test)
    inside = softmax(every_view.last, axis=1) >= np.array(rules.least)
    mixed = watch(network, test, 1 + test.rows % 3, np.zeros(len(test), bool))
    stopping = (mixed.probabilities, mixed.labels, mixed.frames)
    first, allowed = mixed.first, mixed.allowed
    early = calibration.stop_at(*stopping, first, allowed, rules.least, rules.early)
    naive = calibration.stop_at(*stopping, first, first, (_SURE,) * size, _SURE)
    everything = np.concatenate([softmax(part.last, axis=1) for part in (film, cameras)])

    def by_class(values: np.ndarray) -> dict[str, float]:
        return dict(zip(CLASSES, values.tolist(), strict=True))

    return {
        "movies": len(truth),
        "accuracy": _accuracy(film),
        "accuracy_cameras": _accuracy(cameras),
        "accuracy_short": _accuracy(short),
        "recall": by_class(confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1)),
        "precision": by_class(confusion.diagonal() / np.maximum(confusion.sum(axis=0), 1)),
        "confusion": confusion.tolist(),
        "calibration_error": calibration.calibration_error(
            everything, np.concatenate([film.labels, cameras.labels])
        ),
        "coverage": by_class(
            np.array([inside[every_view.labels == c, c].mean() for c in range(size)])
        ),
        "named": float(named.mean()),
        "accuracy_named": float(right_named.mean()) if named.any() else 1.0,
        "early": {**asdict(early), "naive_gap": naive.gap, "naive_read": naive.read},
        "novel": float((most_novel(network, novelty, test) > rules.novelty).mean()),
    }


def _watch_all(network: GatedClassifier, examples: Examples, short: bool = False) -> Watched:
    size = len(examples)
    return watch(network, examples, np.full(size, 3), np.full(size, short))


def _accuracy(watched: Watched) -> float:
    return float((watched.last.argmax(axis=1) == watched.labels).mean())


def make_classifier(
    movies: MovieSet,
    out: Path,
    *,
    settings: Settings | None = None,
    quantiles: int = 96,
    views: int = 3,
    device: Literal["cpu", "cuda"] = "cpu",
    command: str = "skyctl train classifier",
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Train on the movies of a full set, calibrate, test, and write ``out`` (.onnx) and its card.

    A checkpoint lies beside ``out`` until it is written: run again after a kill, it goes on.
    ``progress`` gets what is done, how much of it, and of how much.

    Raises ModelError for a model that ONNX Runtime computes differently, or a foreign checkpoint,
    ValueError for a set with movies or classes missing.
    """
    settings = settings or Settings()
    looked = 0

    def another() -> None:
        nonlocal looked
        looked += 1
        progress("looking at movies", looked, len(movies))

    examples = make_examples(movies, quantiles, views, settings.seed, progress=another)
    training, held_out, test = (examples.of(part) for part in ("training", "calibration", "test"))
    checkpoint = out.with_suffix(".checkpoint")
    network, report = train_classifier(
        training, settings, device=device, checkpoint=checkpoint,
        progress=lambda epoch, accuracy: progress(
            f"training ({accuracy:.1%} of held-out movies)", epoch, settings.epochs
        ),
    )  # fmt: skip
    rules, novelty, early = calibrate(network, training, held_out)
    parity = export_classifier(
        network, out, classes=CLASSES, preprocessing="shape",
        data_sha256=movies.content_sha256, rules=rules, novelty=novelty,
    )  # fmt: skip
    card = MovieClassifier(out).card
    labels = [CLASSES[label] for label in examples.labels[examples.views == 0]]
    results = {
        "settings": asdict(settings),
        "views": views,
        "movies": {name: labels.count(name) for name in CLASSES},
        "training_movies": len(training) // views,
        "calibration_movies": len(held_out) // views,
        "chosen_epoch": report.best_epoch,
        "temperature": float(network.temperature),
        "rules": asdict(rules),
        "early_on_calibration": asdict(early),
        "test": judge(network, rules, novelty, test),
        "parity": parity,
        "file_sha256": card.file_sha256,
        "data_sha256": card.data_sha256,
        "command": command,
    }
    out.with_suffix(".md").write_text(model_card(card, movies, results, CLASSES))
    checkpoint.unlink(missing_ok=True)
    return results
