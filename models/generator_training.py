"""Training of the generator's decoder: annealed states from their places, and low energies."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skyctl.inference.state_generator import maps
from skyctl.models.generator_data import AnnealedStates, AnnealPlan
from skyctl.models.torque import wrap
from skyctl.simulators.lattice.places import apart
from skyctl.simulators.physics import llg

_ORDERS = (10, 30, 100, 400)
"""Of the drawn places whose energy is lowered."""
_CROWDING = (0.7, 1.3)
"""Least and most of their number, in annealed ones."""
_DRAWN = 192
_RAMP = 0.2
"""Of the steps go by without the energy, and as many in which it grows."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """So small a network is no faster on several, and on a busy machine many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def energies(spins: Tensor, dmi: float, fields: Tensor) -> Tensor:
    """(films,) energy a site of periodic films (films, 3, rows, columns), each bond once, J = 1.

    fields : (films,) μB/J; the interactions are those of the films (``llg.interaction_field``)
    """
    g = wrap(spins, 1)
    around = (
        g[..., 1:-1, :-2], g[..., 1:-1, 2:], g[..., :-2, 1:-1], g[..., 2:, 1:-1]
    )  # fmt: skip
    neighbours = [part for side in around for part in side.unbind(1)]
    arguments: tuple[Any, ...] = (*neighbours, spins[:, 2], 1.0, dmi, 0.0)
    inner = torch.stack(llg.interaction_field(*arguments), 1)
    return -(spins * inner).sum(1).mean((1, 2)) / 2 - fields * spins[:, 2].mean((1, 2))


def train_decoder(
    network: nn.Module,
    states: AnnealedStates,
    plan: AnnealPlan,
    *,
    steps: int,
    batch: int,
    weight: float,
    learning_rate: float,
    seed: int = 0,
    advance: Callable[[float], object] = lambda loss: None,
) -> None:
    """Train on annealed states of skyrmions: half of a batch is to become them, and all of it,
    with as many films of drawn places, to have a low energy.

    weight : of the energy a site beside the squared distance a site (the paper's γ)

    Adam, its rate falling along a cosine; the same seed gives the same weights. Raises ValueError
    where no annealed state is of skyrmions alone.
    """
    rng = np.random.default_rng(seed)
    known, wanted, fields = _annealed(states)
    drawn, drawn_fields = _drawn(states, plan, rng)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        a = rng.integers(len(known), size=batch)
        b = rng.integers(len(drawn), size=batch)
        made = network(torch.cat([known[a], drawn[b]]))
        distance = (made[:batch] - wanted[a]).square().sum(1).mean()
        b_fields = torch.cat([fields[a], drawn_fields[b]]) * plan.dmi**2
        # From the first step on, energy alone would lead to the uniform film.
        now = weight * min(1.0, max(0.0, step / (_RAMP * steps) - 1))
        loss = distance + now * energies(made, plan.dmi, b_fields).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        advance(float(loss.detach()))


def _annealed(states: AnnealedStates) -> tuple[Tensor, Tensor, Tensor]:
    """Maps, spins and fields of those that are of skyrmions alone."""
    chosen = np.flatnonzero(states.of_skyrmions)
    if not len(chosen):
        raise ValueError(
            f"{len(states.spins)} annealed states: none is of skyrmions alone; give fields between "
            "those of stripes and those of the empty film"
        )
    side = states.spins.shape[-1]
    told = [maps(states.places[k], side, side, states.fields[k]) for k in chosen]
    return (
        torch.from_numpy(np.stack(told)),
        torch.from_numpy(states.spins[chosen]),
        torch.from_numpy(states.fields[chosen].astype(np.float32)),
    )


def _drawn(
    states: AnnealedStates, plan: AnnealPlan, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Maps of drawn places, crowded more and less than annealed ones, and their fields."""
    side, told = plan.side, []
    fields = rng.uniform(plan.lowest, plan.highest, _DRAWN).astype(np.float32)
    for k, field in enumerate(fields):
        number = round(float(states.numbers.mean()) * rng.uniform(*_CROWDING))
        places = apart(number, side, side, True, _ORDERS[k % len(_ORDERS)], rng)
        told.append(maps(places, side, side, float(field)))
    return torch.from_numpy(np.stack(told)), torch.from_numpy(fields)
