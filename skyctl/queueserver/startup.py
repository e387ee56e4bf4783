"""Startup module of a queue server: a simulated beamline, its plans, and who approves.

For bluesky-queueserver (``--startup-module skyctl.queueserver.startup``) and blueapi
(``blueapi.yaml`` beside this file). The plans take plain numbers and words and know their devices.
What is fired is booked in the folder ``SKYCTL_RUNS`` (runs/queueserver unless set), which one
process holds at a time; recordings and documents go there too.

With ``SKYCTL_MONITOR`` set to a port of 127.0.0.1 the live page is served there, where an operator
answers what plans ask, and stops. Who may is in ``SKYCTL_PEOPLE`` (`skyctl people`); left out,
in people.json of that folder, which is made for whoever runs this.

At an instrument, ``SKYCTL_BEAMLINE`` names the beamline's file, and ``SKYCTL_MOCK=1`` has its
simulated twin; recordings then go where the file says.
"""

import os
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import RunEngine
from bluesky.callbacks.json_writer import JSONLinesWriter
from bluesky.utils import Msg

from skyctl.agents.named import SEEKER, agent_maker
from skyctl.agents.reacher import Target
from skyctl.agents.seeker import PulseMemory
from skyctl.beamline import load_beamline, simulated_beamline
from skyctl.beamline.file import read_beamline
from skyctl.monitor import Monitor, People
from skyctl.plans import characterise as characterising
from skyctl.plans import mapping, plans
from skyctl.plans.modes import Answer, ApprovalDesk, Oversight, Permission
from skyctl.plans.stubs import new_shot
from skyctl.plans.threads import in_thread
from skyctl.pulse import Pulse, Spot
from skyctl.rehearsal import guesses, twin_mean_sz
from skyctl.rehearsal import rehearse as rehearse_on_twins

# No postponed annotations here: a queue server reads them as they stand.

__all__ = [
    "approve",
    "characterise",
    "classify_shot",
    "cycle",
    "erase",
    "map_process_diagram",
    "pending_approval",
    "reach_state",
    "refuse",
    "rehearse",
    "switch",
    "write",
]

Mode = Literal["dry-run", "shadow", "approve-each", "approve-batch", "autonomous"]

_agent = SEEKER
if _file := os.environ.get("SKYCTL_BEAMLINE"):
    _agent = read_beamline(_file).agent
    agent_maker(_agent)  # raises where it is not there, before anything is opened
    _beamline = load_beamline(_file, mock=os.environ.get("SKYCTL_MOCK") == "1")
    _folder = _beamline.folder
else:
    _folder = Path(os.environ.get("SKYCTL_RUNS", "runs/queueserver"))
    _folder.mkdir(parents=True, exist_ok=True)
    _beamline = simulated_beamline(_folder, ledger=_folder / "ledger.jsonl")

# bluesky-queueserver runs plans with the engine of this name; blueapi has its own.
RE = RunEngine({})
RE.subscribe(JSONLinesWriter(str(_folder), "documents.jsonl"))

_desk = ApprovalDesk()
_memory: list[PulseMemory] = []
_port = os.environ.get("SKYCTL_MONITOR", "")
_people = Path(os.environ.get("SKYCTL_PEOPLE", _folder / "people.json"))
_oversight = partial(Oversight, approver=_desk)
_page = (
    Monitor(_beamline, port=int(_port), people=People.load_or_me(_people), desk=_desk)
    if _port
    else None
)

pulser = _beamline.pulser
camera = _beamline.camera
classifier = _beamline.classifier
decisions = _beamline.decisions


def _shown(plan: Generator[Msg, Any, Any]) -> Generator[Msg, Any, Any]:
    """The plan, its documents told to the page, whose engine ever runs it."""
    if _page is None:
        return (yield from plan)
    return (yield from bpp.subs_wrapper(plan, _page))


def _reported(plan: Generator[Msg, Any, Any]) -> Generator[Msg, Any, Any]:
    report = yield from _shown(plan)
    return report.as_json()


def write(
    shots: int = 8,
    x: float = 49.5,
    y: float = 49.5,
    agent: str = _agent,
    mode: Mode = "approve-each",
    timeout_s: float = 600.0,
) -> Generator[Msg, Any, Any]:
    """Write one skyrmion into the film.

    Parameters
    ----------
    shots : int, optional
        How many pulses may be fired.
    x, y : float, optional
        Where, sites.
    agent : str, optional
        Name of what chooses the pulses; the beamline file's unless given.
    mode : str, optional
        How far the plan goes on its own.
    timeout_s : float, optional
        How long an approval may take, s; without one nothing is fired.
    """
    oversight = _oversight(mode, timeout_s=timeout_s)
    plan = plans.write(_beamline, shots=shots, centre=(x, y), agent=agent, oversight=oversight)
    return (yield from _reported(plan))


