"""Steerer: brings a thin film's ⟨m⟩ where it is wanted, by sequences of fields that it imagines.

It imagines thousands of sequences with a latent network, fires the best, sees the movie, learns how
the film at hand differs, and fires the best again. It sees movies of a camera that shows all three
components, and nothing of the sample.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.campaign import Campaign, Step, Stop
from skyctl.agents.field_sequences import (
    FieldSequences,
    drawn_sequences,
    varied,
)
from skyctl.agents.film_imagined import FilmImagined
from skyctl.agents.tasks import Proposal
from skyctl.belief import Belief
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

GOOD_COST = 0.15
"""At this cost, or below, what is wanted is reached."""
_IMAGINED = 2000
_ROUNDS = 2
_BEST = 25
_NEIGHBOURS = 20
_OFF_START = 0.08
"""⟨m⟩ of a movie's first frame may be off the start by this."""
RESET = Pulse(amplitude_T=0.25, width_ps=250.0, peak_ps=700.0, theta_deg=90.0, phi_deg=45.0)
"""Saturates the film along (1, 1, 0) and fades: what is left settles into the S-state."""


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
        there = (times_ps >= self.from_ps - 1e-9) & (times_ps <= self.to_ps + 1e-9)
        if not there.any():
            raise ValueError(
                f"wanted from {self.from_ps:g} to {self.to_ps:g} ps: the movie, from "
                f"{times_ps[0]:g} to {times_ps[-1]:g} ps, has no frame in that time"
            )
        off = means[..., there, :] - np.array(self.mean)
        return np.sqrt(np.square(off).sum(-1).mean(-1))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        first = None if self.first is None else list(self.first)
        return {
            "mean": list(self.mean), "from_ps": self.from_ps, "to_ps": self.to_ps, "first": first,
        }  # fmt: skip


class Steerer:
    """An `Agent` that fires imagined sequences of fields until the film took a wanted course.

    wanted : the course; film : imagines it; allowed : what the pulser may fire
    good : the cost at which it is reached; seed : of the sequences that are drawn

    A shot whose movie does not begin in the imagined start told nothing of the sequence: the film
    is brought back by RESET, which is no shot of the task's own.
    """

    task = "steer"
    name = "steerer"
    library_sha256 = ""

    def __init__(
        self,
        wanted: Wanted,
        film: FilmImagined,
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
        self._at_start = False

    def reached(self, belief: Belief) -> bool:
        """Whether a shot's cost was good enough."""
        return bool(self.costs) and min(self.costs) <= self._good

    def suggest(self, belief: Belief) -> Proposal | None:
        """The sequence of least expected cost; before it a reset, where the film has left the
        start. None where the envelope allows no such pulse: ``gave_up`` says why."""
        self.gave_up = ""
        if not self._at_start:
            return self._permitted(Proposal("reset", RESET, "back to the S-state", counts=False))
        chosen, expected = self._best()
        self._chosen = chosen
        seen = f"after {self.film.seen} shots" if self.film.seen else "by the network alone"
        why = f"expected cost {expected:.3f} {seen}; the best of {_IMAGINED} and their neighbours"
        return self._permitted(Proposal("steer", chosen.pulse(0), why, whole_movie=True))

    def probe(self, belief: Belief) -> Proposal | None:
        """None: its shots are their own looks."""
        self.gave_up = "steer: it probes nothing"
        return None

    def saw(self, look: ShotResult) -> None:
        """A look at the film at rest: nothing that a movie's first frame does not show."""

    def ingest(self, proposal: Proposal, before: Belief, result: ShotResult, after: Belief) -> None:
        """Learn from the movie of a shot."""
        if not proposal.counts:
            self._at_start = True
            return
        self._at_start = False
        chosen, self._chosen = self._chosen, None
        if chosen is None or len(result.mean_spins) != len(self.film.times_ps):
            return
        mean = np.array(result.mean_spins)[:, 1:]
        if np.abs(mean[0] - self.film.start.mean((1, 2))).max() > _OFF_START:
            return
        self._fired.append(chosen)
        self.costs.append(float(self.wanted.cost(self.film.times_ps, mean)))
        self.film.learn(chosen, mean)

    def failed(self, proposal: Proposal) -> None:
        """It was not fired, or nobody saw what it did: the film may be anywhere."""
        self._at_start = False

    def _best(self) -> tuple[FieldSequences, float]:
        """The sequence of least expected cost, and that cost: of drawn ones, then of neighbours."""
        limits = self._strongest_T, self._longest_ps, self._rng
        drawn = [self._constrained(drawn_sequences(_IMAGINED, *limits)), *self._fired]
        tried = FieldSequences.joined(drawn)
        costs = self._expected(tried)
        for _ in range(_ROUNDS):
            leading = tried.at(np.argsort(costs)[:_BEST])
            near = self._constrained(varied(leading, _NEIGHBOURS, *limits))
            tried = FieldSequences.joined([leading, near])
            costs = self._expected(tried)
        best = int(costs.argmin())
        return tried.at(slice(best, best + 1)), float(costs[best])

    def _expected(self, sequences: FieldSequences) -> np.ndarray:
        return self.wanted.cost(self.film.times_ps, self.film.means(sequences))

    def _constrained(self, sequences: FieldSequences) -> FieldSequences:
        """With the field that is on in any case, where one is."""
        if self.wanted.first is None:
            return sequences
        x, y, end = self.wanted.first
        fields, ends = sequences.fields_T.copy(), sequences.ends_ps.copy()
        fields[:, 0] = x, y
        ends[:, 1] = np.clip(end + ends[:, 1] - ends[:, 0], 0, self._longest_ps)
        ends[:, 0] = end
        return FieldSequences(fields, ends)

    def _permitted(self, proposal: Proposal) -> Proposal | None:
        parts = [proposal.pulse, proposal.pulse.second]
        for part in parts:
            if part and (why := self._allowed.why_not(part.plain)):
                self.gave_up = f"{proposal.action}: the envelope does not allow {part}: {why}"
                return None
        return proposal


class SteeringCampaign(Campaign):
    """A campaign at a film of which no belief tells: its agent's movies do, from shot to shot."""

    def step(self, belief: Belief, held: str = "") -> Step:
        """What to do next: never a look."""
        if self._over:
            return Stop(False, self._over)
        if held:
            return Stop(False, f"held fire: {held}")
        self._learn(belief)
        if self.agent.reached(belief):
            return Stop(True)
        return self._spent_up(belief) or self._suggest(belief)
