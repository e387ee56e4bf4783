"""Spins and the torques on them, from which torque networks learn.

A set is runs of LLG dynamics on small lattices: quenches from random spins, and perturbed skyrmion
lattices, as in X. Cheng et al., Phys. Rev. Research 5, 033188 (2023), section III.C. The runs are
driven by the truth, or, what the paper lacks, by a network: errors in states that a network itself
drives to are what breaks its long runs. Every state is labelled by the truth.

The file knows its plan from the start and is filled run by run: /spins, /fields (runs, states, 3,
side, side) f4, /times_t0 (runs, states), /done (runs).
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from skyctl.simulators.itinerant.electrons import (
    FOUR_TWISTS,
    Electrons,
    equilibrium,
    perpendicular,
    random_spins,
    skyrmion_lattice,
)
from skyctl.simulators.itinerant.film import FieldOfSpins, midpoint_step
from skyctl.simulators.lattice.files import StateError, open_to_write, replace_whole

Kind = Literal["lattice", "quench"]
KINDS: tuple[Kind, ...] = ("lattice", "quench")
DATA_ELECTRONS = Electrons(temperature=0.03)
"""Warmer than the paper's may have been (it does not say): the field changes by 2.5 %, and depends
less on what lies beyond a small lattice."""
H_EXT = 0.005
DAMPING = 0.05
_FORMAT = "skyctl torque set"
_WIDEST_SPREAD = 0.8
_NETWORK_STEP_T0 = 5.0
"""Half the truth's: at the mean field, a spin turns by 0.1."""
_MOST_HELD_OUT = 14
"""Runs of either kind, in a set of any size: enough to judge by, and each was dear."""


@dataclass(frozen=True)
class TorquePlan:
    """What decides the states of a set.

    side : of the lattices, sites; runs : in all, lattices and quenches in turns
    steps, step_t0 : of the truth's dynamics; both states of a midpoint step are kept
    driver : "truth", or the name of the network that drives the runs; of those ``steps`` states are
        kept, at random times up to ``longest_t0`` after the start, as long as the paper's runs
    boundaries : of ``FOUR_TWISTS``, over which a label is the mean. Fewer are drawn anew for each
        state that a network drove to: such labels are right in the mean, one alone is 6 % off, and
        takes a quarter of the time

    Raises ValueError for what cannot be.
    """

    side: int = 24
    runs: int = 96
    steps: int = 1
    step_t0: float = 10.0
    seed: int = 7
    driver: str = "truth"
    longest_t0: float = 500.0
    electrons: Electrons = field(default=DATA_ELECTRONS)
    boundaries: int = len(FOUR_TWISTS)

    def __post_init__(self) -> None:
        if self.runs < 2 or self.steps < 1 or not 0 < self.step_t0 <= 10:
            raise ValueError(
                f"torque set of {self.runs} runs, {self.steps} steps of {self.step_t0:g} t0: give "
                "2 runs or more, 1 step or more, of up to 10 t0"
            )
        if not 0 < self.longest_t0 < np.inf:
            raise ValueError(f"torque set up to {self.longest_t0:g} t0: give more than 0")
        fewest = len(FOUR_TWISTS) if self.driver == "truth" else 1
        if not fewest <= self.boundaries <= len(FOUR_TWISTS):
            raise ValueError(
                f"torque set driven by {self.driver}, labelled with {self.boundaries} boundaries: "
                f"give {fewest} to {len(FOUR_TWISTS)}"
            )

    @property
    def states(self) -> int:
        """States of a run."""
        return 2 * self.steps if self.driver == "truth" else self.steps

    def kind(self, run: int) -> Kind:
        """What a run starts from."""
        return KINDS[run % len(KINDS)]

    def text(self) -> str:
        """The plan as text, the same for the same plan."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def of_text(text: str) -> "TorquePlan":
        """The plan whose ``text`` this is."""
        said = json.loads(text)
        return TorquePlan(**{**said, "electrons": Electrons(**said["electrons"])})


@dataclass(frozen=True)
class TorqueRun:
    """Labelled states of one run.

    spins, fields : (states, 3, side, side) float32, unit vectors and what of the electrons' field
        is perpendicular to them, in hoppings
    times_t0 : (states,), since the run's start
    """

    spins: np.ndarray
    fields: np.ndarray
    times_t0: np.ndarray


@dataclass(frozen=True)
class TorqueStates:
    """States to learn from, or to be judged by.

    spins, fields : (states, 3, side, side) float32; kinds : (states,) of KINDS
    """

    spins: np.ndarray
    fields: np.ndarray
    kinds: np.ndarray

    @property
    def mean_field(self) -> float:
        """Mean length of the perpendicular field, hoppings: the unit that networks predict in."""
        return float(np.linalg.norm(self.fields, axis=1).mean())

    @property
    def sha256(self) -> str:
        """Of all of it."""
        digest = hashlib.sha256()
        for array in (self.spins, self.fields, self.kinds):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def of_kind(self, kind: Kind) -> "TorqueStates":
        """The states of one kind of run."""
        some = self.kinds == kind
        return TorqueStates(self.spins[some], self.fields[some], self.kinds[some])

    @staticmethod
    def joined(parts: "list[TorqueStates]") -> "TorqueStates":
        """The states of several sets, one after another."""
        return TorqueStates(
            np.concatenate([part.spins for part in parts]),
            np.concatenate([part.fields for part in parts]),
            np.concatenate([part.kinds for part in parts]),
        )


def label(
    electrons: Electrons,
    spins: np.ndarray,
    twists: Sequence[tuple[float, float]] = FOUR_TWISTS,
) -> np.ndarray:
    """The truth: the perpendicular field on ``spins``, (3, rows, columns), an endless lattice's."""
    return perpendicular(spins, equilibrium(electrons, spins, twists, "f4").field)


