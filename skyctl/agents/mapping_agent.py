"""A boundary mapper as an `Agent`: maps what pulses do to a skyrmion, writes a new one."""

import itertools
from typing import Any

from skyctl.agents.allowed import Allowed
from skyctl.agents.boundary_mapper import BoundaryMapper
from skyctl.agents.outcome import TELLING, likeliest, outcome_of
from skyctl.agents.seeker import TargetSeeker
from skyctl.agents.tasks import Proposal, against, preparing
from skyctl.belief import Belief
from skyctl.process import MIXED, OUTCOMES, Outcome
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

_SETTINGS = ("amplitude_T", "theta_deg", "width_ps")
"""Settings of a pulse that a map may have on its axes; others belong to other devices."""


class MappingAgent:
    """Fires where the mapper wants it at one skyrmion; where there is none, it writes one first.

    mapper : over `skyctl.process.OUTCOMES`; it sees their labels only
    writer : of the task "write"; its pulses do not count as shots of the map
    fixed : (amplitude_T, theta_deg) of every pulse, each unless the map has it as an axis; the
        angle from the direction against the film's background
    seed : of the mapper; allowed : what the pulser may fire, None is everything

    Raises ValueError for a mapper of other classes.
    """

    task = "map"

    def __init__(
        self,
        mapper: BoundaryMapper,
        writer: TargetSeeker,
        fixed: tuple[float, float] = (2.0, 40.0),
        seed: int = 0,
        allowed: Allowed | None = None,
    ) -> None:
        if mapper.classes != OUTCOMES:
            raise ValueError(f"mapper of {mapper.classes}: give one of {OUTCOMES}")
        self.name = mapper.name
        self.seed: int | None = seed
        self.library_sha256 = writer.library_sha256
        self.gave_up = ""
        self.mapper = mapper
        self.points: list[dict[str, Any]] = []
        """Each shot's settings and label, in order."""
        self._writer = writer
        self._fixed = dict(zip(_SETTINGS, fixed, strict=False))
        self._barred = self._outside(allowed or Allowed())
        self._point: dict[str, Any] = {}

    @property
    def finished(self) -> str:
        """Why the mapper wants no more shots, or ""."""
        stop, why = self.mapper.should_stop()
        return why or "" if stop else ""

    def reached(self, belief: Belief) -> bool:  # noqa: ARG002
        """Whether the mapper is satisfied, or has had its shots."""
        return bool(self.finished)

    def suggest(self, belief: Belief) -> Proposal | None:
        """The mapper's next cell, or a pulse that writes the skyrmion for it."""
        self.gave_up = self._barred
        if self._barred:
            return None
        if belief.kind != "one":
            writing = preparing(self._writer.suggest(belief))
            if writing is None:
                self.gave_up = f"no skyrmion to start from: {self._writer.gave_up}"
            return writing
        (self._point,) = self.mapper.suggest()
        axes = self.mapper.rows.name, self.mapper.columns.name
        others = {name: self._point[name] for name in axes if name not in _SETTINGS}
        reason = ", ".join(f"{name} = {self._point[name]:g}" for name in axes)
        pulse = against(belief.background, self._pulse(self._point))
        return Proposal("map", pulse, reason, settings=others)

    def probe(self, belief: Belief) -> Proposal | None:
        """As the writer's."""
        proposal = preparing(self._writer.probe(belief))
        self.gave_up = "" if proposal else self._writer.gave_up
        return proposal

    def saw(self, look: ShotResult) -> None:
        """A look at the film at rest."""
        self._writer.saw(look)

    def ingest(self, proposal: Proposal, before: Belief, result: ShotResult, after: Belief) -> None:
        """Label the cell, or learn to write."""
        if proposal.action != "map":
            self._writer.ingest(proposal, before, result, after)
            return
        labelled = {**self._point, "label": label_of(before, after)}
        self.points.append(labelled)
        self.mapper.ingest([labelled])

    def failed(self, proposal: Proposal) -> None:
        """The mapper need not wait for this cell's label."""
        if proposal.action == "map":
            self.mapper.register_failures([self._point])

    def _pulse(self, point: dict[str, Any]) -> Pulse:
        """Of a cell, for a film that points down."""
        return Pulse(**{**self._fixed, **{k: v for k, v in point.items() if k in _SETTINGS}})

    def _outside(self, allowed: Allowed) -> str:
        """Why the envelope does not allow the whole map, or ""."""
        rows, columns = self.mapper.rows, self.mapper.columns
        for row, column, sign in itertools.product(rows.values, columns.values, (-1, 1)):
            pulse = against(sign, self._pulse({rows.name: row, columns.name: column}))
            if why_not := allowed.why_not(pulse):
                return f"map: the envelope does not allow {pulse}, which is on it: {why_not}"
        return ""


def label_of(before: Belief, after: Belief) -> Outcome:
    """The outcome, where it is told; else "mixed"."""
    outcome = outcome_of(before, after)
    return likeliest(outcome) if outcome.max() >= TELLING else MIXED