def switch(
    shots: int = 12,
    x: float = 49.5,
    y: float = 49.5,
    agent: str = _agent,
    mode: Mode = "approve-each",
    timeout_s: float = 600.0,
) -> Generator[Msg, Any, Any]:
    """Reverse the polarity of the film's skyrmion.

    Parameters
    ----------
    shots : int, optional
        How many pulses may be fired.
    x, y : float, optional
        Where a lost skyrmion is written again, sites.
    agent : str, optional
        Name of what chooses the pulses; the beamline file's unless given.
    mode : str, optional
        How far the plan goes on its own.
    timeout_s : float, optional
        How long an approval may take, s; without one nothing is fired.
    """
    oversight = _oversight(mode, timeout_s=timeout_s)
    plan = plans.switch(_beamline, shots=shots, centre=(x, y), agent=agent, oversight=oversight)
    return (yield from _reported(plan))


def erase(
    shots: int = 8,
    agent: str = _agent,
    mode: Mode = "approve-each",
    timeout_s: float = 600.0,
) -> Generator[Msg, Any, Any]:
    """Empty the film.

    Parameters
    ----------
    shots : int, optional
        How many pulses may be fired.
    agent : str, optional
        Name of what chooses the pulses; the beamline file's unless given.
    mode : str, optional
        How far the plan goes on its own.
    timeout_s : float, optional
        How long an approval may take, s; without one nothing is fired.
    """
    oversight = _oversight(mode, timeout_s=timeout_s)
    plan = plans.erase(_beamline, shots=shots, agent=agent, oversight=oversight)
    return (yield from _reported(plan))


def cycle(
    cycles: int = 1,
    shots: int = 12,
    x: float = 49.5,
    y: float = 49.5,
    agent: str = _agent,
    mode: Mode = "approve-batch",
    timeout_s: float = 600.0,
) -> Generator[Msg, Any, Any]:
    """Write, switch and erase a skyrmion, over and over; what one cycle learns the next one knows.

    Parameters
    ----------
    cycles : int, optional
        How often.
    shots : int, optional
        How many pulses each task may fire.
    x, y : float, optional
        Where, sites.
    agent : str, optional
        Name of what chooses the pulses; the beamline file's unless given.
    mode : str, optional
        How far the plan goes on its own.
    timeout_s : float, optional
        How long an approval may take, s; without one nothing is fired.
    """
    if not _memory:
        _memory.append(PulseMemory())
    plan = plans.cycle(
        _beamline,
        cycles=cycles,
        shots=shots,
        centre=(x, y),
        memory=_memory[0],
        agent=agent,
        oversight=_oversight(mode, timeout_s=timeout_s),
    )
    return (yield from _reported(plan))


def reach_state(
    places: list[list[float]],
    up: bool = False,
    shots: int = 20,
    mode: Mode = "approve-each",
    timeout_s: float = 600.0,
) -> Generator[Msg, Any, Any]:
    """Write and erase until every skyrmion stands within 3 sites of its place.

    Parameters
    ----------
    places : list of [x, y]
        Where skyrmions are wanted, sites.
    up : bool, optional
        Whether the film around them points to +z.
    shots : int, optional
        How many pulses may be fired.
    mode : str, optional
        How far the plan goes on its own.
    timeout_s : float, optional
        How long an approval may take, s; without one nothing is fired.
    """
    target = Target.from_json({"places": places, "background": 1 if up else -1})
    plan = plans.reach_state(
        _beamline, target, shots=shots, oversight=_oversight(mode, timeout_s=timeout_s)
    )
    return (yield from _reported(plan))


