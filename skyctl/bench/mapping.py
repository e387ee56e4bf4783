"""Benchmark of the boundary mapper on simulated process diagrams, beside other ways to map.

The truth is simulated once, a shot a cell, and kept with the package (`maps/theta40.json` and so
on), so that agents are judged in minutes. Agents see labels; the truth judges them.
"""

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import binary_opening, distance_transform_edt
from scipy.ndimage import label as _label
from scipy.spatial import KDTree
from scipy.stats import bootstrap
from threadpoolctl import threadpool_limits

from skyctl.agents.baselines import (
    LeastConfidence,
    Scripted,
    Straddle,
    bisection,
    grid,
    random,
    sobol,
    staircase,
)
from skyctl.agents.map_prior import MapPrior
from skyctl.agents.mapper import Axis, BoundaryMapper, MapAgent
from skyctl.diagram import LETTERS, TRUTH_PS
from skyctl.pulse import Movie, Pulse
from skyctl.simulators.film import FilmParameters
from skyctl.simulators.movies import Shot, simulate_batch
from skyctl.simulators.topology import process_label

WIDTHS_PS = tuple(float(w) for w in range(5, 49))
"""Columns of a truth map: 44, as many as the paper's Fig. 3 has (it does not print them)."""
DAMPINGS = tuple(round(0.015 * i, 3) for i in range(1, 41))
"""Rows of a truth map: 40."""
CLASSES = ("B", "S", "C", "M")
AREA_CELLS = 16
"""Fewer connected cells of one label are no area: chaos, or a streak."""


@dataclass(frozen=True)
class TruthMap:
    """A process diagram by topology: (rows, columns) of class numbers over damping × width."""

    theta_deg: float
    labels: np.ndarray

    @classmethod
    def load(cls, theta_deg: int) -> "TruthMap":
        """A map of the package. Raises ValueError for one that is not there, or was changed."""
        file = _map_file(theta_deg)
        if not file.is_file():
            raise ValueError(f"no truth map at θ = {theta_deg}°: `skyctl bench maps` makes it")
        content = json.loads(file.read_text())
        if content["sha256"] != _digest(content["rows"]):
            raise ValueError(
                f"truth map {file}: changed by hand; `skyctl bench maps` makes it anew"
            )
        rows = [[CLASSES.index(letter) for letter in row] for row in content["rows"]]
        return cls(float(theta_deg), np.array(rows))

    def as_json(self) -> dict[str, Any]:
        """The content of its file; the first row is the lowest damping."""
        rows = ["".join(CLASSES[label] for label in row) for row in self.labels]
        return {
            "what": "process by topology at 165 ps, a row a damping, a letter a pulse width",
            "theta_deg": self.theta_deg,
            "amplitude_T": 2.0,
            "widths_ps": WIDTHS_PS,
            "dampings": DAMPINGS,
            "precision": "f4",
            "rows": rows,
            "sha256": _digest(rows),
        }


def simulate_truth(
    theta_deg: float, progress: Callable[[], None] = lambda: None, threads: int | None = None
) -> TruthMap:
    """A truth map, a shot a cell in single precision: five minutes of a core and more."""
    times_ps = Movie(duration_ps=TRUTH_PS, interval_ps=5).times_ps
    shots = [
        Shot(FilmParameters(damping=d), times_ps, Pulse(width_ps=w, theta_deg=theta_deg))
        for d in DAMPINGS
        for w in WIDTHS_PS
    ]

    def name(_: Shot, frames: Iterator[np.ndarray]) -> int:
        first = last = next(frames).copy()
        for spins in frames:
            last = spins
        return CLASSES.index(LETTERS.get(process_label(first, last), "M"))

    labels = []
    for label in simulate_batch(shots, name, threads=threads):
        labels.append(label)
        progress()
    return TruthMap(theta_deg, np.array(labels).reshape(len(DAMPINGS), len(WIDTHS_PS)))


