"""Training of the spin VAE at given β and γ: reconstruction, latent and energy loss."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skyctl.models.generator_training import energies
from skyctl.models.spin_vae import SpinVAE

_LEARNING_RATE = 1e-3  # the paper's


@dataclass(frozen=True)
class Losses:
    """Means over films. reconstruction : Σ_α ΔS² a site; latent : KL divergence, summed over the
    latent numbers; energy : (E - E0) a site, E0 = -2J of the uniform film without its field."""

    reconstruction: float
    latent: float
    energy: float


@dataclass(frozen=True)
class SpinEnergy:
    """What the energy is of, J = 1: dmi : D; field : μB; open : open edges."""

    dmi: float
    field: float
    open: bool = False

    def energies(self, spins: Tensor) -> Tensor:
        """(films,) a site."""
        fields = torch.full((len(spins),), self.field, dtype=spins.dtype)
        if not self.open:
            return energies(spins, self.dmi, fields)
        # A rim without spins is what an open edge sees.
        side = spins.shape[-1]
        rim = torch.nn.functional.pad(spins, (0, 1, 0, 1))
        return energies(rim, self.dmi, fields) * ((side + 1) / side) ** 2


def losses_of(network: SpinVAE, spins: Tensor, film: SpinEnergy) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstruction, latent and energy loss of a batch (films, 3, side, side)."""
    made, mean, log_variance = network(spins)
    reconstruction = (made - spins).square().sum(1).mean()
    latent = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    return reconstruction, latent, film.energies(made).mean() + 2


def train_stage(
    network: SpinVAE,
    spins: np.ndarray,
    film: SpinEnergy,
    *,
    beta: float,
    gamma: float,
    steps: int,
    batch: int = 100,
    seed: int = 0,
    advance: Callable[[], object] = lambda: None,
) -> None:
    """Train on spins (films, 3, side, side) with a fresh Adam: L_RC + β L_KL + γ L_H, divided by
    max(1, γ), without which a large γ is another learning rate.

    Films are turned by quarters and, periodic, rolled: that stands for more of them. The same seed
    gives the same weights. Raises ValueError for β, γ that are no numbers of 0 or more.
    """
    for name, value in (("beta", beta), ("gamma", gamma)):
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} = {value}: give a number of 0 or more")
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    network.train()
    for _ in range(steps):
        chosen = spins[rng.integers(len(spins), size=batch)]
        some = torch.from_numpy(turned(chosen, rng, roll=not film.open))
        reconstruction, latent, energy = losses_of(network, some, film)
        loss = (reconstruction + beta * latent + gamma * energy) / max(1.0, gamma)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        advance()
    network.eval()


@torch.no_grad()
def evaluate(network: SpinVAE, spins: np.ndarray, film: SpinEnergy) -> Losses:
    """Losses over films that training may not have seen."""
    network.eval()
    torch.manual_seed(0)
    told = losses_of(network, torch.from_numpy(spins), film)
    return Losses(*(float(value) for value in told))


@torch.no_grad()
def samples(network: SpinVAE, count: int, seed: int = 0) -> np.ndarray:
    """(count, 3, side, side) float64 decoded from standard normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, network.latents, generator=generator)
    return network.eval().decode(z).numpy().astype(np.float64)


def turned(spins: np.ndarray, rng: np.random.Generator, *, roll: bool = True) -> np.ndarray:
    """Each film turned with its spins by a random quarter, and rolled: states of the same energy,
    for the lattice and its DMI have these symmetries."""
    out = np.empty_like(spins)
    for k, state in enumerate(spins):
        quarters = int(rng.integers(4))
        state = np.rot90(state, quarters, (1, 2))
        for _ in range(quarters):
            # rot90 turns rows, which count upwards, from x to -y: the spins with them.
            state = np.stack([state[1], -state[0], state[2]])
        if roll:
            state = np.roll(state, rng.integers(state.shape[-1], size=2), (1, 2))
        out[k] = state
    return out
