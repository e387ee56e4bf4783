"""The networks of arXiv:1903.09499: its Table 1, a convolutional autoencoder, and Table 2, its
predictor, with the losses as meant.

Its L₂ lacks the absolute value: printed, a spin that shrinks along x costs in L₁ what it earns in
L₂. Its L_P has a line too many.
"""

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from skyctl.models.latent import FIELD_UNIT_T
from skyctl.models.latent_data import Trajectories, whole_of
from skyctl.models.latent_scores import Predicted

_LATENT = 16
_PAST = 4
_AHEAD = 8
_RATE = 1e-4
_Z_WEIGHT = 10.0


class PaperAutoencoder(nn.Module):
    """Table 1 for films of ``rows`` x 4·``rows`` cells, a power of two: a layer each time the film
    is halved down to one row. The paper's 64 rows make its six layers, 32 make five."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        depth = round(np.log2(rows))
        widths = [16 * 2**k for k in range(depth)]
        flat = 4 * widths[-1]
        down: list[nn.Module] = []
        for k, (before, after) in enumerate(zip([3, *widths], widths, strict=False)):
            down += [_conv(nn.Conv2d, before, after, first=k == 0), nn.ELU()]
        self.encoder = nn.Sequential(
            *down, nn.Flatten(), nn.Dropout(0.1), nn.Linear(flat, _LATENT), nn.ELU()
        )
        up: list[nn.Module] = []
        for before, after in zip(widths[::-1], widths[-2::-1], strict=False):
            up += [_conv(nn.ConvTranspose2d, before, after), nn.ELU()]
        self.decoder = nn.Sequential(
            nn.Linear(_LATENT, flat), nn.ELU(), nn.Dropout(0.1),
            nn.Unflatten(1, (widths[-1], 1, 4)), *up,
            _conv(nn.ConvTranspose2d, widths[0], 3, first=True), nn.Tanh(),
        )  # fmt: skip

    def forward(self, m: Tensor) -> Tensor:
        """Films (batch, 3, rows, columns) after encoding and decoding."""
        return self.decoder(self.encoder(m))


def _conv(kind: type[nn.Module], before: int, after: int, first: bool = False) -> nn.Module:
    """A layer that halves, or doubles, a film; 4 x 4 next to the film, 2 x 2 elsewhere."""
    size, padding = (4, 1) if first else (2, 0)
    return kind(before, after, size, stride=2, padding=padding)


class PaperPredictor(nn.Sequential):
    """Table 2: from the field, x and y, and four coded states to the next."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        sizes = [2 + _PAST * _LATENT, 64, 64, 32, 32, 16, 16]
        for k, (before, after) in enumerate(pairwise(sizes)):
            layers += [nn.Linear(before, after), nn.ELU()]
            if k in (1, 3):
                layers.append(nn.Dropout(0.02))
        super().__init__(*layers)

    def ahead(self, fields: Tensor, past: Tensor, steps: int) -> Tensor:
        """The next ``steps`` coded states, (batch, steps, 16), in constant fields (batch, 2).

        past : (batch, 4, 16). Raises ValueError for fewer states than it needs.
        """
        if past.shape[1] != _PAST:
            raise ValueError(
                f"predictor: {past.shape[1]} states, and it needs {_PAST}. Compute those first"
            )
        states = list(past.unbind(1))
        for _ in range(steps):
            states.append(self(torch.cat([fields, *states[-_PAST:]], 1)))
        return torch.stack(states[_PAST:], 1)


def autoencoder_loss(decoded: Tensor, true: Tensor) -> Tensor:
    """L_ED, as meant, a film: Σ|Δm_x| + |Δm_y| + 10|Δm_z| + ||m̃| - 1|."""
    weights = torch.tensor([1.0, 1.0, _Z_WEIGHT])[:, None, None]
    off = ((decoded - true).abs() * weights).sum((1, 2, 3))
    length = (torch.linalg.vector_norm(decoded, dim=1) - 1).abs().sum((1, 2))
    return (off + length).mean()


