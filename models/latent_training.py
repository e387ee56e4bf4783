"""Training of latent networks: coding, one step, then rollouts, all judged by decoded states."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from skyctl.models.latent import FIELD_UNIT_T, LatentNetwork

_MEAN_WEIGHT = 10.0
"""Of the squared error of ⟨m⟩ beside that of a cell: the one is what sensors show."""
_FAR = 0.02
"""Mean squared error of a cell from which on more of it counts for less."""
_EVERY = 4
"""Steps of a rollout from one that is decoded to the next: decoding costs as much as a step."""
_SAVE_S = 30.0


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    iterations : batches; batch : trajectories in each; steps : of a rollout, 0 for coding alone
    from_start : share of rollouts that begin with a trajectory's first frame, the others anywhere
    rate : Adam's, at the stage's beginning and its end
    noise : on the latent numbers that a rollout begins with
    """

    iterations: int
    batch: int
    steps: int
    from_start: float = 0.0
    rate: tuple[float, float] = (1e-3, 1e-3)
    noise: float = 0.0


@dataclass(frozen=True)
class Coded:
    """What training sees of trajectories: coordinates (runs, frames, modes) and fields in
    FIELD_UNIT_T, (runs, frames - 1, 3), both float32."""

    coordinates: Tensor
    fields: Tensor

    @staticmethod
    def of(coordinates: np.ndarray, fields_T: np.ndarray) -> "Coded":
        """From coordinates, and fields in T."""
        fields = (fields_T / FIELD_UNIT_T).astype(np.float32)
        return Coded(torch.from_numpy(coordinates.astype(np.float32)), torch.from_numpy(fields))

    def to(self, device: str) -> "Coded":
        """The same on another device."""
        return Coded(self.coordinates.to(device), self.fields.to(device))


def train_latent(
    network: LatentNetwork,
    coded: Coded,
    stages: tuple[Stage, ...],
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Callable[[int, float], None] = lambda iteration, loss: None,
) -> None:
    """Train all members, each on batches of its own; on the device that the network is on.

    checkpoint : where it stands is kept there every half minute; the same call goes on from there.
        What is there must be of the same network, trajectories and stages: name it after them
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    done = _restore(checkpoint, network, optimizer)
    saved = time.monotonic()
    total = 0
    for number, stage in enumerate(stages):
        if stage.steps and not any(before.steps for before in stages[:number]) and done <= total:
            _begin_step(network, coded)
        for iteration in range(max(0, done - total), stage.iterations):
            rng = np.random.default_rng([seed, number, iteration])
            first, last = stage.rate
            fallen = 0.5 - 0.5 * np.cos(np.pi * iteration / stage.iterations)
            for group in optimizer.param_groups:
                group["lr"] = float(first * (last / first) ** fallen)
            loss = _loss(network, coded, stage, rng)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            progress(total + iteration, float(loss.detach()))
            if checkpoint and time.monotonic() - saved > _SAVE_S:
                _save(checkpoint, network, optimizer, total + iteration + 1)
                saved = time.monotonic()
        total += stage.iterations
    if checkpoint:
        _save(checkpoint, network, optimizer, total)


@torch.no_grad()
def _begin_step(network: LatentNetwork, coded: Coded) -> None:
    """The linear step that fits the encoded trajectories best."""
    every = coded.coordinates.flatten(0, 1).expand(network.members, -1, -1)
    z = network.encode(every).unflatten(1, coded.coordinates.shape[:2])
    fields = coded.fields.flatten(0, 1).expand(network.members, -1, -1)
    network.begin_step(z[:, :, :-1].flatten(1, 2), fields, z[:, :, 1:].flatten(1, 2))


def _loss(network: LatentNetwork, coded: Coded, stage: Stage, rng: np.random.Generator) -> Tensor:
    """Of one batch: of decoded states as they are, and of those that rollouts lead to."""
    runs, frames, _ = coded.coordinates.shape
    shape = (network.members, stage.batch)
    some = coded.coordinates[rng.integers(0, runs, shape), rng.integers(0, frames, shape)]
    loss = _off(network, network.decode(network.encode(some)), some).sum(0).mean()
    if not stage.steps:
        return loss
    run = rng.integers(0, runs, shape)
    start = rng.integers(0, frames - stage.steps, shape)
    start = np.where(rng.uniform(size=shape) < stage.from_start, 0, start)
    z = network.encode(coded.coordinates[run, start])
    noise = torch.from_numpy(rng.normal(size=tuple(z.shape)).astype(np.float32))
    span = start[..., None] + np.arange(stage.steps)
    later = network.run(z + stage.noise * noise.to(z.device), coded.fields[run[..., None], span])
    judged = rng.integers(0, min(_EVERY, stage.steps)) + np.arange(0, stage.steps, _EVERY)
    judged = judged[judged < stage.steps]
    decoded = network.decode(later[:, :, judged].flatten(1, 2))
    true = coded.coordinates[run[..., None], span[..., judged] + 1].flatten(1, 2)
    return loss + _off(network, decoded, true).sum(0).mean()


def _off(network: LatentNetwork, decoded: Tensor, true: Tensor) -> Tensor:
    """(members, batch) of states and their ⟨m⟩: squared while it is small. What has gone quite
    another way, as films in strong fields soon do, is not to outweigh all the rest."""
    difference = decoded - true
    mean = torch.matmul(difference, network.readout)
    square = difference.square().sum(-1) + _MEAN_WEIGHT * mean.square().sum(-1)
    return _FAR * torch.log1p(square / _FAR)


def _restore(
    checkpoint: Path | None, network: LatentNetwork, optimizer: torch.optim.Optimizer
) -> int:
    """How many iterations are done."""
    if checkpoint is None or not checkpoint.exists():
        return 0
    kept = torch.load(checkpoint, weights_only=True)
    network.load_state_dict(kept["network"])
    optimizer.load_state_dict(kept["optimizer"])
    return int(kept["done"])


def _save(
    checkpoint: Path, network: LatentNetwork, optimizer: torch.optim.Optimizer, done: int
) -> None:
    partial = checkpoint.with_suffix(".part")
    kept = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "done": done}
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()
    torch.save(kept, partial)
    partial.replace(checkpoint)
