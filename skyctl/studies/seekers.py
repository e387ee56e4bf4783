"""Benchmark of the target seeker: pulses to write, switch and erase on samples never seen.

Film, camera and classifier are the simulated beamline's own, joined without sockets and RunEngine.
The agent sees what a plan would hand it; the film's topological charge judges it.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from scipy.stats import binomtest, bootstrap

from skyctl.agents.baseline_seekers import RandomSearch, RandomSeeker, RecipeSeeker
from skyctl.agents.bracket import BracketMemory, BracketSeeker
from skyctl.agents.campaign import Campaign
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.agents.tasks import Proposal, Task, TaskSeeker, against
from skyctl.belief import Belief
from skyctl.children import CHILDREN
from skyctl.process import OUTCOMES, SWITCHING
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.studies.rig import Conditions, Rig, filmed, run_campaign
from skyctl.verdict import FilmState

Agent = Literal["library", "bracket", "random", "random-search", "recipe", "oracle"]
TASKS: tuple[Task, ...] = ("write", "switch", "erase")
TASKS_OF: dict[Agent, tuple[Task, ...]] = {
    "library": TASKS,
    "bracket": TASKS,
    "random": TASKS,
    "random-search": ("write", "erase"),
    "recipe": TASKS,
    "oracle": TASKS,
}
JUDGED: dict[Agent, tuple[Task, ...]] = {
    **TASKS_OF,
    **dict.fromkeys(("random", "recipe", "oracle"), ("switch",)),
}
"""What an agent is compared in: random, recipe and oracle write and erase as the seeker does."""
AT_MOST = {"write": 10, "switch": 30, "erase": 10}
"""Pulses until a task counts as failed."""
_CENTRE = (49.5, 49.5)
_ORACLE_TRIES = 16
_CHARGE = 0.3


COLD, WARM = Conditions(), Conditions(temperature_K=1.0, noise=0.05)
BASELINES: dict[Conditions, tuple[Agent, ...]] = {
    COLD: ("random-search", "random", "oracle", "bracket", "recipe"),
    WARM: ("oracle", "recipe"),
}
TARGETS: dict[tuple[Conditions, Task], dict[str, float]] = {
    (COLD, "write"): {"median": 1, "p90": 3, "success": 0.99},
    (COLD, "switch"): {"median": 4, "p90": 12, "success": 0.99},
    (COLD, "erase"): {"median": 1, "p90": 3, "success": 0.99},
    **{(WARM, task): {"success": 0.95, "times_cold": 2} for task in TASKS},
}


@dataclass(frozen=True)
class Attempt:
    """One task at one sample: pulses fired, and whether it was reached and truly so.

    gave_up : why the agent had no more pulse, or ""; library_sha256 : of what it knew beforehand
    frames : how many were read, of looks and of movies
    """

    agent: Agent
    task: Task
    sample_seed: int
    conditions: Conditions
    pulses: int
    reached: bool
    verified: bool
    fired: tuple[str, ...]
    gave_up: str = ""
    library_sha256: str = ""
    frames: int = 0


Life = tuple[Agent, int, Conditions]
"""Who is at which sample, by the seed of its draw, and how."""


class OracleSeeker(TargetSeeker):
    """Tries each pulse on a copy of the film first, and fires the first that switches there.

    What can be done at all: at 0 K it misses only where none of the pulses it tries switches; at
    another temperature the copy's noise is not the film's.
    """

    name = "oracle"

    def __init__(self, task: Task, memory: PulseMemory, rig: Rig, conditions: Conditions) -> None:
        super().__init__(task, _CENTRE, memory)
        self._rig, self._conditions, self._noise = rig, conditions, 0

    def _switch(self, belief: Belief) -> Proposal:
        library = self._memory.switching.library
        p = self._rig.sample.parameters
        truth = [p.damping, p.moment_muB, p.anisotropy_meV, p.dmi_meV]
        truth.append(self._rig.sample.field_calibration)
        off = (library.samples - truth) / library.samples.std(0)
        weights = np.exp(-2 * (off**2).sum(1))
        success = weights @ library.chances[:, :, OUTCOMES.index(SWITCHING)] / weights.sum()
        best = np.argsort(-success, kind="stable")
        tried = [against(belief.background, library.as_pulses[i]) for i in best[:_ORACLE_TRIES]]
        for pulse in tried:
            self._noise += 1
            with filmed(self._rig.sample, self._conditions, 10_000 + self._noise) as twin:
                twin.film.spins = self._rig.film.spins
                before = twin.look().state
                twin.fire(pulse)
                if _turned_over(before, twin.look().state):
                    return Proposal("switch", pulse, "switched the copy")
        return Proposal("switch", tried[0], "none tried switches the copy")


def _turned_over(before: FilmState | None, after: FilmState | None) -> bool:
    if before is None or after is None:
        return False
    both = before.has_one_skyrmion and after.has_one_skyrmion
    return both and before.background != after.background


class _MakeSeeker(Protocol):
    def __call__(self, task: Task) -> TaskSeeker: ...


def _maker(agent: Agent, rig: Rig, conditions: Conditions, seed: int) -> _MakeSeeker:
    """Makes the agent's seekers for one sample: they share a memory, as in the plan `cycle`."""
    memory, brackets = PulseMemory(), BracketMemory()
    makers: dict[Agent, _MakeSeeker] = {
        "library": lambda task: TargetSeeker(task, _CENTRE, memory),
        "bracket": lambda task: BracketSeeker(task, _CENTRE, brackets),
        "random": lambda task: RandomSeeker(task, _CENTRE, memory, seed=seed),
        "random-search": lambda task: RandomSearch(task, _CENTRE, memory, seed=seed),
        "recipe": lambda task: RecipeSeeker(task, _CENTRE, memory),
        "oracle": lambda task: OracleSeeker(task, memory, rig, conditions),
    }
    return makers[agent]


