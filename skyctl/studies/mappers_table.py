"""Rows of `skyctl bench autonomy` on the mapper, from its runs and its baselines'."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skyctl.studies.mapper_runs import Job, Run

_NOISE_TARGETS = {0.05: 1.8, 0.1: 2.4, 0.2: 4.7}
"""Multiplier of shots that is asked for, by the share of labels that are wrong."""
NOISES = tuple(_NOISE_TARGETS)
_RESAMPLES = 2000

Runs = dict[Job, Run]
_Values = list[tuple[str, float]]
"""(map, value) of each run; infinite where it never got there."""


def mapper_rows(done: Runs) -> list[dict[str, Any]]:
    """The rows: shots to the targets, acceleration, label noise, and when the mapper ends."""
    plain, learned = _of(done, "boundary-mapper"), _of(done, "learned")
    both = ((learned, "with a prior"), (plain, "prior-free"))
    return [
        *_shots_rows(done),
        *(_acceleration(runs, _of(done, "random"), words) for runs, words in both),
        *(_noise_row(done, noise) for noise in NOISES),
        *(_stopping(runs, f"shots when the mapper ends, {words}") for runs, words in both),
    ]


def _of(done: Runs, agent: str, noise: float = 0.0, repeats: int = 1) -> Runs:
    chosen = agent, noise, repeats
    return {j: run for j, run in done.items() if (j.agent, j.noise, j.repeats) == chosen}


def _shots(what: str, runs: Runs) -> _Values:
    found = [(job.map, getattr(run, what)) for job, run in runs.items()]
    return [(name, math.inf if value is None else value) for name, value in found]


def _times(runs: Runs, unit: Runs, power: int) -> _Values:
    """Shots to the target over the median of others' on the same map, or the inverse."""
    units: dict[str, list[float]] = {}
    for name, value in _shots("reached", unit):
        units.setdefault(name, []).append(value)
    found = []
    for name, value in _shots("reached", runs):
        median = float(np.quantile(units[name], 0.5, method="higher"))
        ratio = value / median if math.isfinite(median) else math.nan
        found.append((name, ratio**power))
    return [(name, value) for name, value in found if not math.isnan(value)]


def _shots_rows(done: Runs) -> Iterator[dict[str, Any]]:
    others = [a for a in dict.fromkeys(job.agent for job in done) if a != "learned"]
    for what, words in (
        ("reached", "shots to boundary error ≤ 1 cell and macro-F1 ≥ 0.95 over areas"),
        ("boundaries", "shots to boundary error ≤ 1 cell"),
        ("islands", "shots to all islands of 4 × 4 cells and more"),
    ):
        baselines = {agent: _spread(_shots(what, _of(done, agent))) for agent in others}
        yield {
            "name": f"{words}, with a prior",
            **_spread(_shots(what, _of(done, "learned"))),
            "target": {"median": 90},
            "baselines": baselines,
        }
        yield {
            "name": f"{words}, prior-free",
            **_spread(_shots(what, _of(done, "boundary-mapper"))),
            "target": {"median": 250},
            "baselines": {k: v for k, v in baselines.items() if k != "boundary-mapper"},
        }


def _acceleration(runs: Runs, random: Runs, words: str) -> dict[str, Any]:
    return {
        "name": f"acceleration over random, {words}",
        **_spread(_times(runs, random, -1), more_is_better=True),
        "target": {"median": 15},
        "baselines": {"random": _spread(_shots("reached", random))},
    }


def _noise_row(done: Runs, noise: float) -> dict[str, Any]:
    plain = _of(done, "boundary-mapper")
    noisy, voted = (_of(done, "boundary-mapper", noise, repeats) for repeats in (1, 3))
    return {
        "name": f"label noise {100 * noise:g} %: multiplier of shots, prior-free",
        **_spread(_times(noisy, plain, 1)),
        "target": {"median": _NOISE_TARGETS[noise]},
        "baselines": {"repeat-3 voting": _spread(_times(voted, plain, 1))},
    }


def _stopping(runs: Runs, name: str) -> dict[str, Any]:
    """When it ends; ``success`` is the share of runs whose map then meets the target."""
    ended = [run.at_stop for run in runs.values() if run.at_stop]
    return {
        "name": name,
        **_spread(_shots("stopped", runs)),
        "success": float(np.mean([score.reached for score in ended])) if ended else None,
        "boundary_cells": _median([score.boundary_cells for score in ended]),
        "area_f1": _median([score.area_f1 for score in ended]),
        "claimed_error": _median([run.claimed_error for run in runs.values()]),
        "held_out_error": _median([run.held_out_error for run in runs.values()]),
        "true_error": _median([run.true_error for run in runs.values()]),
        "baselines": {},
    }


def _median(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else None


def _spread(runs: Sequence[tuple[str, float]], *, more_is_better: bool = False) -> dict[str, Any]:
    """Of runs, (map, value): median, its 95 % interval by bootstrap, and p90.

    p90 is what nine runs of ten are as good as, or better. A run that never got there counts as
    infinite, and infinity is written as null. ``success`` is the share that got there, ``maps``
    the median on each map.
    """
    if not runs:
        return {"median": None, "p90": None, "success": None, "runs": 0}
    values = np.array([value for _, value in runs])

    def quantile(q: float, of: np.ndarray, axis: int = -1) -> np.ndarray:
        if more_is_better:
            return np.quantile(of, 1 - q, axis=axis, method="lower")
        return np.quantile(of, q, axis=axis, method="higher")  # no mean of two: one may be infinite

    drawn = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))
    interval = np.quantile(quantile(0.5, drawn, 1), (0.025, 0.975), method="nearest")
    maps = {
        name: float(quantile(0.5, np.array([v for m, v in runs if m == name])))
        for name in dict.fromkeys(m for m, _ in runs)
    }
    return {
        "median": _number(quantile(0.5, values)),
        "interval": [_number(end) for end in interval],
        "p90": _number(quantile(0.9, values)),
        "success": float(np.mean(np.isfinite(values) & (values > 0))),
        "runs": len(values),
        "maps": {name: _number(value) for name, value in maps.items()},
    }


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