def start_of_run(kind: Kind, side: int, rng: np.random.Generator) -> np.ndarray:
    """Spins (3, side, side) at the start of a run."""
    if kind == "quench":
        return random_spins(side, side, rng)
    spins = skyrmion_lattice(
        side,
        side,
        magnetisation=rng.uniform(0, 0.8),
        spread=rng.uniform(0, _WIDEST_SPREAD),
        rng=rng,
    )
    # Mirrored in spin space, skyrmions wind the other way: as likely, and as stable.
    return spins * np.array([rng.choice((-1, 1)), 1, 1])[:, None, None]


def simulate_run(plan: TorquePlan, run: int, driver: FieldOfSpins | None = None) -> TorqueRun:
    """One run of a plan. The same numbers for the same plan, wherever it is computed.

    driver : gives the field that drives a run whose plan does not say "truth"
    """
    kind = plan.kind(run)
    rng = np.random.default_rng([plan.seed, run])
    spins = start_of_run(kind, plan.side, rng)
    applied = np.array([0, 0, H_EXT])[:, None, None]
    states: list[np.ndarray] = []
    fields: list[np.ndarray] = []
    times: list[float] = []
    if driver is None:

        def labelled(state: np.ndarray, _: bool) -> np.ndarray:
            states.append(state)
            fields.append(label(plan.electrons, state))
            times.append(len(times) * plan.step_t0 / 2)
            return fields[-1] + applied

        for _ in range(plan.steps):
            spins = midpoint_step(spins, labelled, plan.step_t0, DAMPING)
    else:
        looks = np.sort(rng.uniform(0, plan.longest_t0, plan.steps))
        now = 0.0
        for look in looks:
            while now < look:
                spins = midpoint_step(
                    spins, lambda state, _: driver(state) + applied, _NETWORK_STEP_T0, DAMPING
                )
                now += _NETWORK_STEP_T0
            states.append(spins)
            some = rng.choice(FOUR_TWISTS, plan.boundaries, replace=False)
            fields.append(label(plan.electrons, spins, some.tolist()))
            times.append(now)
    return TorqueRun(
        np.stack(states).astype(np.float32), np.stack(fields).astype(np.float32), np.array(times)
    )


