"""The imagining seeker beside others: pulses until one skyrmion of an unseen sample is switched.

Each life begins with a skyrmion at rest and an agent that knows nothing of the sample. Every pulse
counts: probes, and those that empty the film and write anew after a miss.
"""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from scipy.stats import binomtest

from skyctl.agents.baseline_seekers import RandomSeeker
from skyctl.agents.campaign import Campaign
from skyctl.agents.imagining_seeker import ImaginingSeeker
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.agents.tasks import Proposal, TaskSeeker
from skyctl.belief import Belief
from skyctl.bench.machine import machine
from skyctl.children import CHILDREN
from skyctl.rehearsal import twin_skyrmion
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
from skyctl.studies.network_lives import RandomNetwork
from skyctl.studies.rig import Conditions, Rig, filmed, run_campaign
from skyctl.studies.seekers import OracleSeeker, interval

Who = Literal["imagining", "no probe", "network at random", "seeker", "oracle", "random"]
"""imagining: as it is; no probe: it never fires one; network at random: the classifier names a
transition by chance. seeker: the library's. oracle: tries pulses on copies of the film first."""
Where = Literal["cold", "warm", "noisy", "gentle"]
CONDITIONS: dict[Where, Conditions] = {
    "cold": Conditions(),
    "warm": Conditions(temperature_K=1.0, noise=0.05),
    "noisy": Conditions(noise=0.5),
    "gentle": Conditions(),
}
SPREADS: dict[Where, SampleSpread] = {"gentle": SampleSpread(damping=(0.08, 0.1))}
"""Of samples, where they are not the usual ones."""
TARGETS: dict[Where, dict[str, float]] = {
    "cold": {"median": 2, "mean": 2.2, "p90": 3, "success": 0.99},
    "warm": {"median": 2, "p90": 5},
    "noisy": {"median": 3},
    "gentle": {"median": 2, "mean": 2.2, "p90": 3, "success": 0.99},
}
AT_MOST = 30
_FIRST_SEED = 20_000
_CENTRE = (49.5, 49.5)
Life = tuple[Who, Where, int]


@dataclass(frozen=True)
class Switched:
    """What became of a life.

    pulses : fired in all; probes : weak ones of them; reached : as the agent has it; verified :
        truly; thinking_s : CPU time of each answer of the agent
    """

    who: Who
    where: Where
    sample_seed: int
    pulses: int
    probes: int
    reached: bool
    verified: bool
    reason: str
    damping: float
    fired: tuple[str, ...]
    library_sha256: str
    thinking_s: tuple[float, ...]


class _Timed:
    """An agent whose answers are timed, in CPU time: nothing else computes meanwhile."""

    def __init__(self, agent: TaskSeeker) -> None:
        self._agent, self.thinking_s = agent, list[float]()

    def suggest(self, belief: Belief) -> Proposal | None:
        begun = time.process_time()
        proposal = self._agent.suggest(belief)
        self.thinking_s.append(time.process_time() - begun)
        return proposal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)


def live(who: Who, where: Where, sample_seed: int) -> Switched:
    """One life, by the seed of its sample."""
    conditions = CONDITIONS[where]
    sample = SPREADS.get(where, SampleSpread()).draw(sample_seed)
    model = RandomNetwork(sample_seed) if who == "network at random" else None
    with filmed(sample, conditions, sample_seed, model=model) as rig:
        rig.film.set_skyrmion()
        began = rig.truth()
        agent: Any = _Timed(_agent(who, rig, conditions, sample_seed))
        campaign = Campaign(agent, AT_MOST)
        end = run_campaign(campaign, rig)
        return Switched(
            who=who,
            where=where,
            sample_seed=sample_seed,
            pulses=campaign.pulses,
            probes=sum(proposal.whole_movie for proposal in campaign.proposed),
            reached=end.reached,
            verified=end.reached and rig.truth() == ("one", -began[1]),
            reason=end.reason,
            damping=sample.parameters.damping,
            fired=tuple(f"{each.action} {each.pulse}: {each.reason}" for each in campaign.proposed),
            library_sha256=agent.library_sha256,
            thinking_s=tuple(agent.thinking_s),
        )


def _agent(who: Who, rig: Rig, conditions: Conditions, seed: int) -> TaskSeeker:
    memory = PulseMemory()
    makers: dict[Who, Callable[[], TaskSeeker]] = {
        "imagining": lambda: ImaginingSeeker("switch", _CENTRE, memory, twin=twin_skyrmion),
        "network at random": lambda: ImaginingSeeker("switch", _CENTRE, memory, twin=twin_skyrmion),
        "no probe": lambda: ImaginingSeeker("switch", _CENTRE, memory),
        "seeker": lambda: TargetSeeker("switch", _CENTRE, memory),
        "oracle": lambda: OracleSeeker("switch", memory, rig, conditions),
        "random": lambda: RandomSeeker("switch", _CENTRE, memory, seed=seed),
    }
    return makers[who]()


