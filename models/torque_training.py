"""Training of torque networks, and how well they do on states they have not seen."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pytorch_optimizer import SOAP
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


Precision = Literal["single", "bfloat16"]
"""Of a training's convolutions and products; sums, loss and weights are always single."""
_KEPT_EVERY = 500  # steps
FEWEST_STEPS = 2
"""Of a training: the first only measures which way a gradient varies."""


def train_torque(
    network: nn.Module,
    spins: np.ndarray,
    fields: np.ndarray,
    *,
    steps: int,
    batch: int = 4,
    learning_rate: float = 3e-3,
    augment: bool = True,
    precision: Precision = "single",
    seed: int = 0,
    kept: Path | None = None,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train on states (states, 3, side, side) float32 and their perpendicular fields of mean 1.

    Those near rest, of which a long run has most, come seldom: see ``states_of_a_pass``.

    augment : turn spins (SO(3)) and lattice (D6) at random, for a network that is not symmetric by
        construction
    kept : a file in which the training is kept every 500 steps; the same call goes on with it, to
        the same weights as if it had not been stopped

    SOAP (N. Vyas et al., arXiv:2409.11321) in place of the paper's Adam: here as good after a third
    of the steps. Its rate rises over the first steps and falls to zero along a cosine.
    It trains on the device that the network is on.
    Raises ValueError for no states, fields that are not numbers or all zero, or fewer steps than
    ``FEWEST_STEPS``.
    """
    if not len(spins) or steps < FEWEST_STEPS:
        raise ValueError(
            f"training on {len(spins)} states for {steps} steps: give 1 or more states, and "
            f"{FEWEST_STEPS} or more steps"
        )
    network.train()
    strengths = np.linalg.norm(fields, axis=1).mean((1, 2))
    if not 0 < strengths.max() < np.inf:
        raise ValueError(
            "training on fields that are not numbers, or all zero: nothing is to be learned from "
            "them. Label the states anew"
        )
    training = _Training(network, steps, learning_rate, strengths, np.random.default_rng(seed))
    if kept is not None and kept.exists():
        training.load(kept)
    device = _device_of(network)
    for step in range(training.step, steps):
        chosen = training.drawn(batch)
        states, targets = spins[chosen], fields[chosen]
        if augment:
            states, targets = _turned(states, targets, training.rng)
        x, true = (torch.from_numpy(array).to(device) for array in (states, targets))
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            predicted = network(x)
        loss = relative_loss(predicted.float(), true)
        training.learn(loss)
        if kept is not None and training.step % _KEPT_EVERY == 0:
            training.save(kept)
        progress(step, float(loss.detach()))
    network.eval()


def states_of_a_pass(strengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which states a pass looks at, in random order: as many as there are, each as often as the
    square of its mean field, ``strengths``, says, to one.

    The loss is relative. Of a film near rest it is largest, and tells least of what turns spins:
    drawn alike, such states take the network's few weights from all others.
    """
    shares = strengths**2 / np.sum(strengths**2)
    edges = np.floor(np.cumsum(shares) * len(shares) + rng.uniform()).astype(np.int64)
    times = np.diff(edges, prepend=0)
    return rng.permutation(np.repeat(np.arange(len(shares)), times))


class _Training:
    """A training under way: all that its next step depends on."""

    def __init__(
        self,
        network: nn.Module,
        steps: int,
        learning_rate: float,
        strengths: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        self.network, self.strengths, self.rng, self.step = network, strengths, rng, 0
        self.optimizer = SOAP(network.parameters(), lr=learning_rate, weight_decay=0.0)
        warm_up = max(1, steps // 20)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda k: min((k + 1) / warm_up, 0.5 + 0.5 * math.cos(math.pi * k / steps)),
        )
        self.order = np.empty(0, np.int64)

    def drawn(self, batch: int) -> np.ndarray:
        """The next of the states."""
        while len(self.order) < batch:
            more = states_of_a_pass(self.strengths, self.rng)
            self.order = np.concatenate([self.order, more])
        chosen, self.order = self.order[:batch], self.order[batch:]
        return chosen

    def learn(self, loss: Tensor) -> None:
        """One step down a loss."""
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1

    def save(self, path: Path) -> None:
        """Keep it in a file, as a whole or not at all."""
        partial = path.with_suffix(".part")
        state = {part: getattr(self, part).state_dict() for part in _LEARNING}
        rng = json.dumps(self.rng.bit_generator.state)
        torch.save(
            {**state, "step": self.step, "rng": rng, "order": torch.from_numpy(self.order)}, partial
        )
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on where ``save`` left off."""
        state = torch.load(path, weights_only=True)
        for part in _LEARNING:
            getattr(self, part).load_state_dict(state[part])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.step, self.order = state["step"], state["order"].numpy()


_LEARNING = ("network", "optimizer", "schedule")


def _turned(
    states: np.ndarray, targets: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """States and their fields under a random rotation of the spins and symmetry of the lattice."""
    pairs = np.stack([states, targets], 1)
    for k, pair in enumerate(pairs):
        turned = np.einsum("ab,nbij->naij", random_rotation(rng), pair)
        pairs[k] = lattice_symmetry(turned, int(rng.integers(12)))
    return pairs[:, 0], pairs[:, 1]


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
