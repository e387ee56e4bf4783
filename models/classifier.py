"""The recurrent movie classifiers: the paper's network (arXiv:1907.01814), and a gated one."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

_FARTHEST = 8.0
"""Standard deviations; a feature farther out than that says no more to the network."""


class MovieNetwork(Protocol):
    """What training and export need of a network: ``features`` inputs, ``hidden`` numbers carried
    from frame to frame, and the methods of ``ProcessClassifier``."""

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


class GatedClassifier(nn.Module):
    """A gated recurrent unit (arXiv:1406.1078) on standardised features, and a linear output.

    Gates keep what an early frame showed for as long as it matters, which the paper's sigmoid units
    forget in a few frames.

    features, hidden, classes : as ``ProcessClassifier``'s
    mean, deviation : (features,) of each feature; None until they are loaded with the weights
    temperature : what the logits are divided by (arXiv:1706.04599); 1 until it is fitted
    """

    def __init__(
        self, features: int, hidden: int, classes: int,
        mean: Tensor | None = None, deviation: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.features, self.hidden = features, hidden
        self.recurrent = nn.GRU(features, hidden, batch_first=True)
        self.output = nn.Linear(hidden, classes)
        self.mean: Tensor
        self.deviation: Tensor
        self.temperature: Tensor
        self.register_buffer("mean", torch.zeros(features) if mean is None else mean)
        self.register_buffer("deviation", torch.ones(features) if deviation is None else deviation)
        self.register_buffer("temperature", torch.ones(()))

    def standardised(self, features: Tensor) -> Tensor:
        """Features (…, features) as the unit takes them."""
        return ((features - self.mean) / self.deviation).clamp(-_FARTHEST, _FARTHEST)

    def step(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One frame: (B, features), (B, hidden) → logits (B, classes), hidden (B, hidden)."""
        unit: Any = self.recurrent
        x = linear(self.standardised(features), unit.weight_ih_l0, unit.bias_ih_l0)
        h = linear(hidden, unit.weight_hh_l0, unit.bias_hh_l0)
        x_reset, x_update, x_new = x.chunk(3, dim=1)
        h_reset, h_update, h_new = h.chunk(3, dim=1)
        update = torch.sigmoid(x_update + h_update)
        new = torch.tanh(x_new + torch.sigmoid(x_reset + h_reset) * h_new)
        hidden = new + update * (hidden - new)
        return self.output(hidden) / self.temperature, hidden

    def forward(self, movies: Tensor) -> Tensor:
        """Movies (B, T, features) → logits after every frame (B, T, classes)."""
        return self.output(self.recurrent(self.standardised(movies))[0]) / self.temperature
