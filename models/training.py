"""Train the movie classifier on lives, with another camera each time a movie is seen."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from skyctl.errors import ModelError
from skyctl.inference.features import (
    CLOCK_NUMBERS,
    GRID,
    background_level,
    clock,
)
from skyctl.models.cameras import Cameras
from skyctl.models.classifier import FilmWatcher
from skyctl.models.lives import BROAD, FRAME_PS, Movies
from skyctl.process import KINDS, TRANSITIONS
from skyctl.pulse import QUIET_INTERVAL_PS

INTERVALS_PS = (4, 5, 6, 8, 10, 12, 15, 20)
_INTERVAL_SHARES = (0.1, 0.34, 0.08, 0.1, 0.16, 0.06, 0.1, 0.06)
_LATE = 0.12
"""Share of movies whose first frame is late: up to LATEST_PS before the pulse's peak."""
LATEST_PS = 10.0
_QUIET = 0.5
"""Share of movies with few frames before the pulse."""
_BEFORE_PEAK_WEIGHT = 0.15
_STATE_WEIGHT = 0.25
_NARROW = 2.0
"""How much more often movies of narrow lives are drawn: they are what the loop sees."""
_RARE = 0.6
"""Transitions are drawn by this power of how often they are there."""
_CHOSEN_BY = 12
"""One in so many training lives chooses the epoch."""


@dataclass(frozen=True)
class Batch:
    """Movies as the network gets them.

    features : (B, T, features); times_ps, peak_ps : (B, T), (B,)
    there : (B, T) whether a movie has this frame; labels : (B,)
    rest : (B, features) of the film once it has settled, through the same cameras
    """

    features: Tensor
    times_ps: np.ndarray
    peak_ps: np.ndarray
    there: np.ndarray
    labels: Tensor
    rest: Tensor


def make_batch(
    movies: Movies,
    taken_ps: Sequence[np.ndarray],
    cameras: Cameras,
    generator: torch.Generator,
    turns: np.ndarray | None = None,
) -> Batch:
    """What cameras show of movies.

    taken_ps : of each movie, when its frames are taken, (frames,), whole FRAME_PS
    turns : (B,) 0 … 7, how the lattice is turned and mirrored, all of it symmetries of the film
        (with the film's half turn about x); None leaves it
    """
    pulses = [shot.pulse for shot in movies.shots]
    counts = np.array([len(times) for times in taken_ps])
    size, longest = len(movies), int(counts.max())
    cells = np.zeros((size, longest + 1, GRID, GRID), np.uint8)  # the last one is the settled film
    clocks = np.zeros((size, longest, CLOCK_NUMBERS), np.float32)
    times_ps = np.full((size, longest), np.inf)
    for i, shot in enumerate(movies.shots):
        index = np.rint(taken_ps[i] / FRAME_PS).astype(int)
        times_ps[i, : counts[i]] = taken_ps[i]
        taken = np.concatenate([shot.cells[index], shot.rest[None]])
        if turns is not None:
            taken = np.rot90(taken, turns[i] % 4, (1, 2))
            taken = taken[:, ::-1] if turns[i] >= 4 else taken
        cells[i, : counts[i]] = taken[:-1]
        cells[i, counts[i] :] = taken[-1]
        for t, since in enumerate(np.diff(taken_ps[i], prepend=taken_ps[i][0])):
            clocks[i, t] = clock(taken_ps[i][t], since, pulses[i].peak_ps, pulses[i].width_ps)
    sz = torch.from_numpy(cells).float() / 127 - 1
    images = cameras.show(sz, generator)
    # As at run time: turned and scaled by what the first frame shows.
    first = images[:, 0].flatten(1)
    sign = torch.where(first.median(dim=1).values > 0, -1.0, 1.0)
    level = torch.tensor([background_level(image) for image in first.numpy()])
    images = images * (sign / level)[:, None, None, None]
    seen, rest = images[:, :-1].flatten(2), images[:, -1].flatten(1)
    return Batch(
        torch.cat([seen, torch.from_numpy(clocks)], dim=2).float(),
        times_ps,
        np.array([pulse.peak_ps for pulse in pulses]),
        np.arange(longest) < counts[:, None],
        torch.from_numpy(movies.labels),
        torch.cat([rest, torch.zeros(size, CLOCK_NUMBERS)], dim=1).float(),
    )


@dataclass(frozen=True)
class Settings:
    """How to train: ``hidden`` units, ``cycles`` of so many ``epochs`` (arXiv:1708.07120; each
    begins with the best weights so far, and half the rate), movies a ``batch``, highest
    ``learning_rate``, ``weight_decay``, and the ``seed`` of it all."""

    hidden: int = 128
    epochs: int = 16
    cycles: int = 2
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.hidden, self.epochs, self.cycles, self.batch) < 1:
            raise ValueError(f"{self}: hidden, epochs, cycles and batch are 1 or more")


