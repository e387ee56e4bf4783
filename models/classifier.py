"""The recurrent movie classifier of arXiv:1907.01814, appendix A and B."""

import torch
from torch import Tensor, nn


class ProcessClassifier(nn.Module):
    """h_t = σ(x_t V + h_{t-1} U), o_t = softmax(h_t W): eqs. B1–B4, no biases, as the paper.

    features : inputs, the sorted S_z (10000 in the paper, or its quantiles)
    hidden : sigmoid units, 512 in the paper
    classes : outputs
    """

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
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


class ExportedStep(nn.Module):
    """What the ONNX file holds: one frame in, probabilities and the next hidden state out."""

    def __init__(self, network: ProcessClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(B, features), (B, hidden) → probabilities (B, classes), hidden (B, hidden)."""
        logits, hidden = self.network.step(features, hidden)
        return torch.softmax(logits, dim=1), hidden
