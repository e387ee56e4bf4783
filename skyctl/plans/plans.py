"""Whole plans: each stages its devices, opens a run and ends it. Any RunEngine runs them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bluesky.preprocessors as bpp

from skyctl import __version__
from skyctl.agents.allowed import Allowed
from skyctl.agents.campaign import Agent, Campaign
from skyctl.agents.named import SEEKER, AgentMaker, agent_maker
from skyctl.agents.reacher import Reacher, Target
from skyctl.agents.sample_drift import DriftWatch
from skyctl.agents.seeker import PulseMemory, Task
from skyctl.plans import stubs
from skyctl.plans.campaign import TaskReport, pursue
from skyctl.plans.modes import Oversight
from skyctl.plans.protocols import Beamline, require_open
from skyctl.plans.reports import CycleReport
from skyctl.plans.stubs import Plan
from skyctl.plans.threads import PATIENCE_S, in_thread
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

_log = logging.getLogger(__name__)

_TASKS: tuple[Task, ...] = ("write", "switch", "erase")


def classify_shot(
    beamline: Beamline, pulse: Pulse, md: dict[str, Any] | None = None
) -> Plan[ShotResult]:
    """Look at the film, fire one pulse, film and classify what follows.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    pulse : Pulse
        What to fire.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    ShotResult
        The verdict at the last frame, the film's state and the frame counts.
    """

    def body() -> Plan[ShotResult]:
        yield from stubs.look(beamline)
        return (yield from stubs.shoot(beamline, pulse))

    return (yield from in_one_run("classify_shot", beamline, body, md))


def write(
    beamline: Beamline,
    *,
    shots: int = 8,
    centre: tuple[float, float] | None = None,
    memory: PulseMemory | None = None,
    agent: str = SEEKER,
    oversight: Oversight | None = None,
    md: dict[str, Any] | None = None,
) -> Plan[TaskReport]:
    """Write one skyrmion into the film with local pulses.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    shots : int, optional
        How many pulses may be fired.
    centre : tuple of float, optional
        (x, y) where to write, sites; the film's middle unless given.
    memory : PulseMemory, optional
        What is known of the sample; what is learned is kept in it.
    agent : str, optional
        Name of what chooses the pulses (`skyctl.agents.named`), of ours or of another package.
    oversight : Oversight, optional
        How far the plan goes on its own, and who approves; autonomous unless given.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    TaskReport
        Whether the film was seen to have one skyrmion in the end, and the shots it took.
    """
    return (yield from _one_task("write", beamline, shots, centre, memory, agent, oversight, md))


def switch(
    beamline: Beamline,
    *,
    shots: int = 12,
    centre: tuple[float, float] | None = None,
    memory: PulseMemory | None = None,
    agent: str = SEEKER,
    oversight: Oversight | None = None,
    md: dict[str, Any] | None = None,
) -> Plan[TaskReport]:
    """Reverse the polarity of the film's skyrmion with pulses on the whole film.

    A pulse that erases the skyrmion instead is followed by one that writes a new one.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    shots : int, optional
        How many pulses may be fired.
    centre : tuple of float, optional
        (x, y) where a lost skyrmion is written again, sites; the film's middle unless
        given.
    memory : PulseMemory, optional
        What is known of the sample; what is learned is kept in it.
    agent : str, optional
        Name of what chooses the pulses (`skyctl.agents.named`), of ours or of another package.
    oversight : Oversight, optional
        How far the plan goes on its own, and who approves; autonomous unless given.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    TaskReport
        Whether one skyrmion was seen to change its polarity, and the shots it took.
    """
    return (yield from _one_task("switch", beamline, shots, centre, memory, agent, oversight, md))


def erase(
    beamline: Beamline,
    *,
    shots: int = 8,
    memory: PulseMemory | None = None,
    agent: str = SEEKER,
    oversight: Oversight | None = None,
    md: dict[str, Any] | None = None,
) -> Plan[TaskReport]:
    """Empty the film with pulses on the whole film.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    shots : int, optional
        How many pulses may be fired.
    memory : PulseMemory, optional
        What is known of the sample; what is learned is kept in it.
    agent : str, optional
        Name of what chooses the pulses (`skyctl.agents.named`), of ours or of another package.
    oversight : Oversight, optional
        How far the plan goes on its own, and who approves; autonomous unless given.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    TaskReport
        Whether the film was seen to be empty in the end, and the shots it took.
    """
    return (yield from _one_task("erase", beamline, shots, None, memory, agent, oversight, md))


def reach_state(
    beamline: Beamline,
    target: Target,
    *,
    shots: int = 20,
    oversight: Oversight | None = None,
    md: dict[str, Any] | None = None,
) -> Plan[TaskReport]:
    """Write and erase with local pulses until every skyrmion stands within 3 sites of its place.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    target : Target
        The places, sites, and which way the background points.
    shots : int, optional
        How many pulses may be fired.
    oversight : Oversight, optional
        How far the plan goes on its own, and who approves; autonomous unless given.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    TaskReport
        Whether looks saw the target in the end, and the shots it took.
    """

    def body() -> Plan[TaskReport]:
        reacher = Reacher(target, allowed(beamline))
        return (yield from pursue(beamline, Campaign(reacher, shots), oversight))

    facts = agent_facts(beamline, {"shots": shots, "target": target.as_json()}, oversight)
    return (yield from in_one_run("reach_state", beamline, body, md, facts))


def cycle(
    beamline: Beamline,
    *,
    cycles: int = 1,
    shots: int = 12,
    failures: int = 3,
    centre: tuple[float, float] | None = None,
    memory: PulseMemory | None = None,
    agent: str = SEEKER,
    on_task: Callable[[TaskReport], None] | None = None,
    on_change: Callable[[str], None] | None = None,
    oversight: Oversight | None = None,
    md: dict[str, Any] | None = None,
) -> Plan[CycleReport]:
    """Write, switch and erase a skyrmion, over and over, in one run; for nobody to watch.

    A task that fails ends its cycle, and the next one begins; where the agent had nothing left to
    try, it begins with what was known before the first shot. After each cycle the last shots are
    held against those before: when they are of another sample, the plan says so, and the agent
    goes on with the last ones only. Without approval from the mode, a failure ends it.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    cycles : int, optional
        How often.
    shots : int, optional
        How many pulses each task may fire.
    failures : int, optional
        How many cycles in a row may fail before it stops.
    centre : tuple of float, optional
        (x, y) where to write, sites; the film's middle unless given.
    memory : PulseMemory, optional
        What is known of the sample; what is learned is kept in it.
    agent : str, optional
        Name of what chooses the pulses (`skyctl.agents.named`), of ours or of another package.
    on_task : callable, optional
        Called with the report of each task.
    on_change : callable, optional
        Called with what changed, whenever the sample is seen to have changed.
    oversight : Oversight, optional
        How far the plan goes on its own, and who approves; autonomous unless given.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    CycleReport
        Every task, in order, with statistics, and when the sample changed.
    """
    require_open(beamline)
    learned = memory or PulseMemory()
    middle = centre or beamline.camera.film_centre
    arguments = {
        "cycles": cycles,
        "shots": shots,
        "failures": failures,
        "centre": list(middle),
        "memory": learned.as_json(),
        "agent": agent,
    }
    cycling = _Cycling(
        beamline,
        middle,
        learned,
        agent_maker(agent),
        shots,
        failures,
        oversight,
        on_task,
        on_change,
        CycleReport(cycles),
    )
    facts = agent_facts(beamline, arguments, oversight)
    return (yield from in_one_run("cycle", beamline, cycling.all_cycles, md, facts))


@dataclass
class _Cycling:
    """A `cycle` under way: what it was asked for, and what came of it so far."""

    beamline: Beamline
    middle: tuple[float, float]
    learned: PulseMemory
    make: AgentMaker
    shots: int
    failures: int
    oversight: Oversight | None
    on_task: Callable[[TaskReport], None] | None
    on_change: Callable[[str], None] | None
    report: CycleReport

    def all_cycles(self) -> Plan[CycleReport]:
        autonomous = (self.oversight or Oversight()).mode == "autonomous"
        watch = DriftWatch(self.learned)
        failed = 0
        while len(self.report.done) < self.report.cycles:
            last = yield from self._one_cycle()
            failed = 0 if last.reached else failed + 1
            if failed and (failed == self.failures or not autonomous):
                self.report.reason = f"{last.task}: {last.reason}"
                break
            change, _ = yield from in_thread(watch.check, patience_s=PATIENCE_S)
            if last.gave_up:
                watch.forget()
                change = f"{last.task} failed ({last.reason}); what was learned is let go"
            if change:
                self._note_change(change)
        return self.report

    def _one_cycle(self) -> Plan[TaskReport]:
        """Write, switch, erase until one fails; the report of the last that was tried."""
        tasks: list[TaskReport] = []
        self.report.done.append(tasks)
        for task in _TASKS:
            seeker = self.make(task, self.middle, self.learned, allowed(self.beamline))
            campaign = Campaign(seeker, self.shots)
            slow = _is_slow(seeker)
            done = yield from pursue(self.beamline, campaign, self.oversight, slow=slow)
            tasks.append(done.put_away())
            if self.on_task:
                self.on_task(done)
            if not done.reached:
                break
        return tasks[-1]

    def _note_change(self, what: str) -> None:
        _log.warning("cycle %d: %s", len(self.report.done), what)
        self.report.changes.append((len(self.report.done), what))
        if self.on_change:
            self.on_change(what)


def _one_task(
    task: Task,
    beamline: Beamline,
    shots: int,
    centre: tuple[float, float] | None,
    memory: PulseMemory | None,
    agent: str,
    oversight: Oversight | None,
    md: dict[str, Any] | None,
) -> Plan[TaskReport]:
    require_open(beamline)
    learned = memory or PulseMemory()
    middle = centre or beamline.camera.film_centre
    arguments: dict[str, Any] = {"shots": shots, "memory": learned.as_json(), "agent": agent}
    if task != "erase":
        arguments["centre"] = list(middle)

    seeker = agent_maker(agent)(task, middle, learned, allowed(beamline))

    def body() -> Plan[TaskReport]:
        campaign = Campaign(seeker, shots)
        return (yield from pursue(beamline, campaign, oversight, slow=_is_slow(seeker)))

    facts = agent_facts(beamline, arguments, oversight)
    return (yield from in_one_run(task, beamline, body, md, facts))


def _is_slow(agent: Agent) -> bool:
    """Whether it says so; other packages' need not say anything."""
    return getattr(agent, "slow", False)


