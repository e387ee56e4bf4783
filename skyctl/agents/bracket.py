"""Bracket seeker: halves an interval of one setting, amplitude or width, by what each shot did."""

from dataclasses import dataclass, field
from typing import Any

from skyctl.agents.tasks import Proposal, Task, TaskSeeker, against, turned_over
from skyctl.pulse import Pulse
from skyctl.verdict import FilmState, ShotResult

_THETA_DEG = 40.0
_UNIFORM_T = 2.0
_STEP_BELOW = 0.85


@dataclass
class Bracket:
    """A setting between "too little" and "too much", halved after every shot that missed.

    lowest, highest : what may be tried; guess : the next value; closest : a narrower bracket has
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
        self._low, self._high = self.lowest, self.highest
        self._reopened = False
        self._missed: list[float] = []
        self.exhausted = False

    def missed(self, unit: str) -> str:
        """The guesses that missed since the last one that worked, for a person to read."""
        tried = ", ".join(f"{value:.3g}" for value in sorted(self._missed))
        return f"missed at {tried} {unit}, of {self.lowest:g} … {self.highest:g} {unit}"

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
        self._low, self._high = self.lowest, self.highest
        self._reopened = False
        self._missed.clear()

    def too_little(self) -> None:
        """The guess did too little."""
        self._low = self.guess
        self._halve()

    def too_much(self) -> None:
        """The guess did too much."""
        self._high = self.guess
        self._halve()

    def _halve(self) -> None:
        self._missed.append(self.guess)
        if self._high - self._low >= self.closest:
            self.guess = (self._low + self._high) / 2
        elif self._reopened:
            self.exhausted = True
        else:
            self._reopened = True
            self._high, self._low = self._low, self.lowest
            self.guess = max(self.lowest, _STEP_BELOW * self._high)


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

    task, centre : as `TaskSeeker`
    memory : what earlier tasks learned; changed in place
    """

    name = "bracket-seeker"

    def __init__(
        self, task: Task, centre: tuple[float, float], memory: BracketMemory | None = None
    ) -> None:
        super().__init__(task, centre)
        self._memory = memory or BracketMemory()
        self._reason = "first guess"

    def _choose(self, action: Task, state: FilmState) -> Proposal | str:
        bracket = self._bracket(action)
        if bracket.exhausted:
            return f"{action}: {bracket.missed('T' if action == 'write' else 'ps')}"
        if action == "write":
            pulse = self._writing_pulse(bracket.guess)
        else:
            width = round(bracket.guess, 1)
            pulse = Pulse(amplitude_T=_UNIFORM_T, width_ps=width, theta_deg=_THETA_DEG)
        reason = self._reason if action == self.task else f"{action} first: film has {state}"
        return Proposal(action, against(state.background, pulse), reason)

    def _learn(
        self, proposal: Proposal, before: FilmState, result: ShotResult, after: FilmState
    ) -> None:
        """The verdict, where the last frame of the movie bears it out, says which way to go; the
        film as it then settles decides whether it worked.
        """
        verdict = _confirmed(result, before)
        bracket = self._bracket(proposal.action)
        worked, too_much = {
            "write": (after.has_one_skyrmion, verdict == "mixed"),
            # a skyrmion that was switched and faded got too much, as one that collapsed
            "switch": (turned_over(before, after), verdict in ("collapse", "switching")),
            "erase": (after.is_empty, False),
        }[proposal.action]
        if worked:
            bracket.worked()
            self._reason = f"{verdict}: worked before"
        elif too_much:
            bracket.too_much()
            self._reason = f"{verdict}: too much"
        else:
            bracket.too_little()
            self._reason = f"{verdict}: not enough"

    def _bracket(self, action: Task) -> Bracket:
        memory = self._memory
        return {"write": memory.write_T, "switch": memory.switch_ps, "erase": memory.erase_ps}[
            action
        ]


def _confirmed(result: ShotResult, before: FilmState) -> str:
    """The verdict, where the last frame of the movie agrees with it, else "mixed"."""
    end = result.state
    if end is None:
        return "mixed"
    agrees = {
        "breathing": end.has_one_skyrmion and before.background == end.background,
        "switching": turned_over(before, end),
        "collapse": end.is_empty,
        "nucleation": end.has_one_skyrmion,
        "nothing": end.is_empty,
    }
    return result.label if agrees.get(result.label) else "mixed"
