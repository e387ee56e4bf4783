"""A seeker as an `Optimizer` of bluesky-adaptive 1.0, so that it runs in that library's plans."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skyctl.agents.map_grid import ID_KEY
from skyctl.agents.tasks import Proposal, TaskSeeker
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.pulse import settings_of
from skyctl.verdict import ShotResult

_STATES = tuple(key for key in Belief().as_json() if key != "unsound")


class SeekerOptimizer:
    """`suggest`, `ingest`, `get_best_points`, `should_stop`, `register_failures` of a seeker.

    seeker : what chooses the pulses; belief : about the film before the first one

    A suggestion holds the pulser's settings (``spot_sigma`` 0: the whole film). An evaluation
    function answers with the ``"_id"``, the belief about the film as it then settled
    (`Belief.as_json`) and, where the movie is at hand, ``mean_sz``: (movie time in ps, mean S_z)
    of its frames, and ``ended_early`` where it was.
    """

    def __init__(self, seeker: TaskSeeker, belief: Belief) -> None:
        self._seeker, self._film = seeker, belief
        self._shots = 0
        self._best: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []
        self._reached = seeker.reached(belief)
        self._next: Proposal | None = None if self._reached else seeker.suggest(belief)
        self._pending: tuple[str, Proposal] | None = None

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """The next pulse, as settings. The same again until its outcome is ingested.

        Raises ValueError for more than one: each pulse changes the film; RuntimeError where there
        is no next one (`should_stop` says so before).
        """
        if num_points not in (None, 1):
            raise ValueError(
                f"{num_points} suggestions: each pulse changes the film; ask for one at a time"
            )
        if self._next is None:
            raise RuntimeError(f"no next pulse: {self.should_stop()[1]}")
        if self._pending is None:
            self._shots += 1
            self._pending = (f"{self._seeker.task}-{self._shots}", self._next)
        name, proposal = self._pending
        return [{ID_KEY: name, **settings_of(proposal.pulse)}]

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take in what a suggestion did. Points with another ``"_id"`` are not ours: passed over.

        Raises KeyError for a point without a belief.
        """
        for point in points:
            if self._pending is None or point.get(ID_KEY) != self._pending[0]:
                continue
            (name, proposal), self._pending = self._pending, None
            after = _belief(point)
            trace = tuple((float(t), float(m)) for t, m in point.get("mean_sz", ()))
            early = bool(point.get("ended_early", False))
            result = ShotResult(
                name, None, None, Counts(), "", (), mean_sz=trace, belief=after, ended_early=early
            )
            self._seeker.ingest(proposal, self._film, result, after)
            self._film = after
            self._reached = self._seeker.reached(after)
            if self._reached:
                self._best = [(name, settings_of(proposal.pulse), after.as_json())]
            self._next = None if self._reached else self._seeker.suggest(after)

    def register_failures(self, suggestions: Sequence[Mapping[str, Any]]) -> None:
        """Forget suggestions that were not fired or not seen."""
        if self._pending and any(s.get(ID_KEY) == self._pending[0] for s in suggestions):
            self._pending = None

    def should_stop(self) -> tuple[bool, str | None]:
        """Whether the task is over, and why."""
        if self._reached:
            return True, f"{self._seeker.task} reached: there is {self._film}"
        if self._next is None:
            return True, f"{self._seeker.gave_up}; there is {self._film}"
        return False, None

    def get_best_points(self) -> list[tuple[Any, dict[str, Any], dict[str, Any]]]:
        """The pulse that reached the task, and the film after it; none before."""
        return self._best


def _belief(point: Mapping[str, Any]) -> Belief:
    """What `Belief.as_json` said."""
    states = [float(point[key]) for key in _STATES]
    unsound = float(point["unsound"])
    return Belief(np.outer([1 - unsound, unsound], states))
