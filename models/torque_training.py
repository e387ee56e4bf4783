"""Training of torque networks, and how well they do on states they have not seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

_LEAST_FIELD = 0.05
"""Fields weaker than this, of their mean, count as this in the loss: so small, their labels are
uncertain (``FOUR_TWISTS``), and a relative loss would hang on them."""


@dataclass(frozen=True)
class TorqueScore:
    """How well predicted fields fit the true ones, over all sites.

    error : mean length of the difference, in units of the mean true field
    within_10_deg, beyond_30_deg : shares of sites by the angle between the two
    """

    error: float
    within_10_deg: float
    beyond_30_deg: float
    sites: int


def angles_deg(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angles between vectors (…, 3, rows, columns): (…, rows, columns), degrees."""
    lengths = np.linalg.norm(predicted, axis=-3) * np.linalg.norm(true, axis=-3)
    cosines = (predicted * true).sum(-3) / np.maximum(lengths, 1e-30)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def score(predicted: np.ndarray, true: np.ndarray) -> TorqueScore:
    """The score of fields (states, 3, rows, columns) against the true ones."""
    angles = angles_deg(predicted, true)
    error = np.linalg.norm(predicted - true, axis=1).mean() / np.linalg.norm(true, axis=1).mean()
    return TorqueScore(
        float(error), float((angles < 10).mean()), float((angles > 30).mean()), angles.size
    )


def relative_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """The paper's loss, eq. 11: Σ|T - T̂| / |T̂| a site, of fields (states, 3, rows, columns)."""
    length = torch.linalg.vector_norm(true, dim=1).clamp_min(_LEAST_FIELD)
    return ((predicted - true).abs().sum(1) / length).mean()


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation of spin space, (3, 3), uniform over SO(3)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def lattice_symmetry(fields: np.ndarray, number: int) -> np.ndarray:
    """Fields (…, side, side) under one of the twelve symmetries of the lattice, ``number`` 0 to 11.

    Raises ValueError for a lattice whose sides differ: it has fewer.
    """
    side = fields.shape[-1]
    if fields.shape[-2] != side:
        raise ValueError(
            f"lattice of {fields.shape[-2]} x {side} sites: only one of equal sides has all twelve "
            "symmetries"
        )
    row, column = np.mgrid[:side, :side]
    a, b = column, row
    if number >= 6:
        a, b = a + b, -b
    for _ in range(number % 6):
        a, b = -b, a + b
    out = np.empty_like(fields)
    out[..., b % side, a % side] = fields
    return out


def train_torque(
    network: nn.Module,
    spins: np.ndarray,
    fields: np.ndarray,
    *,
    steps: int,
    batch: int = 4,
    learning_rate: float = 3e-3,
    augment: bool = True,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train on states (states, 3, side, side) float32 and their perpendicular fields of mean 1.

    augment : turn spins (SO(3)) and lattice (D6) at random, for a network that is not symmetric by
        construction

    Adam, as in the paper; its rate rises over the first steps and falls to zero along a cosine.
    It trains on the device that the network is on.
    Raises ValueError for no states or no steps.
    """
    if not len(spins) or steps < 1:
        raise ValueError(f"training on {len(spins)} states for {steps} steps: give 1 or more")
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    warm_up = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: min((k + 1) / warm_up, 0.5 + 0.5 * np.cos(np.pi * k / steps)),
    )
    network.train()
    device = _device_of(network)
    order = np.empty(0, int)
    for step in range(steps):
        while len(order) < batch:
            order = np.concatenate([order, rng.permutation(len(spins))])
        chosen, order = order[:batch], order[batch:]
        states, targets = spins[chosen], fields[chosen]
        if augment:
            pairs = np.stack([states, targets], 1)
            for k, pair in enumerate(pairs):
                turned = np.einsum("ab,nbij->naij", random_rotation(rng), pair)
                pairs[k] = lattice_symmetry(turned, int(rng.integers(12)))
            states, targets = pairs[:, 0], pairs[:, 1]
        x, true = (torch.from_numpy(array).to(device) for array in (states, targets))
        loss = relative_loss(network(x), true)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress(step, float(loss.detach()))
    network.eval()


@torch.no_grad()
def predict(network: nn.Module, spins: np.ndarray, batch: int = 16) -> np.ndarray:
    """Fields (states, 3, rows, columns) that a network gives for spins of that shape."""
    network.eval()
    device = _device_of(network)
    parts = [
        network(torch.from_numpy(np.ascontiguousarray(spins[k : k + batch], np.float32)).to(device))
        for k in range(0, len(spins), batch)
    ]
    return torch.cat(parts).cpu().numpy()


def _device_of(network: nn.Module) -> torch.device:
    return next((weights.device for weights in network.parameters()), torch.device("cpu"))