def live(agent: Agent, sample_seed: int, conditions: Conditions) -> list[Attempt]:
    """The agent's tasks on one sample that starts empty; one that fails ends it."""
    sample = SampleSpread().draw(sample_seed)
    attempts = []
    with filmed(sample, conditions, sample_seed) as rig:
        make = _maker(agent, rig, conditions, sample_seed)
        for task in TASKS_OF[agent]:
            attempt = _pursue(make(task), rig, agent, sample_seed, conditions)
            attempts.append(attempt)
            if not attempt.reached:
                break
    return attempts


def _pursue(
    seeker: TaskSeeker, rig: Rig, agent: Agent, sample_seed: int, conditions: Conditions
) -> Attempt:
    at_start, frames = rig.charge(), rig.frames
    campaign = Campaign(seeker, AT_MOST[seeker.task])
    end = run_campaign(campaign, rig)
    wanted = {"write": 1.0, "switch": -np.sign(at_start), "erase": 0.0}[seeker.task]
    charge = abs(rig.charge()) if seeker.task == "write" else rig.charge()
    return Attempt(
        agent=agent,
        task=seeker.task,
        sample_seed=sample_seed,
        conditions=conditions,
        pulses=campaign.pulses,
        reached=end.reached,
        verified=bool(end.reached and abs(charge - wanted) < _CHARGE),
        fired=tuple(f"{each.action} {each.pulse}" for each in campaign.proposed),
        gave_up=seeker.gave_up,
        library_sha256=seeker.library_sha256,
        frames=rig.frames - frames,
    )