def imagining_metrics(
    lives: int = 100,
    *,
    seed: int = 0,
    baseline_lives: int = 25,
    wheres: tuple[Where, ...] = get_args(Where),
    whos: tuple[Who, ...] = get_args(Who),
    workers: int = 2,
    kept: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Pulses to switch, of every agent under all conditions.

    lives : of the imagining seeker and of the library's, under each; baseline_lives : of the others
    kept : JSON lines, a life each as it is done; those it holds are not lived again, unless the
        agent knew something else then
    progress : told how many lives are done, of how many
    """
    plan = _planned(lives, baseline_lives, seed, wheres, whos)
    done = {life: found for life, found in _kept(kept).items() if life in plan}
    left = [life for life in plan if life not in done]
    with ProcessPoolExecutor(workers, mp_context=CHILDREN) as pool:
        pending = {pool.submit(live, *life): life for life in left}
        try:
            for future in as_completed(pending):
                done[pending[future]] = found = future.result()
                if kept:
                    with kept.open("a") as file:
                        file.write(json.dumps(asdict(found)) + "\n")
                progress(len(done), len(plan))
        finally:  # stopped, it does not live the rest first
            pool.shutdown(wait=False, cancel_futures=True)
    found = [done[life] for life in plan]
    return {
        "machine": machine(),
        "thinking": thinking(),
        "metrics": [_row(where, found) for where in wheres],
        "lives": [asdict(x) for x in found],
    }


def thinking(shots: int = 3) -> dict[str, float]:
    """What an answer takes after a weak pulse, to which a sample is fitted: CPU time and by the
    clock, s; and how long it holds up an event loop that it is asked beside, in a thread as plans
    do it, ms; beside the same loop when nobody is asked.
    """
    film = Belief.certain("one", -1)
    samples = [SampleSpread().draw(_FIRST_SEED - 1 - i) for i in range(shots)]
    seekers = [_after_a_probe(sample) for sample in samples]
    _after_a_probe(samples[0]).suggest(film)  # compiles

    def ask() -> None:
        for seeker in seekers:
            seeker.suggest(film)

    began, clock = time.process_time(), time.perf_counter()
    held_ms = asyncio.run(_longest_gap_ms(ask))
    taken_s, by_clock_s = time.process_time() - began, time.perf_counter() - clock
    idle_ms = asyncio.run(_longest_gap_ms(lambda: time.sleep(by_clock_s)))
    return {
        "cpu_s": taken_s / shots,
        "clock_s": by_clock_s / shots,
        "loop_held_ms": held_ms,
        "loop_held_idle_ms": idle_ms,
    }


def _after_a_probe(sample: DrawnSample) -> ImaginingSeeker:
    seeker = ImaginingSeeker("switch", _CENTRE, PulseMemory(), twin=twin_skyrmion)
    with filmed(sample, Conditions(), 0) as rig:
        rig.film.set_skyrmion()
        before = Belief.certain("one", -1)
        if probe := seeker.suggest(before):
            seeker.ingest(probe, before, rig.fire(probe.pulse, probe.whole_movie), before)
    return seeker


async def _longest_gap_ms(call: Callable[[], None]) -> float:
    """Of a loop that wants to run every millisecond, while a thread is in ``call``."""
    asked = asyncio.ensure_future(asyncio.to_thread(call))
    longest, last = 0.0, time.perf_counter()
    while not asked.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return 1000 * longest


def _planned(
    lives: int, baseline_lives: int, seed: int, wheres: tuple[Where, ...], whos: tuple[Who, ...]
) -> list[Life]:
    first = _FIRST_SEED + 1000 * seed
    return [
        (who, where, first + i)
        for i in range(lives)
        for where in wheres
        for who in whos
        if i < baseline_lives or who in ("imagining", "seeker")
    ]


def _kept(path: Path | None) -> dict[Life, Switched]:
    found: dict[Life, Switched] = {}
    known = {_agent_sha(who) for who in get_args(Who)}
    for line in path.read_text().splitlines() if path and path.exists() else ():
        plain = json.loads(line)
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()
        }
        life = Switched(**values)
        if life.library_sha256 in known:
            found[life.who, life.where, life.sample_seed] = life
    return found


def _agent_sha(who: Who) -> str:
    if who == "random":
        return ""
    agents = {"seeker": TargetSeeker, "oracle": TargetSeeker}
    return agents.get(who, ImaginingSeeker)("switch", _CENTRE).library_sha256


def _row(where: Where, lives: list[Switched]) -> dict[str, Any]:
    names = dict.fromkeys(life.who for life in lives)
    found = {who: _spread([x for x in lives if (x.who, x.where) == (who, where)]) for who in names}
    own = found.pop("imagining", {})
    return {"name": f"switch, {where}", **own, "target": TARGETS[where], "baselines": found}


def _spread(lives: list[Switched]) -> dict[str, Any]:
    """Of the pulses; a failure counts as one pulse more than allowed. Shares exact, 95 %."""
    if not lives:
        return {"lives": 0}
    pulses = np.array([life.pulses if life.verified else AT_MOST + 1 for life in lives], float)
    verified = sum(life.verified for life in lives)
    share = binomtest(verified, len(lives)).proportion_ci(0.95, method="exact")
    thinking = [t for life in lives for t in life.thinking_s] or [0.0]
    return {
        "lives": len(lives),
        "median": float(np.median(pulses)),
        "mean": float(pulses.mean()),
        "mean_95": interval(pulses, np.mean),
        "p90": float(np.percentile(pulses, 90)),
        "success": verified / len(lives),
        "success_95": (float(share.low), float(share.high)),
        "falsely_reached": sum(life.reached and not life.verified for life in lives),
        "probes": sum(life.probes for life in lives) / len(lives),
        "thinking_s_max": max(thinking),
    }
