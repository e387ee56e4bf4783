"""The demonstration: write, switch and erase a skyrmion, unattended, and show what happened."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from bluesky import RunEngine
from bluesky.callbacks.json_writer import JSONLinesWriter
from bluesky.utils import RunEngineInterrupted

from skyctl.agents.seeker import Bracket, PulseMemory
from skyctl.beamline import Beamline, simulated_beamline
from skyctl.beamline.practice import Over, practice_beamline
from skyctl.catalogue import catalogue_if_installed
from skyctl.inference.model import MovieClassifier
from skyctl.interrupts import run_engine
from skyctl.monitor import Monitor
from skyctl.plans import TaskReport, cycle
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.verdict import SEEN, FilmState, ShotResult, Verdict

DOCUMENTS = "documents.jsonl"
"""File of a run's documents, beside its recording."""

_JITTER_SITES = 2.0
_SHOTS = 24


@dataclass(frozen=True)
class ShotRow:
    """One shot, for the table; ``at_rest`` is what the camera saw of the film once it had settled,
    or what is believed of it where nobody had to look.

    ``charge`` is the simulator's truth, shown and never used.
    """

    task: str
    pulse: str
    label: str
    confidence: float
    at_rest: str
    charge: float
    latency_ms: float


@dataclass
class Watch:
    """Callbacks while the demonstration runs."""

    shot: Callable[[ShotRow], None] = lambda row: None
    frame: Callable[[Verdict], None] = lambda verdict: None
    page: Callable[[dict[str, str]], None] = lambda links: None


