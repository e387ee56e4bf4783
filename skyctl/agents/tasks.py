"""Tasks of a skyrmion film, write, switch, erase: what comes next, and when a task is reached."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from skyctl.pulse import Pulse, Spot
from skyctl.verdict import FilmState, ShotResult

Task = Literal["write", "switch", "erase"]

_WRITE_WIDTH_PS = 16.0
_WRITE_THETA_DEG = 40.0
_SPOT_SIGMA = 6.0


@dataclass(frozen=True)
class Proposal:
    """A pulse, what it is meant to do, and why this one.

    candidates : pulses that were weighed up, with the probability of success given to each
    """

    action: Task
    pulse: Pulse
    reason: str
    candidates: tuple[tuple[Pulse, float], ...] = ()


class TaskSeeker(ABC):
    """An agent for one task. It brings a film that is not what the task starts from there first.

    task : "write" (one skyrmion in an empty film), "switch" (reverse its polarity, and the film
        around it) or "erase" (an empty film)
    centre : (x, y) where to write, sites

    It sees what a camera and a network give, film states and results of shots, and nothing of the
    sample. A subclass chooses the pulses (`_choose`) and learns from them (`_learn`).

    Raises ValueError for another task.
    """

    name: ClassVar[str]
    seed: int | None = None
    """Of its random numbers; None where it draws none."""
    library_sha256: str = ""
    """Of the file that holds what it knew beforehand; "" where it knew nothing."""

    def __init__(self, task: Task, centre: tuple[float, float]) -> None:
        if task not in ("write", "switch", "erase"):
            raise ValueError(f"task {task!r}: choose 'write', 'switch' or 'erase'")
        self.task: Task = task
        self._centre = centre
        self._switched = False
        self._start_background: int | None = None
        self.gave_up = ""
        """Why `suggest` last had no pulse, and what had been tried; "" where it had one."""

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
        """The next pulse for a film in this state; None to give up: `gave_up` then says why.

        Domains are erased first; a switch that lost its skyrmion brings the empty film back to
        where the task began and writes a new one.
        """
        chosen = self._choose(self._action(state), state)
        self.gave_up = chosen if isinstance(chosen, str) else ""
        return None if isinstance(chosen, str) else chosen

    def ingest(
        self, proposal: Proposal, before: FilmState, result: ShotResult, after: FilmState
    ) -> None:
        """Learn from a shot: the film before it, what was seen of it, the film at rest after it."""
        self._switched = proposal.action == "switch" and turned_over(before, after)
        self._learn(proposal, before, result, after)

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
    def _choose(self, action: Task, state: FilmState) -> Proposal | str:
        """A pulse for ``action`` at a film in this state; or why there is none, and what missed."""

    @abstractmethod
    def _learn(
        self, proposal: Proposal, before: FilmState, result: ShotResult, after: FilmState
    ) -> None:
        """Take in what a shot did."""

    def _background_to_leave(self, state: FilmState) -> int:
        """Which way an emptied film should point: a switch starts where its task began."""
        if self.task == "switch" and self._start_background is not None:
            return self._start_background
        return state.background

    def _action(self, state: FilmState) -> Task:
        if self.task == "erase" or not (state.is_empty or state.has_one_skyrmion):
            return "erase"
        if state.has_one_skyrmion:
            return self.task
        turned = self.task == "switch" and state.background != self._start_background
        return "erase" if turned else "write"


def turned_over(before: FilmState, after: FilmState) -> bool:
    """One skyrmion, and now the other way up."""
    both = before.has_one_skyrmion and after.has_one_skyrmion
    return both and before.background != after.background


def against(background: int, pulse: Pulse) -> Pulse:
    """``pulse``, meant for a film that points along -z, for one with this background.

    Half a turn of lattice and spins about x is a symmetry of the film: it turns the background over
    and θ into 180° - θ, where φ is 0.
    """
    if background < 0:
        return pulse
    return pulse.model_copy(update={"theta_deg": 180.0 - pulse.theta_deg})
