"""Pieces of plans: they need an open run and staged devices. Compose your own plans of them."""

import contextlib
import json
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, Msg

from skyctl.agents.tasks import Proposal, TaskSeeker
from skyctl.errors import PulseRefused
from skyctl.frame import Counts
from skyctl.plans.modes import Answer, Oversight, Permission, Request
from skyctl.plans.threads import in_thread
from skyctl.pulse import Exposure, Pulse
from skyctl.verdict import FilmState, ShotResult

FRAMES = "frames"
LOOKS = "looks"
DECISIONS = "decisions"
LOOKS_AT_MOST = 5
"""How often the film is looked at before a task gives up seeing it."""
BETWEEN_LOOKS_S = 1.0
CANDIDATES_AT_MOST = 16
"""How many of the pulses that an agent weighed up are written down, the likeliest."""
_SPOILT_IN_A_ROW = 2
_FAILURES = 2
_BETWEEN_FAILURES_S = 0.5


@dataclass
class TaskReport:
    """How a task ended.

    reached : whether the film was seen to be what the task wants; pulses : how many were fired
    reason : why it was not reached, or ""
    gave_up : the agent had nothing left to try, or no shots left
    proposed : what the agent proposed, in order, fired or not
    """

    task: str
    reached: bool
    pulses: int
    reason: str = ""
    gave_up: bool = False
    before: FilmState | None = None
    after: FilmState | None = None
    shots: list[ShotResult] = field(default_factory=list)
    proposed: list[Pulse] = field(default_factory=list)

    @property
    def proposed_dose_T2ps(self) -> float:
        """∫B² dt of all that was proposed, T²·ps."""
        return sum(pulse.dose_T2ps for pulse in self.proposed)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "task": self.task,
            "reached": self.reached,
            "reason": self.reason,
            "pulses": self.pulses,
            "proposed": [str(pulse) for pulse in self.proposed],
            "proposed_dose_T2ps": self.proposed_dose_T2ps,
        }


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
    if lost := (yield from _movie_over(shot)):
        return lost
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
    if lost := (yield from _movie_over(exposure.shot)):
        return lost
    yield from _event(LOOKS, camera, classifier, frames=camera.frames)
    return classifier.result


def _movie_over(shot: str) -> Generator[Msg, Any, ShotResult | None]:
    """Wait for the movie of a shot; a result that says why where it never ends, else None."""
    try:
        yield from bps.wait(shot)
    except FailedStatus as error:
        problem = f"no end of its movie ({error.__cause__ or error})"
    else:
        return None
    # Camera and classifier give the movie up one after the other, and the RunEngine throws the
    # second failure at whatever message is then under way: let that be this one.
    for _ in range(_FAILURES):
        with contextlib.suppress(FailedStatus):
            yield from bps.sleep(_BETWEEN_FAILURES_S)
    return _no_result(shot, problem)


def look_until_seen(
    pulser: Any, camera: Any, classifier: Any
) -> Generator[Msg, Any, tuple[ShotResult, str]]:
    """Look at the film, and again while it cannot be seen or an interlock holds fire.

    Returns the last look, and why the film cannot be acted on after `LOOKS_AT_MOST` looks ("" when
    it can).
    """
    attempt = 0
    while True:
        attempt += 1
        seen = yield from look(camera, classifier)
        if seen is None:  # nobody runs the plan's messages
            return ShotResult("", None, None, Counts(), "", ()), "nothing was looked at"
        reason = ""
        if seen.state is None or seen.problem:
            reason = f"the film cannot be seen: {seen.problem}"
        elif held := pulser.hold_reason():
            reason = f"held fire: {held}"
        if not reason or attempt == LOOKS_AT_MOST:
            return seen, reason
        yield from bps.checkpoint()
        yield from bps.sleep(BETWEEN_LOOKS_S)


