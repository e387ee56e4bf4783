"""Latent networks of a thin film: its modes, and networks that carry a few numbers through time.

A state is the upper half of a film (``latent_data.half_of``). Its coordinates in the modes of the
training states (proper orthogonal decomposition) are coded into ``latent`` numbers z, which step by
step go on in a field, and are decoded into coordinates again. Everything holds ``members``, trained
beside each other from other weights and other batches: where they differ, none is to be trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

FIELD_UNIT_T = 0.04
"""Networks see fields in this unit."""
_RIDGE = 1e-6
_SILU_GAIN = 1.6
"""Of weights before SiLU, so that what goes through keeps its size."""


@dataclass(frozen=True)
class Modes:
    """The modes of half films of (3, rows, columns) = ``shape``.

    mean : (3·cells,); basis : (modes, 3·cells), orthonormal rows, the strongest first
    deviation : (modes,) of the coordinates over the training states

    Coordinates are in units of a cell: the square of their difference is the mean over the cells of
    the squared difference of m, but for what no mode has.
    """

    shape: tuple[int, int, int]
    mean: np.ndarray
    basis: np.ndarray
    deviation: np.ndarray

    @property
    def cells(self) -> int:
        """Of the half."""
        return self.shape[1] * self.shape[2]

    @property
    def readout(self) -> tuple[np.ndarray, np.ndarray]:
        """⟨m⟩ from coordinates: (modes, 3) to multiply with, and (3,) to add."""
        parts = self.basis.reshape(len(self.basis), 3, self.cells)
        return parts.mean(2) * np.sqrt(self.cells), self.mean.reshape(3, -1).mean(1)

    def coordinates(self, half: np.ndarray) -> np.ndarray:
        """(…, modes) of half films (…, 3, rows, columns)."""
        flat = half.reshape(*half.shape[:-3], -1)
        return (flat - self.mean) @ self.basis.T / np.float32(np.sqrt(self.cells))

    def half(self, coordinates: np.ndarray) -> np.ndarray:
        """Half films (…, 3, rows, columns) of coordinates (…, modes); not of unit length."""
        flat = coordinates @ (self.basis * np.float32(np.sqrt(self.cells))) + self.mean
        return flat.reshape(*coordinates.shape[:-1], *self.shape)

    @staticmethod
    def of(half: np.ndarray, count: int) -> "Modes":
        """The ``count`` strongest modes of states (states, 3, rows, columns).

        Raises ValueError for more modes than states, or than a state has numbers.
        """
        from sklearn.utils.extmath import randomized_svd

        flat = half.reshape(len(half), -1).astype(np.float32)
        if not 1 <= count <= min(flat.shape):
            raise ValueError(f"{count} modes of {flat.shape[0]} states of {flat.shape[1]} numbers")
        mean = flat.mean(0, dtype=np.float64).astype(np.float32)
        # Without QR single precision loses modes below 4 % of the first.
        _, size, basis = randomized_svd(
            flat - mean, count, n_oversamples=count // 4 + 8,
            n_iter=3,  # pyright: ignore[reportArgumentType] its stubs know "auto" alone
            power_iteration_normalizer="QR", random_state=0,
        )  # fmt: skip
        shape = half.shape[1:]
        deviation = size / np.sqrt(len(flat) * shape[1] * shape[2])
        return Modes(shape, mean, basis.astype(np.float32), deviation.astype(np.float32))


class _Stacked(nn.Module):
    """A linear layer for each member: (members, batch, in) → (members, batch, out)."""

    def __init__(self, members: int, features_in: int, features_out: int, scale: float = 1) -> None:
        super().__init__()
        spread = scale / np.sqrt(features_in)
        self.weight = nn.Parameter(torch.randn(members, features_in, features_out) * spread)
        self.bias = nn.Parameter(torch.zeros(members, 1, features_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight) + self.bias


def _perceptron(members: int, sizes: Sequence[int]) -> nn.Sequential:
    """Layers with SiLU between, and a last one that begins with giving almost nothing."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [_Stacked(members, before, after, _SILU_GAIN), nn.SiLU()]
    return nn.Sequential(*layers, _Stacked(members, sizes[-2], sizes[-1], 0.1))


