"""Train a movie classifier on the movies of a set, each as several cameras show it."""

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy.special import log_softmax
from torch.nn.functional import cross_entropy

from skyctl.errors import ModelError
from skyctl.inference.features import SHAPE_NUMBERS, Preprocessing
from skyctl.models.classifier import GatedClassifier
from skyctl.models.movie_set import MovieSet
from skyctl.models.shots import FRAME_PS, part_of
from skyctl.models.truth import truth_of
from skyctl.models.views import PERFECT, View, movie_features
from skyctl.simulators.topology import (
    BREATHING,
    COLLAPSE,
    MIXED,
    NOTHING,
    NUCLEATION,
    SWITCHING,
)

CLASSES = (BREATHING, SWITCHING, COLLAPSE, NUCLEATION, NOTHING, MIXED)
_CHOSEN_BY = 10
"""One in so many training movies chooses the epoch."""
_STRIDES = (1, 2, 3)
"""Frame intervals that are trained on, in units of FRAME_PS: 5, 10 and 15 ps."""
_SHORTEST_AFTER_PEAK_PS = 45.0
"""A movie is cut at random, but no earlier than this after the peak."""
_BEFORE_PEAK_WEIGHT = 0.1
_LEAST_DEVIATION = 0.05


@dataclass(frozen=True)
class Examples:
    """Movies as a network gets them.

    features : (examples, frames, count) float32, a frame every FRAME_PS from 0; zeros at the end
        of shorter movies
    frames : (examples,) how many frames each has; peak_ps : (examples,) time of the pulse's peak
    labels : (examples,) index into CLASSES, by ``truth.truth_of``
    rows : (examples,) of the movie set; views : (examples,) 0 is the film itself
    content_sha256 : of the movie set
    """

    features: np.ndarray
    frames: np.ndarray
    peak_ps: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    views: np.ndarray
    content_sha256: str

    def of(self, part: str) -> "Examples":
        """Those of one part of the set (``shots.part_of``)."""
        return self.at(np.flatnonzero([part_of(int(row)) == part for row in self.rows]))

    def at(self, chosen: np.ndarray) -> "Examples":
        """Some of them, by index or mask."""
        return replace(
            self,
            **{
                name: getattr(self, name)[chosen]
                for name in ("features", "frames", "peak_ps", "labels", "rows", "views")
            },
        )

    def __len__(self) -> int:
        return len(self.labels)