def classify_shot(
    amplitude_T: float,
    width_ps: float,
    theta_deg: float = 40.0,
    spot_x: float = 49.5,
    spot_y: float = 49.5,
    spot_sigma: float = 0.0,
    mode: Mode = "approve-each",
    timeout_s: float = 600.0,
) -> Generator[Msg, Any, Any]:
    """Fire one pulse of your own choice and classify what follows.

    Parameters
    ----------
    amplitude_T : float
        Peak field, T.
    width_ps : float
        Gaussian width, ps.
    theta_deg : float, optional
        Polar angle, degrees.
    spot_x, spot_y : float, optional
        Centre of the spot, sites.
    spot_sigma : float, optional
        Radius of the spot, sites; 0 is the whole film.
    mode : str, optional
        How far the plan goes on its own.
    timeout_s : float, optional
        How long an approval may take, s; without one nothing is fired.
    """
    spot = Spot(x=spot_x, y=spot_y, sigma=spot_sigma) if spot_sigma else None
    pulse = Pulse(amplitude_T=amplitude_T, width_ps=width_ps, theta_deg=theta_deg, spot=spot)
    permission = Permission(_oversight(mode, timeout_s=timeout_s))
    request = permission.request(
        "classify_shot", "whoever queued it", new_shot(), pulse, "chosen by hand", "not looked at"
    )
    answer = yield from permission.ask(request)
    if not answer.approved:
        return {"label": "", "problem": str(answer), "film": ""}
    plan = plans.classify_shot(_beamline, request.pulse, md={"approval": str(answer)})
    result = yield from _shown(plan)
    return {"label": result.label, "problem": result.problem, "film": str(result.state)}


def characterise(
    shots: int = 8, mode: Mode = "approve-batch", timeout_s: float = 600.0
) -> Generator[Msg, Any, Any]:
    """Estimate damping, anisotropy field and field calibration from three weak pulses.

    Parameters
    ----------
    shots : int, optional
        How many pulses may be fired to empty the film first.
    mode : str, optional
        How far the plan goes on its own.
    timeout_s : float, optional
        How long an approval may take, s; without one nothing is fired.
    """
    plan = characterising.characterise(
        _beamline, twin_mean_sz, shots=shots, oversight=_oversight(mode, timeout_s=timeout_s)
    )
    return (yield from _reported(plan))


def map_process_diagram(
    shots: int = 100,
    theta_deg: float = 40.0,
    seed: int = 0,
    mode: Mode = "approve-batch",
    timeout_s: float = 600.0,
) -> Generator[Msg, Any, Any]:
    """Map what pulses do to one skyrmion, over their width and their field.

    Parameters
    ----------
    shots : int, optional
        How many shots the map may take; those that write the skyrmion come on top.
    theta_deg : float, optional
        Polar angle of every pulse, degrees.
    seed : int, optional
        Of the mapper.
    mode : str, optional
        How far the plan goes on its own.
    timeout_s : float, optional
        How long an approval may take, s; without one nothing is fired.
    """
    plan = mapping.map_process_diagram(
        _beamline,
        shots=shots,
        theta_deg=theta_deg,
        seed=seed,
        oversight=_oversight(mode, timeout_s=timeout_s),
    )
    return (yield from _reported(plan))


def rehearse(
    plan: Literal["write", "switch", "erase", "cycle"],
    shots: int = 12,
    twins: int = 5,
    start: Literal["empty", "skyrmion"] = "empty",
    seed: int = 0,
) -> Generator[Msg, Any, Any]:
    """Try a plan on simulated twins of the sample; fires nothing. The start document tells.

    Parameters
    ----------
    plan : str
        Which.
    shots : int, optional
        How many pulses each task may fire.
    twins : int, optional
        How many guesses of the sample it is tried on.
    start : str, optional
        What is in their film.
    seed : int, optional
        Of the guesses.
    """
    learned = _memory[0] if _memory else PulseMemory()
    told, _ = yield from in_thread(
        partial(
            rehearse_on_twins,
            getattr(plans, plan),
            {"shots": shots, "memory": learned},
            _beamline,
            guesses(twins, seed, learned.switching),
            start=start,
        )
    )
    expected = told.as_json() if told else {}
    yield from bps.open_run({"plan_name": "rehearse", "rehearsal": expected})
    yield from bps.close_run()
    return expected


def pending_approval() -> dict[str, str]:
    """What a plan asks for now: its shot and the question, or empty strings."""
    request = _desk.pending
    return {"shot": request.shot if request else "", "question": str(request or "")}


def approve(shot: str, approver: str) -> None:
    """Let the shot be fired. Raises LookupError when it is not asked for (any more)."""
    _desk.answer(shot, Answer(True, approver))


def refuse(shot: str, approver: str, comment: str = "") -> None:
    """Have the shot not fired. Raises LookupError when it is not asked for (any more)."""
    _desk.answer(shot, Answer(False, approver, comment))
