"""What every simulated film under a pulser and a camera can do."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from skyctl.pulse import Pulse

SETTLE_PS, SETTLED_T = 600.0, 0.01
"""How long a film is given to settle, at most, and the torque at which it has."""


class PulsedFilm(ABC):
    """A film that is pulsed, filmed and relaxed.

    parameters : a frozen dataclass with rows, columns, damping, temperature_K and ``as_dict``
    """

    parameters: Any

    @property
    @abstractmethod
    def spins(self) -> np.ndarray:
        """A copy of the spins, (3, rows, columns), unit vectors."""

    @abstractmethod
    def charge(self) -> float:
        """Topological charge."""

    @abstractmethod
    def advance(
        self,
        span_ps: float,
        pulse: Pulse | None = None,
        *,
        start_ps: float = 0.0,
        max_step_ps: float | None = None,
    ) -> None:
        """Let ``span_ps`` pass, from ``start_ps`` after the beginning of ``pulse`` on.

        max_step_ps : longest time step; left out, what is accurate and stable
        """

    @abstractmethod
    def relax(self, max_ps: float = 500.0, torque_T: float = 1e-3) -> float:
        """Let the film settle without pulse, precession or noise; return the torque left, in T.

        Stops when no spin feels a torque above ``torque_T``, or after ``max_ps``.
        """

    def settle(self, max_ps: float = SETTLE_PS) -> None:
        """Let the film come to rest as between two shots: precession damps out."""
        self.relax(max_ps, SETTLED_T)

    def frames(
        self,
        pulse: Pulse | None,
        times_ps: Sequence[float],
        max_step_ps: float | None = None,
    ) -> Iterator[np.ndarray]:
        """Fire ``pulse`` and yield the spins, (3, rows, columns), at each of ``times_ps``.

        Each frame leaves as soon as it is reached; the film stops at the last one.
        ``times_ps`` starts at 0 or later and ascends; ``pulse`` None films the film at rest.
        ``max_step_ps`` as in ``advance``.
        Raises ValueError, before the film has moved, for times that do not ascend.
        """
        check_times(times_ps)
        now = 0.0
        for time_ps in times_ps:
            self.advance(time_ps - now, pulse, start_ps=now, max_step_ps=max_step_ps)
            now = time_ps
            yield self.spins


def check_times(times_ps: Sequence[float]) -> None:
    """Raise ValueError unless frame times ascend from 0 or later."""
    if not all(a <= b < np.inf for a, b in pairwise((0.0, *times_ps))):
        raise ValueError(f"frame times {list(times_ps)} ps: must ascend from 0 or later")