@dataclass
class DemoResult:
    """What the demonstration did; ``as_json`` is what ``--json`` writes."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    shots: int = 0
    frames: int = 0
    lost_frames: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    recording: str = ""
    run_uid: str = ""
    provider: str = ""
    validated: bool = False
    interrupted: bool = False

    @property
    def reached(self) -> bool:
        """Whether every task was reached."""
        return len(self.tasks) == 3 and all(task["reached"] for task in self.tasks)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        latencies = self.latencies_ms or [0.0]
        p50, p99 = (float(np.percentile(latencies, q)) for q in (50, 99))
        return {
            "tasks": self.tasks,
            "shots": self.shots,
            "frames": self.frames,
            "lost_frames": self.lost_frames,
            "latency_ms": {"p50": p50, "p99": p99},
            "recording": self.recording,
            "run_uid": self.run_uid,
            "provider": self.provider,
            "validated": self.validated,
        }


def first_guesses(seed: int) -> tuple[PulseMemory, tuple[float, float]]:
    """Memory with a guess that is mostly too weak to write with, and where to write."""
    rng = np.random.default_rng(seed)
    memory = PulseMemory(
        write_T=Bracket(1.0, 12.0, rng.uniform(2.0, 4.5), 0.3),
        erase_ps=Bracket(8.0, 60.0, rng.uniform(10.0, 30.0), 1.0),
    )
    x, y = 49.5 + rng.uniform(-_JITTER_SITES, _JITTER_SITES, 2)
    return memory, (round(float(x), 1), round(float(y), 1))


def run_demo(
    folder: Path,
    *,
    seed: int = 0,
    model: Path | None = None,
    provider: str = "cpu",
    device: Literal["cpu", "cuda"] = "cpu",
    watch: Watch | None = None,
    metrics_port: int | None = None,
    monitor_port: int | None = None,
    over: Over | None = None,
) -> DemoResult:
    """Run the cycle on a simulated film; recording, documents, ledger go to ``folder``, and a
    catalogue where Tiled is installed.

    metrics_port, monitor_port : on 127.0.0.1, for Prometheus and for the live page, while it runs
    over : "epics" or "scpi" has the film in another process, behind that protocol
        (`skyctl.beamline.practice`); None has it in this one

    An interrupt aborts the run: the pulser is disarmed, and what was filmed so far is kept.
    """
    watch = watch or Watch()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    memory, centre = first_guesses(seed)
    parts: dict[str, Any] = {
        "model": MovieClassifier(model, provider),
        "ledger": folder / "ledger.jsonl",
        "metrics_port": metrics_port,
    }
    beamline: Beamline[Any]
    with catalogue_if_installed(folder) as catalog:
        if over:
            beamline = practice_beamline(over, folder, arguments=("--device", device), **parts)
        else:
            beamline = simulated_beamline(
                folder, parameters=FilmParameters(), device=device, **parts
            )
        with beamline, contextlib.ExitStack() as pages:
            engine = run_engine(beamline, call_returns_result=True)
            if monitor_port is not None:
                page = Monitor(beamline, port=monitor_port)
                engine.subscribe(pages.enter_context(page))
                watch.page(page.links)
            if catalog:
                engine.subscribe(catalog.writer)
            engine.subscribe(JSONLinesWriter(str(folder), DOCUMENTS))
            result = _run(engine, beamline, memory, centre, seed, watch)
        if catalog and result.run_uid and not result.interrupted:
            catalog.validate(result.run_uid)
            result.validated = True
    return result


def _run(
    engine: RunEngine,
    beamline: Beamline[Any],
    memory: PulseMemory,
    centre: tuple[float, float],
    seed: int,
    watch: Watch,
) -> DemoResult:
    account = _Account(beamline, watch)
    beamline.streaming.subscribe(account.news)
    engine.subscribe(account.document)
    plan = cycle(
        beamline,
        shots=_SHOTS,
        centre=centre,
        memory=memory,
        on_task=account.task_done,
        md={"seed": seed, "purpose": "skyctl demo"},
    )
    result = account.result
    try:
        engine(plan)
    except RunEngineInterrupted:
        result.interrupted = True
        engine.abort("interrupted by the user")
    result.frames = beamline.hub.totals["received"]
    result.lost_frames = beamline.hub.totals["missing"]
    result.recording = str(beamline.camera.recording or "")
    return result


class _Account:
    """Follows a run by its documents, verdicts and task reports: what there is to show and tell."""

    def __init__(self, beamline: Beamline[Any], watch: Watch) -> None:
        self.result = DemoResult(provider=str(beamline.classifier.provider.get()))
        self._sample, self._watch = beamline.sample, watch
        self._charge = beamline.sample.charge()
        self._task = self._pulse = ""
        self._open_shot: dict[str, Any] = {}  # fired, and its film not seen at rest yet

    def document(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of the run."""
        if name == "start":
            self.result.run_uid = doc["uid"]
        if name != "event":
            return
        data = doc["data"]
        if "decisions_task" in data:
            if self._open_shot:  # nobody looked at the film
                self._shot_done(data["decisions_from_state"])
            self._task = data["decisions_task"]
            self._pulse = str(Pulse.model_validate_json(data["decisions_proposal"]))
        elif "pulser_shot" in data:
            self.result.shots += 1
            self._open_shot = {**data, "task": self._task, "pulse": self._pulse}
        elif self._open_shot:  # the look after a shot: the film has settled
            self._shot_done(_seen(data))

    def _shot_done(self, at_rest: str) -> None:
        shot, self._open_shot = self._open_shot, {}
        self._watch.shot(
            ShotRow(
                task=shot["task"],
                pulse=shot["pulse"],
                label=shot["classifier_label"],
                confidence=shot["classifier_confidence"],
                at_rest=at_rest,
                charge=self._sample.charge(),
                latency_ms=shot["classifier_latency_p50"],
            )
        )

    def task_done(self, report: TaskReport) -> None:
        """Take the report of a task."""
        if self._open_shot:
            self._shot_done(str(report.after))
        before, self._charge = self._charge, self._sample.charge()
        self.result.tasks.append(
            {
                "task": report.task,
                "reached": report.reached,
                "pulses": report.pulses,
                "frames": report.frames,
                "charge_before": before,
                "charge_after": self._charge,
                "reason": report.reason,
            }
        )

    def news(self, item: Verdict | ShotResult) -> None:
        """Take what the classifier says."""
        if isinstance(item, Verdict):
            self._watch.frame(item)
        else:
            self.result.latencies_ms.extend(item.latencies_ms)


def _seen(look: dict[str, Any]) -> str:
    """What a look saw of the film, from its event."""
    return str(FilmState(**{name: look[f"classifier_{name}"] for name in SEEN}))