def make_examples(
    movies: MovieSet,
    quantiles: int = 96,
    views: int = 3,
    seed: int = 0,
    kind: Preprocessing = "shape",
    progress: Callable[[], None] = lambda: None,
) -> Examples:
    """The features of a full set, each movie as it is and in ``views`` - 1 random cameras.

    A row's cameras depend on ``seed`` and the row alone; ``progress`` is called after each row.
    Raises ValueError where movies are missing.
    """
    if movies.missing():
        raise ValueError(f"{movies.path}: {len(movies.missing())} movies are missing; fill it")
    count = quantiles + SHAPE_NUMBERS if kind == "shape" else quantiles
    most = max(len(movies.times_ps(row)) for row in range(len(movies)))
    size = len(movies) * views
    features = np.zeros((size, most, count), np.float32)
    frames, peak_ps = np.zeros(size, int), np.zeros(size)
    for row in range(len(movies)):
        sz, shot = movies.sz(row), movies.shot(row)
        for view in range(views):
            rng = np.random.default_rng([seed, row, view])
            camera = View.draw(rng, sz.shape[1]) if view else PERFECT
            i = row * views + view
            frames[i], peak_ps[i] = len(sz), shot.pulse.peak_ps if shot.pulse else 0.0
            features[i, : len(sz)] = movie_features(sz, count, kind, camera)
        progress()
    labels = np.array([CLASSES.index(label) for label in truth_of(movies)])
    return Examples(
        features, frames, peak_ps, labels.repeat(views),
        rows=np.arange(len(movies)).repeat(views), views=np.tile(np.arange(views), len(movies)),
        content_sha256=movies.content_sha256,
    )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How to train: ``hidden`` units, ``epochs``, examples a ``batch``, highest ``learning_rate``
    (one cycle, arXiv:1708.07120), ``weight_decay``, and the ``seed`` of it all."""

    hidden: int = 128
    epochs: int = 15
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.hidden, self.epochs, self.batch) < 1:
            raise ValueError(f"{self}: hidden, epochs and batch are 1 or more")


@dataclass(frozen=True)
class TrainingReport:
    """How a training went, by the movies that chose the epoch (every view, 15 ps).

    surprise : mean -log p of the true class over the frames after the peak; accuracy : at the end
    """

    surprise: float
    accuracy: float
    held_out: int
    epochs: int
    best_epoch: int


def train_classifier(
    examples: Examples,
    settings: Settings | None = None,
    *,
    device: Literal["cpu", "cuda"] = "cpu",
    checkpoint: Path | None = None,
    progress: Callable[[int, float], None] = lambda epoch, accuracy: None,
) -> tuple[GatedClassifier, TrainingReport]:
    """Train on ``examples`` (the training part of a set); one movie in ten chooses the epoch.

    Every batch has its movies at a random frame interval and length. All frames are learned from,
    those before the peak little, so that the probabilities of a movie that is not over are honest.

    checkpoint : written after every epoch; where it exists, training goes on from it and ends with
        the same weights as one that was not stopped
    progress : gets each epoch and its accuracy

    Raises ValueError for examples that lack a class, ModelError for a checkpoint of other examples
    or settings, RuntimeError where there is no CUDA device.
    """
    settings = settings or Settings()
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    rows = rng.permutation(np.unique(examples.rows))
    chooses = np.isin(examples.rows, rows[: max(1, len(rows) // _CHOSEN_BY)])
    training, held_out = np.flatnonzero(~chooses), examples.at(chooses)
    counts = np.bincount(examples.labels[training], minlength=len(CLASSES))
    if not counts.all():
        lacking = ", ".join(name for name, n in zip(CLASSES, counts, strict=True) if n == 0)
        raise ValueError(f"training data: no movie of class {lacking}; simulate more shots")
    mean, deviation = _moments(examples.at(training))
    network = GatedClassifier(
        examples.features.shape[2], settings.hidden, len(CLASSES), mean, deviation
    ).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    batches = -(-len(training) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * batches
    )
    run = _Run(network, optimizer, schedule, rng)
    key = _key(examples, settings)
    if checkpoint and checkpoint.exists():
        run.load(checkpoint, key)
    while run.epoch < settings.epochs:
        network.train()
        order = rng.permutation(training)
        for start in range(0, len(order), settings.batch):
            batch = _cut(examples, order[start : start + settings.batch], rng)
            loss = _loss(network, batch, device)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        surprise, accuracy = _judge(network, held_out)
        run.finish_epoch(surprise, accuracy)
        if checkpoint:
            run.save(checkpoint, key)
        progress(run.epoch, accuracy)
    network.load_state_dict(run.best_state)
    network.to("cpu").eval()
    report = TrainingReport(
        run.best, run.accuracy, len(np.unique(held_out.rows)), settings.epochs, run.best_epoch
    )
    return network, report


@torch.no_grad()
def all_logits(network: GatedClassifier, examples: Examples, stride: int = 1) -> np.ndarray:
    """Logits after every ``stride``-th frame, (examples, frames, classes)."""
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(torch.from_numpy(examples.features[i : i + 256, ::stride]).to(device)).cpu().numpy()
        for i in range(0, len(examples), 256)
    ]
    return np.concatenate(parts)


def last_logits(network: GatedClassifier, examples: Examples, stride: int = 3) -> np.ndarray:
    """Logits at the end of each movie, of which every ``stride``-th frame is seen."""
    last = (examples.frames - 1) // stride
    return all_logits(network, examples, stride)[np.arange(len(examples)), last]


def _judge(network: GatedClassifier, examples: Examples, stride: int = 3) -> tuple[float, float]:
    """Surprise and accuracy as ``TrainingReport``'s."""
    logits = all_logits(network, examples, stride)
    labels, last = examples.labels, (examples.frames - 1) // stride
    index = np.arange(logits.shape[1])
    after_peak = index * stride * FRAME_PS >= examples.peak_ps[:, None]
    counts = after_peak & (index <= last[:, None])
    surprise = -np.take_along_axis(log_softmax(logits, axis=2), labels[:, None, None], axis=2)
    accuracy = (logits[np.arange(len(labels)), last].argmax(axis=1) == labels).mean()
    return float(surprise[..., 0][counts].mean()), float(accuracy)