class LatentNetwork(nn.Module):
    """Encoder, step and decoder of all members.

    deviation : (modes,) of the coordinates; readout : as of ``Modes``
    latent : numbers that a state is coded into; width : of the hidden layers

    Coordinates are (members, batch, modes), latent numbers (members, batch, latent), fields
    (members, batch, 3) in FIELD_UNIT_T. To code is a linear map and a perceptron beside it; they
    begin with the strongest modes themselves.
    """

    inverse: Tensor
    readout: Tensor
    offset: Tensor

    def __init__(
        self,
        deviation: np.ndarray,
        readout: tuple[np.ndarray, np.ndarray],
        *,
        members: int = 2,
        latent: int = 32,
        width: int = 256,
    ) -> None:
        super().__init__()
        modes = len(deviation)
        self.members, self.latent, self.modes = members, latent, modes
        # A weak mode is not blown up to the size of a strong one: it is mostly what others add to.
        scale = torch.from_numpy(deviation + 0.03 * deviation[0])
        self.register_buffer("inverse", 1 / scale)
        self.register_buffer("readout", torch.from_numpy(readout[0]).float())
        self.register_buffer("offset", torch.from_numpy(readout[1]).float())
        chosen = torch.eye(modes, latent)
        self.in_straight = nn.Parameter((chosen / scale[:, None]).repeat(members, 1, 1))
        self.out_straight = nn.Parameter((chosen.T * scale).repeat(members, 1, 1))
        self.in_bent = _perceptron(members, (modes, width, width, latent))
        self.out_bent = _perceptron(members, (latent, width, width, modes))
        self.step_straight = nn.Parameter(torch.zeros(members, latent + 3, latent))
        self.step_bent = _perceptron(members, (latent + 3, width, width, latent))

    def encode(self, coordinates: Tensor) -> Tensor:
        """Latent numbers of coordinates."""
        straight = torch.matmul(coordinates, self.in_straight)
        return straight + self.in_bent(coordinates * self.inverse)

    def decode(self, z: Tensor) -> Tensor:
        """Coordinates of latent numbers."""
        return torch.matmul(z, self.out_straight) + self.out_bent(z) / self.inverse * 0.1

    def step(self, z: Tensor, fields: Tensor) -> Tensor:
        """Latent numbers one interval later, in fields (members, batch, 3)."""
        given = torch.cat([z, fields], -1)
        return z + torch.matmul(given, self.step_straight) + self.step_bent(given)

    @torch.no_grad()
    def begin_step(self, z: Tensor, fields: Tensor, after: Tensor) -> None:
        """Let the step begin as the linear one that fits best, from latent numbers to those one
        interval later, all (members, n, …)."""
        given = torch.cat([z, fields], -1).double()
        gram = given.mT @ given
        size = gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        gram += _RIDGE * size * torch.eye(gram.shape[1], device=z.device)
        self.step_straight.copy_(torch.linalg.solve(gram, given.mT @ (after - z).double()))

    def mean(self, coordinates: Tensor) -> Tensor:
        """⟨m⟩, (members, batch, 3), of coordinates."""
        return torch.matmul(coordinates, self.readout) + self.offset

    def mean_of_latent(self, z: Tensor) -> Tensor:
        """⟨m⟩ of latent numbers, as ``mean(decode(z))`` with the last layers multiplied out."""
        *hidden, last = self.out_bent
        weight, bias = last.get_parameter("weight"), last.get_parameter("bias")
        out = self.readout / self.inverse[:, None] * 0.1
        bent = z
        for layer in hidden:
            bent = layer(bent)
        straight = torch.matmul(z, torch.matmul(self.out_straight, self.readout))
        return (
            straight
            + torch.matmul(bent, torch.matmul(weight, out))
            + torch.matmul(bias, out)
            + self.offset
        )

    def run(self, z: Tensor, fields: Tensor) -> Tensor:
        """Latent numbers after each step, (members, batch, steps, latent).

        z : at the start; fields : (members, batch, steps, 3)
        """
        states = []
        for field in fields.unbind(2):
            z = self.step(z, field)
            states.append(z)
        return torch.stack(states, 2)

    @torch.no_grad()
    def coded(self, coordinates: np.ndarray) -> np.ndarray:
        """Coordinates (n, modes) encoded and decoded, mean of the members."""
        given = torch.from_numpy(coordinates.astype(np.float32)).expand(self.members, -1, -1)
        return self.decode(self.encode(given)).mean(0).numpy()

    @torch.no_grad()
    def trajectories(self, starts: np.ndarray, fields_T: np.ndarray) -> np.ndarray:
        """Coordinates, (runs, frames, modes), mean of the members, from starts (runs, modes) in
        fields (runs, frames - 1, 3) T."""
        first = torch.from_numpy(starts.astype(np.float32)).expand(self.members, -1, -1)
        fields = torch.from_numpy((fields_T / FIELD_UNIT_T).astype(np.float32))
        z = self.encode(first)
        later = self.run(z, fields.expand(self.members, -1, -1, -1))
        states = torch.cat([z[:, :, None], later], 2)
        return torch.stack(
            [self.decode(states[:, run]).mean(0) for run in range(len(starts))]
        ).numpy()
