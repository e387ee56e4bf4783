"""Trajectories of a thin film, from which latent networks learn its dynamics.

A set is films of standard problem 4, each from its S-state under fields of its own: constant ones,
drawn from the sector of arXiv:1903.09499, and sequences of constant pieces, in any direction of the
plane. The S-state is its own image when the film is turned by half a turn, r → -r, and so is all
that a uniform field makes of it: half of the cells says all.

The file knows its plan from the start and is filled run by run: /half (runs, frames, 3, rows / 2,
columns) i2, m in units of 1/32767; /fields_T (runs, frames - 1, 3), the field of each interval;
/done (runs).
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.stats import qmc

from skyctl.models.scale_out import in_turn
from skyctl.simulators.lattice.files import StateError, open_to_write, replace_whole
from skyctl.simulators.thin.film import SP4_FIELDS_T, ThinFilm, ThinFilmParameters, s_state

COARSE_FILM = ThinFilmParameters(rows=32, columns=128, cell_nm=(3.9, 3.9, 3.0))
"""The film of standard problem 4 in cells twice as wide: ⟨m⟩ differs by 0.007 in field 1."""
INTERVAL_PS = 10.0
_FORMAT = "skyctl latent set"
_UNIT = 1 / 32767
_SYMMETRIC = 1e-6
_REST = 0.25


@dataclass(frozen=True)
class LatentPlan:
    """What decides the trajectories of a set; constant fields come first.

    film : an even number of rows; named : these constant fields, T, come before the drawn ones
    constant : fields in a sector about -x, a Sobol sequence over ``strength_T`` and the angle, up
        to ``half_opening_deg`` to either side
    sequences : of fields, each on for a time out of ``piece_ps``, in any direction of the plane and
        uniform over the disc of the sector's strongest field; a quarter of them none at all
    frames : of a trajectory, ``INTERVAL_PS`` apart, the first at 0

    Raises ValueError for what cannot be.
    """

    film: ThinFilmParameters = field(default=COARSE_FILM)
    named: tuple[tuple[float, float, float], ...] = ()
    constant: int = 192
    sequences: int = 96
    frames: int = 111
    seed: int = 7
    strength_T: tuple[float, float] = (0.022, 0.041)
    half_opening_deg: float = 22.0
    piece_ps: tuple[float, float] = (50.0, 400.0)

    def __post_init__(self) -> None:
        if self.film.rows % 2:
            raise ValueError(f"latent set of {self.film.rows} rows: halves need an even number")
        if self.runs < 1 or self.frames < 2:
            raise ValueError(
                f"latent set of {self.runs} trajectories, {self.frames} frames: give 1 and 2, or "
                "more"
            )

    @property
    def runs(self) -> int:
        """Trajectories in all."""
        return len(self.named) + self.constant + self.sequences

    @property
    def constants(self) -> int:
        """Trajectories in constant fields; the first ones."""
        return len(self.named) + self.constant

    def fields_T(self) -> np.ndarray:
        """The field of each interval of each trajectory, (runs, frames - 1, 3), T."""
        steps = self.frames - 1
        constant = np.concatenate([np.reshape(self.named, (-1, 3)), self._sector()])
        held = np.broadcast_to(constant[:, None], (len(constant), steps, 3))
        changing = [self._sequence(number) for number in range(self.sequences)]
        return np.concatenate([held, np.reshape(changing, (-1, steps, 3))])

    def _sector(self) -> np.ndarray:
        if not self.constant:
            return np.empty((0, 3))
        # Sobol points are even in powers of two; the first of them are the same however many.
        enough = int(np.ceil(np.log2(self.constant)))
        unit = qmc.Sobol(2, rng=np.random.default_rng(self.seed)).random_base2(enough)
        weakest, strongest = self.strength_T
        strength = weakest + (strongest - weakest) * unit[: self.constant, 0]
        angle = np.radians(180 + self.half_opening_deg * (2 * unit[: self.constant, 1] - 1))
        return strength[:, None] * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)

    def _sequence(self, number: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, number])
        fields = np.zeros((self.frames - 1, 3))
        start = 0
        while start < len(fields):
            steps = max(1, round(rng.uniform(*self.piece_ps) / INTERVAL_PS))
            strength, angle = np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
            if rng.uniform() > _REST:
                strength *= self.strength_T[1]
                fields[start : start + steps, :2] = strength * np.array(
                    [np.cos(angle), np.sin(angle)]
                )
            start += steps
        return fields

    def text(self) -> str:
        """The plan as text, the same for the same plan."""
        return json.dumps(asdict(self), sort_keys=True)


def judging_plan(plan: LatentPlan, constant: int = 16, sequences: int = 16) -> LatentPlan:
    """The trajectories by which networks of ``plan`` are judged: both fields of standard problem 4,
    and fields that nobody learned from."""
    return LatentPlan(
        film=plan.film, named=tuple(SP4_FIELDS_T.values()), constant=constant, sequences=sequences,
        frames=plan.frames, seed=plan.seed + 1000, strength_T=plan.strength_T,
        half_opening_deg=plan.half_opening_deg, piece_ps=plan.piece_ps,
    )  # fmt: skip


def half_of(m: np.ndarray) -> np.ndarray:
    """The upper half, (…, rows / 2, columns), of films (…, rows, columns).

    Raises ValueError for films that half a turn, r → -r, does not leave as they are.
    """
    off = float(np.abs(m - m[..., ::-1, ::-1]).max())
    if not off <= _SYMMETRIC:
        raise ValueError(
            f"film: half a turn changes m by {off:.2g}, so half of it does not say all. Start from "
            "a state of that symmetry, such as the S-state, without noise and defects"
        )
    return m[..., : m.shape[-2] // 2, :]


def whole_of(half: np.ndarray) -> np.ndarray:
    """Films (…, rows, columns) of which ``half``, (…, rows / 2, columns), is the upper half."""
    return np.concatenate([half, half[..., ::-1, ::-1]], -2)


def simulate_trajectory(film: ThinFilmParameters, fields_T: np.ndarray) -> np.ndarray:
    """Upper halves, (frames, 3, rows / 2, columns), from the S-state on.

    fields_T : (frames - 1, 3), the field of each interval
    """
    thin = ThinFilm(film)
    thin.magnetisation = s_state(film)
    frames = [half_of(thin.magnetisation)]
    changes = 1 + np.flatnonzero((np.diff(fields_T, axis=0) != 0).any(1))
    for piece in np.split(fields_T, changes):
        times = INTERVAL_PS * (1 + np.arange(len(piece)))
        frames += [half_of(m) for m in thin.frames(piece[0], times.tolist())]
    return np.stack(frames)


@dataclass(frozen=True)
class Trajectories:
    """Trajectories to learn from, or to be judged by.

    half : (runs, frames, 3, rows / 2, columns) int16, m in units of 1/32767
    fields_T : (runs, frames - 1, 3); constants : how many of the first runs have one field
    """

    half: np.ndarray
    fields_T: np.ndarray
    constants: int

    def magnetisation(self, run: int) -> np.ndarray:
        """Upper halves of one run, (frames, 3, rows / 2, columns) float32."""
        return self.half[run].astype(np.float32) * np.float32(_UNIT)

    @property
    def mean(self) -> np.ndarray:
        """⟨m⟩ of each frame, (runs, frames, 3)."""
        return self.half.mean((-2, -1), dtype=np.float64) * _UNIT

    @property
    def sha256(self) -> str:
        """Of all of it."""
        digest = hashlib.sha256()
        for array in (self.half, self.fields_T):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


class LatentSet:
    """A set in a file, open to be filled and read; a context manager. Runs count from 0.

    path : made where there is none; gone on with where there is the set of this plan

    ``done``, (runs,) bool, says which runs it holds. Raises StateError for a file of another plan,
    one that is damaged or another process fills; OSError where none can be made.
    """

    def __init__(self, path: Path | str, plan: LatentPlan) -> None:
        self.path, self.plan = Path(path), plan
        if not self.path.exists():
            _lay_out(self.path, plan)
        self._lock, self._file = open_to_write(self.path)
        try:
            file: Any = self._file
            if file.attrs.get("format") != _FORMAT or file.attrs["plan"] != plan.text():
                raise StateError(
                    f"latent set {self.path}: no set of trajectories, or made with other options, "
                    f"{file.attrs.get('plan')}. Give another file, or those options."
                )
            self._half, self._done = file["half"], file["done"]
            self._fields = file["fields_T"][:]
            self.done: np.ndarray = self._done[:].astype(bool)
            self._file.swmr_mode = True
        except BaseException:
            self.close()
            raise

    def write(self, run: int, half: np.ndarray) -> None:
        """Store a run, (frames, 3, rows / 2, columns); it is in the file when this returns."""
        self._half[run] = np.rint(half / _UNIT).astype(np.int16)
        self._file.flush()
        self._done[run] = 1  # last: a run cut short by a kill is simulated again
        self._file.flush()
        self.done[run] = True

    def read(self) -> Trajectories:
        """All of it. Raises ValueError for a set that is not complete."""
        if not self.done.all():
            raise ValueError(
                f"latent set {self.path}: {int((~self.done).sum())} runs are missing. Fill it."
            )
        return Trajectories(self._half[:], self._fields, self.plan.constants)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._lock.close()

    def __enter__(self) -> "LatentSet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lay_out(path: Path, plan: LatentPlan) -> None:
    shape = (plan.runs, plan.frames, 3, plan.film.rows // 2, plan.film.columns)

    def fill(file: h5py.File) -> None:
        file.create_dataset("half", shape, np.int16, chunks=(1, *shape[1:]))
        file["fields_T"] = plan.fields_T()
        file.create_dataset("done", shape[:1], np.uint8)
        file.attrs.update(format=_FORMAT, plan=plan.text())

    replace_whole(path, fill)


def fill_latent_set(
    trajectories: LatentSet,
    *,
    scheduler: str = "here",
    workers: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Simulate the runs that are missing; ``progress`` is called after each.

    scheduler, workers : as in ``scale_out.in_turn``

    Stopped at any moment, the next call goes on where this one was. Raises ScaleOutError.
    """
    missing = np.flatnonzero(~trajectories.done).tolist()
    if not missing:
        return
    fields = trajectories.plan.fields_T()
    calls = ((trajectories.plan.film, fields[run]) for run in missing)
    with contextlib.closing(in_turn(simulate_trajectory, calls, scheduler, workers)) as runs:
        for run, half in zip(missing, runs, strict=True):
            trajectories.write(run, half)
            progress()


def filled_set(
    path: Path, plan: LatentPlan, scheduler: str, progress: Callable[[], None]
) -> Trajectories:
    """The trajectories of a plan, simulated where the file at ``path`` lacks them."""
    with LatentSet(path, plan) as trajectories:
        fill_latent_set(trajectories, scheduler=scheduler, progress=progress)
        return trajectories.read()
