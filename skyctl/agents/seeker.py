"""Target seeker: chooses the next pulse towards write, switch or erase.

It sees what a camera and a network give, beliefs and results of shots, and nothing of the sample.
What it knows beforehand is how simulated samples switch (`skyctl.agents.switching_library`).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.bracket import Bracket, erased, narrow, written
from skyctl.agents.film_posterior import ProbeSeen
from skyctl.agents.outcome import signals
from skyctl.agents.switching_library import Evidence, SwitchBelief
from skyctl.agents.tasks import Action, Proposal, Task, TaskSeeker, against
from skyctl.belief import Belief
from skyctl.process import BREATHING, OUTCOMES, SWITCHING
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

__all__ = ["Bracket", "Proposal", "PulseMemory", "TargetSeeker", "Task"]

_ERASE = Pulse(amplitude_T=3.0, width_ps=1.0, theta_deg=20.0)
REPAIR_PULSES = 2.0
"""What a lost skyrmion costs: one pulse empties the film or turns it back, one writes it anew."""
_HOPELESS = 0.03
_SHOTS_TO_DESPAIR = 8
_CANDIDATES = 16
NOISY = 0.3
"""Noise of a pixel, in units of S_z, from which on counted sites say nothing of a size."""


@dataclass
class PulseMemory:
    """What has been learned of a sample: the settings that write and erase, and how it switches.

    Kept over the tasks of a cycle, so that a pulse that worked is tried first the next time. The
    bounds are what nucleates and what the pulser may fire; the first guesses wrote and erased in
    all of 12 random samples.

    probes : weak pulses that the imagining seeker fired; noise : of the camera's pixels, in units
        of S_z, at the last look
    """

    write_T: Bracket = field(default_factory=lambda: Bracket(1.0, 12.0, 8.0, 0.3))
    erase_ps: Bracket = field(default_factory=lambda: Bracket(8.0, 60.0, 30.0, 1.0))
    switching: SwitchBelief = field(default_factory=SwitchBelief)
    probes: list[ProbeSeen] = field(default_factory=list)
    noise: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """All that is remembered, plain values, for `from_json`."""
        return {
            "write_T": self.write_T.as_json(),
            "erase_ps": self.erase_ps.as_json(),
            "switching": self.switching.as_json(),
            "probes": [probe.as_json() for probe in self.probes],
            "noise": self.noise,
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "PulseMemory":
        """What `as_json` saved. Raises KeyError when something is missing, LibraryError for what
        was learned with another library.
        """
        return cls(
            Bracket.from_json(saved["write_T"]),
            Bracket.from_json(saved["erase_ps"]),
            SwitchBelief.from_json(saved["switching"]),
            [ProbeSeen.from_json(probe) for probe in saved.get("probes", [])],
            float(saved.get("noise", 0.0)),
        )


class TargetSeeker(TaskSeeker):
    """Suggests pulses for one task, and learns from what each did.

    task, centre, allowed : as `TaskSeeker`
    memory : what earlier tasks learned; changed in place

    To switch, it fires the library's pulse that is expected to need the fewest pulses if it were
    fired over and over: chance of success over one pulse plus what a loss costs. It gives up when
    no pulse has any chance left.
    """

    name = "library-seeker"

    def __init__(
        self,
        task: Task,
        centre: tuple[float, float],
        memory: PulseMemory | None = None,
        allowed: Allowed | None = None,
    ) -> None:
        super().__init__(task, centre, allowed)
        self._memory = memory or PulseMemory()
        narrow(self._memory.write_T, self._writing_pulse(1.0), self._allowed)
        narrow(self._memory.erase_ps, _ERASE, self._allowed)
        self.library_sha256 = self._memory.switching.library.sha256
        self._last = "first guess"
        self._proposed: dict[Pulse, int] = {}

    def saw(self, look: ShotResult) -> None:
        """A look at the film at rest: how large the skyrmion is."""
        film = look.state
        if film and film.has_one_skyrmion and film.noise < NOISY and not look.problem:
            self._memory.switching.saw_skyrmion(film.reversed_sites)

    def _choose(self, action: Task, belief: Belief) -> Proposal | str:
        why = "" if action == self.task else f"{action} first: there is {belief}; "
        if action == "switch":
            return self._switch(belief)
        bracket = self._bracket(action)
        if bracket.exhausted:
            return f"{action}: {bracket.missed('T' if action == 'write' else 'ps')}"
        if action == "write":
            pulse = against(belief.background, self._writing_pulse(bracket.guess))
        else:
            # A field that holds the film where it is to point, and shrinks what does not.
            pulse = _ERASE.model_copy(update={"width_ps": round(bracket.guess, 1)})
            pulse = against(-self._background_to_leave(belief), pulse)
        return Proposal(action, self._allowed.clamp(pulse), why + self._last)

    def _switch(self, belief: Belief) -> Proposal | str:
        known = self._memory.switching
        pulses = [against(belief.background, pulse) for pulse in known.library.as_pulses]
        may = np.flatnonzero([self._allowed.allows(pulse) for pulse in pulses])
        if not may.size:
            return f"switch: the envelope leaves none of the library's {len(pulses)} pulses"
        chances = known.chances()[may]
        success = chances[:, OUTCOMES.index(SWITCHING)]
        if len(known.evidence) >= _SHOTS_TO_DESPAIR and success.max() < _HOPELESS:
            return (
                f"switch: {known.fired()}, and of {len(success)} pulses none has a chance above "
                f"{success.max():.1%}"
            )
        lost = 1 - success - chances[:, OUTCOMES.index(BREATHING)]
        best = np.argsort(-success / (1 + REPAIR_PULSES * lost), kind="stable")[:_CANDIDATES]
        first = int(may[best[0]])
        self._proposed = {pulses[first]: first}  # pyright: ignore[reportUnhashable]
        damping, deviation = known.estimate()["damping"]
        reason = (
            f"{success[best[0]]:.0%} likely to switch; damping looks like {damping:.2f} ± "
            f"{deviation:.2f} after {len(known.evidence)} shots"
        )
        candidates = tuple((pulses[may[i]], float(success[i])) for i in best)
        return Proposal("switch", pulses[first], reason, candidates)

    def _learn(
        self,
        proposal: Proposal,
        before: Belief,
        result: ShotResult,
        after: Belief,
        outcome: np.ndarray,
    ) -> None:
        if proposal.action == "switch":
            self._learn_switching(proposal, before, result, outcome)
            return
        off = written(before, after) if proposal.action == "write" else erased(after)
        if off is None:
            return
        self._bracket(proposal.action).learn(off)
        if off == 0:
            self._last = "worked before"
        else:
            self._last = f"{'not enough' if off < 0 else 'too much'}: left {after}"

    def _learn_switching(
        self, proposal: Proposal, before: Belief, result: ShotResult, outcome: np.ndarray
    ) -> None:
        pulse = self._proposed.get(proposal.pulse)
        if pulse is None:
            return
        times_ps, mean_sz = np.array(result.mean_sz, float).reshape(-1, 2).T
        seen = signals(
            times_ps,
            mean_sz,
            before.background,
            proposal.pulse.peak_ps,
            whole=not result.ended_early,
        )
        self._memory.switching.saw(Evidence(pulse, tuple(outcome.tolist()), seen))

    def _bracket(self, action: Action) -> Bracket:
        return self._memory.write_T if action == "write" else self._memory.erase_ps