def _map_file(theta_deg: int) -> Traversable:
    return files("skyctl.bench") / "maps" / f"theta{theta_deg}.json"


def _digest(rows: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _patches(cells: np.ndarray) -> tuple[np.ndarray, int]:
    """(the number of each cell's patch, 0 outside, how many): cells that touch by a side."""
    found: Any = _label(cells)
    return found


def areas(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the map with every patch below 16 cells given to the nearest area, which cells are areas).

    labels : (rows, columns)
    """
    kept = np.zeros(labels.shape, bool)
    for c in np.unique(labels):
        patches, _ = _patches(labels == c)
        sizes = np.bincount(patches.ravel())
        sizes[0] = 0
        kept |= sizes[patches] >= AREA_CELLS
    if not kept.any():
        return labels, kept
    nearest: Any = distance_transform_edt(~kept, return_distances=False, return_indices=True)
    return labels[tuple(nearest)], kept


def macro_f1(truth: np.ndarray, named: np.ndarray) -> float:
    """Mean over the classes of the truth of 2 TP / (2 TP + FP + FN)."""
    scores = []
    for c in np.unique(truth):
        right = np.sum((truth == c) & (named == c))
        scores.append(2 * right / (np.sum(truth == c) + np.sum(named == c)))
    return float(np.mean(scores))


def boundary_error(truth: np.ndarray, named: np.ndarray) -> float:
    """Mean distance of the two maps' boundaries, cells: half each way; infinite without any.

    A boundary is the middles of the sides between unlike neighbours.
    """
    ours, theirs = _boundary(named), _boundary(truth)
    if not len(ours) or not len(theirs):
        return float("inf")
    there, _ = KDTree(ours).query(theirs)
    back, _ = KDTree(theirs).query(ours)
    return float((np.mean(there) + np.mean(back)) / 2)


def _boundary(labels: np.ndarray) -> np.ndarray:
    """(sides, 2)"""
    below = np.add(np.argwhere(labels[1:] != labels[:-1]), (0.5, 0.0))
    right = np.add(np.argwhere(labels[:, 1:] != labels[:, :-1]), (0.0, 0.5))
    return np.concatenate([below, right])


def islands_found(truth: np.ndarray, named: np.ndarray) -> tuple[int, int]:
    """(islands of which half the cells or more are named right, islands).

    An island is a patch of one label in which a square of 4 × 4 cells fits.
    """
    found = count = 0
    for c in np.unique(truth):
        patches, number = _patches(truth == c)
        for patch in range(1, number + 1):
            cells = patches == patch
            if binary_opening(cells, np.ones((4, 4))).any():
                count += 1
                found += bool((named[cells] == c).mean() >= 0.5)
    return found, count


@dataclass(frozen=True)
class Score:
    """How good a map is.

    macro_f1 : over all cells; area_f1 : over the cells of areas
    boundary_cells : mean distance of the areas' boundaries; islands : whether all are found
    """

    macro_f1: float
    area_f1: float
    boundary_cells: float
    islands: bool

    @classmethod
    def of(cls, truth: np.ndarray, named: np.ndarray) -> "Score":
        smooth, kept = areas(truth)
        found, count = islands_found(truth, named)
        return cls(
            macro_f1(truth, named),
            macro_f1(truth[kept], named[kept]),
            boundary_error(smooth, areas(named)[0]),
            found == count,
        )

    @property
    def reached(self) -> bool:
        """Mean boundary error of a cell or less and a macro-F1 of 0.95 or more over the areas."""
        return self.boundary_cells <= 1.0 and self.area_f1 >= 0.95


@dataclass(frozen=True)
class Run:
    """One agent on one map.

    reached : shots when the target was first met and held for the next look, None when it was not
    islands : shots when all islands were found, likewise
    stopped : shots when the agent said that it was done; scores : (shots, score) at every look
    claimed_error, held_out_error : what the agent says of its last map; NaN where it says nothing
    true_error : share of cells that its last map names wrong
    """

    reached: int | None
    islands: int | None
    stopped: int | None
    scores: list[tuple[int, Score]]
    claimed_error: float
    held_out_error: float
    true_error: float


def run_agent(
    agent: MapAgent,
    truth: np.ndarray,
    *,
    budget: int,
    seed: int = 0,
    noise: float = 0.0,
    repeats: int = 1,
) -> Run:
    """Let an agent map a truth map, labels wrong with probability ``noise``, at most ``budget``.

    ``repeats`` shots a suggestion, of whose labels the most frequent is told (the first of equals).
    Looked at after every fifth shot, and every fiftieth from 500 on.
    """
    rng = np.random.default_rng(seed)
    scores: list[tuple[int, Score]] = []
    fired, look_at, stopped = 0, 10, None
    while fired < budget:
        (point,) = agent.suggest()
        row = agent.rows.index(point[agent.rows.name])
        column = agent.columns.index(point[agent.columns.name])
        seen = [_mistaken(truth[row, column], noise, rng) for _ in range(repeats)]
        fired += repeats
        agent.ingest([{**point, "label": agent.classes[max(seen, key=seen.count)]}])
        if stopped is None and isinstance(agent, BoundaryMapper) and agent.should_stop()[0]:
            stopped = fired
        if fired >= look_at:
            scores.append((fired, Score.of(truth, agent.labels())))
            look_at = fired + (5 if fired < 500 else 50)
            if _held(scores, lambda s: s.reached and s.islands):
                break
    claimed, held_out = float("nan"), float("nan")
    if isinstance(agent, BoundaryMapper):
        found = agent.map()
        claimed, held_out = found.expected_error, found.held_out_error[0]
    return Run(
        reached=_held(scores, lambda s: s.reached),
        islands=_held(scores, lambda s: s.islands),
        stopped=stopped,
        scores=scores,
        claimed_error=claimed,
        held_out_error=held_out,
        true_error=float(np.mean(agent.labels() != truth)),
    )


def _mistaken(label: int, noise: float, rng: np.random.Generator) -> int:
    if rng.random() >= noise:
        return int(label)
    return int((label + rng.integers(1, len(CLASSES))) % len(CLASSES))


def _held(scores: list[tuple[int, Score]], good: Callable[[Score], bool]) -> int | None:
    """Shots at the first of two looks in a row that are good."""
    for (shots, one), (_, two) in pairwise(scores):
        if good(one) and good(two):
            return shots
    return None


def make_agent(name: str, seed: int, prior: MapPrior | None = None) -> MapAgent:
    """The mapper or a baseline by its name, on the grid of the truth maps."""
    axes = Axis("damping", DAMPINGS), Axis("width_ps", WIDTHS_PS)
    if name == "boundary-mapper":
        return BoundaryMapper(*axes, CLASSES, seed=seed, prior=prior)
    if name == "straddle":
        return Straddle(*axes, CLASSES, seed=seed)
    if name == "gp-classifier":
        return LeastConfidence(*axes, CLASSES, seed=seed)
    return Scripted(*axes, CLASSES, SCRIPTS[name], seed)


SCRIPTS = {s.__name__: s for s in (grid, random, sobol, bisection, staircase)}


@dataclass(frozen=True)
class Size:
    """How much a benchmark does: seeds of each agent, of the slow GP classifier, of label noise."""

    seeds: int = 20
    slow_seeds: int = 3
    noise_seeds: int = 8


QUICK = Size(seeds=3, slow_seeds=1, noise_seeds=1)
JUDGED_DEG = (40, 60)
"""Angles that the mapper is judged at, where their maps are shipped. 40° was looked at while the
choice of the next shot was written; 60° was not."""
PRIOR_DEG = (30, 50)
"""Angles whose maps make its prior."""
NOISES = (0.05, 0.1, 0.2)
_BUDGETS = {"boundary-mapper": 400, "straddle": 400, "gp-classifier": 250, "learned": 400}
_ALL_CELLS = len(DAMPINGS) * len(WIDTHS_PS)


@dataclass(frozen=True)
class _Job:
    agent: str  # "learned" is the mapper with a prior
    theta_deg: int
    seed: int
    noise: float = 0.0
    repeats: int = 1


def map_prior() -> MapPrior:
    """Of the maps at the angles that are not reported."""
    return MapPrior.of_maps([TruthMap.load(deg).labels for deg in shipped(PRIOR_DEG)], len(CLASSES))


def shipped(angles_deg: Sequence[int]) -> list[int]:
    """Those of the angles whose truth maps are in the package."""
    return [deg for deg in angles_deg if _map_file(deg).is_file()]


def _run_job(job: _Job) -> Run:
    with threadpool_limits(1):
        learned = job.agent == "learned"
        name = "boundary-mapper" if learned else job.agent
        agent = make_agent(name, job.seed, _prior_once() if learned else None)
        budget = _BUDGETS.get(job.agent, _ALL_CELLS)
        if job.noise:
            budget *= 4
        return run_agent(
            agent,
            TruthMap.load(job.theta_deg).labels,
            budget=budget,
            seed=job.seed,
            noise=job.noise,
            repeats=job.repeats,
        )


_prior_once = functools.cache(map_prior)


def mapping_metrics(
    size: Size = QUICK, progress: Callable[[int, int], None] = lambda done, jobs: None
) -> list[dict[str, Any]]:
    """The rows of `skyctl bench autonomy` on maps, each with its baselines in the same run.

    progress : called with (jobs done, jobs)
    """
    judged = shipped(JUDGED_DEG)
    seeds, slow, noisy = range(size.seeds), range(size.slow_seeds), range(size.noise_seeds)
    scripted = [name for name in SCRIPTS if name not in ("grid", "bisection", "staircase")]
    jobs = [
        *(
            _Job(agent, theta, seed)
            for theta in judged
            for agent in ("learned", "boundary-mapper", "straddle", *scripted)
            for seed in seeds
        ),
        *(
            _Job(agent, theta, 0)  # these draw nothing
            for theta in judged
            for agent in ("grid", "bisection", "staircase")
        ),
        *(_Job("gp-classifier", theta, seed) for theta in judged for seed in slow),
        *(
            _Job("boundary-mapper", theta, seed, noise, repeats)
            for theta in judged[:1]
            for noise in NOISES
            for repeats in (1, 3)
            for seed in noisy
        ),
    ]
    done: dict[_Job, Run] = {}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for job, run in zip(jobs, pool.map(_run_job, jobs), strict=True):
            done[job] = run
            progress(len(done), len(jobs))
    return _rows(done)


def _rows(done: dict[_Job, Run]) -> list[dict[str, Any]]:
    def shots(agent: str, noise: float = 0.0, repeats: int = 1, what: str = "reached") -> list:
        return [
            getattr(run, what)
            for job, run in done.items()
            if (job.agent, job.noise, job.repeats) == (agent, noise, repeats)
        ]

    others = dict.fromkeys(job.agent for job in done if job.agent not in ("learned",))
    baselines = {agent: _spread(shots(agent)) for agent in others}
    rows = [
        {
            "name": "shots to boundary error ≤ 1 cell and macro-F1 ≥ 0.95 over areas, with a prior",
            **_spread(shots("learned")),
            "target": {"median": 90},
            "baselines": baselines,
        },
        {
            "name": "the same, prior-free",
            **_spread(shots("boundary-mapper")),
            "target": {"median": 250},
            "baselines": {k: v for k, v in baselines.items() if k != "boundary-mapper"},
        },
        {
            "name": "shots to all islands of 4 × 4 cells and more, prior-free",
            **_spread(shots("boundary-mapper", what="islands")),
            "target": {"median": 250},
            "baselines": {
                agent: _spread(shots(agent, what="islands"))
                for agent in others
                if agent != "boundary-mapper"
            },
        },
    ]
    for agent, words in (("learned", "with a prior"), ("boundary-mapper", "prior-free")):
        rows.append(_acceleration(shots(agent), shots("random"), words))
    plain = [
        run.reached
        for job, run in done.items()
        if (job.agent, job.noise) == ("boundary-mapper", 0.0)
        and job.theta_deg == min(j.theta_deg for j in done)
        and job.seed in {j.seed for j in done if j.noise}
    ]
    for noise, most in zip(NOISES, (1.8, 2.4, 4.7), strict=True):
        rows.append(
            {
                "name": f"label noise {100 * noise:g} %: multiplier of shots, prior-free",
                **_ratio(shots("boundary-mapper", noise), plain),
                "target": {"median": most},
                "baselines": {"repeat-3 voting": _ratio(shots("boundary-mapper", noise, 3), plain)},
            }
        )
    return rows


def _spread(shots: Sequence[int | None]) -> dict[str, Any]:
    """Median and p90 over all runs, one that never got there being infinite (null); success.

    ``interval`` is the median's 95 % by bootstrap, over the runs that got there.
    """
    there = [float(s) for s in shots if s is not None]
    values = [*there, *[math.inf] * (len(shots) - len(there))]
    median, p90 = (float(np.quantile(values, q, method="higher")) for q in (0.5, 0.9))
    interval = None
    if len(there) > 2 and len(set(there)) > 1:
        found = bootstrap((there,), np.median, method="percentile", rng=0).confidence_interval
        interval = [float(found.low), float(found.high)]
    return {
        "median": median if math.isfinite(median) else None,
        "p90": p90 if math.isfinite(p90) else None,
        "success": len(there) / len(shots),
        "runs": len(shots),
        "interval": interval,
    }


def _ratio(shots: Sequence[int | None], plain: Sequence[int | None]) -> dict[str, Any]:
    """`_spread` of shots over the median of the plain runs."""
    unit = _spread(plain)["median"]
    found = _spread(shots)
    scale = [found[k] / unit if found[k] and unit else None for k in ("median", "p90")]
    return {**found, "median": scale[0], "p90": scale[1], "interval": None, "plain_median": unit}


def _acceleration(
    ours: Sequence[int | None], theirs: Sequence[int | None], words: str
) -> dict[str, Any]:
    fast, slow = _spread(ours), _spread(theirs)
    times = slow["median"] / fast["median"] if fast["median"] and slow["median"] else None
    return {
        "name": f"acceleration over random, {words}",
        "median": times,
        "p90": None,
        "success": fast["success"],
        "target": {"median": 15},
        "baselines": {"random": slow},
    }


def topology(theta_deg: int) -> dict[str, Any]:
    """What a truth map allows: the best that a map of areas can do, and how much is chaos."""
    truth = TruthMap.load(theta_deg).labels
    smooth, kept = areas(truth)
    patches = sum(_patches(truth == c)[1] for c in np.unique(truth))
    return {
        "theta_deg": theta_deg,
        "cells": int(truth.size),
        "cells_beside_a_boundary": int(_beside_a_boundary(truth).sum()),
        "patches": int(patches),
        "islands": islands_found(truth, truth)[1],
        "cells_in_patches_below_16": int((~kept).sum()),
        "macro_f1_of_all_areas_known": macro_f1(truth, smooth),
    }


def _beside_a_boundary(labels: np.ndarray) -> np.ndarray:
    beside = np.zeros(labels.shape, bool)
    below, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    beside[1:] |= below
    beside[:-1] |= below
    beside[:, 1:] |= right
    beside[:, :-1] |= right
    return beside


def save_map(truth: TruthMap, path: Path) -> None:
    """Write a truth map as the package keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(truth.as_json(), indent=1, ensure_ascii=False) + "\n")
