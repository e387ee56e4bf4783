"""Pieces of plans: they need an open run and staged devices. Compose your own plans of them."""

import json
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg

from skyctl.agents.seeker import Proposal, TargetSeeker
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


def collect_rest(camera: Any) -> Plan:
    """At the end of a run, however it ends: wait for a movie under way and document its frames.

    Not replayed after a pause, which may come when the run is closed already.
    """

    def documents() -> Plan:
        yield from bps.stop(camera)
        yield from bps.collect(camera.frames, name=FRAMES)

    yield from bpp.rewindable_wrapper(documents(), False)


def fire(pulser: Any, pulse: Pulse, shot: str | None = None) -> Generator[Msg, Any, str]:
    """Fire one pulse and return the shot's name. The pulser's guard and interlocks decide.

    Raises PulseRefused when they refuse; then nothing was fired.
    """
    shot = shot or new_shot()
    yield from bps.checkpoint()
    yield from bps.sleep(pulser.rest_left_s)
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
    yield from bps.sleep(pulser.rest_left_s)
    yield from bps.abs_set(pulser, pulse, shot=shot, wait=True)
    yield from bps.trigger(camera, group=shot)
    yield from bps.trigger(classifier, group=shot)
    yield from bps.trigger(pulser, group=shot)
    yield from bps.wait(shot)
    yield from _event("primary", pulser, camera, classifier, frames=camera.frames)
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
    yield from _event(LOOKS, camera, classifier, frames=camera.frames)
    return classifier.result


def pursue(
    pulser: Any, camera: Any, classifier: Any, decisions: Any, seeker: TargetSeeker, shots: int
) -> Generator[Msg, Any, TaskReport]:
    """Look, choose a pulse, fire, look again, until the film is what the task wants.

    shots : how many pulses may be fired. The report says what came of it; a task that cannot go
    on (nothing left to try, lost frames, a refusing guard) ends unreached with the reason.
    """
    report = TaskReport(task=seeker.task, reached=False, pulses=0)
    fired: Proposal | None = None
    result: ShotResult | None = None
    while True:
        seen = yield from look(camera, classifier)
        if seen.state is None or seen.problem:
            report.reason = f"the film cannot be seen: {seen.problem}"
            return report
        state, before = seen.state, report.after or seen.state
        report.before, report.after = report.before or state, state
        if fired and result and not result.problem:
            seeker.ingest(fired, before, result, state)
        if seeker.reached(state):
            report.reached = True
            return report
        if result and result.problem:
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
        refusal = pulser.refusal(proposal.pulse, shot)
        yield from _decide(
            decisions, classifier, seeker, proposal, shot, result or seen, state, refusal
        )
        if refusal:
            report.reason = refusal
            return report
        result = yield from shoot(pulser, camera, classifier, proposal.pulse, shot)
        fired = proposal
        report.pulses += 1
        report.shots.append(result)


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


def _event(stream: str, *devices: Any, frames: Any = None) -> Plan:
    """Read an event, and document the frames on disk.

    Once begun it is not replayed after a pause: documents that are out would come twice.
    """

    def documents() -> Plan:
        yield from bps.create(name=stream)
        for device in devices:
            yield from bps.read(device)
        yield from bps.save()
        if frames is not None:
            yield from bps.collect(frames, name=FRAMES)

    yield from bpp.rewindable_wrapper(documents(), False)
