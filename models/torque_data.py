"""Spins and the torques on them, from which torque networks learn.

A set is runs of LLG dynamics on small lattices: quenches from random spins, and perturbed skyrmion
lattices, as in X. Cheng et al., Phys. Rev. Research 5, 033188 (2023), section III.C. The runs are
driven by the truth, or, what the paper lacks, by a network: errors in states that a network itself
drives to are what breaks its long runs. Every state is labelled by the truth.

/plan                        what decides the set, as text
/runs/KIND-NUMBER            spins, fields (states, 3, rows, columns) f4, times_t0 of one run
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from skyctl.simulators.itinerant import (
    FOUR_TWISTS,
    Electrons,
    equilibrium,
    perpendicular,
    random_spins,
    skyrmion_lattice,
)
from skyctl.simulators.itinerant_film import FieldOfSpins, midpoint_step
from skyctl.simulators.state import StateError, replace_whole

Kind = Literal["lattice", "quench"]
KINDS: tuple[Kind, ...] = ("lattice", "quench")
DATA_ELECTRONS = Electrons(temperature=0.03)
"""Warmer than the paper's may have been (it does not say): the field changes by 2.5 %, and depends
less on what lies beyond a small lattice."""
H_EXT = 0.005
DAMPING = 0.05
_FORMAT = "skyctl torque set"
_WIDEST_SPREAD = 0.8


@dataclass(frozen=True)
class TorquePlan:
    """What decides the states of a set.

    side : of the lattices, sites; runs : of each kind
    step_t0, steps : of the truth's dynamics; both states of a midpoint step are kept
    """

    side: int = 24
    runs: int = 12
    steps: int = 4
    step_t0: float = 10.0
    seed: int = 7
    electrons: Electrons = field(default=DATA_ELECTRONS)

    def __post_init__(self) -> None:
        if self.runs < 2 or self.steps < 1 or not 0 < self.step_t0 <= 10:
            raise ValueError(
                f"torque set of {self.runs} runs, {self.steps} steps of {self.step_t0:g} t0: give "
                "2 runs or more, 1 step or more, of up to 10 t0"
            )


@dataclass(frozen=True)
class TorqueRun:
    """Labelled states of one run.

    spins, fields : (states, 3, rows, columns) float32, unit vectors and what of the electrons'
        field is perpendicular to them, in hoppings
    times_t0 : (states,), since the run's start
    """

    kind: Kind
    number: int
    spins: np.ndarray
    fields: np.ndarray
    times_t0: np.ndarray


def label(electrons: Electrons, spins: np.ndarray) -> np.ndarray:
    """The truth: the perpendicular field on ``spins``, (3, rows, columns), an endless lattice's."""
    return perpendicular(spins, equilibrium(electrons, spins, FOUR_TWISTS, "f4").field)


def start_of_run(kind: Kind, side: int, rng: np.random.Generator) -> np.ndarray:
    """Spins (3, side, side) at the start of a run."""
    if kind == "quench":
        return random_spins(side, side, rng)
    spins = skyrmion_lattice(
        side, side, magnetisation=rng.uniform(0, 0.8), spread=rng.uniform(0, _WIDEST_SPREAD),
        rng=rng,
    )  # fmt: skip
    return spins[..., ::-1] if rng.random() < 0.5 else spins


def run_truth(plan: TorquePlan, kind: Kind, number: int) -> TorqueRun:
    """One run driven by the truth. The same numbers for the same plan, wherever it is computed."""
    rng = np.random.default_rng([plan.seed, KINDS.index(kind), number])
    spins = start_of_run(kind, plan.side, rng)
    states: list[np.ndarray] = []
    fields: list[np.ndarray] = []
    times: list[float] = []

    def labelled(state: np.ndarray, half_on: bool) -> np.ndarray:
        states.append(state)
        fields.append(label(plan.electrons, state))
        times.append((step + half_on / 2) * plan.step_t0)
        return fields[-1] + np.array([0, 0, H_EXT])[:, None, None]

    for step in range(plan.steps):
        spins = midpoint_step(spins, labelled, plan.step_t0, DAMPING)
    return _as_run(kind, number, states, fields, times)


def _as_run(kind: Kind, number: int, states: list, fields: list, times: list) -> TorqueRun:
    return TorqueRun(
        kind, number, np.stack(states).astype(np.float32), np.stack(fields).astype(np.float32),
        np.array(times),
    )  # fmt: skip
