"""An unattended cycle with faults put in on purpose: what it reaches, what it does about them."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted

from skyctl.beamline import Beamline, simulated_beamline
from skyctl.bench.machine import machine
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.simulated import SimulatedSample
from skyctl.errors import PulseRefused
from skyctl.frame import Frame
from skyctl.inference.model import MovieClassifier
from skyctl.plans import cycle
from skyctl.plans.campaign import TaskReport
from skyctl.plans.reports import CycleReport
from skyctl.plans.stubs import Plan
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.verdict import ShotResult, Verdict

_TIMEOUT_S = 30.0
"""Of camera and classifier: long for a movie of 165 ps, short for a classifier that hangs."""
_LATE_S = 6.0
"""Longer than a result may take (`ClassifierDevice`, max_delay_s)."""
_CHARGE = 0.3
_FAULTS = ("lost frame", "late stream", "hanging classifier", "refused pulse", "pause")
_FIRST_SHOT, _EVERY = 3, 6
"""Faults come in turn, one every so many pulses."""


class _HangingClassifier(MovieClassifier):
    """Takes its time over one frame, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.hang_s = 0.0

    def step(self, sz: np.ndarray, movie_time_ps: float) -> np.ndarray:
        hang_s, self.hang_s = self.hang_s, 0.0
        time.sleep(hang_s)
        return super().step(sz, movie_time_ps)


class _Faults:
    """Puts the faults in, at the pulses they are due at, and counts them."""

    def __init__(
        self, line: Beamline[SimulatedSample], model: _HangingClassifier, engine: RunEngine
    ) -> None:
        self.injected: Counter[str] = Counter()
        self._model, self._engine = model, engine
        self._pulses = 0
        self._due = ""
        self._shut = False
        publisher: Any = line.publisher
        self._send = publisher.frame
        publisher.frame = self._frame
        line.pulser.add_interlock(lambda: "the shutter closed" if self._shut else "")
        line.streaming.subscribe(self._news)

    def document(self, name: str, doc: dict[str, Any]) -> None:
        """A decision is a pulse to come; the look that follows a refusal opens the shutter."""
        if name != "event":
            return
        self._shut = False
        if "decisions_shot" in doc["data"]:
            self._pulses += 1
            late = self._pulses - _FIRST_SHOT
            if late >= 0 and late % _EVERY == 0:
                self._begin(_FAULTS[late // _EVERY % len(_FAULTS)])

    def _begin(self, fault: str) -> None:
        if fault == "refused pulse":
            self._shut = True
            self.injected[fault] += 1
        else:
            self._due = fault

    def _take(self, fault: str) -> bool:
        if self._due != fault:
            return False
        self._due = ""
        self.injected[fault] += 1
        return True

    def _frame(self, frame: Frame) -> None:
        if frame.index == 7 and self._take("lost frame"):
            return
        if frame.index == 20 and self._take("late stream"):
            time.sleep(_LATE_S)
        if frame.index == 5 and self._take("hanging classifier"):
            self._model.hang_s = _TIMEOUT_S + 3
        self._send(frame)

    def _news(self, news: Verdict | ShotResult) -> None:
        if isinstance(news, Verdict) and self._take("pause"):
            self._engine.request_pause()


def cycle_with_faults(
    cycles: int,
    folder: Path,
    *,
    seed: int = 0,
    drift_at: int | None = None,
    faults: bool = True,
    done: Callable[[TaskReport], None] = lambda task: None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Write, switch and erase ``cycles`` times, nobody watching, on the sample of ``seed``.

    folder : for recording and ledger; drift_at : the cycle before which its damping falls to 0.6 of
    what it was (None: it stays); faults : whether `_FAULTS` are put in, one every six pulses

    Returns the plan's statistics (`CycleReport.as_json`), how many tasks the film's true charge
    bears out, what was put in, and the guard's account beside what really reached the sample.
    """
    sample = SampleSpread().draw(seed)
    engine = RunEngine({}, call_returns_result=True, context_managers=[])
    model = _HangingClassifier()
    begun = time.monotonic()
    with simulated_beamline(
        folder,
        parameters=sample.parameters,
        field_calibration=sample.field_calibration,
        model=model,
        ledger=folder / "ledger.jsonl",
        seed=seed,
        timeout_s=_TIMEOUT_S,
    ) as line:
        judge = _Judge(line, sample.parameters.damping, drift_at, done)
        judge.watch_pulses()
        injected = Counter[str]()
        if faults:
            put_in = _Faults(line, model, engine)
            engine.subscribe(put_in.document)
            injected = put_in.injected
        plan = cycle(
            line,
            cycles=cycles,
            shots=30,
            on_task=judge.task,
            on_change=say,
        )
        report, pauses = _run(engine, plan)
        guard = line.pulser.guard
        return {
            "machine": machine(),
            "sample": str(sample),
            "drift_at": drift_at,
            **report.as_json(),
            "seconds": time.monotonic() - begun,
            "tasks_reached": sum(task.reached for task in report.tasks),
            "tasks_verified": judge.verified,
            "faults_injected": dict(injected),
            "pauses_resumed": pauses,
            "pulses_at_the_sample": len(judge.fired),
            "shots_fired_twice": len(judge.fired) - len(set(judge.fired)),
            "unsafe_pulses": judge.unsafe,
            "shots_booked": guard.shots_fired,
            "dose_T2ps": guard.spent.dose_T2ps,
            "pulser_refused": int(line.pulser.refused.get()),  # pyright: ignore[reportArgumentType]
        }


class _Judge:
    """What really happened: pulses that reach the sample, and its charge after each task."""

    def __init__(
        self,
        line: Beamline[SimulatedSample],
        damping: float,
        drift_at: int | None,
        done: Callable[[TaskReport], None],
    ) -> None:
        self.verified, self.unsafe = 0, 0
        self.fired: list[str] = []
        self._line, self._damping, self._drift_at, self._done = line, damping, drift_at, done
        self._charge = line.sample.charge()
        self._cycles = 0

    def watch_pulses(self) -> None:
        """Count and check what the pulser lets through, with an envelope of its own."""
        sample: Any = self._line.sample
        send, second = sample.fire, Guard(Envelope())

        def fire(shot: str, pulse: Any) -> None:
            self.fired.append(shot)
            try:
                second.check(pulse)
            except PulseRefused:
                self.unsafe += 1
            send(shot, pulse)

        sample.fire = fire

    def task(self, report: TaskReport) -> None:
        before, self._charge = self._charge, self._line.sample.charge()
        size = abs(self._charge)
        true = {
            "write": abs(size - 1) < _CHARGE,
            "switch": abs(self._charge + before) < _CHARGE and abs(size - 1) < _CHARGE,
            "erase": size < _CHARGE,
        }[report.task]
        self.verified += report.reached and true
        if report.task == "erase" or not report.reached:
            self._cycles += 1
            if self._cycles + 1 == self._drift_at:
                self._line.sample.set_damping(0.6 * self._damping)
        self._done(report)


def _run(engine: RunEngine, plan: Plan[CycleReport]) -> tuple[CycleReport, int]:
    """Run a plan and resume it whenever it pauses: what it returned, and how often it paused."""
    pauses, go_on = 0, lambda: engine(plan)
    while True:
        try:
            result: Any = go_on()
        except RunEngineInterrupted:
            pauses += 1
            go_on = engine.resume
        else:
            return result.plan_result, pauses
