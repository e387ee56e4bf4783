"""Steerer: brings a thin film where it is wanted, by sequences of fields that it imagines.

It imagines thousands of sequences with a latent network, fires the best, sees the movie, learns how
the film at hand differs, and fires the best again. It sees movies of a camera that shows all three
components, and nothing of the sample.
"""

from dataclasses import dataclass

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.campaign import LOOKS_AT_MOST, Campaign, Look, Step, Stop
from skyctl.agents.field_sequences import (
    SHORTEST_PS,
    FieldSequences,
    drawn_sequences,
    varied,
)
from skyctl.agents.imagined_thin_film import ImaginedThinFilm
from skyctl.agents.tasks import Proposal
from skyctl.agents.wanted import Goal
from skyctl.belief import Belief
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

GOOD_COST = 0.15
"""At this cost, or below, what is wanted is reached."""
_IMAGINED = 2000
_BEST = 25
_NEIGHBOURS, _ROUNDS = 8, 3
_OUT_OF_REACH = 0.5
"""What costs as much where the film is just as it is imagined is worth no shot."""
_OFF_START = 0.08
"""⟨m⟩ of a movie's first frame may be off the start by this."""
RESETS = tuple(
    Pulse(amplitude_T=0.25, width_ps=160.0, peak_ps=350.0, theta_deg=90.0, phi_deg=phi_deg)
    for phi_deg in (45.0, 65.0, 25.0)
)
"""Each saturates the film between +x and +y and fades: what is left settles into the S-state, or,
where it swings too far, into another; then the next is tried."""