def pursue(
    pulser: Any,
    camera: Any,
    classifier: Any,
    decisions: Any,
    seeker: TaskSeeker,
    shots: int,
    oversight: Oversight | None = None,
) -> Generator[Msg, Any, TaskReport]:
    """Look, choose a pulse, fire, look again, until the film is what the task wants.

    shots : how many pulses may be fired (in the mode "shadow": proposed)
    oversight : the mode, and who approves; None is autonomous

    A movie that lost frames, or never came, and a pulse that was refused are no reason to stop: the
    film is looked at again, and the agent learns nothing of that shot. Two in a row are. The report
    says what came of it; a task that cannot go on (nothing left to try, a lost stream, a refusing
    guard or approver) ends unreached with the reason.
    """
    report = TaskReport(task=seeker.task, reached=False, pulses=0)
    permission = Permission(oversight or Oversight())
    mode = permission.oversight.mode
    fired: Proposal | None = None
    result: ShotResult | None = None
    spoilt = 0
    while True:
        seen, report.reason = yield from look_until_seen(pulser, camera, classifier)
        if report.reason or seen.state is None:
            return report
        state, before = seen.state, report.after or seen.state
        report.before, report.after = report.before or state, state
        spoilt = spoilt + 1 if result and result.problem else 0
        if result and spoilt == _SPOILT_IN_A_ROW:
            enough = f"held fire: {result.problem}"
        elif mode == "shadow" and len(report.proposed) >= shots:
            enough = f"shadow, nothing is fired: {shots} pulses proposed"
        elif report.pulses >= shots:
            enough = f"not reached within {shots} shots; the film has {state}"
        else:
            enough = ""
        seen_shot = (fired, before, result) if fired and result and not result.problem else None
        (report.reached, proposal), _ = yield from in_thread(  # type: ignore[misc]
            partial(_think, seeker, state, seen_shot, not enough)
        )
        if report.reached:
            return report
        if proposal is None:
            report.reason = enough or f"{seeker.gave_up}; the film has {state}"
            report.gave_up = not enough or report.pulses >= shots
            return report
        report.proposed.append(proposal.pulse)
        request = permission.request(
            seeker.task,
            seeker.name,
            new_shot(),
            proposal.pulse,
            f"{proposal.action}: {proposal.reason}",
            str(state),
            proposal.candidates,
        )
        facts = {**_origin(result or seen), **_proposal(seeker, proposal)}
        refusal, answer = yield from decide(
            pulser, classifier, decisions, permission, request, facts
        )
        if mode == "shadow" and not refusal:
            continue
        if not refusal and not answer.approved:
            report.reason = str(answer)
            return report
        if not refusal:
            try:
                result = yield from shoot(pulser, camera, classifier, request.pulse, request.shot)
            except PulseRefused as error:
                yield from _give_up_movie(camera, classifier)
                refusal = str(error)
            else:
                report.pulses += 1
        if refusal and mode == "dry-run":
            report.reason = refusal
            return report
        if refusal:
            result = _no_result(request.shot, refusal)
        fired = proposal
        assert result is not None  # of the shot, or of the refusal
        report.shots.append(result)


def _think(
    seeker: TaskSeeker,
    state: FilmState,
    seen: tuple[Proposal, FilmState, ShotResult] | None,
    go_on: bool,
) -> tuple[bool, Proposal | None]:
    """Learn from the last shot, and propose the next: (whether the task is reached, the proposal).

    One call, because each costs a thread and a turn of the RunEngine's loop.
    """
    if seen:
        seeker.ingest(*seen, state)
    if seeker.reached(state) or not go_on:
        return seeker.reached(state), None
    return False, seeker.suggest(state)


def decide(
    pulser: Any,
    classifier: Any,
    decisions: Any,
    permission: Permission,
    request: Request,
    facts: dict[str, Any],
) -> Generator[Msg, Any, tuple[str, Answer]]:
    """Ask guard and approver for a pulse and write down what they said, in ``decisions``.

    facts : readings of the decision that neither the request nor the two say

    Returns the guard's refusal, or "", and the approver's answer.
    """
    refusal, answer = pulser.refusal(request.pulse, request.shot), Answer(False, "")
    if not refusal:
        answer = yield from permission.ask(request)
        if answer.approved:  # which may have taken its time
            refusal = pulser.refusal(request.pulse, request.shot)
    record = {
        "task": request.task,
        "agent": request.agent,
        "seed": -1,
        "shot": request.shot,
        "from_shot": "",
        "from_label": "",
        "from_probabilities": "{}",
        "from_state": request.film,
        "reason": request.reason,
        "proposal": json.dumps(request.pulse.model_dump()),
        "candidates": "[]",
        "guard_answer": refusal or "allowed",
        "mode": permission.oversight.mode,
        "approver": answer.approver,
        "approval": str(answer),
        "approved": int(answer.approved),
        "model_sha256": classifier.model_sha256.get(),
        "library_sha256": "",
        **facts,
    }
    yield from bps.checkpoint()
    yield from bps.abs_set(decisions, record, wait=True)
    yield from _event(DECISIONS, decisions)
    return refusal, answer


def _give_up_movie(camera: Any, classifier: Any) -> Plan:
    """Wait no longer for the movie of a pulse that was not fired."""
    yield from bps.stop(camera)
    yield from bps.stop(classifier)
    yield from bps.checkpoint()


def _no_result(shot: str, problem: str) -> ShotResult:
    return ShotResult(shot, None, None, Counts(), problem, ())


def _origin(result: ShotResult) -> dict[str, Any]:
    """What a decision is made from: the last shot's verdict, or the look before the first."""
    verdict = result.verdict
    return {
        "from_shot": result.shot,
        "from_label": result.label,
        "from_probabilities": json.dumps(
            dict(zip(verdict.classes, verdict.probabilities, strict=True)) if verdict else {}
        ),
    }


def _proposal(seeker: TaskSeeker, proposal: Proposal) -> dict[str, Any]:
    """What the agent weighed up, and what it knew beforehand."""
    likeliest = sorted(proposal.candidates, key=lambda candidate: -candidate[1])
    return {
        "seed": -1 if seeker.seed is None else seeker.seed,
        "library_sha256": seeker.library_sha256,
        "candidates": json.dumps(
            [
                {"pulse": pulse.model_dump(), "probability": probability}
                for pulse, probability in likeliest[:CANDIDATES_AT_MOST]
            ]
        ),
    }


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
