"""Bracket seeker: halves an interval of one setting, amplitude or width, by what each shot did."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.outcome import TELLING, likeliest, told_kind
from skyctl.agents.tasks import Action, Proposal, Task, TaskSeeker, against
from skyctl.belief import Belief
from skyctl.process import BREATHING, COLLAPSE, MIXED, SWITCHING, Kind, Outcome
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

_UNIFORM = Pulse(amplitude_T=2.0, width_ps=1.0, theta_deg=40.0)
_STEP_BELOW = 0.85

Off = Literal[-1, 0, 1]
"""A guess did too little, worked, or did too much."""
_SAID: dict[Off, str] = {-1: "not enough", 0: "worked before", 1: "too much"}


@dataclass
class Bracket:
    """A setting between "too little" and "too much", halved after every shot that missed.

    lowest, highest : what is worth trying; guess : the next value; closest : a narrower bracket has
    nothing left. Single pulses are chaotic near a boundary, so one wrong turn is possible: a
    bracket that closed without success opens once more, below where it closed.
    """

    lowest: float
    highest: float
    guess: float
    closest: float

    def __post_init__(self) -> None:
        if not self.lowest <= self.guess <= self.highest:
            raise ValueError(
                f"first guess {self.guess:g}: outside {self.lowest:g} … {self.highest:g}"
            )
        self._least, self._most = self.lowest, self.highest  # that may be tried
        self._low, self._high = self.lowest, self.highest
        self._reopened = False
        self._missed: list[float] = []
        self._closed = False

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to try."""
        return self._closed or self._least > self._most

    def narrow(self, least: float, most: float) -> None:
        """Allow only what is between the two. Where that is news, the bracket opens anew in it."""
        least, most = max(self.lowest, least), min(self.highest, most)
        if (least, most) == (self._least, self._most):
            return
        self._least, self._most = least, most
        if least <= most:
            self._open()
            self.guess = min(max(self.guess, least), most)

    def missed(self, unit: str) -> str:
        """The guesses that missed since the last one that worked, for a person to read."""
        everything = f"{self.lowest:g} … {self.highest:g} {unit}"
        if self._least > self._most:
            return f"the envelope leaves nothing of {everything}"
        tried = ", ".join(f"{value:.3g}" for value in sorted(self._missed))
        if (self._least, self._most) == (self.lowest, self.highest):
            return f"missed at {tried} {unit}, of {everything}"
        return (
            f"missed at {tried} {unit}, of {self._least:g} … {self._most:g} {unit}, which is all "
            f"that the envelope leaves of {everything}"
        )

    def as_json(self) -> dict[str, Any]:
        """Its settings and state, plain values, for `from_json`."""
        return {**vars(self), "_missed": self._missed.copy()}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Bracket":
        """What `as_json` saved. Raises KeyError when something is missing."""
        bracket = cls(saved["lowest"], saved["highest"], saved["guess"], saved["closest"])
        vars(bracket).update({key: saved[key] for key in vars(bracket)})
        bracket._missed = bracket._missed.copy()
        return bracket

    def worked(self) -> None:
        """The guess did it: what was ruled out before may be tried again when it fails."""
        self._open()
        self._missed.clear()

    def learn(self, off: Off) -> None:
        """What the guess did."""
        if off == 0:
            self.worked()
        elif off < 0:
            self.too_little()
        else:
            self.too_much()

    def too_little(self) -> None:
        """The guess did too little."""
        self._low = self.guess
        self._halve()

    def too_much(self) -> None:
        """The guess did too much."""
        self._high = self.guess
        self._halve()

    def _open(self) -> None:
        self._low, self._high = self._least, self._most
        self._reopened = self._closed = False

    def _halve(self) -> None:
        self._missed.append(self.guess)
        if self._high - self._low >= self.closest:
            self.guess = (self._low + self._high) / 2
        elif self._reopened:
            self._closed = True
        else:
            self._reopened = True
            self._high, self._low = self._low, self._least
            self.guess = max(self._least, _STEP_BELOW * self._high)


