"""The variational autoencoder of spin states of Adv. Sci. 8, 2004795 (2021), in any width."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyctl.models.torque import wrap

_REACH = 2


class SpinVAE(nn.Module):
    """Spins (films, 3, side, side) → latent numbers → spins, unit vectors; periodic padding.

    side : of the films; filters : of the encoder's 5 × 5 convolutions, after each of which the side
        halves; the decoder has them backwards; hidden : neurons of the inner dense layer
    latents : numbers that a film becomes

    The paper: 128, (6, 12, 24, 48), 512, 100.

    Raises ValueError for a side that does not halve so often.
    """

    def __init__(self, side: int, filters: Sequence[int], hidden: int, latents: int) -> None:
        super().__init__()
        if side % 2 ** len(filters):
            raise ValueError(
                f"side {side}: {len(filters)} halvings need a multiple of {2 ** len(filters)}"
            )
        self.small = side // 2 ** len(filters)
        self.filters, self.latents = tuple(filters), latents
        inner = filters[-1] * self.small**2
        self.down = nn.ModuleList(_convolution(a, b) for a, b in _pairs((3, *filters)))
        self.encoder = nn.Sequential(
            nn.Linear(inner, inner), nn.BatchNorm1d(inner), nn.LeakyReLU(),
            nn.Linear(inner, hidden), nn.Linear(hidden, 2 * latents),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latents, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(),
            nn.Linear(hidden, inner), nn.BatchNorm1d(inner), nn.LeakyReLU(),
        )  # fmt: skip
        back = (*filters[::-1], 3)
        self.up = nn.ModuleList(_convolution(a, b) for a, b in _pairs(back))
        self.last = nn.Conv2d(3, 3, 2 * _REACH + 1)

    def encode(self, spins: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of each latent number, (films, latents) each."""
        x = spins
        for layer in self.down:
            x = functional.max_pool2d(layer(wrap(x, _REACH)), 2)
        mean, log_variance = self.encoder(x.flatten(1)).chunk(2, 1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Spins (films, 3, side, side) of latent numbers (films, latents)."""
        x = self.decoder(z).unflatten(1, (self.filters[-1], self.small, self.small))
        for layer in self.up:
            x = layer(wrap(functional.interpolate(x, scale_factor=2), _REACH))
        return functional.normalize(self.last(wrap(x, _REACH)), dim=1)

    def forward(self, spins: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Spins of a draw from what they are encoded to, mean and log-variance."""
        mean, log_variance = self.encode(spins)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decode(z), mean, log_variance


def _convolution(features_in: int, features_out: int) -> nn.Module:
    """As the paper orders them: convolution, batch norm, leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(features_in, features_out, 2 * _REACH + 1),
        nn.BatchNorm2d(features_out),
        nn.LeakyReLU(),
    )


def _pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(sizes))
