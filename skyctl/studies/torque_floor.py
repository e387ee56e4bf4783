"""What no torque network can better: how far labels are to be trusted, and what it cannot see."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.models.torque_data import KINDS, TorqueStates, label
from skyctl.models.torque_recipe import Progress, TorqueRecipe, filled_set, no_progress
from skyctl.models.torque_training import score
from skyctl.simulators.itinerant.electrons import FOUR_TWISTS, Electrons

OTHER_TWISTS = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
"""As good a mean over boundaries as ``FOUR_TWISTS``, of which none is one of those."""
REACHES = (4, 6, 8, 10)
"""Sites."""


def torque_floor(
    recipe: TorqueRecipe,
    data: Path,
    *,
    states: int = 8,
    spins: int = 40,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Both floors, on the runs that networks are judged by.

    recipe : its test runs, filled in the folder ``data`` where they are not there
    states, spins : looked at, of each kind (``label_floor``, ``reach_floor``)
    """
    data.mkdir(parents=True, exist_ok=True)
    sets = filled_set(data / "test.h5", recipe.test_plan, "here", progress)
    test, electrons = TorqueStates.joined([*sets]), recipe.plan.electrons
    advance = progress("other boundaries", len(KINDS))
    labels = label_floor(electrons, test, states, advance)
    advance = progress("spins out of reach", len(KINDS) * spins)
    reach = reach_floor(electrons, test, spins, REACHES, advance)
    return {"machine": machine(), "labels": labels, "reach": reach}


def label_floor(
    electrons: Electrons,
    states: TorqueStates,
    count: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """How well other boundaries agree with the labels of ``count`` states of each kind.

    "four others" is as good a label as the label itself: no network can be known to be nearer.
    "one" is a label of one boundary, as ``TorquePlan.boundaries`` offers.
    """
    said: dict[str, Any] = {}
    for kind in KINDS:
        of_kind = states.of_kind(kind)
        chosen = np.linspace(0, len(of_kind.spins) - 1, count).astype(int)
        spins, true = of_kind.spins[chosen].astype(np.float64), of_kind.fields[chosen]
        said[kind] = {}
        for name, twists in (("four others", OTHER_TWISTS), ("one", FOUR_TWISTS[:1])):
            found = np.stack([label(electrons, one, twists) for one in spins])
            said[kind][name] = asdict(score(found, true))
        advance()
    return said


def reach_floor(
    electrons: Electrons,
    states: TorqueStates,
    count: int,
    reaches: Sequence[int] = REACHES,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """By how much the field on a spin changes when another state takes over beyond its reach.

    states : (states, 3, side, side) of either kind; the other state is one of the same kind
    count : spins looked at, of each kind and reach

    Returns reaches and, of each kind, its changes: mean |difference| over mean |field|. Who sees no
    farther and knows the mean best misses by about 1/√2 of it; the seam between the two states,
    where none is in a film, counts as well: it is an upper estimate.
    """
    changes: dict[str, list[float]] = {}
    for kind in KINDS:
        spins = states.of_kind(kind).spins.astype(np.float64)
        side = spins.shape[-1]
        rng = np.random.default_rng(0)
        differences, lengths = np.zeros((count, len(reaches))), np.zeros(count)
        for k in range(count):
            here, there = spins[rng.choice(len(spins), 2, replace=False)]
            here = np.roll(here, rng.integers(side, size=2).tolist(), (1, 2))
            true = _at_the_middle(electrons, here)
            lengths[k] = np.linalg.norm(true)
            for n, reach in enumerate(reaches):
                seen = np.where(distance_from_middle(side, side) <= reach, here, there)
                differences[k, n] = np.linalg.norm(_at_the_middle(electrons, seen) - true)
            advance()
        changes[kind] = (differences.mean(0) / lengths.mean()).tolist()
    return {"reaches": list(reaches), "changes": changes}


def _at_the_middle(electrons: Electrons, spins: np.ndarray) -> np.ndarray:
    """The perpendicular field on the middle spin, (3,); one boundary will do for a difference."""
    middle = spins.shape[-1] // 2
    return label(electrons, spins, FOUR_TWISTS[:1])[:, middle, middle]


def distance_from_middle(rows: int, columns: int) -> np.ndarray:
    """Lattice constants from the middle site of a periodic triangular lattice, (rows, columns)."""
    row, column = np.mgrid[:rows, :columns]
    images = []
    for around, across in np.ndindex(3, 3):  # itself and its copies: the nearest counts
        down = row - rows // 2 + (around - 1) * rows
        right = column - columns // 2 + (across - 1) * columns
        images.append(np.sqrt(right**2 + right * down + down**2))
    return np.min(images, axis=0)
