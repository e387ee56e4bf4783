"""Pieces of plans: they need an open run and staged devices. Compose your own plans of them."""

import json
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import Msg

from skyctl.agents.seeker import Proposal, TargetSeeker
from skyctl.errors import PulseRefused
from skyctl.pulse import Exposure, Pulse
from skyctl.verdict import FilmState, ShotResult

FRAMES = "frames"
LOOKS = "looks"
DECISIONS = "decisions"


@dataclass
class TaskReport:
    """How a task ended.

    reached : whether the film was seen to be what the task wants; pulses : how many were fired
    reason : why it was not reached, or ""
    """

    task: str
    reached: bool
    pulses: int
    reason: str = ""
    before: FilmState | None = None
    after: FilmState | None = None
    shots: list[ShotResult] = field(default_factory=list)


Plan = Generator[Msg, Any, Any]


def new_shot() -> str:
    """A name no other shot has; a shot of one name fires once."""
    return uuid.uuid4().hex


def declare_frames(camera: Any) -> Plan:
    """Declare the stream of the camera's frames; once, at the start of a run."""
    yield from bps.declare_stream(camera.frames, name=FRAMES, collect=True)


def fire(pulser: Any, pulse: Pulse, shot: str | None = None) -> Generator[Msg, Any, str]:
    """Fire one pulse and return the shot's name. The pulser's guard and interlocks decide.

    Raises PulseRefused when they refuse; then nothing was fired.
    """
    shot = shot or new_shot()
    yield from bps.checkpoint()
    yield from bps.abs_set(pulser, pulse, shot=shot, wait=True)
    yield from bps.trigger(pulser, wait=True)
    return shot


def shoot(
    pulser: Any, camera: Any, classifier: Any, pulse: Pulse, shot: str | None = None
) -> Generator[Msg, Any, ShotResult]:
    """Fire a pulse, film and classify what follows; one event in ``primary``.

    Replayed after a pause it waits for the same movie and fires nothing twice.
    """
    shot = shot or new_shot()
    exposure = Exposure(shot=shot)
    yield from bps.checkpoint()
    yield from bps.prepare(camera, exposure, wait=True)
    yield from bps.prepare(classifier, exposure, wait=True)
    yield from bps.abs_set(pulser, pulse, shot=shot, wait=True)
    yield from bps.trigger(camera, group=shot)
    yield from bps.trigger(classifier, group=shot)
    yield from bps.trigger(pulser, group=shot)
    yield from bps.wait(shot)
    yield from _event("primary", pulser, camera, classifier)
    yield from bps.collect(camera.frames, name=FRAMES)
    return classifier.result


def look(camera: Any, classifier: Any) -> Generator[Msg, Any, ShotResult]:
    """Film the resting film, without a pulse; one event in ``looks``."""
    exposure = Exposure(shot=new_shot(), pulsed=False)
    yield from bps.checkpoint()
    yield from bps.prepare(camera, exposure, wait=True)
    yield from bps.prepare(classifier, exposure, wait=True)
    yield from bps.trigger(camera, group=exposure.shot)
    yield from bps.trigger(classifier, group=exposure.shot)
    yield from bps.wait(exposure.shot)
    yield from _event(LOOKS, camera, classifier)
    yield from bps.collect(camera.frames, name=FRAMES)
    return classifier.result


def pursue(
    pulser: Any, camera: Any, classifier: Any, decisions: Any, seeker: TargetSeeker, shots: int
) -> Generator[Msg, Any, TaskReport]:
    """Look, choose a pulse, fire, look again, until the film is what the task wants.

    shots : how many pulses may be fired. The report says what came of it; a task that cannot go
    on (nothing left to try, lost frames, a refusing guard) ends unreached with the reason.
    """
    report = TaskReport(task=seeker.task, reached=False, pulses=0)
    result: ShotResult | None = None
    while True:
        seen = yield from look(camera, classifier)
        if seen.state is None or seen.problem:
            report.reason = f"the film cannot be seen: {seen.problem}"
            return report
        state = seen.state
        if result is not None and not result.problem:
            seeker.ingest(proposal, report.after, result, state)
        report.before, report.after = report.before or state, state
        if seeker.reached(state):
            report.reached, report.reason = True, ""
            return report
        if result is not None and result.problem:
            report.reason = f"held fire: {result.problem}"
            return report
        if report.pulses >= shots:
            report.reason = f"not reached within {shots} shots; the film has {state}"
            return report
        proposal = seeker.suggest(state)
        if proposal is None:
            report.reason = f"nothing left to try; the film has {state}"
            return report
        shot = new_shot()
        refusal = _refusal(pulser, proposal.pulse)
        yield from _decide(
            decisions, classifier, seeker, proposal, shot, result or seen, state, refusal
        )
        if refusal:
            report.reason = refusal
            return report
        result = yield from shoot(pulser, camera, classifier, proposal.pulse, shot)
        report.pulses += 1
        report.shots.append(result)


def _refusal(pulser: Any, pulse: Pulse) -> str:
    try:
        pulser.check_value(pulse)
    except PulseRefused as error:
        return str(error)
    return ""


def _decide(
    decisions: Any,
    classifier: Any,
    seeker: TargetSeeker,
    proposal: Proposal,
    shot: str,
    result: ShotResult,
    state: FilmState,
    refusal: str,
) -> Plan:
    """Write a decision down before anything is fired: one event in ``decisions``."""
    record = {
        "task": seeker.task,
        "agent": seeker.name,
        "shot": shot,
        "from_shot": result.shot,
        "from_label": result.label,
        "from_state": str(state),
        "reason": f"{proposal.action}: {proposal.reason}",
        "proposal": json.dumps(proposal.pulse.model_dump()),
        "guard_answer": refusal or "allowed",
        "model_sha256": classifier.model_sha256.get(),
    }
    yield from bps.checkpoint()
    yield from bps.abs_set(decisions, record, wait=True)
    yield from _event(DECISIONS, decisions)


def _event(stream: str, *devices: Any) -> Plan:
    yield from bps.create(name=stream)
    for device in devices:
        yield from bps.read(device)
    yield from bps.save()
