"""Steerer: brings a thin film's ⟨m⟩ where it is wanted, by sequences of fields that it imagines.

It imagines thousands of sequences with a latent network, fires the best, sees the movie, learns how
the film at hand differs, and fires the best again. It sees movies of a camera that shows all three
components, and nothing of the sample.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.campaign import LOOKS_AT_MOST, Campaign, Look, Step, Stop
from skyctl.agents.field_sequences import (
    FieldSequences,
    drawn_sequences,
    varied,
)
from skyctl.agents.imagined_thin_film import ImaginedThinFilm
from skyctl.agents.tasks import Proposal
from skyctl.belief import Belief
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

GOOD_COST = 0.15
"""At this cost, or below, what is wanted is reached."""
_IMAGINED = 2000
_BEST = 25
_NEIGHBOURS = 20
_DOUBT = 3.0
"""Times the members' spread: two of them tell little of how far both are off. A search for the best
of thousands finds what they are wrong about, unless it is told to stay where they agree."""
_OFF_START = 0.08
"""⟨m⟩ of a movie's first frame may be off the start by this."""
RESETS = tuple(
    Pulse(amplitude_T=0.25, width_ps=160.0, peak_ps=350.0, theta_deg=90.0, phi_deg=phi_deg)
    for phi_deg in (45.0, 65.0, 25.0)
)
"""Each saturates the film between +x and +y and fades: what is left settles into the S-state, or,
where it swings too far, into another; then the next is tried."""


