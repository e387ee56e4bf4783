"""The energy that a network's torque gives a film: one that is no gradient pumps it.

Spins that nothing damps keep their energy, the electrons' grand potential and what the external
field adds. Moved by a network's torque they keep it only as far as that torque is the truth's; what
the network pumps is compared with what the damping of the paper's films takes out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.models.torque_data import (
    DAMPING,
    DATA_ELECTRONS,
    H_EXT,
    KINDS,
    label,
    start_of_run,
)
from skyctl.models.torque_recipe import Progress, no_progress
from skyctl.simulators.itinerant.electrons import FOUR_TWISTS, Electrons, equilibrium, perpendicular
from skyctl.simulators.itinerant.film import FieldOfSpins
from skyctl.studies.torque_quenches import run_film

LOOKS = 8
_TRUTH_STEP_T0 = 5.0
_NETWORK_STEP_T0 = 1.0


@dataclass(frozen=True)
class EnergyCourse:
    """A film's energy at some times, hoppings a site, by the truth.

    pumped : dE/dt at each that the torque of the network causes, without damping, hoppings / t0
    dissipated : what the damping of the paper's films would take out of it there
    """

    times_t0: list[float]
    energy: list[float]
    pumped: list[float]
    dissipated: list[float]

    @property
    def gained(self) -> float:
        """Energy at the end more than at the start."""
        return self.energy[-1] - self.energy[0]

    @property
    def pumped_share(self) -> float:
        """What is pumped, of what damping dissipates, over the run."""
        return float(np.sum(self.pumped) / np.sum(self.dissipated))


def energy_course(
    field: FieldOfSpins,
    spins: np.ndarray,
    times_t0: Sequence[float],
    *,
    electrons: Electrons = DATA_ELECTRONS,
    damping: float = 0.0,
    step_t0: float = _NETWORK_STEP_T0,
) -> EnergyCourse:
    """A film's energy under the torque of ``field``, from spins (3, rows, columns) on."""
    applied = np.array([0, 0, H_EXT])[:, None, None]
    rows = []
    for seen in run_film(field, spins, times_t0, step_t0, damping):
        truth = equilibrium(electrons, seen, FOUR_TWISTS, "f4")
        force = perpendicular(seen, truth.field + applied)
        turned = -np.cross(seen, field(seen) + applied, axis=0)  # dS/dt, damping left out
        rows.append(
            (
                float(truth.grand_potential - H_EXT * seen[2].mean()),
                -float((force * turned).sum(0).mean()),
                DAMPING * float((force**2).sum(0).mean()),
            )
        )
    return EnergyCourse(list(times_t0), *(list(column) for column in zip(*rows, strict=True)))


def torque_energy(
    networks: Mapping[str, FieldOfSpins],
    png: Path | None = None,
    *,
    side: int = 24,
    long_t0: float = 100.0,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Films that nothing damps, moved by the truth and by networks; their energy by the truth.

    Of each kind of run one, on ``side`` × ``side`` sites; "damped" is the first network's, damped.
    Raises ValueError for a side that the truth or the order does not take.
    """
    times = [long_t0 * k / LOOKS for k in range(LOOKS + 1)]
    courses: dict[str, dict[str, EnergyCourse]] = {}
    for kind in KINDS:
        spins = start_of_run(kind, side, np.random.default_rng(seed))
        advance = progress(f"energy, {kind}", len(networks) + 2)
        courses[kind] = {}
        drivers: dict[str, tuple[FieldOfSpins, float, float]] = {
            "truth": (_truth, 0.0, _TRUTH_STEP_T0),
            **{name: (field, 0.0, _NETWORK_STEP_T0) for name, field in networks.items()},
            "damped": (next(iter(networks.values())), DAMPING, _NETWORK_STEP_T0),
        }
        for name, (field, damping, step_t0) in drivers.items():
            courses[kind][name] = energy_course(
                field, spins, times, damping=damping, step_t0=step_t0
            )
            advance()
    if png is not None:
        from skyctl.studies.torque_paper_figures import energies

        energies(png, courses)
    return {
        "machine": machine(),
        "side": side,
        "damping_compared_with": DAMPING,
        "runs": {kind: {name: _said(c) for name, c in of.items()} for kind, of in courses.items()},
    }


def _truth(spins: np.ndarray) -> np.ndarray:
    return label(DATA_ELECTRONS, spins)


def _said(course: EnergyCourse) -> dict[str, Any]:
    return {**asdict(course), "gained": course.gained, "pumped_share": course.pumped_share}
