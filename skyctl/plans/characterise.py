"""The plan that characterises a sample: a few weak pulses at its empty film, and a fit."""

from dataclasses import asdict, dataclass
from typing import Any

from skyctl.agents.campaign import Campaign
from skyctl.agents.characteriser import Characterisation, Characteriser, Predict
from skyctl.agents.seeker import PulseMemory
from skyctl.plans.campaign import pursue
from skyctl.plans.modes import Oversight
from skyctl.plans.plans import agent_facts, allowed, in_one_run
from skyctl.plans.protocols import Beamline, require_open
from skyctl.plans.stubs import Plan
from skyctl.plans.threads import in_thread

_SHOTS_AT_MOST = 6
"""Of the weak pulses: twice what the agent needs, for movies that are lost."""


@dataclass
class CharacteriseReport:
    """What came of a characterisation.

    emptied : pulses that emptied the film first; shots : those that characterise
    frames : how many were read, of looks and of movies
    found : the estimates, or None; reason : why there are none, or ""
    """

    emptied: int = 0
    shots: int = 0
    frames: int = 0
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
            "frames": self.frames,
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
) -> Plan[CharacteriseReport]:
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
    require_open(beamline)
    learned = memory or PulseMemory()
    arguments = {"amplitude_T": amplitude_T, "shots": shots, "memory": learned.as_json()}
    agent = Characteriser(predict, amplitude_T, learned, allowed(beamline))
    campaign = Campaign(agent, _SHOTS_AT_MOST, shots)
    report = CharacteriseReport()

    def body() -> Plan[CharacteriseReport]:
        task = yield from pursue(beamline, campaign, oversight)
        report.emptied, report.shots = campaign.pulses - campaign.own, agent.shots
        report.frames, report.reason = task.frames, task.reason
        if task.reached:
            report.found, _ = yield from in_thread(agent.estimate)
        return report

    facts = agent_facts(beamline, arguments, oversight)
    return (yield from in_one_run("characterise", beamline, body, md, facts))