@dataclass(frozen=True)
class Wanted:
    """A course of ⟨m⟩ that a film is to take.

    mean : (3,) ⟨m⟩, wanted from ``from_ps`` to ``to_ps`` in the movie
    first : (x and y in T, until when in ps) of a field that is on in any case, from 0: what comes
        after it is free. None: both fields are

    Its cost is the root mean square of |⟨m⟩ - mean| in that time. Raises ValueError for no time.
    """

    mean: tuple[float, float, float]
    from_ps: float
    to_ps: float
    first: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        numbers = (*self.mean, self.from_ps, self.to_ps, *(self.first or ()))
        if not np.isfinite(numbers).all() or not 0 <= self.from_ps <= self.to_ps:
            raise ValueError(
                f"wanted ⟨m⟩ {self.mean} from {self.from_ps} to {self.to_ps} ps: give finite "
                "numbers, and an end that is no earlier than the beginning"
            )

    def cost(self, times_ps: np.ndarray, means: np.ndarray) -> np.ndarray:
        """(…,) of courses (…, frames, 3) at times (frames,). Raises ValueError where no frame falls
        into the time."""
        return self.size(times_ps, np.linalg.norm(means - np.array(self.mean), axis=-1))

    def size(self, times_ps: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Root mean square of (…, frames) over the time in which it is wanted. As ``cost``."""
        there = (times_ps >= self.from_ps - 1e-9) & (times_ps <= self.to_ps + 1e-9)
        if not there.any():
            raise ValueError(
                f"wanted from {self.from_ps:g} to {self.to_ps:g} ps: the movie, from "
                f"{times_ps[0]:g} to {times_ps[-1]:g} ps, has no frame in that time"
            )
        return np.sqrt(np.square(values[..., there]).mean(-1))

    def constrained(self, sequences: FieldSequences, longest_ps: float) -> FieldSequences:
        """With the field that is on in any case, where one is; over by ``longest_ps``."""
        if self.first is None:
            return sequences
        x, y, end = self.first
        fields, ends = sequences.fields_T.copy(), sequences.ends_ps.copy()
        fields[:, 0] = x, y
        ends[:, 1] = np.minimum(end + ends[:, 1] - ends[:, 0], longest_ps)
        ends[:, 0] = end
        return FieldSequences(fields, ends)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        first = None if self.first is None else list(self.first)
        return {
            "mean": list(self.mean), "from_ps": self.from_ps, "to_ps": self.to_ps, "first": first,
        }  # fmt: skip

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Wanted":
        """What ``as_json`` gave. Raises TypeError, KeyError, ValueError for anything else."""
        first = saved["first"] and tuple(saved["first"])
        return cls(**{**saved, "mean": tuple(saved["mean"]), "first": first})


_S_STATE = (0.967, 0.125, 0.0)
"""⟨m⟩ of standard problem 4's film at rest."""
SWITCH = Wanted((-_S_STATE[0], -_S_STATE[1], 0.0), 500.0, 1000.0)
"""Reversed early, and quiet from then on: neither slow nor ringing."""
HOLD = Wanted(_S_STATE, 500.0, 1000.0, first=(-0.0246, 0.0043, 200.0))
"""No switching, though field 1 of standard problem 4, which switches it, is on for 200 ps."""


class Steerer:
    """An `Agent` that fires imagined sequences of fields until the film took a wanted course.

    wanted : the course; film : imagines it; allowed : what the pulser may fire
    good : the cost at which it is reached; seed : of the sequences that are drawn

    After each pulse a look tells whether the film is in the start that sequences are imagined from.
    Where it is not it is brought back by one of RESETS, no shot of the task's own.
    """

    task = "steer"
    name = "steerer"
    library_sha256 = ""

    def __init__(
        self,
        wanted: Wanted,
        film: ImaginedThinFilm,
        allowed: Allowed | None = None,
        *,
        good: float = GOOD_COST,
        seed: int = 0,
    ) -> None:
        self.wanted, self.film, self.seed = wanted, film, seed
        self.gave_up = ""
        self.costs: list[float] = []
        """Of the shots so far, as they were seen."""
        self._good, self._allowed = good, allowed or Allowed()
        self._rng = np.random.default_rng(seed)
        self._longest_ps = float(min(wanted.to_ps, film.times_ps[-1]))
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
        start. None where the envelope allows no such pulse: ``gave_up`` says why."""
        self.gave_up = ""
        ready, self._at_start = self._at_start, False  # a look after the pulse tells again
        if not ready:
            reset = RESETS[self._resets % len(RESETS)]
            self._resets += 1
            return self._permitted(
                Proposal("reset", reset, "back to the S-state", counts=False, look_after=True)
            )
        self._resets = 0
        chosen, expected = self._best()
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
        if not self._is_start(result.mean_spins[0]):
            return
        mean = np.array(result.mean_spins)[:, 1:]
        self._fired.append(chosen)
        self.costs.append(float(self.wanted.cost(self.film.times_ps, mean)))
        self.film.learn(chosen, mean)

    def failed(self, proposal: Proposal) -> None:
        """It was not fired, or nobody saw what it did: the next look tells."""
        self._chosen = None

    def _is_start(self, seen: tuple[float, ...]) -> bool:
        """Whether a frame's (time, means of the components) is of a film in its start."""
        off = np.abs(np.array(seen[1:]) - self.film.start.mean((1, 2)))
        return bool(off.max() <= _OFF_START)

    def _best(self) -> tuple[FieldSequences, float]:
        """The sequence of least expected cost, and that cost: of drawn ones, then of neighbours."""
        limits = self._strongest_T, self._longest_ps, self._rng
        drawn = [self._with_first(drawn_sequences(_IMAGINED, *limits)), *self._fired]
        tried = FieldSequences.joined(drawn)
        costs = self._expected(tried)
        leading = tried.at(np.argsort(costs)[:_BEST])
        near = self._with_first(varied(leading, _NEIGHBOURS, *limits))
        tried = FieldSequences.joined([leading, near])
        costs = self._expected(tried)
        best = int(costs.argmin())
        return tried.at(slice(best, best + 1)), float(costs[best])

    def _expected(self, sequences: FieldSequences) -> np.ndarray:
        """Of each the cost that is expected, where the members may be wrong by what they spread."""
        times, wanted = self.film.times_ps, self.wanted
        means, spread = self.film.expected(sequences)
        return np.hypot(wanted.cost(times, means), _DOUBT * wanted.size(times, spread))

    def _with_first(self, sequences: FieldSequences) -> FieldSequences:
        return self.wanted.constrained(sequences, self._longest_ps)

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
