"""What every simulated film under a pulser and a camera can do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from skyctl.pulse import Pulse, Ring, Spot, Stripe
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.span import (
    Coefficients,
    Engine,
    Span,
    make_span,
    noise_key,
    stretches,
)

SETTLE_PS, SETTLED_T = 600.0, 0.01
"""How long a film is given to settle, at most, and the torque at which it has."""
_ONLY_DAMPING = 1e12


class PulsedFilm(ABC):
    """A film that is pulsed, filmed and relaxed, whatever turns its spins.

    parameters : a frozen dataclass with rows, columns, periodic, damping, temperature_K, bias_T,
        moment_meV_per_T and ``as_dict``
    seed : of the thermal noise, 0 or more
    steps_taken : numbers the steps in that noise
    anisotropy_map, sites : (rows, columns), of a film that has them

    A kind of film hands over its engine in ``_start``, and says the rest in the abstract methods.
    """

    parameters: Any
    takes_rare_pulses = False
    """Whether it can be driven by more than single Gaussian fields on round spots."""
    anisotropy_map: np.ndarray | None = None
    sites: np.ndarray | None = None

    def _start(self, engine: Engine, seed: int) -> None:
        self.seed, self.steps_taken = seed, 0
        self._engine, self._noise_key = engine, noise_key(seed)

    @property
    def spins(self) -> np.ndarray:
        """A copy of the spins, (3, rows, columns), unit vectors."""
        return self._engine.read()[0]

    @spins.setter
    def spins(self, value: np.ndarray) -> None:
        self._engine.write(self._unit_spins(value)[None])

    @abstractmethod
    def _unit_spins(self, value: np.ndarray) -> np.ndarray:
        """Spins as somebody gives them, checked: (3, rows, columns), unit vectors."""

    @abstractmethod
    def charge(self) -> float:
        """Topological charge."""

    @abstractmethod
    def max_torque_T(self) -> float:
        """Largest |S × B| over the film, without pulse, T."""

    @abstractmethod
    def longest_step_ps(self, pulse: Pulse | None, wanted_ps: float | None = None) -> float:
        """The longest time step: ``wanted_ps``, or what is accurate and stable under a pulse.

        Raises ValueError for a step that cannot be.
        """

    @abstractmethod
    def _relaxing_ps(self) -> tuple[float, float]:
        """How long to relax before one looks again, and in what steps."""

    @staticmethod
    @abstractmethod
    def squared_distances(right: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Of sites so many columns to the right and rows down, lattice constants squared."""

    def coefficients(self) -> Coefficients:
        """What multiplies each term of the motion."""
        p = self.parameters
        thermal_meV = 2 * p.damping * llg.K_B_MEV_PER_K * p.temperature_K
        return Coefficients(
            rate=llg.GAMMA_RAD_PER_PS_T / (1 + p.damping**2),
            damping=p.damping,
            thermal_T2ps=thermal_meV / (llg.GAMMA_RAD_PER_PS_T * p.moment_meV_per_T),
        )

    def advance(
        self,
        span_ps: float,
        pulse: Pulse | None = None,
        *,
        start_ps: float = 0.0,
        max_step_ps: float | None = None,
    ) -> None:
        """Let ``span_ps`` pass, from ``start_ps`` after the beginning of ``pulse`` on.

        max_step_ps : longest time step; left out, what is accurate and stable. The steps of a span
            are all equal (of Dormand–Prince: chosen by their error); while a pulse narrower than
            one acts, they are of its width: none is stepped over

        Raises ValueError for a time that is not 0 or more, and a step that would not be stable.
        """
        if not 0 <= span_ps < np.inf:
            raise ValueError(f"span_ps = {span_ps}: give 0 or more")
        if span_ps > 0:
            step_ps = self.longest_step_ps(pulse, max_step_ps)
            for stretch in stretches([pulse], start_ps, span_ps, step_ps):
                self._move(self.span(pulse, *stretch))

    def refuses(self, pulse: Pulse) -> str:
        """Why it cannot be driven so, or ""."""
        if pulse.is_plain or self.takes_rare_pulses:
            return ""
        return (
            f"pulse {pulse}: this film takes single Gaussian fields on round spots; give such a "
            "pulse, or the atomistic film"
        )

    def span(
        self,
        pulse: Pulse | None,
        start_ps: float,
        span_ps: float,
        step_ps: float,
        coefficients: Coefficients | None = None,
    ) -> Span:
        """The film's next ``span_ps`` in steps of at most ``step_ps``, for an engine.

        coefficients : None: the film's own
        """
        p = self.parameters
        if pulse and (fault := self.refuses(pulse)):
            raise ValueError(fault)
        spot: Any = pulse.spot if pulse else None  # frozen: it can be hashed
        return make_span(
            coefficients or self.coefficients(), p.bias_T, pulse, start_ps, span_ps, step_ps,
            key=self._noise_key, first_step=self.steps_taken, anisotropy_map=self.anisotropy_map,
            spot=(
                _spot_profile(self.squared_distances, spot, p.rows, p.columns, p.periodic)
                if spot
                else None
            ),
        )  # fmt: skip

    def _move(self, span: Span) -> None:
        if span.steps:
            self._engine.advance([span])
            self.steps_taken += span.steps

    def relax(self, max_ps: float = 500.0, torque_T: float = 1e-3) -> float:
        """Let the film settle without pulse, precession or noise; return the torque left, in T.

        Stops when no spin feels a torque above ``torque_T``, or after ``max_ps``.
        """
        calm, (chunk_ps, step_ps) = self._calm(), self._relaxing_ps()
        elapsed = 0.0
        while (torque := self.max_torque_T()) > torque_T and elapsed < max_ps:
            self._move(self.span(None, 0.0, chunk_ps, step_ps, calm))
            elapsed += chunk_ps
        return torque

    def _calm(self) -> Coefficients:
        """Damping alone, γ/2: what the Landau–Lifshitz–Gilbert equation tends to for large α."""
        return replace(
            self.coefficients(),
            rate=llg.GAMMA_RAD_PER_PS_T / 2 / _ONLY_DAMPING,
            damping=_ONLY_DAMPING,
            thermal_T2ps=0.0,
        )

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


