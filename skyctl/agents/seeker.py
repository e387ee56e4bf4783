"""Target seeker: chooses the next pulse towards write, switch or erase.

It sees what a camera and a network give, verdicts and film states, and nothing of the sample.
"""

from dataclasses import dataclass, field
from typing import Literal

from skyctl.pulse import Pulse, Spot
from skyctl.verdict import FilmState, ShotResult

Task = Literal["write", "switch", "erase"]

_THETA_DEG = 40.0
_WRITE_WIDTH_PS = 16.0
_SPOT_SIGMA = 6.0
_UNIFORM_T = 2.0


@dataclass(frozen=True)
class Proposal:
    """A pulse, what it is meant to do, and why this one."""

    action: Task
    pulse: Pulse
    reason: str


@dataclass
class Bracket:
    """A setting between "too little" and "too much", halved after every shot.

    low, high : bounds of what is still open; guess : the next value
    closest : a bracket narrower than this is exhausted
    """

    low: float
    high: float
    guess: float
    closest: float

    def __post_init__(self) -> None:
        if not self.low <= self.guess <= self.high:
            raise ValueError(f"first guess {self.guess:g}: outside {self.low:g} … {self.high:g}")

    def too_little(self) -> None:
        """The guess did too little."""
        self.low = self.guess
        self.guess = (self.low + self.high) / 2

    def too_much(self) -> None:
        """The guess did too much."""
        self.high = self.guess
        self.guess = (self.low + self.high) / 2

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to try."""
        return self.high - self.low < self.closest


@dataclass
class PulseMemory:
    """What has been learned of a sample: the settings that write, switch and erase.

    Kept over the tasks of a cycle, so that a pulse that worked is tried first the next time.
    """

    write_T: Bracket = field(default_factory=lambda: Bracket(1.0, 12.0, 4.0, 0.3))
    switch_ps: Bracket = field(default_factory=lambda: Bracket(4.0, 56.0, 24.0, 0.7))
    erase_ps: Bracket = field(default_factory=lambda: Bracket(16.0, 60.0, 32.0, 1.0))


class TargetSeeker:
    """Suggests pulses for one task, and learns from the verdict on each.

    task : "write" (one skyrmion in an empty film), "switch" (reverse its polarity, and the film
        around it) or "erase" (an empty film)
    centre : (x, y) where to write, sites
    memory : what earlier tasks learned; changed in place
    """

    name = "bracket-seeker"

    def __init__(
        self, task: Task, centre: tuple[float, float], memory: PulseMemory | None = None
    ) -> None:
        if task not in ("write", "switch", "erase"):
            raise ValueError(f"task {task!r}: choose 'write', 'switch' or 'erase'")
        self.task: Task = task
        self._centre = centre
        self._memory = memory or PulseMemory()
        self._reason = "first guess"
        self._switched = False

    def reached(self, state: FilmState) -> bool:
        """Whether the film, as seen now, is what the task wants."""
        if self.task == "erase":
            return state.is_empty
        return state.has_one_skyrmion and (self.task == "write" or self._switched)

    def suggest(self, state: FilmState) -> Proposal | None:
        """The next pulse for a film in this state; None when there is nothing left to try.

        A film that is not what the task starts from is brought there first: a switch that lost
        its skyrmion writes a new one, and a film full of domains is erased.
        """
        action = self._action(state)
        bracket = self._bracket(action)
        if bracket.exhausted:
            return None
        # Fields act against the background; turning the film over turns the angle over.
        theta = _THETA_DEG if state.background < 0 else 180.0 - _THETA_DEG
        if action == "write":
            x, y = self._centre
            pulse = Pulse(
                amplitude_T=round(bracket.guess, 2),
                width_ps=_WRITE_WIDTH_PS,
                theta_deg=theta,
                spot=Spot(x=x, y=y, sigma=_SPOT_SIGMA),
            )
        else:
            width = round(bracket.guess, 1)
            pulse = Pulse(amplitude_T=_UNIFORM_T, width_ps=width, theta_deg=theta)
        reason = self._reason if action == self.task else f"{action} first: film has {state}"
        return Proposal(action, pulse, reason)

    def ingest(
        self, proposal: Proposal, before: FilmState, result: ShotResult, after: FilmState
    ) -> None:
        """Learn from a shot: the film before it, what the network said, the film after it.

        The verdict says which way to go; what the camera then sees decides whether it worked.
        """
        verdict = result.label
        bracket = self._bracket(proposal.action)
        worked, too_much, wanted = {
            "write": (after.has_one_skyrmion, verdict == "mixed" or after.discs > 1, "nucleation"),
            "switch": (_reversed(before, after), verdict == "collapse", "switching"),
            "erase": (after.is_empty, False, "collapse"),
        }[proposal.action]
        if proposal.action == "switch":
            self._switched = worked
        if worked:
            self._reason = f"worked before ({verdict})"
            return
        if verdict == wanted:
            verdict = f"{verdict}, but the film shows {after}"
        if too_much:
            bracket.too_much()
            self._reason = f"{verdict}: too much"
        else:
            bracket.too_little()
            self._reason = f"{verdict}: not enough"

    def _action(self, state: FilmState) -> Task:
        if self.task == "erase" or not (state.is_empty or state.has_one_skyrmion):
            return "erase"
        return "write" if state.is_empty else self.task

    def _bracket(self, action: Task) -> Bracket:
        memory = self._memory
        return {"write": memory.write_T, "switch": memory.switch_ps, "erase": memory.erase_ps}[
            action
        ]


def _reversed(before: FilmState, after: FilmState) -> bool:
    """One skyrmion, and now the other way up."""
    both = before.has_one_skyrmion and after.has_one_skyrmion
    return both and before.background == -after.background
