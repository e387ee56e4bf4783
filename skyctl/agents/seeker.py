"""Target seeker: chooses the next pulse towards write, switch or erase.

It sees what a camera and a network give, verdicts and film states, and nothing of the sample. What
it knows beforehand is how simulated samples switch (`skyctl.agents.library`).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skyctl.agents.bracket import Bracket
from skyctl.agents.library import Evidence, SwitchBelief
from skyctl.agents.outcome import OUTCOMES, outcome_of, signals
from skyctl.agents.tasks import Proposal, Task, TaskSeeker, against
from skyctl.pulse import Pulse
from skyctl.verdict import FilmState, ShotResult

__all__ = ["Bracket", "Proposal", "PulseMemory", "TargetSeeker", "Task"]

_ERASE_T = 3.0
_ERASE_THETA_DEG = 20.0
_REPAIR_PULSES = 2.0
"""What a lost skyrmion costs: one pulse empties the film or turns it back, one writes it anew."""
_HOPELESS = 0.03
_SHOTS_TO_DESPAIR = 8
_CANDIDATES = 16


@dataclass
class PulseMemory:
    """What has been learned of a sample: the settings that write and erase, and how it switches.

    Kept over the tasks of a cycle, so that a pulse that worked is tried first the next time. The
    bounds are what nucleates and what the pulser may fire; the first guesses wrote and erased in
    all of 12 random samples.
    """

    write_T: Bracket = field(default_factory=lambda: Bracket(1.0, 12.0, 8.0, 0.3))
    erase_ps: Bracket = field(default_factory=lambda: Bracket(8.0, 60.0, 30.0, 1.0))
    switching: SwitchBelief = field(default_factory=SwitchBelief)

    def as_json(self) -> dict[str, Any]:
        """All that is remembered, plain values, for `from_json`."""
        return {
            "write_T": self.write_T.as_json(),
            "erase_ps": self.erase_ps.as_json(),
            "switching": self.switching.as_json(),
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
        )


class TargetSeeker(TaskSeeker):
    """Suggests pulses for one task, and learns from what each did.

    task, centre : as `TaskSeeker`
    memory : what earlier tasks learned; changed in place

    To switch, it fires the library's pulse that is expected to need the fewest pulses if it were
    fired over and over: chance of success over one pulse plus what a loss costs. It gives up when
    no pulse has any chance left.
    """

    name = "library-seeker"

    def __init__(
        self, task: Task, centre: tuple[float, float], memory: PulseMemory | None = None
    ) -> None:
        super().__init__(task, centre)
        self._memory = memory or PulseMemory()
        self.library_sha256 = self._memory.switching.library.sha256
        self._last = "first guess"
        self._proposed: dict[Pulse, int] = {}

    def _choose(self, action: Task, state: FilmState) -> Proposal | str:
        why = "" if action == self.task else f"{action} first: film has {state}; "
        if action == "switch":
            return self._switch(state)
        bracket = self._bracket(action)
        if bracket.exhausted:
            return f"{action}: {bracket.missed('T' if action == 'write' else 'ps')}"
        if action == "write":
            pulse = self._writing_pulse(bracket.guess)
            return Proposal(action, against(state.background, pulse), why + self._last)
        # A field that holds the film where it is to point, and shrinks what does not.
        pulse = Pulse(
            amplitude_T=_ERASE_T, width_ps=round(bracket.guess, 1), theta_deg=_ERASE_THETA_DEG
        )
        pulse = against(-self._background_to_leave(state), pulse)
        return Proposal(action, pulse, why + self._last)

    def _switch(self, state: FilmState) -> Proposal | str:
        belief = self._memory.switching
        if state.has_one_skyrmion:
            belief.saw_skyrmion(state.reversed_sites)
        chances = belief.chances()
        success = chances[:, OUTCOMES.index("switching")]
        if len(belief.evidence) >= _SHOTS_TO_DESPAIR and success.max() < _HOPELESS:
            return (
                f"switch: {belief.fired()}, and of {len(success)} pulses none has a chance above "
                f"{success.max():.1%}"
            )
        lost = 1 - success - chances[:, OUTCOMES.index("breathing")]
        best = np.argsort(-success / (1 + _REPAIR_PULSES * lost), kind="stable")[:_CANDIDATES]
        pulses = [against(state.background, belief.library.as_pulses[i]) for i in best]
        self._proposed = {pulses[0]: int(best[0])}  # pyright: ignore[reportUnhashable]
        damping, deviation = belief.estimate()["damping"]
        reason = (
            f"{success[best[0]]:.0%} likely to switch; damping looks like {damping:.2f} ± "
            f"{deviation:.2f} after {len(belief.evidence)} shots"
        )
        candidates = tuple(zip(pulses, success[best].tolist(), strict=True))
        return Proposal("switch", pulses[0], reason, candidates)

    def _learn(
        self, proposal: Proposal, before: FilmState, result: ShotResult, after: FilmState
    ) -> None:
        if proposal.action == "switch":
            self._learn_switching(proposal, before, result, after)
            return
        bracket = self._bracket(proposal.action)
        worked = after.is_empty if proposal.action == "erase" else after.has_one_skyrmion
        if worked:
            bracket.worked()
            self._last = "worked before"
        elif proposal.action == "erase" or after.is_empty:
            bracket.too_little()
            self._last = f"not enough: left {after}"
        else:
            bracket.too_much()
            self._last = f"too much: left {after}"

    def _learn_switching(
        self, proposal: Proposal, before: FilmState, result: ShotResult, after: FilmState
    ) -> None:
        pulse = self._proposed.get(proposal.pulse)
        if pulse is None:
            return
        times_ps, mean_sz = np.array(result.mean_sz, float).reshape(-1, 2).T
        seen = signals(times_ps, mean_sz, before.background, proposal.pulse.peak_ps)
        self._memory.switching.saw(Evidence(pulse, outcome_of(before, after), seen))

    def _bracket(self, action: Task) -> Bracket:
        return self._memory.write_T if action == "write" else self._memory.erase_ps
