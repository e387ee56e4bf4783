"""Train the movie classifier on a data set."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from skyctl.models.classifier import ProcessClassifier
from skyctl.models.dataset import CLASSES, FRAME_PS, Dataset

VERDICT_AFTER_PEAK_PS = 45.0
"""Frames later than this after the peak are trained on: before it a movie may still go any way."""


@dataclass(frozen=True)
class TrainingReport:
    """How a training went: accuracy on the held-out movies (last frame, no threshold)."""

    accuracy: float
    held_out: int
    epochs: int
    best_epoch: int


@dataclass(frozen=True)
class _Batch:
    movies: torch.Tensor  # (B, T, features)
    weight: torch.Tensor  # (B, T), 0 where a frame does not count
    last: torch.Tensor  # (B,) index of the last frame
    labels: torch.Tensor  # (B,)


def _cut(data: Dataset, rows: np.ndarray, stride: int, tails: np.ndarray) -> _Batch:
    """Movies ``rows`` with every ``stride``-th frame, ``tails`` frames cut from the end."""
    frames = (data.frames[rows] - tails - 1) // stride + 1
    movies = data.features[rows, ::stride][:, : frames.max()]
    index = np.arange(movies.shape[1])
    late = index * stride * FRAME_PS >= (data.peak_ps[rows] + VERDICT_AFTER_PEAK_PS)[:, None]
    weight = (late & (index < frames[:, None])).astype(np.float32)
    return _Batch(
        torch.from_numpy(movies),
        torch.from_numpy(weight / weight.sum(1, keepdims=True)),
        torch.from_numpy(frames - 1),
        torch.from_numpy(data.labels[rows]),
    )


def train_classifier(
    data: Dataset,
    *,
    hidden: int = 512,
    epochs: int = 60,
    batch: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda epoch, accuracy: None,
) -> tuple[ProcessClassifier, TrainingReport]:
    """Train on the movies of ``data`` that carry a class; 10 % are held out, as in the paper.

    Each batch sees its movies at a random frame interval (5, 10 or 15 ps) and length, so that the
    network learns the process and not the camera. The classes weigh alike however many movies each
    has. Of all epochs the best on the held-out movies (every 15 ps, to the end) is returned.
    """
    if epochs < 1:
        raise ValueError(f"epochs = {epochs}: give 1 or more")
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    rows = rng.permutation(np.flatnonzero(data.labels >= 0))
    held_out, training = np.split(rows, [max(1, len(rows) // 10)])
    counts = np.bincount(data.labels[training], minlength=len(CLASSES))
    if not counts.all():
        lacking = ", ".join(name for name, n in zip(CLASSES, counts, strict=True) if n == 0)
        raise ValueError(f"training data: no movie of class {lacking}; simulate more shots")
    class_weight = torch.tensor(counts.sum() / counts / len(CLASSES), dtype=torch.float32)
    network = ProcessClassifier(data.features.shape[2], hidden, len(CLASSES))
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    best, best_epoch, best_state = -1.0, 0, network.state_dict()
    for epoch in range(epochs):
        network.train()
        rng.shuffle(training)
        for start in range(0, len(training), batch):
            chosen = training[start : start + batch]
            cut = _cut(data, chosen, int(rng.integers(1, 4)), rng.integers(0, 13, len(chosen)))
            logits = network(cut.movies)
            losses = cross_entropy(
                logits.flatten(0, 1),
                cut.labels.repeat_interleave(logits.shape[1]),
                weight=class_weight,
                reduction="none",
            )
            loss = (losses.view(cut.weight.shape) * cut.weight).sum() / len(chosen)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        accuracy = _accuracy(network, data, held_out)
        progress(epoch, accuracy)
        if accuracy >= best:
            best, best_epoch = accuracy, epoch
            best_state = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(best_state)
    network.eval()
    return network, TrainingReport(best, len(held_out), epochs, best_epoch)


@torch.no_grad()
def _accuracy(network: ProcessClassifier, data: Dataset, rows: np.ndarray) -> float:
    network.eval()
    cut = _cut(data, rows, 3, np.zeros(len(rows), int))
    last = network(cut.movies)[torch.arange(len(rows)), cut.last]
    return float((last.argmax(1) == cut.labels).float().mean())