class TorqueSet:
    """A set in a file, open to be filled and read; a context manager. Runs count from 0.

    path : made where there is none; gone on with where there is the set of this plan
    plan : left out, the plan of a file that is there

    ``done``, (runs,) bool, says which runs it holds. Raises StateError for a file of another plan,
    one that is damaged or another process fills; OSError where none can be made, or without a
    plan none is.
    """

    def __init__(self, path: Path | str, plan: TorquePlan | None = None) -> None:
        self.path = Path(path)
        if plan is not None and not self.path.exists():
            _lay_out(self.path, plan)
        self._lock, self._file = open_to_write(self.path)

        try:
            if self._file.attrs.get("format") != _FORMAT:
                raise StateError(
                    f"torque set {self.path}: an HDF5 file, but no torque set. Give another file."
                )
            file: Any = self._file
            self.plan = plan or TorquePlan.of_text(file.attrs["plan"])
            if TorquePlan.of_text(file.attrs["plan"]) != self.plan:
                raise StateError(
                    f"torque set {self.path}: made with other options, {file.attrs['plan']}. "
                    "Give another file, or those options."
                )
            self._datasets = {name: file[name] for name in ("spins", "fields", "times_t0", "done")}
            self.done: np.ndarray = file["done"][:].astype(bool)
            self._file.swmr_mode = True
        except BaseException:
            self.close()
            raise

    def write(self, run: int, states: TorqueRun) -> None:
        """Store a run; it is in the file when this returns."""
        for name in ("spins", "fields", "times_t0"):
            self._datasets[name][run] = getattr(states, name)
        self._file.flush()
        self._datasets["done"][run] = 1  # last: a run cut short by a kill is simulated again
        self._file.flush()
        self.done[run] = True

    def split(self) -> tuple[TorqueStates, TorqueStates]:
        """Training states and held-out ones: 70 % and 30 % of the runs of either kind, 14 at most.

        Whole runs are held out, where the paper holds out states: neighbours in time are alike.
        Raises ValueError for a set that is not complete.
        """
        if not self.done.all():
            raise ValueError(
                f"torque set {self.path}: {int((~self.done).sum())} runs are missing. Fill it."
            )
        of_kind = np.arange(self.plan.runs) // len(KINDS)
        before, after = np.floor(of_kind * 0.3), np.floor((of_kind + 1) * 0.3)
        held_out = (after > before) & (after <= _MOST_HELD_OUT)
        return self._states(~held_out), self._states(held_out)

    def _states(self, chosen: np.ndarray) -> TorqueStates:
        runs = np.flatnonzero(chosen)
        spins, fields = (self._datasets[name][runs] for name in ("spins", "fields"))
        kinds = np.array([self.plan.kind(int(run)) for run in runs])
        shape = (-1, *spins.shape[2:])
        return TorqueStates(
            spins.reshape(shape), fields.reshape(shape), kinds.repeat(self.plan.states)
        )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._lock.close()

    def __enter__(self) -> "TorqueSet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lay_out(path: Path, plan: TorquePlan) -> None:
    shape = (plan.runs, plan.states, 3, plan.side, plan.side)

    def fill(file: h5py.File) -> None:
        for name in ("spins", "fields"):
            file.create_dataset(name, shape, np.float32, chunks=(1, *shape[1:]))
        file.create_dataset("times_t0", shape[:2], np.float64)
        file.create_dataset("done", shape[:1], np.uint8)
        file.attrs.update(format=_FORMAT, plan=plan.text())

    replace_whole(path, fill)


def fill_torque_set(
    states: TorqueSet,
    *,
    driver: FieldOfSpins | None = None,
    scheduler: str = "here",
    workers: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Simulate and label the runs that are missing; ``progress`` is called after each.

    driver : the network that drives the runs, where the plan says so
    scheduler : "here", one after another in this process; "local" and "tcp://…" as in
        ``scale_out.fill``; there the driver must be one that can be pickled

    Stopped at any moment, the next call goes on where this one was.
    Raises ValueError for a driver that the plan does not ask for, or lacks; ScaleOutError.
    """
    if (driver is None) != (states.plan.driver == "truth"):
        raise ValueError(
            f"torque set driven by {states.plan.driver!r}: "
            + ("give its driver" if driver is None else "it takes no driver")
        )
    missing = [int(run) for run in np.flatnonzero(~states.done)]
    if not missing:
        return
    from skyctl.models.scale_out import in_turn

    calls = ((states.plan, run, driver) for run in missing)
    with contextlib.closing(in_turn(simulate_run, calls, scheduler, workers)) as runs:
        for run, simulated in zip(missing, runs, strict=True):
            states.write(run, simulated)
            progress()
