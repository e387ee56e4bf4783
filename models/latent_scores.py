"""How well predicted trajectories of a thin film fit its own: ⟨m⟩, angles, crossings, horizon."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.inference.latent_film import LatentFilm
from skyctl.models.latent_data import INTERVAL_PS, Trajectories, whole_of
from skyctl.simulators.thin.standard_problem import first_zero_ps

_FROM_PS, _TO_PS, _EARLY_PS = 50.0, 1000.0, 400.0
_WITHIN_DEG, _OF_CELLS = 10.0, 0.9


@dataclass(frozen=True)
class Predicted:
    """A trajectory as something predicts it: mean, (frames, 3), its ⟨m⟩; half, (frames, 3, rows,
    columns), of any length."""

    mean: np.ndarray
    half: np.ndarray


@dataclass(frozen=True)
class Score:
    """How far one predicted trajectory is off.

    mean, early : largest error of a component of ⟨m⟩ from 50 ps to 1 ns, and to 0.4 ns
    angles_deg : median and 90th percentile over cells and frames of those times
    crossing_ps : of the first zero of ⟨m_x⟩, predicted less true; NaN where there is none
    horizon_ps : up to there nine in ten cells are within 10° in every frame
    """

    mean: float
    early: float
    angles_deg: tuple[float, float]
    crossing_ps: float
    horizon_ps: float


def frame_angles_deg(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angles between vectors of any length (frames, 3, rows, columns), degrees, (frames, cells)."""
    dot = (predicted * true).sum(1)
    across = np.linalg.norm(np.cross(predicted, true, axis=1), axis=1)
    return np.degrees(np.arctan2(across, dot)).reshape(len(true), -1)


def score(predicted: Predicted, true: np.ndarray) -> Score:
    """Of a trajectory beside the film's own, (frames, 3, rows, columns), INTERVAL_PS apart."""
    times = INTERVAL_PS * np.arange(len(true))
    mean = true.mean((-2, -1), dtype=np.float64)
    off = np.abs(predicted.mean - mean).max(1)
    judged = (times >= _FROM_PS) & (times <= _TO_PS)
    angles = frame_angles_deg(predicted.half, true)
    median, most = np.percentile(angles[judged], [50, 90])
    lost = np.flatnonzero((angles <= _WITHIN_DEG).mean(1) < _OF_CELLS)
    crossings = [first_zero_ps(times, series[:, 0]) for series in (predicted.mean, mean)]
    return Score(
        mean=float(off[judged].max()),
        early=float(off[judged & (times <= _EARLY_PS)].max()),
        angles_deg=(float(median), float(most)),
        crossing_ps=crossings[0] - crossings[1],
        horizon_ps=float(times[lost[0] - 1] if len(lost) and lost[0] else times[-1]),
    )


def table_row(scores: Sequence[Score | None], constants: int) -> dict[str, Any]:
    """What is said of one predictor: of fields 1 and 2, the other constant fields, and sequences.

    scores : of the runs of a test set, in order; None where it was not tried
    """
    row: dict[str, Any] = {}
    for name, found in zip(("field_1", "field_2"), scores, strict=False):
        if found:
            row[name] = found.mean
            row[f"{name}_to_400_ps"] = found.early
            row[f"{name}_angles_deg"] = list(found.angles_deg)
            row[f"{name}_crossing_ps"] = found.crossing_ps
    others = [found.mean for found in scores[2:constants] if found]
    changing = [found.horizon_ps for found in scores[constants:] if found]
    return {
        **row,
        "others_median": float(np.median(others)) if others else None,
        "others": len(others),
        "changing_horizon_ps": float(np.median(changing)) if changing else None,
        "changing_mean_median": (
            float(np.median([found.mean for found in scores[constants:] if found]))
            if changing
            else None
        ),
    }


def scored(predictions: Sequence[Predicted | None], test: Trajectories) -> list[Score | None]:
    """The score of each run's prediction."""
    return [
        None if predicted is None else score(predicted, test.magnetisation(run))
        for run, predicted in enumerate(predictions)
    ]


def predictions_of(film: LatentFilm, test: Trajectories) -> tuple[list[Predicted], np.ndarray]:
    """What exported networks make of a test set, run by run from its first state, and the spread of
    the members in each frame, (runs, frames)."""
    fields = test.fields_T.astype(np.float32)
    starts = np.stack([whole_of(test.magnetisation(run)[0]) for run in range(len(fields))])
    z = film.encode(starts)
    imagined = film.imagine(z, fields)
    rows = film.card.rows // 2
    halves = [film.decode(z)[:, :, :rows]]
    for frame in range(fields.shape[1]):
        z, _ = film.step(z, np.ascontiguousarray(fields[:, frame]))
        halves.append(film.decode(z)[:, :, :rows])
    half = np.stack(halves, 1)
    predictions = [Predicted(m, h) for m, h in zip(imagined.mean, half, strict=True)]
    return predictions, imagined.spread


def coded(film: LatentFilm, test: Trajectories, runs: Sequence[int]) -> list[Predicted]:
    """What is left of a test set's states when each is encoded and decoded."""
    found = []
    for run in runs:
        m = test.magnetisation(run)
        z = film.encode(whole_of(m))
        found.append(Predicted(film.mean(z), film.decode(z)[:, :, : m.shape[2]]))
    return found


def spread_rank(predictions: Sequence[Predicted], spread: np.ndarray, test: Trajectories) -> float:
    """Spearman's rank correlation, over all frames from 50 ps on, of the members' ``spread``,
    (runs, frames), with the error of ⟨m⟩."""
    from scipy.stats import spearmanr

    first = round(_FROM_PS / INTERVAL_PS)
    error = np.linalg.norm(np.stack([p.mean for p in predictions]) - test.mean, axis=2)
    found: Any = spearmanr(spread[:, first:].ravel(), error[:, first:].ravel())
    return float(found.statistic)
