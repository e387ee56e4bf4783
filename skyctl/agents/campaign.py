"""Campaign: what the loop does next, for write, switch, erase, cycle, map and characterise.

No I/O here: a campaign says what to do next (look, fire a proposal, stop) and is told what came of
it. The plans carry it out through the RunEngine, benchmarks and tests without one: what is done is
the same.
"""

from dataclasses import dataclass, field
from typing import Protocol

from skyctl.agents.tasks import Proposal
from skyctl.belief import SURE, Belief
from skyctl.verdict import ShotResult

LOOKS_AT_MOST = 5
"""How often in a row a film is looked at before one goes on without, or ends."""
PROBES_AT_MOST = 5
"""How many probes in a row are fired at a film that looks do not tell, before a campaign ends."""
SPOILT_IN_A_ROW = 2
"""Shots in a row that were refused, or whose movies told nothing, before a campaign ends."""


class Agent(Protocol):
    """Chooses pulses; sees beliefs, looks and results of shots, and nothing of the sample.

    task : what it is after; name : of the agent; seed : of its random numbers, None where it draws
        none; library_sha256 : of the file of what it knew beforehand, "" where it knew nothing
    gave_up : why `suggest` or `probe` last had no pulse, or ""
    """

    @property
    def task(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def seed(self) -> int | None: ...

    @property
    def library_sha256(self) -> str: ...

    @property
    def gave_up(self) -> str: ...

    def reached(self, belief: Belief) -> bool:
        """Whether the film is, likely enough (`skyctl.belief.SURE`), what the task wants."""
        ...

    def suggest(self, belief: Belief) -> Proposal | None:
        """The next pulse for a film like this; None to give up: ``gave_up`` says why."""
        ...

    def probe(self, belief: Belief) -> Proposal | None:
        """A pulse too weak to change the film, whose movie shows it: for when looks do not. None
        where there is none that may be fired.
        """
        ...

    def saw(self, look: ShotResult) -> None:
        """A look at the film at rest, for what it tells beside the belief."""
        ...

    def ingest(self, proposal: Proposal, before: Belief, result: ShotResult, after: Belief) -> None:
        """Learn from a shot: the belief before it, its result, and the belief when all is seen."""
        ...

    def failed(self, proposal: Proposal) -> None:
        """A proposal was not fired, or its movie told nothing: there is nothing to learn of it."""
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
    """The campaign is over. ``reason`` : why the task is not reached, "" where it is.

    gave_up : the agent had nothing left to try, or no shots left
    """

    reached: bool
    reason: str = ""
    gave_up: bool = False


Step = Look | Fire | Stop


@dataclass
class Campaign:
    """One agent's course over one film; see the module's docstring.

    agent : what chooses
    shots : how many pulses of the task itself may be fired (in "shadow": proposed)
    prepare : how many pulses may be fired in a row to prepare the film for one of those
    pulses : fired so far; own : those of them that count as the task's own
    proposed : what the agent proposed, in order, fired or not

    Ask `step` with the belief as it stands (and what holds fire, if anything does); carry the step
    out; tell `looked`, `fired`, `refused`, `declined` or `proposed_only`; ask again.

    It looks where the belief is not sure, and once after whatever was not fired. A film that looks
    do not tell is shown by probes. The agent learns of a shot when the film after it is known as
    well as it will be.
    """

    agent: Agent
    shots: int
    prepare: int = 12
    pulses: int = field(default=0, init=False)
    own: int = field(default=0, init=False)
    proposed: list[Proposal] = field(default_factory=list, init=False)
    _spent: int = field(default=0, init=False)
    _prepared: int = field(default=0, init=False)
    _shadow: bool = field(default=False, init=False)
    _over: str = field(default="", init=False)
    _looks: int = field(default=0, init=False)
    _look_due: bool = field(default=False, init=False)
    _unseen: bool = field(default=False, init=False)
    _unseen_why: str = field(default="", init=False)
    _blind: bool = field(default=False, init=False)
    _probes: int = field(default=0, init=False)
    _spoilt: int = field(default=0, init=False)
    _fault: str = field(default="", init=False)
    _pending: tuple[Proposal, Belief, ShotResult] | None = field(default=None, init=False)

    def step(self, belief: Belief, held: str = "") -> Step:
        """What to do next. ``held`` : what an interlock says against firing now, or ""."""
        if self._over:
            return Stop(False, self._over)
        told = not self._unseen and _is_told(belief)
        if self._looks < self._looks_allowed(held) and (held or self._look_due or not told):
            self._looks += 1
            return Look(self._looks)
        looked, self._looks = self._looks > 0, 0
        if held:
            return Stop(False, f"held fire: {held}")
        if not told:
            return self._step_blind(belief)
        if looked and not self._unseen_why:
            self._blind = False
        self._probes = 0
        self._learn(belief)
        if self.agent.reached(belief):
            return Stop(True)
        return self._spent_up(belief) or self._suggest(belief)

    def looked(self, look: ShotResult) -> None:
        """A look is over; its ``problem``, or what makes it ``unreadable``, says why nothing could
        be seen."""
        self._look_due = False
        self._unseen_why = look.problem or look.unreadable
        if not self._unseen_why:
            self._unseen = False
            self.agent.saw(look)

    def fired(self, proposal: Proposal, before: Belief, result: ShotResult) -> None:
        """A pulse was fired; ``before`` : the belief at that moment."""
        self.pulses += 1
        self.own += proposal.counts
        self._count(proposal)
        self._fault = result.problem
        self._look_due = proposal.look_after
        # Whatever is believed, a pulse whose movie told nothing may have done anything.
        self._unseen = bool(result.problem)
        self._spoilt = self._spoilt + 1 if result.problem else 0
        if proposal.action == "probe":  # it shows what the last shot did
            return
        if result.problem:
            self._pending = None
            self.agent.failed(proposal)
        else:
            self._pending = (proposal, before, result)

    def refused(self, proposal: Proposal, reason: str) -> None:
        """Guard, driver or sample refused the pulse; nothing was fired."""
        self._spoilt += 1
        self._fault = reason
        self._look_due = True
        self.agent.failed(proposal)

    def declined(self, proposal: Proposal, reason: str) -> None:
        """It may not be fired, whatever comes (an approver's no, a dry run): that is the end."""
        self._over = reason
        self.agent.failed(proposal)

    def proposed_only(self, proposal: Proposal) -> None:
        """It is written down and not fired ("shadow"); the film is looked at before the next."""
        self._shadow = True
        self._count(proposal)
        self._look_due = True
        self.agent.failed(proposal)

    def _looks_allowed(self, held: str) -> int:
        # Where looks told nothing before, one is enough to find that they still do not.
        return 1 if self._blind and not held else LOOKS_AT_MOST

    def _step_blind(self, belief: Belief) -> Step:
        """Looks do not tell what the film is: a probe, or the end."""
        self._blind = True
        stop = self._spent_up(belief)
        if stop is None and self._probes < PROBES_AT_MOST:
            self._probes += 1
            if proposal := self.agent.probe(belief):
                return self._fire(proposal, belief)
            stop = Stop(False, f"{self.agent.gave_up}; {self._unseeable(belief)}", True)
        self._learn(belief)
        return stop or Stop(False, self._unseeable(belief))

    def _unseeable(self, belief: Belief) -> str:
        why = f": {self._unseen_why}" if self._unseen_why else ""
        return f"the film cannot be seen{why}; there may be {belief}"

    def _spent_up(self, belief: Belief) -> Stop | None:
        """The end, where too much went wrong or all shots are used up."""
        if self._spoilt >= SPOILT_IN_A_ROW:
            return Stop(False, f"held fire: {self._fault}")
        if self._spent < self.shots:
            return None
        return self._too_many(f"not reached within {self.shots} shots", belief)

    def _too_many(self, what: str, belief: Belief) -> Stop:
        if self._shadow:
            return Stop(False, f"shadow, nothing is fired: {len(self.proposed)} pulses proposed")
        return Stop(False, f"{what}; {self._said(belief)}", True)

    def _said(self, belief: Belief) -> str:
        """What the film is, for the reason why it is left so."""
        return f"there is {belief}"

    def _suggest(self, belief: Belief) -> Step:
        proposal = self.agent.suggest(belief)
        if proposal is None:
            return Stop(False, f"{self.agent.gave_up}; {self._said(belief)}", True)
        return self._fire(proposal, belief)

    def _fire(self, proposal: Proposal, belief: Belief) -> Step:
        if not proposal.counts and self._prepared >= self.prepare:
            self.agent.failed(proposal)
            return self._too_many(
                f"{proposal.action} first: not reached within {self.prepare} shots", belief
            )
        self.proposed.append(proposal)
        return Fire(proposal)

    def _count(self, proposal: Proposal) -> None:
        self._spent += proposal.counts
        self._prepared = 0 if proposal.counts else self._prepared + 1

    def _learn(self, belief: Belief) -> None:
        """Hand the last shot to the agent."""
        if self._pending:
            self.agent.ingest(*self._pending, belief)
            self._pending = None


def _is_told(belief: Belief) -> bool:
    """Whether the film is known well enough to act on. Where it is full of domains, neither
    background need be likely, and none is asked for.
    """
    return belief.is_sure or belief.probability("other") >= SURE