@dataclass
class _Run:
    """A training under way: all that a checkpoint must hold."""

    network: GatedClassifier
    optimizer: torch.optim.Optimizer
    schedule: Any
    rng: np.random.Generator
    epoch: int = 0
    best: float = math.inf
    accuracy: float = 0.0
    best_epoch: int = 0

    def __post_init__(self) -> None:
        self.best_state = self._weights()

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.cpu().clone() for name, value in self.network.state_dict().items()}

    def finish_epoch(self, surprise: float, accuracy: float) -> None:
        self.epoch += 1
        if surprise < self.best:
            self.best, self.accuracy = surprise, accuracy
            self.best_epoch, self.best_state = self.epoch, self._weights()

    def save(self, path: Path, key: str) -> None:
        """Replaces the file as a whole: a kill leaves the one before."""
        state = {
            "key": key,
            "epoch": self.epoch,
            "best": self.best,
            "accuracy": self.accuracy,
            "best_epoch": self.best_epoch,
            "best_state": self.best_state,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "rng": self.rng.bit_generator.state,
        }
        written = path.with_name(path.name + ".new")
        torch.save(state, written)
        os.replace(written, path)

    def load(self, path: Path, key: str) -> None:
        remedy = "Remove it, or train with what it was made with."
        try:
            state = torch.load(path, weights_only=True)
            fits = state["key"] == key
        except Exception as error:  # torch raises whatever its unpickler met
            raise ModelError(f"checkpoint {path}: cannot be read ({error}). {remedy}") from error
        if not fits:
            raise ModelError(f"checkpoint {path}: of other movies or settings. {remedy}")
        for name in ("epoch", "best", "accuracy", "best_epoch", "best_state"):
            setattr(self, name, state[name])
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.rng.bit_generator.state = state["rng"]


@dataclass(frozen=True)
class _Batch:
    movies: np.ndarray  # (B, T, features)
    weight: np.ndarray  # (B, T), 0 where a frame does not count; sums to 1 in each movie
    labels: np.ndarray  # (B,)


def _cut(examples: Examples, chosen: np.ndarray, rng: np.random.Generator) -> _Batch:
    """Some examples at one random frame interval, half of them cut at a random frame."""
    stride = int(rng.choice(_STRIDES))
    peak_ps = examples.peak_ps[chosen]
    shortest = np.ceil((peak_ps + _SHORTEST_AFTER_PEAK_PS) / FRAME_PS).astype(int) + 1
    whole = examples.frames[chosen]
    shortest = np.minimum(shortest, whole)
    cut = rng.integers(shortest, whole + 1)
    frames = np.where(rng.random(len(chosen)) < 0.5, cut, whole)
    seen = (frames - 1) // stride + 1
    movies = examples.features[chosen, ::stride][:, : seen.max()]
    index = np.arange(movies.shape[1])
    before_peak = index * stride * FRAME_PS < peak_ps[:, None]
    weight = np.where(before_peak, _BEFORE_PEAK_WEIGHT, 1.0) * (index < seen[:, None])
    weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    return _Batch(movies, weight, examples.labels[chosen])


def _loss(network: GatedClassifier, batch: _Batch, device: str) -> torch.Tensor:
    movies, weight, labels = (
        torch.from_numpy(array).to(device) for array in (batch.movies, batch.weight, batch.labels)
    )
    logits = network(movies)
    losses = cross_entropy(
        logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]), reduction="none"
    )
    return (losses.view(weight.shape) * weight).sum() / len(labels)


def _moments(examples: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each feature over all frames; no deviation is tiny, or a feature that
    hardly ever changes would rule the day that it does."""
    there = np.arange(examples.features.shape[1]) < examples.frames[:, None]
    values = examples.features[there]
    deviation = np.maximum(values.std(axis=0), _LEAST_DEVIATION)
    return torch.from_numpy(values.mean(axis=0)), torch.from_numpy(deviation)


def _key(examples: Examples, settings: Settings) -> str:
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    digest.update(examples.content_sha256.encode())
    digest.update(np.ascontiguousarray(examples.features).tobytes())
    return digest.hexdigest()