class Steerer:
    """An `Agent` that fires imagined sequences of fields until the film did what is wanted.

    wanted : a `Wanted` or a `WantedPicture`; film : imagines it; allowed : what the pulser may fire
    good : the cost at which it is reached; seed : of the sequences that are drawn

    After each pulse a look tells whether the film is in the start that sequences are imagined from.
    Where it is not it is brought back by one of RESETS, no shot of the task's own. Where no
    sequence that is imagined comes near, none is fired.

    Raises ValueError for what movies of this film cannot show.
    """

    task = "steer"
    name = "steerer"
    library_sha256 = ""

    def __init__(
        self,
        wanted: Goal,
        film: ImaginedThinFilm,
        allowed: Allowed | None = None,
        *,
        good: float = GOOD_COST,
        seed: int = 0,
    ) -> None:
        wanted.check(film)
        self.wanted, self.film, self.seed = wanted, film, seed
        self.gave_up = ""
        self.costs: list[float] = []
        """Of the shots so far, as they were seen."""
        self.shots: list[str] = []
        """Their names."""
        self._good, self._allowed = good, allowed or Allowed()
        self._rng = np.random.default_rng(seed)
        self._longest_ps = max(2 * SHORTEST_PS, float(min(wanted.until_ps, film.times_ps[-1])))
        self._strongest_T = min(
            film.network.card.strongest_T,
            self._allowed.uniform_amplitude_T, self._allowed.amplitude_T[1],
        )  # fmt: skip
        self._chosen: FieldSequences | None = None
        self._fired: list[FieldSequences] = []
        self._at_start, self._resets = False, 0

    def reached(self, belief: Belief) -> bool:
        """Whether a shot's cost was good enough."""
        return bool(self.costs) and min(self.costs) <= self._good

    def suggest(self, belief: Belief) -> Proposal | None:
        """The sequence of least expected cost; before it a reset, where the film has left the
        start. None where the envelope allows no such pulse, or nothing imagined comes near before
        anything was seen: ``gave_up`` says why."""
        self.gave_up = ""
        ready, self._at_start = self._at_start, False  # a look after the pulse tells again
        if not ready:
            reset = RESETS[self._resets % len(RESETS)]
            self._resets += 1
            return self._permitted(
                Proposal("reset", reset, "back to the S-state", counts=False, look_after=True)
            )
        self._resets = 0
        chosen, expected, nearest = self._best()
        if not self.costs and nearest > _OUT_OF_REACH:
            self.gave_up = (
                f"steer: of {_IMAGINED} imagined sequences and their neighbours none costs less "
                f"than {nearest:.2f}, where {self._good:g} is good: as it is imagined, no field "
                "takes this film there"
            )
            return None
        self._chosen = chosen
        seen = f"after {self.film.seen} shots" if self.film.seen else "by the network alone"
        why = f"expected cost {expected:.3f} {seen}; the best of {_IMAGINED} and their neighbours"
        return self._permitted(
            Proposal("steer", chosen.pulse(0), why, whole_movie=True, look_after=True)
        )

    def probe(self, belief: Belief) -> Proposal | None:
        """None: its shots are their own looks."""
        self.gave_up = "steer: it probes nothing"
        return None

    def saw(self, look: ShotResult) -> None:
        """A look at the film at rest: whether it is in the start that shots are imagined from."""
        self._at_start = bool(look.mean_spins) and self._is_start(look.mean_spins[-1])

    def ingest(self, proposal: Proposal, before: Belief, result: ShotResult, after: Belief) -> None:
        """Learn from the movie of a shot."""
        chosen, self._chosen = self._chosen, None
        if chosen is None or len(result.mean_spins) != len(self.film.times_ps):
            return
        cost = self.wanted.seen(result)
        if cost is None or not self._is_start(result.mean_spins[0]):
            return
        self._fired.append(chosen)
        self.costs.append(cost)
        self.shots.append(result.shot)
        kept = result.kept[0].data if result.kept else None
        self.film.learn(chosen, np.array(result.mean_spins)[:, 1:], kept)

    def failed(self, proposal: Proposal) -> None:
        """It was not fired, or nobody saw what it did: the next look tells."""
        self._chosen = None

    def _is_start(self, seen: tuple[float, ...]) -> bool:
        """Whether a frame's (time, means of the components) is of a film in its start."""
        off = np.abs(np.array(seen[1:]) - self.film.start.mean((1, 2)))
        return bool(off.max() <= _OFF_START)

    def _best(self) -> tuple[FieldSequences, float, float]:
        """The sequence of least expected cost, and that cost: of drawn ones, then of neighbours of
        the best, round by round. And the least cost of those, if the film is as it is imagined."""
        limits = self._strongest_T, self._longest_ps, self._rng
        drawn = [self._with_first(drawn_sequences(_IMAGINED, *limits)), *self._fired]
        tried = FieldSequences.joined(drawn)
        told = np.stack(self.wanted.expected(self.film, tried))
        for _ in range(_ROUNDS):
            leading = np.argsort(np.hypot(*told))[:_BEST]
            near = self._with_first(varied(tried.at(leading), _NEIGHBOURS, *limits))
            told = np.concatenate([told[:, leading], self.wanted.expected(self.film, near)], 1)
            tried = FieldSequences.joined([tried.at(leading), near])
        costs = np.hypot(*told)
        best = int(costs.argmin())
        return tried.at(slice(best, best + 1)), float(costs[best]), float(told[0].min())

    def _with_first(self, sequences: FieldSequences) -> FieldSequences:
        return sequences.led_by(self.wanted.first, self._longest_ps)

    def _permitted(self, proposal: Proposal) -> Proposal | None:
        parts = [proposal.pulse, proposal.pulse.second]
        for part in parts:
            if part and (why := self._allowed.why_not(part.plain)):
                self.gave_up = f"{proposal.action}: the envelope does not allow {part}: {why}"
                return None
        return proposal


@dataclass
class SteeringCampaign(Campaign):
    """A campaign at a film of which no belief tells: its agent's movies do, from shot to shot."""

    agent: Steerer

    def step(self, belief: Belief, held: str = "") -> Step:
        """What to do next: a look after each pulse, and where fire is held."""
        if self._over:
            return Stop(False, self._over)
        if (held or self._look_due) and self._looks < LOOKS_AT_MOST:
            self._looks += 1
            return Look(self._looks)
        self._looks = 0
        if held:
            return Stop(False, f"held fire: {held}")
        self._learn(belief)
        if self.agent.reached(belief):
            return Stop(True)
        return self._spent_up(belief) or self._suggest(belief)

    def looked(self, look: ShotResult) -> None:
        """A look is over: also one in which a reader of skyrmions can read nothing."""
        self._look_due = bool(look.problem)
        if not look.problem:
            self.agent.saw(look)

    def _said(self, belief: Belief) -> str:
        costs = self.agent.costs
        return f"the least cost was {min(costs):.3f}" if costs else "no shot was seen"
