"""Micromagnetic standard problem 4 on the thin film, beside the reference series it must meet."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skyctl.simulators.thin import DEFAULT_TOLERANCE
from skyctl.simulators.thin.film import SP4_FIELDS_T, ThinFilm, s_state

_REFERENCE = Path(__file__).parent / "reference"


@dataclass(frozen=True)
class Sp4Run:
    """One nanosecond of the film in field 1 or 2.

    times_ps : (frames,), those of the reference series
    mean, reference : (frames, 3), ⟨m⟩ here and there
    at_crossing, at_crossing_ps : the frame nearest to the zero crossing, (3, rows, columns)
    demag_evaluations, rate_evaluations : the work it took
    """

    field: int
    start: str
    tolerance: float
    times_ps: np.ndarray
    mean: np.ndarray
    reference: np.ndarray
    at_crossing: np.ndarray
    at_crossing_ps: float
    demag_evaluations: int
    rate_evaluations: int

    @property
    def difference(self) -> float:
        """Largest difference of a component of ⟨m⟩ from the reference."""
        return float(np.abs(self.mean - self.reference).max())

    @property
    def crossing_ps(self) -> float:
        """When ⟨m_x⟩ first changes sign, ps."""
        return first_zero_ps(self.times_ps, self.mean[:, 0])

    @property
    def reference_crossing_ps(self) -> float:
        """When the reference's ⟨m_x⟩ first changes sign, ps."""
        return first_zero_ps(self.times_ps, self.reference[:, 0])

    def as_json(self) -> dict[str, Any]:
        """The run as plain numbers; the frame at the crossing left out."""
        return {
            "field": self.field,
            "field_T": SP4_FIELDS_T[self.field],
            "start": self.start,
            "tolerance": self.tolerance,
            "difference": self.difference,
            "crossing_ps": self.crossing_ps,
            "reference_crossing_ps": self.reference_crossing_ps,
            "demag_evaluations": self.demag_evaluations,
            "rate_evaluations": self.rate_evaluations,
            "frames": [
                {"time_ps": t, "mean": m, "reference": r}
                for t, m, r in zip(
                    self.times_ps.tolist(), self.mean.tolist(), self.reference.tolist(), strict=True
                )
            ],
        }


def reference_series(field: int) -> tuple[np.ndarray, np.ndarray]:
    """Times, ps, (frames,), and ⟨m⟩, (frames, 3), of ``reference/sp4_field*.csv``.

    Raises ValueError for a field that is neither 1 nor 2.
    """
    if field not in SP4_FIELDS_T:
        raise ValueError(f"standard problem 4 has no field {field}: choose 1 or 2")
    table = np.loadtxt(_REFERENCE / f"sp4_field{field}.csv", delimiter=",", skiprows=1)
    return table[:, 0] * 1e3, table[:, 1:]


def reference_s_state() -> np.ndarray:
    """The state that the reference series start from, (3, 64, 256)."""
    with np.load(_REFERENCE / "sp4_s_state_256x64.npz") as file:
        return file["m"].transpose(2, 1, 0).copy()


def first_zero_ps(times_ps: np.ndarray, values: np.ndarray) -> float:
    """When a series, (frames,), that starts above 0 first reaches it, on straight lines; or NaN."""
    below = np.flatnonzero(values <= 0)
    if not len(below):
        return float("nan")
    after = int(below[0])
    return float(np.interp(0, values[[after, after - 1]], times_ps[[after, after - 1]]))


def run_standard_problem(
    field: int,
    start: Literal["own", "reference"] = "own",
    tolerance: float = DEFAULT_TOLERANCE,
    progress: Callable[[], object] = lambda: None,
) -> Sp4Run:
    """Run standard problem 4 to the end of the reference series, 1 ns.

    start : the film's own relaxed S-state, or the reference's
    tolerance : the film's; progress : called at each frame

    Raises ValueError for a field that is neither 1 nor 2.
    """
    times_ps, reference = reference_series(field)
    film = ThinFilm(tolerance=tolerance)
    film.magnetisation = s_state() if start == "own" else reference_s_state()
    mean: list[np.ndarray] = []
    nearest, nearest_ps, crossed = film.magnetisation, 0.0, False
    for m in film.frames(SP4_FIELDS_T[field], times_ps.tolist()):
        mean.append(m.mean((1, 2)))
        if not crossed and abs(m[0].mean()) < abs(nearest[0].mean()):
            nearest, nearest_ps = m, float(times_ps[len(mean) - 1])
        crossed = crossed or mean[-1][0] <= 0
        progress()
    return Sp4Run(
        field=field,
        start=start,
        tolerance=tolerance,
        times_ps=times_ps,
        mean=np.array(mean),
        reference=reference,
        at_crossing=nearest,
        at_crossing_ps=nearest_ps,
        demag_evaluations=film.demag_evaluations,
        rate_evaluations=film.rate_evaluations,
    )
