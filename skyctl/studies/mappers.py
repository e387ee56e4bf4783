"""Benchmark of the boundary mapper on simulated process diagrams, beside other ways to map.

The truth is simulated once, a shot a cell, and kept with the package (`maps/theta40.json`, of the
default film, `maps/theta40-sample1.json`, of a film of `SampleSpread`), so that agents are judged
in minutes. Agents see labels; the truth judges them.
"""

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.ndimage import label as _label
from scipy.spatial import KDTree
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
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, process_in, simulate_batch
from skyctl.studies.process_diagram import LETTERS, TRUTH_PS

WIDTHS_PS = tuple(float(w) for w in range(5, 49))
"""Columns of a truth map: 44, as many as the paper's Fig. 3 has (it does not print them)."""
DAMPINGS = tuple(round(0.015 * i, 3) for i in range(1, 41))
"""Rows of a truth map: 40."""
CLASSES = ("B", "S", "C", "M")
AREA_SIDE = 4
"""An area is a patch of one label that holds a square of so many cells a side: what does not is a
streak, or chaos."""


@dataclass(frozen=True)
class TruthMap:
    """A process diagram by topology: (rows, columns) of class numbers over damping × width.

    sample : seed of the film's draw from `SampleSpread`, None for the default film
    """

    theta_deg: int
    sample: int | None
    labels: np.ndarray

    @property
    def name(self) -> str:
        """What its file is called, without ``.json``."""
        return f"theta{self.theta_deg}" + ("" if self.sample is None else f"-sample{self.sample}")

    @classmethod
    def load(cls, name: str) -> "TruthMap":
        """A map of the package. Raises ValueError for one that is not there, or was changed."""
        file = _MAPS / f"{name}.json"
        if not file.is_file():
            raise ValueError(f"no truth map {name!r}: `skyctl bench maps` makes it")
        content = json.loads(file.read_text())
        if content["sha256"] != _digest(content["rows"]):
            raise ValueError(
                f"truth map {file}: changed by hand; `skyctl bench maps` makes it anew"
            )
        rows = [[CLASSES.index(letter) for letter in row] for row in content["rows"]]
        return cls(content["theta_deg"], content["sample"], np.array(rows))

    def save(self, folder: Path) -> None:
        """Write it into a folder, under its name, as the package keeps it."""
        rows = ["".join(CLASSES[label] for label in row) for row in self.labels]
        content = {
            "what": "process by topology at 165 ps, a row a damping, a letter a pulse width",
            "theta_deg": self.theta_deg,
            "sample": self.sample,
            "amplitude_T": 2.0,
            "widths_ps": WIDTHS_PS,
            "dampings": DAMPINGS,
            "precision": "f4",
            "rows": rows,
            "sha256": _digest(rows),
        }
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(text + "\n")


def truth_shot(theta_deg: int, sample: int | None, damping: float, width_ps: float) -> MovieSpec:
    """The shot of one cell. A sample's own damping is replaced by the cell's."""
    film = DrawnSample(FilmParameters()) if sample is None else SampleSpread().draw(sample)
    return MovieSpec(
        replace(film.parameters, damping=damping),
        FrameSchedule(duration_ps=TRUTH_PS, interval_ps=5).times_ps,
        film.delivered(Pulse(width_ps=width_ps, theta_deg=theta_deg)),
    )


def simulate_truth(
    theta_deg: int,
    sample: int | None = None,
    progress: Callable[[], None] = lambda: None,
    threads: int | None = None,
) -> TruthMap:
    """A truth map, a shot a cell in single precision: five minutes of a core and more."""
    shots = [truth_shot(theta_deg, sample, d, w) for d in DAMPINGS for w in WIDTHS_PS]

    def name(shot: MovieSpec, frames: Iterator[np.ndarray]) -> int:
        first = last = next(frames).copy()
        for spins in frames:
            last = spins
        return CLASSES.index(LETTERS.get(process_in(shot, first, last), "M"))

    labels = []
    for label in simulate_batch(shots, name, threads=threads):
        labels.append(label)
        progress()
    return TruthMap(theta_deg, sample, np.array(labels).reshape(len(DAMPINGS), len(WIDTHS_PS)))


_MAPS = files("skyctl.studies") / "maps"