def allowed(beamline: Beamline) -> Allowed:
    """What agents may propose: what the pulser's guard allows."""
    return Allowed.from_envelope(beamline.pulser.describe_guard()["envelope"])


def agent_facts(
    beamline: Beamline, arguments: dict[str, Any], oversight: Oversight | None
) -> dict[str, Any]:
    """What a run's decisions follow from, besides its frames: enough to make them once more."""
    belief = beamline.streaming.belief.forget_film()
    return {
        "plan_args": arguments,
        "mode": (oversight or Oversight()).mode,
        "guard": beamline.pulser.describe_guard(),
        "belief": {"film": belief.film.tolist(), "told": list(belief.told)},
    }


def in_one_run(
    name: str,
    beamline: Beamline,
    body: Callable[[], Plan[Any]],
    md: dict[str, Any] | None,
    facts: dict[str, Any] | None = None,
) -> Plan[Any]:
    """Stage, open a run with what a reader must know, do ``body``, close, unstage.

    What was believed of the film before is forgotten: whoever comes next may have changed it.
    Raises StreamError for a beamline that is closed, TypeError for none; then nothing was staged.
    """
    require_open(beamline)
    camera, classifier, streaming = beamline.camera, beamline.classifier, beamline.streaming
    start = {
        "plan_name": name,
        "skyctl_version": __version__,
        "model_sha256": classifier.model_sha256.get(),
        "classes": list(classifier.classes),
        **camera.describe_sample(),
        **(facts or {}),
        **(md or {}),
    }

    result: Any = None

    @bpp.stage_decorator([camera, classifier, beamline.pulser])
    @bpp.run_decorator(md=start)  # which returns the run's uid, whatever is returned in it
    def run() -> Plan[None]:
        nonlocal result
        streaming.belief = streaming.belief.forget_film()
        yield from stubs.declare_frames(camera)
        result = yield from bpp.finalize_wrapper(body(), lambda: stubs.collect_rest(camera))

    yield from run()
    return result