def predictor_loss(predictor: PaperPredictor, fields: Tensor, states: Tensor) -> Tensor:
    """L_P, as meant: squared errors of eight states after four, (batch, 12, 16)."""
    predicted = predictor.ahead(fields, states[:, :_PAST], _AHEAD)
    return (states[:, _PAST:] - predicted).square().sum((1, 2)).mean()


def train_paper_networks(
    training: Trajectories, seconds: float, seed: int, advance: Callable[[], None]
) -> tuple[PaperAutoencoder, PaperPredictor, dict[str, float]]:
    """Train both with Nadam at 1e-4, each for so many CPU seconds, on constant fields.

    Returns them with what it took: epochs of either, and of its training the last loss.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    runs, frames = training.constants, training.half.shape[1]
    coder, predictor = PaperAutoencoder(2 * training.half.shape[3]), PaperPredictor()

    def films(run: np.ndarray, frame: np.ndarray) -> Tensor:
        half = training.half[run, frame].astype(np.float32) / np.float32(32767)
        return torch.from_numpy(np.ascontiguousarray(whole_of(half)))

    def coding() -> Tensor:
        true = films(rng.integers(0, runs, 32), rng.integers(0, frames, 32))
        return autoencoder_loss(coder(true), true)

    steps, loss = _train(coder, coding, seconds)
    advance()
    coder.eval()
    with torch.no_grad():
        coded = torch.stack(
            [coder.encoder(films(np.full(frames, run), np.arange(frames))) for run in range(runs)]
        )
    fields = torch.from_numpy((training.fields_T[:runs, 0, :2] / FIELD_UNIT_T).astype(np.float32))

    def predicting() -> Tensor:
        run = rng.integers(0, runs, 128)
        start = rng.integers(0, frames - _PAST - _AHEAD + 1, (128, 1))
        span = torch.from_numpy(start + np.arange(_PAST + _AHEAD))
        return predictor_loss(predictor, fields[run], coded[torch.from_numpy(run)[:, None], span])

    ahead, ahead_loss = _train(predictor, predicting, seconds / 2)
    predictor.eval()
    advance()
    states = runs * frames
    return coder, predictor, {
        "autoencoder_epochs": 32 * steps / states, "autoencoder_loss": loss,
        "predictor_epochs": 128 * ahead / states, "predictor_loss": ahead_loss,
    }  # fmt: skip


def _train(
    network: nn.Module, batch_loss: Callable[[], Tensor], seconds: float
) -> tuple[int, float]:
    """Steps taken within so much CPU time, and the last loss."""
    optimizer = torch.optim.NAdam(network.parameters(), lr=_RATE)
    network.train()
    end, steps, loss = time.process_time() + seconds, 0, torch.zeros(())
    while time.process_time() < end or not steps:
        loss = batch_loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    return steps, float(loss.detach())


@torch.no_grad()
def paper_coded(coder: PaperAutoencoder, test: Trajectories, run: int) -> Predicted:
    """A run after encoding and decoding."""
    decoded = coder(torch.from_numpy(whole_of(test.magnetisation(run)))).numpy()
    return _half(decoded)


@torch.no_grad()
def paper_predicted(
    coder: PaperAutoencoder, predictor: PaperPredictor, test: Trajectories, run: int
) -> Predicted:
    """A run in a constant field, from its states at 10, 20, 30 and 40 ps, as the paper's."""
    m = torch.from_numpy(whole_of(test.magnetisation(run)))
    fields = torch.from_numpy((test.fields_T[run, :1, :2] / FIELD_UNIT_T).astype(np.float32))
    past = coder.encoder(m[1 : 1 + _PAST])[None]
    later = predictor.ahead(fields, past, len(m) - 1 - _PAST)[0]
    decoded = coder.decoder(torch.cat([past[0], later])).numpy()
    return _half(np.concatenate([m[:1].numpy(), decoded]))


def _half(m: np.ndarray) -> Predicted:
    return Predicted(m.mean((2, 3), dtype=np.float64), m[:, :, : m.shape[2] // 2])