def _digest(rows: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _areas(labels: np.ndarray) -> list[np.ndarray]:
    """The cells of each area, (rows, columns) of bool; cells that touch by a side are one patch."""
    found = []
    for c in np.unique(labels):
        patches, _ = _patches(labels == c)
        # Where a square lies inside a class it lies inside one patch.
        held: Any = binary_erosion(labels == c, np.ones((AREA_SIDE, AREA_SIDE)))
        found += [patches == patch for patch in np.unique(patches[held])]
    return found


def _patches(cells: np.ndarray) -> tuple[np.ndarray, int]:
    """(the number of each cell's patch, 0 outside, how many)."""
    found: Any = _label(cells)
    return found


def areas(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the map with every cell outside areas given to the nearest area, which cells are areas').

    labels : (rows, columns)
    """
    found = _areas(labels)
    if not found:
        return labels, np.zeros(labels.shape, bool)
    kept = np.any(found, axis=0)
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
    """(areas of which half the cells or more are named right, areas)."""
    islands = _areas(truth)
    right = named == truth
    return sum(bool(right[cells].mean() >= 0.5) for cells in islands), len(islands)


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

    scores : (shots, score) at every look; stopped : shots when the agent said that it was done
    claimed_error, held_out_error : what the agent says of its last map; NaN where it says nothing
    true_error : share of cells that its last map names wrong
    """

    scores: list[tuple[int, Score]]
    stopped: int | None
    claimed_error: float
    held_out_error: float
    true_error: float

    @property
    def reached(self) -> int | None:
        """Shots when the target was first met and held for the next look."""
        return _held(self.scores, lambda score: score.reached)

    @property
    def boundaries(self) -> int | None:
        """Shots when the mean boundary error was a cell or less, likewise."""
        return _held(self.scores, lambda score: score.boundary_cells <= 1.0)

    @property
    def islands(self) -> int | None:
        """Shots when all islands were found, likewise."""
        return _held(self.scores, lambda score: score.islands)

    @property
    def at_stop(self) -> Score | None:
        """The first look when the agent was done, or after."""
        if self.stopped is None:
            return None
        return next((score for shots, score in self.scores if shots >= self.stopped), None)


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
    Looked at after every fifth shot, and every fiftieth from 500 on. Over when the target is held
    and, without noise, the mapper is done.
    """
    rng = np.random.default_rng(seed)
    scores: list[tuple[int, Score]] = []
    fired, look_at, stopped = 0, 10, None
    # Not one of its subclasses: they do not say when they are done.
    watched = agent if type(agent) is BoundaryMapper and not noise else None
    while fired < budget:
        (point,) = agent.suggest()
        row = agent.rows.index(point[agent.rows.name])
        column = agent.columns.index(point[agent.columns.name])
        seen = [_mistaken(truth[row, column], noise, rng) for _ in range(repeats)]
        fired += repeats
        agent.ingest([{**point, "label": agent.classes[max(seen, key=seen.count)]}])
        if watched and stopped is None and watched.should_stop()[0]:
            stopped = fired
        if fired >= look_at:
            scores.append((fired, Score.of(truth, agent.labels())))
            look_at = fired + (5 if fired < 500 else 50)
            mapped = _held(scores, lambda s: s.reached and s.islands)
            if mapped and (stopped or not watched):
                break
    claimed, held_out = math.nan, math.nan
    if isinstance(agent, BoundaryMapper):
        found = agent.map()
        claimed, held_out = found.expected_error, found.held_out_error[0]
    return Run(
        scores=scores,
        stopped=stopped,
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
    axes = Axis("damping", DAMPINGS, log=True), Axis("width_ps", WIDTHS_PS, log=True)
    if name == "boundary-mapper":
        return BoundaryMapper(*axes, CLASSES, seed=seed, prior=prior)
    if name == "straddle":
        return Straddle(*axes, CLASSES, seed=seed)
    if name == "gp-classifier":
        return LeastConfidence(*axes, CLASSES, seed=seed)
    return Scripted(*axes, CLASSES, SCRIPTS[name], seed)


SCRIPTS = {s.__name__: s for s in (grid, random, sobol, bisection, staircase)}
_DRAW_NOTHING = ("grid", "bisection", "staircase")

PRIOR_MAPS = ("theta40", "theta50", "theta40-sample101")
"""Truth maps of the prior. The mapper was tuned on those at 40° and 50°, and on no other."""
JUDGED_MAPS = ("theta40-sample1", "theta60", "theta30")
"""Truth maps that the mapper is judged on: other angles, other films."""
NOISES = (0.05, 0.1, 0.2)
_NOISE_TARGETS = (1.8, 2.4, 4.7)
_ALL_CELLS = len(DAMPINGS) * len(WIDTHS_PS)
_BUDGETS = {"learned": 400, "boundary-mapper": 400, "straddle": 400, "gp-classifier": 250}
_NOISY_BUDGET = 1600
_RESAMPLES = 2000


@dataclass(frozen=True)
class _Job:
    agent: str  # "learned" is the mapper with a prior
    map: str
    seed: int
    noise: float = 0.0
    repeats: int = 1

    @functools.cached_property
    def inputs(self) -> str:
        """SHA-256 of what the run depends on: agents, truth, and the prior where it has one."""
        digest = hashlib.sha256()
        for file in ("mapper.py", "map_prior.py", "baselines.py"):
            digest.update((files("skyctl.agents") / file).read_bytes())
        for name in (self.map, *(PRIOR_MAPS if self.agent == "learned" else ())):
            digest.update(TruthMap.load(name).labels.tobytes())
        return digest.hexdigest()

    def run(self) -> Run:
        learned = self.agent == "learned"
        budget = _NOISY_BUDGET if self.noise else _BUDGETS.get(self.agent, _ALL_CELLS)
        with threadpool_limits(1):
            agent = make_agent(
                "boundary-mapper" if learned else self.agent,
                self.seed,
                map_prior() if learned else None,
            )
            return run_agent(
                agent,
                TruthMap.load(self.map).labels,
                budget=budget,
                seed=self.seed,
                noise=self.noise,
                repeats=self.repeats,
            )


@functools.cache
def map_prior() -> MapPrior:
    """Of the maps that nothing is judged on."""
    return MapPrior.of_maps([TruthMap.load(name).labels for name in PRIOR_MAPS], len(CLASSES))


def mapping_metrics(
    seeds: int,
    samples: int,
    seed: int = 0,
    *,
    workers: int = 2,
    kept: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Shots that the mapper needs for ``samples`` truth maps of films it has not seen.

    seeds : of the mapper, on each map; baselines that draw have a quarter as many, noisy labels
        too, scikit-learn's slow classifier one
    samples : how many of `JUDGED_MAPS`, at most all of them
    kept : JSON lines, a run each as it is done; those it holds are not made again, unless agents
        or maps were other ones then
    progress : told how many runs are done, of how many

    Returns the rows of `skyctl bench autonomy`, each with its baselines. Raises ValueError for
    more samples than there are maps.
    """
    if not 1 <= samples <= len(JUDGED_MAPS):
        raise ValueError(f"{samples} samples: there are truth maps of 1 to {len(JUDGED_MAPS)}")
    jobs = _jobs(JUDGED_MAPS[:samples], seeds, seed)
    done = _kept_runs(kept, jobs)
    left = [job for job in jobs if job not in done]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending = {pool.submit(job.run): job for job in left}
        for future in as_completed(pending):
            job = pending[future]
            done[job] = future.result()
            if kept:
                line = {"job": asdict(job), "inputs": job.inputs, "run": asdict(done[job])}
                with kept.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            progress(len(done), len(jobs))
    return _rows({job: done[job] for job in jobs})


def _jobs(maps: Sequence[str], seeds: int, seed: int) -> list[_Job]:
    fewer = max(1, seeds // 4)
    counts = {
        "learned": seeds,
        "boundary-mapper": seeds,
        "straddle": fewer,
        "random": fewer,
        "sobol": fewer,
        "gp-classifier": 1,
        **dict.fromkeys(_DRAW_NOTHING, 1),
    }
    jobs = [_Job(agent, m, seed + i) for agent, n in counts.items() for m in maps for i in range(n)]
    jobs += [
        _Job("boundary-mapper", m, seed + i, noise, repeats)
        for noise in NOISES
        for repeats in (1, 3)
        for m in maps
        for i in range(fewer)
    ]
    return jobs


def _kept_runs(kept: Path | None, jobs: Sequence[_Job]) -> dict[_Job, Run]:
    """The runs of these jobs that a file holds."""
    wanted = set(jobs)
    runs: dict[_Job, Run] = {}
    for line in kept.read_text().splitlines() if kept and kept.exists() else ():
        content = json.loads(line)
        job, run = _Job(**content["job"]), content["run"]
        if job in wanted and content["inputs"] == job.inputs:
            scores = [(shots, Score(**score)) for shots, score in run["scores"]]
            runs[job] = Run(**{**run, "scores": scores})
    return runs


def _rows(done: dict[_Job, Run]) -> list[dict[str, Any]]:
    def of(agent: str, noise: float = 0.0, repeats: int = 1) -> dict[_Job, Run]:
        chosen = agent, noise, repeats
        return {j: run for j, run in done.items() if (j.agent, j.noise, j.repeats) == chosen}

    def shots(what: str, runs: dict[_Job, Run]) -> list[tuple[str, float]]:
        found = [(job.map, getattr(run, what)) for job, run in runs.items()]
        return [(name, math.inf if value is None else value) for name, value in found]

    def times(runs: dict[_Job, Run], unit: dict[_Job, Run], power: int) -> list[tuple[str, float]]:
        """Shots to the target over the median of others' on the same map, or the inverse."""
        units: dict[str, list[float]] = {}
        for name, value in shots("reached", unit):
            units.setdefault(name, []).append(value)
        found = []
        for name, value in shots("reached", runs):
            median = float(np.quantile(units[name], 0.5, method="higher"))
            ratio = value / median if math.isfinite(median) else math.nan
            found.append((name, ratio**power))
        return [(name, value) for name, value in found if not math.isnan(value)]

    plain, learned = of("boundary-mapper"), of("learned")
    others = [a for a in dict.fromkeys(job.agent for job in done) if a != "learned"]
    rows = []
    for what, words in (
        ("reached", "shots to boundary error ≤ 1 cell and macro-F1 ≥ 0.95 over areas"),
        ("boundaries", "shots to boundary error ≤ 1 cell"),
        ("islands", "shots to all islands of 4 × 4 cells and more"),
    ):
        baselines = {agent: _spread(shots(what, of(agent))) for agent in others}
        rows.append(
            {
                "name": f"{words}, with a prior",
                **_spread(shots(what, learned)),
                "target": {"median": 90},
                "baselines": baselines,
            }
        )
        rows.append(
            {
                "name": f"{words}, prior-free",
                **_spread(shots(what, plain)),
                "target": {"median": 250},
                "baselines": {k: v for k, v in baselines.items() if k != "boundary-mapper"},
            }
        )
    for runs, words in ((learned, "with a prior"), (plain, "prior-free")):
        rows.append(
            {
                "name": f"acceleration over random, {words}",
                **_spread(times(runs, of("random"), -1), more_is_better=True),
                "target": {"median": 15},
                "baselines": {"random": _spread(shots("reached", of("random")))},
            }
        )
    for noise, most in zip(NOISES, _NOISE_TARGETS, strict=True):
        rows.append(
            {
                "name": f"label noise {100 * noise:g} %: multiplier of shots, prior-free",
                **_spread(times(of("boundary-mapper", noise), plain, 1)),
                "target": {"median": most},
                "baselines": {
                    "repeat-3 voting": _spread(times(of("boundary-mapper", noise, 3), plain, 1))
                },
            }
        )
    for runs, words in ((learned, "with a prior"), (plain, "prior-free")):
        rows.append(_stopping(runs, f"shots when the mapper ends, {words}", shots("stopped", runs)))
    return rows


def _stopping(runs: dict[_Job, Run], name: str, stopped: list[tuple[str, float]]) -> dict[str, Any]:
    """When it ends; ``success`` is the share of runs whose map then meets the target."""
    ended = [run.at_stop for run in runs.values() if run.at_stop]
    return {
        "name": name,
        **_spread(stopped),
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


def topology(name: str) -> dict[str, Any]:
    """What a truth map allows: the best that a map of areas can do, and how much is chaos."""
    truth = TruthMap.load(name).labels
    smooth, kept = areas(truth)
    patches = sum(_patches(truth == c)[1] for c in np.unique(truth))
    return {
        "map": name,
        "cells": int(truth.size),
        "cells_beside_a_boundary": int(_beside_a_boundary(truth).sum()),
        "patches": int(patches),
        "islands": islands_found(truth, truth)[1],
        "cells_outside_areas": int((~kept).sum()),
        "cells_of_areas": {
            letter: int(np.sum(kept & (truth == c))) for c, letter in enumerate(CLASSES)
        },
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
