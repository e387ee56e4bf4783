"""One agent on one truth map: who maps, with how many shots, and what came of it."""

import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from skyctl.agents.baseline_mappers import (
    LeastConfidence,
    Scripted,
    Straddle,
    bisection,
    grid,
    random,
    sobol,
    staircase,
)
from skyctl.agents.boundary_mapper import BoundaryMapper
from skyctl.agents.map_grid import Axis, GridAgent
from skyctl.agents.map_prior import MapPrior
from skyctl.studies.map_scores import Score
from skyctl.studies.truth_maps import CLASSES, DAMPINGS, WIDTHS_PS, TruthMap

SCRIPTS = {s.__name__: s for s in (grid, random, sobol, bisection, staircase)}
PRIOR_MAPS = ("theta40", "theta50", "theta40-sample101")
"""Truth maps of the prior. The mapper was tuned on those at 40° and 50°, and on no other."""
JUDGED_MAPS = ("theta40-sample1", "theta60", "theta30")
"""Truth maps that the mapper is judged on: other angles, other films."""
_MAPPERS = (
    "boundary_mapper.py", "map_grid.py", "map_field.py", "map_prior.py", "baseline_mappers.py",
)  # fmt: skip
_ALL_CELLS = len(DAMPINGS) * len(WIDTHS_PS)
_BUDGETS = {"learned": 400, "boundary-mapper": 400, "straddle": 400, "gp-classifier": 250}
_NOISY_BUDGET = 1600


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
    agent: GridAgent,
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


def make_agent(name: str, seed: int, prior: MapPrior | None = None) -> GridAgent:
    """The mapper or a baseline by its name, on the grid of the truth maps."""
    axes = Axis("damping", DAMPINGS, log=True), Axis("width_ps", WIDTHS_PS, log=True)
    if name == "boundary-mapper":
        return BoundaryMapper(*axes, CLASSES, seed=seed, prior=prior)
    if name == "straddle":
        return Straddle(*axes, CLASSES, seed=seed)
    if name == "gp-classifier":
        return LeastConfidence(*axes, CLASSES, seed=seed)
    return Scripted(*axes, CLASSES, SCRIPTS[name], seed)


@functools.cache
def map_prior() -> MapPrior:
    """Of the maps that nothing is judged on."""
    return MapPrior.of_maps([TruthMap.load(name).labels for name in PRIOR_MAPS], len(CLASSES))


@dataclass(frozen=True)
class Job:
    """A run to be made; agent : its name, "learned" is the mapper with a prior."""

    agent: str
    map: str
    seed: int
    noise: float = 0.0
    repeats: int = 1

    @functools.cached_property
    def inputs(self) -> str:
        """SHA-256 of what the run depends on: agents, truth, and the prior where it has one."""
        digest = hashlib.sha256()
        for file in _MAPPERS:
            digest.update((files("skyctl.agents") / file).read_bytes())
        for name in (self.map, *(PRIOR_MAPS if self.agent == "learned" else ())):
            digest.update(TruthMap.load(name).labels.tobytes())
        return digest.hexdigest()

    def run(self) -> Run:
        """Make it, on one core."""
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
