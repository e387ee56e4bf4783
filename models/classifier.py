"""The recurrent movie classifiers: the paper's network (arXiv:1907.01814), and ours, of images."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from skyctl.inference.features import CLOCK_NUMBERS, GRID
from skyctl.process import KINDS, TRANSITIONS

_FARTHEST = 8.0
"""Standard deviations; a number farther out than that says no more."""


class MovieNetwork(Protocol):
    """What export needs of a network: ``features`` inputs, ``hidden`` numbers carried from frame to
    frame, and the methods of ``ProcessClassifier``."""

    features: int
    hidden: int

    def step(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """As ``ProcessClassifier.step``."""
        ...

    def __call__(self, movies: Tensor) -> Tensor:
        """As ``ProcessClassifier.forward``."""
        ...


class ProcessClassifier(nn.Module):
    """h_t = σ(x_t V + h_{t-1} U), o_t = softmax(h_t W): eqs. B1–B4, no biases, as the paper.

    features : inputs, the sorted S_z (10000 in the paper, or its quantiles)
    hidden : sigmoid units, 512 in the paper
    classes : outputs
    """

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.features, self.hidden = features, hidden
        self.input = nn.Linear(features, hidden, bias=False)
        self.recurrent = nn.Linear(hidden, hidden, bias=False)
        self.output = nn.Linear(hidden, classes, bias=False)

    def step(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One frame: (B, features), (B, hidden) → logits (B, classes), hidden (B, hidden)."""
        hidden = torch.sigmoid(self.input(features) + self.recurrent(hidden))
        return self.output(hidden), hidden

    def forward(self, movies: Tensor) -> Tensor:
        """Movies (B, T, features) → logits after every frame (B, T, classes)."""
        inputs = self.input(movies)
        hidden = movies.new_zeros(len(movies), self.recurrent.in_features)
        logits = []
        for t in range(movies.shape[1]):
            hidden = torch.sigmoid(inputs[:, t] + self.recurrent(hidden))
            logits.append(self.output(hidden))
        return torch.stack(logits, dim=1)


class FilmWatcher(nn.Module):
    """Convolutions that look at a frame, and a gated recurrent unit (arXiv:1406.1078) that watches.

    A frame is S_z on GRID² cells and a clock of CLOCK_NUMBERS (`skyctl.inference.features`); what
    comes out are the logits of TRANSITIONS: what the film was, and what it becomes. Convolutions
    average a camera's noise away where it is noise and not elsewhere, which sorted spins and
    counted islands cannot.

    seen : numbers that the convolutions make of a frame; hidden : carried from frame to frame
    state : reads (kind, turned) of a film at rest off one frame: for training alone, which
        so teaches the convolutions what a film holds
    temperature : what the logits are divided by (arXiv:1706.04599); 1 until it is fitted
    mean, deviation : of what ``look`` gives, for the novelty; 0 and 1 until they are measured
    """

    features = GRID * GRID + CLOCK_NUMBERS

    def __init__(self, seen: int = 96, hidden: int = 128) -> None:
        super().__init__()
        self.seen, self.hidden = seen, hidden
        self.eye = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(), nn.Linear(32 * 7 * 7, seen), nn.ReLU(),
        )  # fmt: skip
        self.recurrent = nn.GRU(seen + CLOCK_NUMBERS, hidden, batch_first=True)
        self.output = nn.Linear(hidden + seen + CLOCK_NUMBERS, TRANSITIONS)
        self.state = nn.Linear(seen, 2 * len(KINDS))
        self.temperature: Tensor
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("mean", torch.zeros(seen + CLOCK_NUMBERS))
        self.register_buffer("deviation", torch.ones(seen + CLOCK_NUMBERS))

    def standardised(self, features: Tensor) -> Tensor:
        """What ``look`` makes of frames, each number against its mean and deviation."""
        return ((self.look(features) - self.mean) / self.deviation).clamp(-_FARTHEST, _FARTHEST)

    def look(self, features: Tensor) -> Tensor:
        """Frames (N, features) as the recurrent unit takes them, (N, seen + CLOCK_NUMBERS)."""
        cells, clock = features[:, : GRID * GRID], features[:, GRID * GRID :]
        return torch.cat([self.eye(cells.reshape(-1, 1, GRID, GRID)), clock], dim=1)

    def step(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One frame: (B, features), (B, hidden) → logits (B, TRANSITIONS), hidden (B, hidden)."""
        unit: Any = self.recurrent
        looked = self.look(features)
        x = linear(looked, unit.weight_ih_l0, unit.bias_ih_l0)
        h = linear(hidden, unit.weight_hh_l0, unit.bias_hh_l0)
        x_reset, x_update, x_new = x.chunk(3, dim=1)
        h_reset, h_update, h_new = h.chunk(3, dim=1)
        update = torch.sigmoid(x_update + h_update)
        new = torch.tanh(x_new + torch.sigmoid(x_reset + h_reset) * h_new)
        hidden = new + update * (hidden - new)
        return self.output(torch.cat([hidden, looked], dim=1)) / self.temperature, hidden

    def forward(self, movies: Tensor) -> Tensor:
        """Movies (B, T, features) → logits after every frame (B, T, TRANSITIONS)."""
        return self.watch(movies)[0]

    def watch(self, movies: Tensor) -> tuple[Tensor, Tensor]:
        """As ``forward``, and the logits of ``state`` in each frame, (B, T, 2 kinds)."""
        looked = self.look(movies.flatten(0, 1)).unflatten(0, movies.shape[:2])
        remembered = torch.cat([self.recurrent(looked)[0], looked], dim=2)
        return self.output(remembered) / self.temperature, self.state(looked[..., : self.seen])