@lru_cache(maxsize=16)
def _spot_profile(
    squared_distances: Callable[[np.ndarray, np.ndarray], np.ndarray],
    spot: Spot,
    rows: int,
    columns: int,
    periodic: bool,
) -> np.ndarray:
    """Pulse strength over the film, (rows, columns), 1 at the spot's centre.

    In a periodic film it is counted from the spot's nearest image.
    """
    row, column = np.mgrid[:rows, :columns]
    right, down = column - spot.x, row - spot.y
    if periodic:
        right -= columns * np.rint(right / columns)
        down -= rows * np.rint(down / rows)
        # On a skew lattice the nearest along either side need not be the nearest.
        images = [
            _squared_from(spot, squared_distances, right + i * columns, down + j * rows)
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
        squared = np.min(images, axis=0)
    else:
        squared = _squared_from(spot, squared_distances, right, down)
    profile = np.exp(-squared / (2 * spot.sigma**2))
    profile.flags.writeable = False  # shared by all that ask for it
    return profile


def _squared_from(
    spot: Spot,
    squared_distances: Callable[[np.ndarray, np.ndarray], np.ndarray],
    right: np.ndarray,
    down: np.ndarray,
) -> np.ndarray:
    """Squared distance from a spot's middle, or from the line or circle that it is."""
    if isinstance(spot.shape, Stripe):
        angle = np.radians(spot.shape.angle_deg)
        return (down * np.cos(angle) - right * np.sin(angle)) ** 2
    squared = squared_distances(right, down)
    if isinstance(spot.shape, Ring):
        return (np.sqrt(squared) - spot.shape.radius) ** 2
    return squared
