"""The plan that characterises a sample: a few weak pulses at its empty film, and a fit."""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

from bluesky.utils import Msg

from skyctl.agents.characterise import Characterisation, Characteriser, Predict
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.plans import plans, stubs
from skyctl.plans.modes import Oversight, Permission
from skyctl.plans.protocols import Beamline
from skyctl.plans.threads import in_thread
from skyctl.pulse import Pulse
from skyctl.verdict import FilmState, ShotResult

_SPOILT_IN_A_ROW = 2


@dataclass
class CharacteriseReport:
    """What came of a characterisation.

    emptied : pulses that emptied the film first; shots : those that characterise
    found : the estimates, or None; reason : why there are none, or ""
    """

    emptied: int = 0
    shots: int = 0
    found: Characterisation | None = None
    reason: str = ""

    @property
    def reached(self) -> bool:
        """Whether there are estimates."""
        return self.found is not None

    def as_json(self) -> dict[str, Any]:
        """Plain values: each estimate with its deviation now and before any shot."""
        found = self.found
        return {
            "reached": self.reached,
            "reason": self.reason,
            "emptied": self.emptied,
            "shots": self.shots,
            "misfit": found.misfit if found else None,
            "estimates": {k: asdict(each) for k, each in found.estimates.items()} if found else {},
        }


def characterise(
    beamline: Beamline,
    predict: Predict,
    *,
    amplitude_T: float = 3.0,
    shots: int = 8,
    memory: PulseMemory | None = None,
    oversight: Oversight | None = None,
    md: dict[str, Any] | None = None,
) -> Generator[Msg, Any, CharacteriseReport]:
    """Estimate damping, anisotropy field and field calibration from three weak pulses.

    The film is emptied first. The pulses leave it as it was; one that does not ends the plan.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    predict : callable
        How the mean S_z of a film answers a pulse (`skyctl.rehearsal.twin_mean_sz`).
    amplitude_T : float, optional
        Field of the pulses; what they tell falls with the square of it.
    shots : int, optional
        How many pulses may be fired to empty the film.
    memory : PulseMemory, optional
        What is known of the sample; what is learned of erasing is kept in it.
    oversight : Oversight, optional
        How far the plan goes on its own, and who approves; autonomous unless given.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    CharacteriseReport
        The estimates with their standard deviations, or why there are none.
    """
    learned = memory or PulseMemory()
    arguments = {"amplitude_T": amplitude_T, "shots": shots, "memory": learned.as_json()}
    agent = Characteriser(predict, amplitude_T, learned.switching)
    permission = Permission(oversight or Oversight())
    report = CharacteriseReport()

    def body() -> Generator[Msg, Any, CharacteriseReport]:
        eraser = TargetSeeker("erase", beamline.camera.film_centre, learned)
        empty = yield from stubs.pursue(beamline, eraser, shots, oversight)
        report.emptied = empty.pulses
        if not empty.reached or empty.after is None:
            report.reason = f"no empty film to start from: {empty.reason}"
            return report
        film, spoilt = empty.after, 0
        while pulse := agent.suggest(film.background):
            result, report.reason = yield from one_shot(pulse, film)
            if result is None:
                return report
            seen, report.reason = yield from stubs.look_until_seen(beamline)
            if report.reason:
                return report
            if seen.state is None or not seen.state.is_empty:
                report.reason = f"{pulse} left {seen.state}: the film is not what it was"
                return report
            spoilt = spoilt + 1 if result.problem else 0
            if spoilt == _SPOILT_IN_A_ROW:
                report.reason = f"held fire: {result.problem}"
                return report
            if not result.problem:
                agent.ingest(result, film.background)
                report.shots += 1
        report.found, _ = yield from in_thread(agent.estimate)
        return report

    def one_shot(
        pulse: Pulse, film: FilmState
    ) -> Generator[Msg, Any, tuple[ShotResult | None, str]]:
        """Ask, write the decision down, fire: (the result, "") or (None, why nothing was fired)."""
        request = permission.request(
            "characterise", agent.name, stubs.new_shot(), pulse, "leaves the film as it is",
            str(film),
        )  # fmt: skip
        facts = {"library_sha256": learned.switching.library.sha256}
        refusal, answer = yield from stubs.decide(beamline, permission, request, facts)
        if refusal or not answer.approved:
            return None, refusal or str(answer)
        result = yield from stubs.shoot(beamline, pulse, request.shot)
        return result, ""

    facts = plans._agent_facts(arguments, oversight, beamline)
    return (yield from plans._in_one_run("characterise", beamline, body, md, facts))