@dataclass
class BracketMemory:
    """What a `BracketSeeker` has learned of a sample: the settings that write, switch and erase.

    Kept over the tasks of a cycle, so that a pulse that worked is tried first the next time. The
    bounds are those of the process diagram (4–48 ps) and of what nucleates.
    """

    write_T: Bracket = field(default_factory=lambda: Bracket(1.0, 12.0, 4.0, 0.3))
    switch_ps: Bracket = field(default_factory=lambda: Bracket(4.0, 48.0, 24.0, 2.0))
    erase_ps: Bracket = field(default_factory=lambda: Bracket(8.0, 60.0, 32.0, 1.0))


class BracketSeeker(TaskSeeker):
    """Moves one setting a task, and knows nothing beforehand.

    task, centre, allowed : as `TaskSeeker`
    memory : what earlier tasks learned; changed in place
    """

    name = "bracket-seeker"

    def __init__(
        self,
        task: Task,
        centre: tuple[float, float],
        memory: BracketMemory | None = None,
        allowed: Allowed | None = None,
    ) -> None:
        super().__init__(task, centre, allowed)
        self._memory = memory or BracketMemory()
        narrow(self._memory.write_T, self._writing_pulse(1.0), self._allowed)
        for bracket in (self._memory.switch_ps, self._memory.erase_ps):
            narrow(bracket, _UNIFORM, self._allowed)
        self._reason = "first guess"

    def _choose(self, action: Task, belief: Belief) -> Proposal | str:
        bracket = self._bracket(action)
        if bracket.exhausted:
            return f"{action}: {bracket.missed('T' if action == 'write' else 'ps')}"
        if action == "write":
            pulse = self._writing_pulse(bracket.guess)
        else:
            pulse = _UNIFORM.model_copy(update={"width_ps": round(bracket.guess, 1)})
        pulse = self._allowed.clamp(against(belief.background, pulse))
        reason = self._reason if action == self.task else f"{action} first: film has {belief}"
        return Proposal(action, pulse, reason)

    def _learn(
        self,
        proposal: Proposal,
        before: Belief,
        result: ShotResult,  # noqa: ARG002
        after: Belief,
        outcome: np.ndarray,
    ) -> None:
        """What the film most likely became says which way to go, where it is `TELLING`."""
        bracket = self._bracket(proposal.action)
        if proposal.action == "switch":
            off = switched(outcome)
        else:
            off = written(before, after) if proposal.action == "write" else erased(after)
        if off is None:
            return
        bracket.learn(off)
        self._reason = f"{_SAID[off]}: left {after}"

    def _bracket(self, action: Action) -> Bracket:
        memory = self._memory
        return {"write": memory.write_T, "switch": memory.switch_ps, "erase": memory.erase_ps}[
            action
        ]


def written(before: Belief, after: Belief) -> Off | None:
    """How far off a writing pulse was; None where the beliefs are not `TELLING`."""
    left = told_kind(after) if told_kind(before) == "empty" else None
    offs: dict[Kind | None, Off] = {"one": 0, "empty": -1, "other": 1}
    return offs.get(left)


def erased(after: Belief) -> Off | None:
    """How far off an erasing pulse was; None where the belief is not `TELLING`."""
    empty = after.probability("empty")
    if empty >= TELLING:
        return 0
    return -1 if empty <= 1 - TELLING else None


def switched(outcome: np.ndarray) -> Off | None:
    """How far off a switching pulse was; None where the outcome is not `TELLING`.

    A skyrmion that was switched and faded got too much, as one that collapsed.
    """
    if outcome.max() < TELLING:
        return None
    offs: dict[Outcome, Off] = {SWITCHING: 0, COLLAPSE: 1, BREATHING: -1, MIXED: -1}
    return offs[likeliest(outcome)]


def narrow(bracket: Bracket, pulse: Pulse, allowed: Allowed) -> None:
    """Allow only what the envelope does: fields where ``pulse`` has a spot, else widths."""
    inside = allowed.clamp(pulse)
    limits = allowed.widths(inside) if pulse.spot is None else allowed.amplitudes(inside)
    bracket.narrow(*limits)
