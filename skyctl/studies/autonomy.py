"""Benchmark of autonomy: what guard, seeker and mapper are worth, in one table."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import bluesky.plan_stubs as bps
import numpy as np
from bluesky import RunEngine
from ophyd.sim import SynAxis, SynSignal

from skyctl.beamline import Beamline, simulated_beamline
from skyctl.belief import Belief
from skyctl.bench.machine import machine
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.inference.model import MovieClassifier
from skyctl.plans import write
from skyctl.plans.modes import Oversight
from skyctl.plans.stubs import Plan
from skyctl.process import NOTHING
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.studies.hostile_proposals import fuzz_pulser
from skyctl.studies.map_scores import topology
from skyctl.studies.mapper_runs import JUDGED_MAPS
from skyctl.studies.mappers import mapping_metrics
from skyctl.studies.network_taken_away import network_metrics
from skyctl.studies.seekers import seeking_metrics
from skyctl.verdict import ShotResult, Verdict

PARTS = ("network", "guard", "seeking", "mapping")
_TICK_S = 0.001
_STOPS = 100
_ENDLESS = Envelope(rest_s=0, shots=10**9, budget_T2ps=1e15)
"""Whatever is fired while it is timed."""


def autonomy(
    parts: Sequence[str] = PARTS,
    *,
    seed: int = 0,
    seeds: int = 20,
    samples: int = 5,
    baseline_lives: int = 25,
    proposals: int = 100_000,
    decisions: int = 500,
    workers: int = 2,
    kept: Path | None = None,
    progress: Callable[[str, int, int], None] = lambda part, done, total: None,
) -> dict[str, Any]:
    """How good guard, seeker and mapper are, beside other ways to do the same.

    parts : "network", what the classifier contributes; "guard", what autonomy costs and what gets
        through; "seeking", pulses to a target; "mapping", shots to a map
    seed, seeds, samples : the first seed, how many, and how many samples each meets; the mapper's
        samples are the truth maps that there are, if those are fewer
    baseline_lives : films for each of the seeker's baselines
    proposals : hostile proposals to the pulser's guard; decisions : timed decisions
    workers : processes of seeking and mapping
    kept : a folder for what seekers and mappers did, run by run; what it holds is not done again
    progress : told (part, done, of how many)

    Returns ``metrics``, each with name, median, p90, success and its baselines, and ``network``,
    the table of `network_metrics`.
    """
    result: dict[str, Any] = {"machine": machine(), "metrics": []}
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
    options = {"seed": seed, "workers": workers}
    if "network" in parts:
        result["network"] = network_metrics(
            seeds * samples,
            kept=kept and kept / "network.jsonl",
            progress=partial(progress, "network"),
            **options,
        )
    if "guard" in parts:
        metrics, result["proposals"] = guard_metrics(
            proposals, decisions, seed, partial(progress, "guard")
        )
        result["metrics"] += metrics
    if "seeking" in parts:
        result["metrics"] += seeking_metrics(
            seeds,
            samples,
            baseline_lives=baseline_lives,
            kept=kept and kept / "seeking.jsonl",
            progress=partial(progress, "seeking"),
            **options,
        )
    if "mapping" in parts:
        maps = JUDGED_MAPS[:samples]
        result["metrics"] += mapping_metrics(
            seeds,
            len(maps),
            kept=kept and kept / "mapping.jsonl",
            progress=partial(progress, "mapping"),
            **options,
        )
        result["maps"] = [topology(name) for name in maps]
    return result


def guard_metrics(
    proposals: int,
    decisions: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What autonomy costs and what it lets through: (metrics, what became of the proposals)."""
    latency = arming_latency(decisions)
    progress(1, 3)
    stops = stop_latency()
    progress(2, 3)
    fuzzed = fuzz_pulser(proposals, seed)
    progress(3, 3)
    return [
        *latency,
        _metric("stop to disarmed, driver still firing, ms", stops, {"p99": 100}),
        _unsafe(fuzzed),
    ], fuzzed


def _unsafe(fuzzed: dict[str, Any]) -> dict[str, Any]:
    """The row of proposals that should not have got through, and did."""
    unsafe = len(fuzzed["unsafe"]) + fuzzed["second_controllers"]
    return {
        "name": "unsafe writes and budget overruns",
        "median": unsafe,
        "p90": unsafe,
        "success": 1 - unsafe / fuzzed["proposals"],
        "of": fuzzed["proposals"],
        "target": {"median": 0},
        "baselines": {},
    }


def _metric(
    name: str,
    values: list[float],
    target: dict[str, float],
    baselines: dict[str, list[float]] | None = None,
) -> dict[str, Any]:
    """A row of times in ms. ``success`` is the share within the target."""
    return {
        "name": name,
        **_spread(values),
        "success": float(np.mean(np.array(values) <= target["p99"])),
        "target": target,
        "baselines": {each: _spread(ms) for each, ms in (baselines or {}).items()},
    }


def _spread(values: list[float]) -> dict[str, float]:
    p90, p99 = np.percentile(values, (90, 99))
    median = statistics.median(values)
    return {"median": median, "p90": float(p90), "p99": float(p99), "max": max(values)}


class _SureOfNothing(MovieClassifier):
    """Names nothing after every movie, so that none holds fire."""

    def label(self, probabilities: np.ndarray) -> str:  # noqa: ARG002
        return NOTHING


