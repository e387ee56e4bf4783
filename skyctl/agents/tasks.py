"""Tasks of a skyrmion film, write, switch, erase: what comes next, and when a task is reached."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.outcome import likeliest, outcome_of
from skyctl.belief import SURE, Belief
from skyctl.process import SWITCHING
from skyctl.pulse import Pulse, Spot
from skyctl.verdict import ShotResult

Task = Literal["write", "switch", "erase"]
Action = Literal["write", "switch", "erase", "probe", "map", "characterise", "steer", "reset"]
"""What a pulse is fired for; "probe" only shows the film, where looks do not."""

_WRITE_WIDTH_PS = 16.0
_WRITE_THETA_DEG = 40.0
_SPOT_SIGMA = 6.0
_PROBE = Pulse(amplitude_T=0.3, width_ps=10.0, theta_deg=60.0)
"""A tenth of what the weakest pulses of the switching library have: it moves no film for good,
whichever way that points."""


@dataclass(frozen=True)
class Proposal:
    """A pulse, what it is meant to do, and why this one.

    candidates : pulses that were weighed up, with the probability of success given to each
    settings : what other devices are set to before it, by the setting's name
    counts : it is one of the task's own shots, none that only prepares the film for them
    whole_movie : its movie is measured to the end, however certain a verdict is before that
    look_after : the film is looked at before the next, however sure the belief is
    """

    action: Action
    pulse: Pulse
    reason: str
    candidates: tuple[tuple[Pulse, float], ...] = ()
    settings: Mapping[str, float] = field(default_factory=dict)
    counts: bool = True
    whole_movie: bool = False
    look_after: bool = False


class TaskSeeker(ABC):
    """An `Agent` for one task. It brings a film that is not what the task starts from there first.

    task : "write" (one skyrmion in an empty film), "switch" (reverse its polarity, and the film
        around it) or "erase" (an empty film)
    centre : (x, y) where to write, sites
    allowed : what the pulser may fire; None is everything

    It sees what a camera and a network give, beliefs and results of shots, and nothing of the
    sample. A subclass chooses the pulses (`_choose`) and learns from them (`_learn`).

    Raises ValueError for another task.
    """

    name: str
    seed: int | None = None
    """Of its random numbers; None where it draws none."""
    library_sha256: str = ""
    """Of the file that holds what it knew beforehand; "" where it knew nothing."""
    slow = False
    """Whether `suggest` may take longer than a RunEngine may be held up."""

    def __init__(
        self, task: Task, centre: tuple[float, float], allowed: Allowed | None = None
    ) -> None:
        if task not in ("write", "switch", "erase"):
            raise ValueError(f"task {task!r}: choose 'write', 'switch' or 'erase'")
        self.task: Task = task
        self._centre = centre
        self._allowed = allowed or Allowed()
        self._switched = False
        self._start_background: int | None = None
        self.gave_up = ""
        """Why `suggest` last had no pulse, and what had been tried; "" where it had one."""

    def reached(self, belief: Belief) -> bool:
        """Whether the film is, likely enough, what the task wants.

        A switch is reached by a pulse that turned one skyrmion over, and only where the film then
        points the other way than when the task began.
        """
        if self._start_background is None:
            self._start_background = belief.background
        if self.task == "erase":
            return belief.probability("empty") >= SURE
        if self.task == "write":
            return belief.probability("one") >= SURE
        return self._switched and belief.probability("one", -self._start_background) >= SURE

    def suggest(self, belief: Belief) -> Proposal | None:
        """The next pulse for a film like this; None to give up: `gave_up` then says why.

        Domains are erased first; a switch that lost its skyrmion brings the empty film back to
        where the task began and writes a new one. No pulse is proposed that may not be fired.
        """
        action = self._action(belief)
        chosen = self._choose(action, belief)
        if isinstance(chosen, Proposal) and (why_not := self._allowed.why_not(chosen.pulse)):
            chosen = f"{action}: the envelope does not allow {chosen.pulse}: {why_not}"
        self.gave_up = chosen if isinstance(chosen, str) else ""
        return None if isinstance(chosen, str) else chosen

    def probe(self, belief: Belief) -> Proposal | None:
        """A pulse too weak to change the film, for its movie; None where none may be fired."""
        pulse = self._allowed.clamp(against(belief.background, _PROBE))
        if pulse.dose_T2ps > _PROBE.dose_T2ps or not self._allowed.allows(pulse):
            self.gave_up = "probe: the envelope allows no pulse that leaves the film as it is"
            return None
        return Proposal("probe", pulse, f"looks do not tell what there is: {belief}")

    def saw(self, look: ShotResult) -> None:  # noqa: B027 - most have no use for it
        """A look at the film at rest: of what is not in the belief."""

    def ingest(self, proposal: Proposal, before: Belief, result: ShotResult, after: Belief) -> None:
        """Learn from a shot: the film before it, what was seen of it, the film at rest after it."""
        outcome = outcome_of(before, after)
        self._switched = proposal.action == "switch" and likeliest(outcome) == SWITCHING
        self._learn(proposal, before, result, after, outcome)

    def failed(self, proposal: Proposal) -> None:  # noqa: B027 - it is simply proposed again
        """A proposal was not fired, or its movie told nothing."""

    def _writing_pulse(self, amplitude_T: float) -> Pulse:
        """A local pulse at the centre, for a film that points down."""
        x, y = self._centre
        return Pulse(
            amplitude_T=round(amplitude_T, 2),
            width_ps=_WRITE_WIDTH_PS,
            theta_deg=_WRITE_THETA_DEG,
            spot=Spot(x=x, y=y, sigma=_SPOT_SIGMA),
        )

    @abstractmethod
    def _choose(self, action: Task, belief: Belief) -> Proposal | str:
        """A pulse for ``action`` at a film like this; or why there is none, and what missed."""

    @abstractmethod
    def _learn(
        self,
        proposal: Proposal,
        before: Belief,
        result: ShotResult,
        after: Belief,
        outcome: np.ndarray,
    ) -> None:
        """Take in what a shot did; ``outcome`` : as `outcome_of` has it."""

    def _background_to_leave(self, belief: Belief) -> int:
        """Which way an emptied film should point: a switch starts where its task began."""
        if self.task == "switch" and self._start_background is not None:
            return self._start_background
        return belief.background

    def _action(self, belief: Belief) -> Task:
        if self.task == "erase" or belief.kind == "other":
            return "erase"
        if belief.kind == "one":
            return self.task
        turned = self.task == "switch" and belief.background != self._start_background
        return "erase" if turned else "write"


def preparing(proposal: Proposal | None) -> Proposal | None:
    """The same pulse, as one that only prepares the film for a task's own shots."""
    return None if proposal is None else replace(proposal, counts=False)


def against(background: int, pulse: Pulse) -> Pulse:
    """``pulse``, meant for a film that points along -z, for one with this background.

    Half a turn of lattice and spins about x is a symmetry of the film: it turns the background over
    and θ into 180° - θ, where φ is 0.
    """
    if background < 0:
        return pulse
    return pulse.model_copy(update={"theta_deg": 180.0 - pulse.theta_deg})
