"""The one loop of all plans that decide: a `Campaign` carried out by bluesky's messages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import FailedStatus

from skyctl.agents.campaign import Campaign, Fire, Look, Step, Stop
from skyctl.agents.tasks import Proposal
from skyctl.belief import Belief
from skyctl.decision import Decision, probabilities_of
from skyctl.errors import FireUnknown, PulseRefused
from skyctl.plans import stubs
from skyctl.plans.modes import Answer, Oversight, Permission, Request
from skyctl.plans.protocols import Beamline
from skyctl.plans.stubs import Plan
from skyctl.plans.threads import Asker
from skyctl.pulse import Exposure, Pulse
from skyctl.verdict import ShotResult

DECISIONS = "decisions"
BETWEEN_LOOKS_S = 1.0
"""Before another look at a film that could not be seen, or while fire is held."""


@dataclass
class TaskReport:
    """How a task ended.

    reached : whether the film is believed to be what the task wants; pulses : how many were fired
    reason : why it was not reached, or ""
    gave_up : the agent had nothing left to try, or no shots left
    before, after : the belief at the first decision, and at the end
    frames : how many were read, of looks and of movies
    shots : results of what was to be fired, in order; proposed : what the agent proposed, fired or
        not
    """

    task: str
    reached: bool = False
    pulses: int = 0
    reason: str = ""
    gave_up: bool = False
    before: Belief | None = None
    after: Belief | None = None
    frames: int = 0
    shots: list[ShotResult] = field(default_factory=list)
    proposed: list[Pulse] = field(default_factory=list)

    @property
    def proposed_dose_T2ps(self) -> float:
        """∫B² dt of all that was proposed, T²·ps."""
        return sum(pulse.dose_T2ps for pulse in self.proposed)

    def put_away(self) -> "TaskReport":
        """As one who does it thousands of times keeps it: of the shots that went well nothing."""
        troubled = [stubs.no_result(shot.shot, shot.problem) for shot in self.shots if shot.problem]
        return replace(self, shots=troubled)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "task": self.task,
            "reached": self.reached,
            "reason": self.reason,
            "pulses": self.pulses,
            "frames": self.frames,
            "proposed": [str(pulse) for pulse in self.proposed],
            "proposed_dose_T2ps": self.proposed_dose_T2ps,
        }


def pursue(
    beamline: Beamline,
    campaign: Campaign,
    oversight: Oversight | None = None,
    devices: Mapping[str, Any] | None = None,
    slow: bool = False,
    learned: Callable[[], Plan[None]] | None = None,
) -> Plan[TaskReport]:
    """Do what a campaign says until it stops: look, ask guard and approver, write down, fire.

    oversight : the mode, and who approves; None is autonomous
    devices : what sets the settings that proposals have beside the pulse, by name
    slow : the agent may take its time: it is always asked in a thread
    learned : done whenever the agent was asked, to write down what it has learned

    The pulser is armed as soon as guard and approver agree, and before anything is written; the
    decision is written down before the pulse is fired. The agent is asked in a thread of its own,
    unless it is quick (`Asker`).

    A movie that lost frames, or never came, and a pulse that was refused are no reason to stop: the
    film is looked at again, and the agent learns nothing of that shot. Two in a row are.
    """
    course = _Course(
        beamline,
        campaign,
        Permission(oversight or Oversight()),
        devices or {},
        TaskReport(campaign.agent.task),
    )
    asker: Asker[Step] = Asker(slow)
    while True:
        belief, held = beamline.streaming.belief, beamline.pulser.hold_reason()
        step = yield from asker.ask(partial(campaign.step, belief, held), course.write_down)
        if learned:
            yield from course.write_down()
            yield from learned()
        if isinstance(step, Fire):
            yield from course.fire(step.proposal, belief)
        elif isinstance(step, Look):
            yield from course.look(wait=step.attempt > 1 and bool(held or course.unseen))
        if isinstance(step, Stop) or course.nobody_runs:
            yield from course.write_down()
            return course.ended(step, belief)


@dataclass
class _Course:
    """Where a campaign stands among the devices.

    last : what the next decision is made from: the last shot, or the look before the first
    unseen : why the last look showed nothing, or ""
    nobody_runs : the plan's messages are walked through and not run
    """

    beamline: Beamline
    campaign: Campaign
    permission: Permission
    devices: Mapping[str, Any]
    report: TaskReport
    last: ShotResult | None = None
    unseen: str = ""
    nobody_runs: bool = False
    _unwritten: Exposure | None = None

    def look(self, wait: bool) -> Plan[None]:
        """Film the film at rest. wait : first"""
        yield from self.write_down()
        if wait:
            yield from bps.checkpoint()
            yield from bps.sleep(BETWEEN_LOOKS_S)
        exposure = Exposure(shot=stubs.new_shot(), pulsed=False)
        seen = yield from self._film(exposure)
        if seen is None:
            return
        self.unseen = seen.problem or seen.unreadable
        self.campaign.looked(seen)
        if self.report.pulses == 0 and not self.report.shots:
            self.last = seen

    def fire(self, proposal: Proposal, belief: Belief) -> Plan[None]:
        """Ask whether a proposal may be fired, write down what was said, fire it if it may."""
        if self.permission.oversight.mode != "autonomous":  # somebody may take his time to answer
            yield from self.write_down()
        self.report.before = self.report.before or belief
        self.report.proposed.append(proposal.pulse)
        agent = self.campaign.agent
        request = self.permission.request(
            agent.task,
            agent.name,
            stubs.new_shot(),
            proposal.pulse,
            f"{proposal.action}: {proposal.reason}",
            str(belief),
            proposal.candidates,
        )
        mode = self.permission.oversight.mode
        refusal, answer = yield from self._ask(request)
        go = answer.approved and not refusal
        if go and proposal.settings:
            yield from self.write_down()
            yield from self._set_devices(proposal)

        def arm() -> Plan[None]:
            nonlocal refusal
            if go:
                refusal = yield from self._arm(request)

        def documents() -> Plan[str]:
            lost = yield from self._event(arm)
            said = Answer(False, "") if refusal and mode == "autonomous" else answer
            decision = self._decision(request, proposal, belief, refusal, said)
            yield from _written(self.beamline.decisions, decision)
            return lost

        if lost := (yield from stubs.in_one_go(documents())):
            yield from bps.stop(self.beamline.pulser)  # it may be armed
            refusal = refusal or lost
        if refusal:
            self._refused(request, proposal, refusal)
        elif answer.approved:
            yield from self._fire(request, proposal, belief)
        elif mode == "shadow":
            self.campaign.proposed_only(proposal)
        else:
            self.campaign.declined(proposal, str(answer))

    def write_down(self) -> Plan[None]:
        """Write the last movie's event, if it is not written yet."""
        if self._unwritten:
            yield from stubs.in_one_go(self._event())

    def _event(self, meanwhile: Callable[[], Plan[None]] | None = None) -> Plan[str]:
        """Write the last movie's event, if it is not written yet, and do ``meanwhile`` as soon as
        the pulser's settings are in it; why that movie is not on disk, or ""."""
        exposure, self._unwritten = self._unwritten, None
        lost = ""
        if exposure:
            lost = yield from stubs.event_of(self.beamline, exposure.pulsed, meanwhile)
        elif meanwhile:
            yield from meanwhile()
        if lost:
            self._forget_film()
        return lost

    def _forget_film(self) -> None:
        """Nobody saw, or can say, what became of it."""
        streaming = self.beamline.streaming
        streaming.belief = streaming.belief.forget_film()

    def ended(self, step: Step | None, belief: Belief) -> TaskReport:
        """The report, once the campaign says stop; or when there is nobody to go on for."""
        report = self.report
        report.before, report.after = report.before or belief, belief
        report.pulses = self.campaign.pulses
        if isinstance(step, Stop):
            report.reached, report.reason, report.gave_up = step.reached, step.reason, step.gave_up
        else:
            report.reason = "nothing was looked at: nobody runs the plan"
        return report

    def _film(self, exposure: Exposure) -> Plan[ShotResult | None]:
        filmed = yield from stubs.film(self.beamline, exposure)
        if filmed is None:
            self.nobody_runs = True
            return None
        if filmed.whole:
            self._unwritten = exposure
        else:
            self._forget_film()
        self.report.frames += filmed.result.counts.received
        return filmed.result

    def _ask(self, request: Request) -> Plan[tuple[str, Answer]]:
        """What guard and approver say: (the guard's refusal, or ""; the approver's answer).

        Arming asks the guard, once more where somebody took his time to answer.
        """
        autonomous = self.permission.oversight.mode == "autonomous"
        refusal = "" if autonomous else self.beamline.pulser.refusal(request.pulse, request.shot)
        if refusal:
            return refusal, Answer(False, "")
        return "", (yield from self.permission.ask(request))

    def _set_devices(self, proposal: Proposal) -> Plan[None]:
        yield from bps.checkpoint()
        for name, value in proposal.settings.items():
            yield from bps.abs_set(self.devices[name], value, wait=True)

    def _arm(self, request: Request) -> Plan[str]:
        """Arm the pulser; why it refuses, or ""."""
        try:
            yield from stubs.armed(self.beamline, request.pulse, request.shot)
        except (PulseRefused, FailedStatus) as error:
            return str(error)
        return ""

    def _fire(self, request: Request, proposal: Proposal, belief: Belief) -> Plan[None]:
        exposure = Exposure(
            shot=request.shot, pulse=request.pulse, ends_early=not proposal.whole_movie
        )
        try:
            result = yield from self._film(exposure)
        except (PulseRefused, FireUnknown) as error:
            yield from stubs.give_up_movie(self.beamline)
            if isinstance(error, FireUnknown):
                self._forget_film()
            self._refused(request, proposal, str(error))
            return
        if result is None:
            return
        self.report.shots.append(result)
        self.last = result
        self.campaign.fired(proposal, belief, result)

    def _refused(self, request: Request, proposal: Proposal, refusal: str) -> None:
        if self.permission.oversight.mode == "dry-run":
            self.campaign.declined(proposal, refusal)
            return
        self.last = stubs.no_result(request.shot, refusal)
        self.report.shots.append(self.last)
        self.campaign.refused(proposal, refusal)

    def _decision(
        self, request: Request, proposal: Proposal, belief: Belief, refusal: str, answer: Answer
    ) -> Decision:
        agent, last = self.campaign.agent, self.last or stubs.no_result("", "")
        return Decision(
            task=request.task,
            agent=request.agent,
            seed=agent.seed,
            shot=request.shot,
            from_shot=last.shot,
            from_label=last.label,
            from_probabilities=probabilities_of(last),
            belief=belief,
            from_state=request.film,
            reason=request.reason,
            proposal=request.pulse,
            candidates=proposal.candidates,
            guard_answer=refusal or "allowed",
            mode=self.permission.oversight.mode,
            approver=answer.approver,
            approval=str(answer),
            approved=answer.approved,
            model_sha256=str(self.beamline.classifier.model_sha256.get()),
            library_sha256=agent.library_sha256,
        )


def _written(decisions: Any, decision: Decision) -> Plan[None]:
    yield from bps.abs_set(decisions, decision, wait=True)
    yield from bps.create(name=DECISIONS)
    yield from bps.read(decisions)
    yield from bps.save()
