"""Campaign: the one loop of write, switch, erase, cycle, map and characterise, without any I/O.

A campaign says what to do next (look, fire a proposal, stop) and is told what came of it. The plans
carry it out through the RunEngine, benchmarks and tests without one: what is done is the same.
"""

from dataclasses import dataclass, field
from typing import Protocol

from skyctl.agents.tasks import Proposal
from skyctl.belief import Belief
from skyctl.verdict import ShotResult

LOOKS_AT_MOST = 5
"""How often in a row a film is looked at before one goes on without, or ends."""
SPOILT_IN_A_ROW = 2
"""Shots in a row that were refused, or whose movies told nothing, before a campaign ends."""


class Agent(Protocol):
    """Chooses pulses; sees beliefs and results of shots, and nothing of the sample.

    task : what it is after; name : of the agent; seed : of its random numbers, None where it draws
        none; library_sha256 : of the file of what it knew beforehand, "" where it knew nothing
    gave_up : why `suggest` last had no pulse, or ""
    """

    task: str
    name: str
    seed: int | None
    library_sha256: str
    gave_up: str

    def reached(self, belief: Belief) -> bool:
        """Whether the film is, likely enough (`skyctl.belief.SURE`), what the task wants."""
        ...

    def suggest(self, belief: Belief) -> Proposal | None:
        """The next pulse for a film like this; None to give up: ``gave_up`` says why."""
        ...

    def probe(self, belief: Belief) -> Proposal:
        """A pulse too weak to change the film, whose movie shows it where looks do not."""
        ...

    def ingest(self, proposal: Proposal, before: Belief, result: ShotResult, after: Belief) -> None:
        """Learn from a shot: the belief before it, its result, and the belief when all is seen."""
        ...


@dataclass(frozen=True)
class Look:
    """Film the film at rest. ``attempt`` : 1, 2 … in a row; wait before the later ones."""

    attempt: int


@dataclass(frozen=True)
class Fire:
    """Ask guard and approver for this pulse, and fire it if they agree."""

    proposal: Proposal


@dataclass(frozen=True)
class Stop:
    """The campaign is over. ``reason`` : why the task is not reached, "" where it is."""

    reached: bool
    reason: str = ""
    gave_up: bool = False


Step = Look | Fire | Stop


@dataclass
class Campaign:
    """One agent's course over one film; see the module's docstring.

    agent : what chooses; shots : how many pulses may be fired (in "shadow": proposed)

    Ask `step` with the belief as it stands (and what holds fire, if anything does); carry the step
    out; tell `looked`, `fired`, `refused` or `proposed_only`; ask again.
    """

    agent: Agent
    shots: int
    pulses: int = 0
    proposed: list[Proposal] = field(default_factory=list)
    _looks: int = 0
    _spoilt: int = 0
    _fault: str = ""
    _pending: tuple[Proposal, Belief, ShotResult] | None = None
    _blind: bool = False

    def step(self, belief: Belief, held: str = "") -> Step:
        """What to do next. ``held`` : what an interlock says against firing now, or ""."""
        if self._needs_look(belief, held):
            self._looks += 1
            return Look(self._looks)
        if held:
            return Stop(False, f"held fire: {held}")
        self._blind = not belief.is_sure
        self._looks = 0
        self._learn(belief)
        if self._spoilt >= SPOILT_IN_A_ROW:
            return Stop(self.agent.reached(belief), f"held fire: {self._fault}")
        if self.agent.reached(belief):
            return Stop(True)
        if len(self.proposed) >= self.shots:
            return Stop(
                False, f"not reached within {self.shots} shots; the film has {belief}", True
            )
        proposal = self.agent.probe(belief) if self._blind else self.agent.suggest(belief)
        if proposal is None:
            return Stop(False, f"{self.agent.gave_up}; the film has {belief}", True)
        self.proposed.append(proposal)
        return Fire(proposal)

    def looked(self, problem: str) -> None:
        """A look is over; ``problem`` : why nothing could be seen, or ""."""
        if problem:
            self._fault = problem

    def fired(self, proposal: Proposal, before: Belief, result: ShotResult) -> None:
        """A pulse was fired; ``before`` : the belief at that moment."""
        self.pulses += 1
        self._spoilt = self._spoilt + 1 if result.problem else 0
        self._fault = result.problem
        self._pending = None if result.problem else (proposal, before, result)

    def refused(self, reason: str) -> None:
        """Guard, driver or sample refused the pulse; nothing was fired."""
        self._spoilt += 1
        self._fault = reason
        self._pending = None

    def _needs_look(self, belief: Belief, held: str) -> bool:
        if self._looks >= LOOKS_AT_MOST:
            return False
        return bool(held) or not belief.is_sure

    def _learn(self, belief: Belief) -> None:
        """Hand the last shot to the agent, once the film was seen as well as it can be."""
        if self._pending:
            self.agent.ingest(*self._pending, belief)
            self._pending = None