class _Certain:
    """Believes in an empty film whatever comes: a decision follows each movie without a look."""

    @property
    def belief(self) -> Belief:
        return Belief.certain("empty", -1)

    @belief.setter
    def belief(self, _: Belief) -> None: ...


def arming_latency(decisions: int) -> list[dict[str, Any]]:
    """Verdict to armed pulser in `write`'s own loop, beside `mv` and `trigger` of a bare RunEngine.

    The clock starts when the classifier tells the result that the decision is made from, of a look
    or of a movie after a pulse, and stops when the pulser is armed: the agent, the guard, and for a
    movie its documents. The bare plan moves and triggers ophyd's simulated devices, in the same
    RunEngine and process, before and after; ``over_bare`` is how often that fits. A third metric is
    how late the RunEngine's loop was while it did so.
    """
    engine = RunEngine({})
    bare_ms = _bare_ms(engine, decisions // 2)
    film = FilmParameters(rows=20, columns=20)
    told: list[tuple[str, int]] = []
    armed_ms: dict[str, list[float]] = {"look": [], "verdict": []}
    late_ms: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_beamline(
            folder, parameters=film, model=_SureOfNothing(), envelope=_ENDLESS
        ) as line,
    ):
        line.camera.duration_ps.put(FrameSchedule(duration_ps=10).duration_ps)

        def result(news: Verdict | ShotResult) -> None:
            if isinstance(news, ShotResult):
                told[:] = [("verdict" if news.verdict else "look", time.perf_counter_ns())]

        def armed(value: int, **_: Any) -> None:
            if value and told:  # it is armed once more just before it fires
                what, since = told.pop()
                armed_ms[what].append((time.perf_counter_ns() - since) / 1e6)

        line.streaming.subscribe(result)
        line.pulser.armed.subscribe(armed, run=False)
        sure = replace(line, streaming=cast(Any, _Certain()))
        for what, beamline in ("look", line), ("verdict", sure):
            while (left := decisions // 2 - len(armed_ms[what])) > 0:
                # A run begins with a look; what follows a shot is a verdict where that is trusted.
                engine(_decide_and_fire(beamline, 1 if what == "look" else left))
        timed_ms = {what: ms.copy() for what, ms in armed_ms.items()}
        with _Heartbeat(engine, late_ms):  # which itself takes time, so not while that is timed
            engine(_decide_and_fire(line, decisions))
    bare_ms += _bare_ms(engine, decisions // 2)
    return [
        *(
            _beside_bare(f"{what} to pulser armed, ms", ms, bare_ms)
            for what, ms in timed_ms.items()
        ),
        _metric("RunEngine's loop held up while it decides, ms", late_ms, {"p99": 20}),
    ]


def _beside_bare(name: str, values: list[float], bare_ms: list[float]) -> dict[str, Any]:
    bare = {"bare mv + trigger": bare_ms}
    row = _metric(name, values, {"p99": 50, "over_bare": 3}, bare)
    floor = row["baselines"]["bare mv + trigger"]
    return {**row, "over_bare": {name: row[name] / floor[name] for name in ("median", "p99")}}


def _decide_and_fire(line: Beamline[Any], shots: int) -> Plan[Any]:
    return write(line, shots=shots, oversight=Oversight())


def _bare_ms(engine: RunEngine, repeats: int) -> list[float]:
    """`mv` of a motor and `trigger` of a detector, both done at once; ms each time."""
    motor: Any = SynAxis(name="motor")
    detector: Any = SynSignal(func=lambda: 1.0, name="detector")
    elapsed: list[float] = []

    def plan() -> Plan[None]:
        for i in range(repeats):
            start = time.perf_counter()
            yield from bps.mv(motor, i)
            yield from bps.trigger(detector, wait=True)
            elapsed.append((time.perf_counter() - start) * 1e3)

    engine(plan())
    return elapsed


class _Heartbeat:
    """Asks the RunEngine's loop every ms to do nothing, and notes how long that takes it."""

    def __init__(self, engine: RunEngine, late_ms: list[float]) -> None:
        self._engine, self._late_ms = engine, late_ms
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="skyctl-heartbeat")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(_TICK_S):
            done = threading.Event()
            asked = time.perf_counter()
            self._engine.loop.call_soon_threadsafe(done.set)
            done.wait()
            self._late_ms.append((time.perf_counter() - asked) * 1e3)


class _SlowDriver:
    """A PulseDriver that takes its time to fire."""

    def __init__(self) -> None:
        self.firing = threading.Event()
        self.go = threading.Event()

    def fire(self, shot: str, pulse: Pulse) -> None:  # noqa: ARG002
        self.firing.set()
        self.go.wait()


def stop_latency() -> list[float]:
    """How long ``stop`` takes while the driver is still firing, ms each time."""
    elapsed: list[float] = []
    for number in range(_STOPS):
        driver = _SlowDriver()
        pulser = Pulser(name="pulser", driver=driver, guard=Guard(Envelope()))
        pulser.set(Pulse(width_ps=10), shot=str(number))
        thread = threading.Thread(target=pulser.trigger)
        thread.start()
        driver.firing.wait()
        start = time.perf_counter()
        pulser.stop()
        if pulser.armed.get():
            raise RuntimeError("the pulser is armed after a stop")
        elapsed.append((time.perf_counter() - start) * 1e3)
        driver.go.set()
        thread.join()
    return elapsed