def seeking_metrics(
    seeds: int,
    samples: int,
    seed: int = 0,
    *,
    baseline_lives: int = 20,
    workers: int = 2,
    kept: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Pulses of the target seeker on seeds × samples films, cold and at 1 K with 5 % noise.

    baseline_lives : how many of the films each of the baselines gets, all if there are fewer
    kept : JSON lines, a life each as it is done; those it holds are not lived again, unless the
        agent knew another library then
    progress : told how many lives are done, of how many

    Returns the rows of `skyctl bench autonomy`, one a task and condition, each with its baselines.
    """
    plan = [*_planned(seeds, samples, seed, baseline_lives)]
    lives = _kept_lives(kept, plan)
    left = [life for life in plan if life not in lives]
    with ProcessPoolExecutor(workers, mp_context=CHILDREN) as pool:
        pending = {pool.submit(live, *life): life for life in left}
        try:
            for future in as_completed(pending):
                lives[pending[future]] = attempts = future.result()
                if kept:
                    with kept.open("a") as file:
                        file.write(json.dumps([asdict(attempt) for attempt in attempts]) + "\n")
                progress(len(lives), len(plan))
        finally:  # stopped, it does not live the rest first
            pool.shutdown(wait=False, cancel_futures=True)
    return _rows([attempt for life in plan for attempt in lives[life]])


def _planned(seeds: int, samples: int, seed: int, baseline_lives: int) -> Iterator[Life]:
    """All lives, sample by sample, so that what was kept of a stopped run is a smaller one."""
    drawn = [1000 * (seed + i) + j for j in range(samples) for i in range(seeds)]
    for sample in drawn:
        for conditions in BASELINES:
            yield "library", sample, conditions
    for sample in drawn[:baseline_lives]:
        for conditions, agents in BASELINES.items():
            for agent in agents:
                yield agent, sample, conditions


def _kept_lives(kept: Path | None, plan: list[Life]) -> dict[Life, list[Attempt]]:
    """The lives of the plan that a file holds."""
    lives: dict[Life, list[Attempt]] = {}
    known = ("", SwitchingLibrary.load().sha256)
    for line in kept.read_text().splitlines() if kept and kept.exists() else ():
        life = [
            Attempt(
                **{
                    **each,
                    "conditions": Conditions(**each["conditions"]),
                    "fired": tuple(each["fired"]),
                }
            )
            for each in json.loads(line)
        ]
        if life[0].library_sha256 in known:
            lives[life[0].agent, life[0].sample_seed, life[0].conditions] = life
    return {job: lives[job] for job in plan if job in lives}


def _rows(attempts: list[Attempt]) -> list[dict[str, Any]]:
    rows = []
    for conditions, agents in BASELINES.items():
        where = " at 1 K, 5 % camera noise" if conditions == WARM else ""
        for task in TASKS:
            row = {
                "name": f"{task}, pulses{where}",
                **_spread(attempts, "library", task, conditions),
                "target": TARGETS[conditions, task],
                "baselines": {
                    a: _spread(attempts, a, task, conditions) for a in agents if task in JUDGED[a]
                },
            }
            if conditions == WARM:
                row["times_cold"] = _times_cold(attempts, task)
            rows.append(row)
    return rows


def _of(attempts: list[Attempt], agent: Agent, task: Task, conditions: Conditions) -> list[Attempt]:
    return [a for a in attempts if (a.agent, a.task, a.conditions) == (agent, task, conditions)]


def _pulses(attempts: list[Attempt]) -> np.ndarray:
    """Pulses of each; a failure counts as one pulse more than was allowed."""
    return np.array([a.pulses if a.verified else AT_MOST[a.task] + 1 for a in attempts], float)


def _spread(
    attempts: list[Attempt], agent: Agent, task: Task, conditions: Conditions
) -> dict[str, Any]:
    """Median and p90 of the pulses, and the share that succeeded, with 95 % intervals: that of the
    median by bootstrap, that of the share exact (Clopper and Pearson).
    """
    chosen = _of(attempts, agent, task, conditions)
    if not chosen:
        return {"lives": 0}
    pulses, verified = _pulses(chosen), sum(a.verified for a in chosen)
    share = binomtest(verified, len(chosen)).proportion_ci(0.95, method="exact")
    return {
        "lives": len(chosen),
        "median": float(np.median(pulses)),
        "median_95": interval(pulses, np.median),
        "p90": float(np.percentile(pulses, 90)),
        "mean": float(pulses.mean()),
        "success": verified / len(chosen),
        "success_95": (float(share.low), float(share.high)),
        "falsely_reached": sum(a.reached and not a.verified for a in chosen),
    }


def _times_cold(attempts: list[Attempt], task: Task) -> dict[str, Any]:
    """Pulses at 1 K over those at 0 K, at the samples where both conditions came to the task."""
    cold, warm = (
        {a.sample_seed: a for a in _of(attempts, "library", task, conditions)}
        for conditions in (COLD, WARM)
    )
    both = sorted(cold.keys() & warm.keys())
    if not both:
        return {"lives": 0}
    cool, hot = _pulses([cold[s] for s in both]), _pulses([warm[s] for s in both])

    def ratio(hot: np.ndarray, cool: np.ndarray, axis: int = -1) -> np.ndarray:
        return hot.mean(axis) / cool.mean(axis)

    return {
        "lives": len(both),
        "mean": float(ratio(hot, cool)),
        "mean_95": interval((hot, cool), ratio),
        "median": float(np.median(hot) / np.median(cool)),
    }


def interval(values: np.ndarray | tuple[np.ndarray, ...], statistic: Any) -> tuple[float, float]:
    """95 % by bootstrap of a statistic of one sample, or of paired ones.

    That of samples whose numbers are all the same is the statistic twice.
    """
    data = values if isinstance(values, tuple) else (values,)
    if len(data[0]) < 2 or all(np.ptp(each) == 0 for each in data):
        point = float(statistic(*data))
        return point, point
    found = bootstrap(
        data,
        statistic,
        method="percentile",
        n_resamples=2000,
        paired=len(data) > 1,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)
