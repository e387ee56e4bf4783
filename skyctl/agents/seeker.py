"""Target seeker: chooses the next pulse towards write, switch or erase.

It sees what a camera and a network give, verdicts and film states, and nothing of the sample.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from skyctl.pulse import Pulse, Spot
from skyctl.verdict import FilmState, ShotResult

Task = Literal["write", "switch", "erase"]

_THETA_DEG = 40.0
_WRITE_WIDTH_PS = 16.0
_SPOT_SIGMA = 6.0
_UNIFORM_T = 2.0
_STEP_BELOW = 0.85


@dataclass(frozen=True)
class Proposal:
    """A pulse, what it is meant to do, and why this one.

    candidates : pulses that were weighed up, with the probability of success given to each
    """

    action: Task
    pulse: Pulse
    reason: str
    candidates: tuple[tuple[Pulse, float], ...] = ()


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
        self.exhausted = False

    def worked(self) -> None:
        """The guess did it: what was ruled out before may be tried again when it fails."""
        self._low, self._high = self.lowest, self.highest
        self._reopened = False

    def too_little(self) -> None:
        """The guess did too little."""
        self._low = self.guess
        self._halve()

    def too_much(self) -> None:
        """The guess did too much."""
        self._high = self.guess
        self._halve()

    def _halve(self) -> None:
        if self._high - self._low >= self.closest:
            self.guess = (self._low + self._high) / 2
        elif self._reopened:
            self.exhausted = True
        else:
            self._reopened = True
            self._high, self._low = self._low, self.lowest
            self.guess = max(self.lowest, _STEP_BELOW * self._high)


@dataclass
class PulseMemory:
    """What has been learned of a sample: the settings that write, switch and erase.

    Kept over the tasks of a cycle, so that a pulse that worked is tried first the next time. The
    bounds are those of the process diagram (4–48 ps) and of what nucleates.
    """

    write_T: Bracket = field(default_factory=lambda: Bracket(1.0, 12.0, 4.0, 0.3))
    switch_ps: Bracket = field(default_factory=lambda: Bracket(4.0, 48.0, 24.0, 2.0))
    erase_ps: Bracket = field(default_factory=lambda: Bracket(8.0, 60.0, 32.0, 1.0))

    def as_json(self) -> dict[str, Any]:
        """All that is remembered, plain values, for `from_json`."""
        return {
            name: {k: v if isinstance(v, bool) else float(v) for k, v in vars(bracket).items()}
            for name, bracket in vars(self).items()
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "PulseMemory":
        """What `as_json` saved. Raises KeyError when something is missing."""
        memory = cls()
        for name, bracket in vars(memory).items():
            vars(bracket).update({key: saved[name][key] for key in vars(bracket)})
        return memory


class TargetSeeker:
    """Suggests pulses for one task, and learns from the verdict on each.

    task : "write" (one skyrmion in an empty film), "switch" (reverse its polarity, and the film
        around it) or "erase" (an empty film)
    centre : (x, y) where to write, sites
    memory : what earlier tasks learned; changed in place
    """

    name = "bracket-seeker"
    seed: int | None = None
    """Of its random numbers; None, as it draws none."""

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
        self._start_background: int | None = None

    def reached(self, state: FilmState) -> bool:
        """Whether the film, as seen now, is what the task wants.

        A switch is reached by a pulse that turned one skyrmion over, and only where the film then
        points the other way than when the task began.
        """
        if self._start_background is None:
            self._start_background = state.background
        if self.task == "erase":
            return state.is_empty
        if self.task == "write":
            return state.has_one_skyrmion
        return self._switched and state.background != self._start_background

    def suggest(self, state: FilmState) -> Proposal | None:
        """The next pulse for a film in this state; None when there is nothing left to try.

        A film that is not what the task starts from is brought there first: domains are erased,
        a switch that lost its skyrmion turns the empty film back over and writes a new one.
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

        The verdict, where the last frame of the movie bears it out, says which way to go; the
        film as it then settles decides whether it worked.
        """
        verdict = _confirmed(result, before)
        bracket = self._bracket(proposal.action)
        worked, too_much = {
            "write": (after.has_one_skyrmion, verdict == "mixed"),
            # a skyrmion that was switched and faded got too much, as one that collapsed
            "switch": (_switched(before, after), verdict in ("collapse", "switching")),
            "erase": (after.is_empty, False),
        }[proposal.action]
        self._switched = proposal.action == "switch" and worked
        if worked:
            bracket.worked()
            self._reason = f"{verdict}: worked before"
        elif too_much:
            bracket.too_much()
            self._reason = f"{verdict}: too much"
        else:
            bracket.too_little()
            self._reason = f"{verdict}: not enough"

    def _action(self, state: FilmState) -> Task:
        if self.task == "erase" or not (state.is_empty or state.has_one_skyrmion):
            return "erase"
        if state.has_one_skyrmion:
            return self.task
        turned_over = state.background != self._start_background
        return "erase" if self.task == "switch" and turned_over else "write"

    def _bracket(self, action: Task) -> Bracket:
        memory = self._memory
        return {"write": memory.write_T, "switch": memory.switch_ps, "erase": memory.erase_ps}[
            action
        ]


def _switched(before: FilmState, after: FilmState) -> bool:
    """One skyrmion, and now the other way up."""
    both = before.has_one_skyrmion and after.has_one_skyrmion
    return both and before.background != after.background


def _confirmed(result: ShotResult, before: FilmState) -> str:
    """The verdict, where the last frame of the movie agrees with it, else "mixed"."""
    end = result.state
    if end is None:
        return "mixed"
    agrees = {
        "breathing": end.has_one_skyrmion and before.background == end.background,
        "switching": _switched(before, end),
        "collapse": end.is_empty,
        "nucleation": end.has_one_skyrmion,
        "nothing": end.is_empty,
    }
    return result.label if agrees.get(result.label) else "mixed"