@dataclass(frozen=True)
class TrainingReport:
    """How a training went, by the lives that chose the epoch (random cameras and intervals).

    surprise : mean -log p of the true transition over the frames after the peak; accuracy : of the
        likeliest at the end of the movies
    """

    surprise: float
    accuracy: float
    held_out: int
    epochs: int
    best_epoch: int


def train_classifier(
    movies: Movies,
    settings: Settings | None = None,
    *,
    device: Literal["cpu", "cuda"] = "cpu",
    checkpoint: Path | None = None,
    progress: Callable[[int, float], None] = lambda epoch, accuracy: None,
) -> tuple[FilmWatcher, TrainingReport]:
    """Train on ``movies``; one life in twelve chooses the epoch.

    Every batch has its frame interval, every movie its camera, its first frame and its place in the
    symmetries of the film. All frames are learned from, those before the peak little, so that the
    probabilities of a movie that is not over are honest.

    checkpoint : written after every epoch; where it exists, training goes on from it and ends with
        the same weights as one that was not stopped
    progress : gets each epoch and its accuracy

    Raises ValueError for movies that lack a transition, ModelError for a checkpoint of other movies
    or settings, RuntimeError where there is no CUDA device.
    """
    settings = settings or Settings()
    lives = np.random.default_rng(settings.seed).permutation(np.unique(movies.lives))
    chooses = np.isin(movies.lives, lives[: max(1, len(lives) // _CHOSEN_BY)])
    training, held_out = movies.at(~chooses), movies.at(chooses)
    counts = np.bincount(training.labels, minlength=TRANSITIONS)
    _refuse_lacking(counts)
    torch.manual_seed(settings.seed)
    network = FilmWatcher(hidden=settings.hidden).to(device)
    shares = counts[training.labels] ** (_RARE - 1.0)
    shares = shares * np.where(training.lives >= BROAD, _NARROW, 1.0)
    run = _Run(network, settings, -(-len(training) // settings.batch))
    key = _key(movies, settings)
    if checkpoint and checkpoint.exists():
        run.load(checkpoint, key)
    while run.epoch < settings.epochs * settings.cycles:
        run.begin_epoch()
        rng = np.random.default_rng([settings.seed, run.epoch])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        network.train()
        order = rng.choice(len(training), len(training), p=shares / shares.sum())
        for start in range(0, len(order), settings.batch):
            batch = draw_batch(training.at(order[start : start + settings.batch]), rng, generator)
            loss = _loss(network, batch, device)
            run.step(loss)
        surprise, accuracy = _judge(network, held_out)
        run.finish_epoch(surprise, accuracy)
        if checkpoint:
            run.save(checkpoint, key)
        progress(run.epoch, accuracy)
    network.load_state_dict(run.best_state)
    network.to("cpu").eval()
    report = TrainingReport(
        run.best, run.accuracy, len(np.unique(held_out.lives)), run.epoch, run.best_epoch
    )
    return network, report


def draw_batch(
    movies: Movies,
    rng: np.random.Generator,
    generator: torch.Generator,
    noise: float | None = None,
) -> Batch:
    """``movies`` at one random frame interval, each by a random camera from a random first frame.

    noise : of the cameras; None draws it
    """
    interval_ps = int(rng.choice(INTERVALS_PS, p=_INTERVAL_SHARES))
    peaks = np.array([shot.pulse.peak_ps for shot in movies.shots])
    late = rng.random(len(movies)) < _LATE
    first_ps = np.where(late, np.floor(rng.uniform(0, peaks - LATEST_PS)), 0.0)
    quiet_ps = np.where(rng.random(len(movies)) < _QUIET, peaks - rng.uniform(0, 10), 0.0)
    taken_ps = [
        frame_times(first, quiet, interval_ps, (len(shot.cells) - 1) * FRAME_PS)
        for first, quiet, shot in zip(first_ps, quiet_ps, movies.shots, strict=True)
    ]
    cameras = Cameras.draw(len(movies), generator, noise)
    turns = rng.integers(0, 8, len(movies))
    return make_batch(movies, taken_ps, cameras, generator, turns)


def frame_times(first_ps: float, quiet_ps: float, interval_ps: int, end_ps: float) -> np.ndarray:
    """When frames are taken, (frames,): every ``interval_ps`` to ``end_ps``, but until ``quiet_ps``
    as a `skyctl.pulse.FrameSchedule` has it."""
    wide_ps = max(QUIET_INTERVAL_PS, interval_ps)
    before = np.arange(first_ps, np.floor(quiet_ps), wide_ps)
    begin_ps = max(np.floor(quiet_ps), first_ps)
    return np.concatenate([before, np.arange(begin_ps, end_ps + 1e-6, interval_ps)])


def _refuse_lacking(counts: np.ndarray) -> None:
    """A transition that hardly ever happens may be lacking; a process may not."""
    starts = counts.reshape(len(KINDS), -1).sum(axis=1)
    if not starts.all():
        lacking = ", ".join(kind for kind, n in zip(KINDS, starts, strict=True) if n == 0)
        raise ValueError(f"training data: no movie of a film that begins {lacking}; more lives")


@torch.no_grad()
def probabilities(network: FilmWatcher, batch: Batch) -> np.ndarray:
    """Of each transition after every frame, (B, T, TRANSITIONS)."""
    network.eval()
    device = next(network.parameters()).device
    return torch.softmax(network(batch.features.to(device)), dim=2).cpu().numpy()


def _judge(network: FilmWatcher, movies: Movies) -> tuple[float, float]:
    """Surprise and accuracy as ``TrainingReport``'s; the same cameras each time."""
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    surprises, right = [], []
    for start in range(0, len(movies), 64):
        some = movies.at(np.arange(start, min(start + 64, len(movies))))
        batch = draw_batch(some, rng, generator)
        p = probabilities(network, batch)
        after = batch.there & (batch.times_ps >= batch.peak_ps[:, None])
        truth = np.take_along_axis(p, some.labels[:, None, None], axis=2)[..., 0]
        surprises.append(-np.log(np.maximum(truth[after], 1e-12)))
        last = batch.there.sum(axis=1) - 1
        right.append(p[np.arange(len(some)), last].argmax(axis=1) == some.labels)
    return float(np.concatenate(surprises).mean()), float(np.concatenate(right).mean())


@dataclass
class _Run:
    """A training under way: all that a checkpoint must hold."""

    network: FilmWatcher
    settings: Settings
    batches: int
    epoch: int = 0
    best: float = math.inf
    accuracy: float = 0.0
    best_epoch: int = 0

    def __post_init__(self) -> None:
        self.best_state = self._weights()
        self._begin_cycle(0)

    def _begin_cycle(self, cycle: int) -> None:
        s = self.settings
        rate = s.learning_rate / 2**cycle
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), rate, weight_decay=s.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rate, total_steps=s.epochs * self.batches
        )

    def begin_epoch(self) -> None:
        """Begin the next cycle where one is over."""
        cycle, epoch = divmod(self.epoch, self.settings.epochs)
        if cycle and not epoch:
            self.network.load_state_dict(self.best_state)
            self._begin_cycle(cycle)

    def step(self, loss: Tensor) -> None:
        """Learn from a batch."""
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.cpu().clone() for name, value in self.network.state_dict().items()}

    def finish_epoch(self, surprise: float, accuracy: float) -> None:
        self.epoch += 1
        if surprise < self.best:
            self.best, self.accuracy = surprise, accuracy
            self.best_epoch, self.best_state = self.epoch, self._weights()

    def save(self, path: Path, key: str) -> None:
        state = {
            "key": key,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best_state": self.best_state,
            "epoch": self.epoch,
            "best": self.best,
            "accuracy": self.accuracy,
            "best_epoch": self.best_epoch,
        }
        written = path.with_name(path.name + ".part")
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
        self._begin_cycle(max(self.epoch - 1, 0) // self.settings.epochs)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def _loss(network: FilmWatcher, batch: Batch, device: str) -> Tensor:
    before = batch.times_ps < batch.peak_ps[:, None]
    weight = np.where(before, _BEFORE_PEAK_WEIGHT, 1.0) * batch.there
    weight = torch.from_numpy(weight / weight.sum(axis=1, keepdims=True)).float().to(device)
    labels = batch.labels.to(device)
    with torch.autocast(device, dtype=torch.bfloat16):  # twice as fast, and precise enough to learn
        logits, states = network.watch(batch.features.to(device))
        settled = network.watch(batch.rest[:, None].to(device))[1][:, 0]
    logits, states, settled = logits.float(), states.float(), settled.float()
    losses = cross_entropy(
        logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]), reduction="none"
    )
    named = (losses.view(weight.shape) * weight).sum() / len(labels)
    return named + _STATE_WEIGHT * _state_loss(batch, states, settled, labels)


def _state_loss(batch: Batch, states: Tensor, settled: Tensor, labels: Tensor) -> Tensor:
    """How badly films at rest are read: in first frames from the start of a movie, and settled."""
    read = cross_entropy(settled, labels % (2 * len(KINDS)))
    at_start = torch.from_numpy(batch.times_ps[:, 0] == 0).to(labels.device)
    if at_start.any():
        start = 2 * (labels // (2 * len(KINDS)))
        read = read + cross_entropy(states[at_start, 0], start[at_start])
    return read


def _key(movies: Movies, settings: Settings) -> str:
    text = json.dumps(asdict(settings), sort_keys=True) + movies.content_sha256 + str(len(movies))
    return hashlib.sha256(text.encode()).hexdigest()
