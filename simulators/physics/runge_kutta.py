"""Explicit Runge–Kutta methods for unit vectors: the coefficients are data, the stepper is tiny."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.simulators.physics.kernels_runge_kutta import normalise, weighted_sum

Rate = Callable[[float, np.ndarray, np.ndarray], None]
"""rate(time_ps, spins, out): write d(spins)/dt, 1/ps, into ``out``, an array like ``spins``."""

_SAFETY = 0.9
_SMALLEST_CHANGE, _LARGEST_CHANGE = 0.2, 5.0
_SHORTEST_STEP = 1e-9  # of the span: shorter ones do not move the time any more


@dataclass(frozen=True)
class Tableau:
    """Butcher tableau of an explicit method.

    order : what the error of a run goes with, as a power of the step
    nodes : (stages,) times of the stages, in steps
    stages : row j are the weights of the rates before stage j
    weights : (stages,) of the result
    error : (stages,) of the estimated error of a step, or None for a method without one
    """

    order: int
    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    error: tuple[float, ...] | None = None

    @property
    def first_same_as_last(self) -> bool:
        """Whether the last stage is the result, so that its rate is the next step's first."""
        return self.stages[-1] == self.weights[:-1]


RK4 = Tableau(
    order=4,
    nodes=(0, 1 / 2, 1 / 2, 1),
    stages=((), (1 / 2,), (0, 1 / 2), (0, 0, 1)),
    weights=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
)
"""The classical method; stable for oscillations up to 2.8 rad a step, the most a stage buys."""

DORMAND_PRINCE = Tableau(
    order=5,
    nodes=(0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    stages=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    weights=(35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0),
    error=(
        71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40,
    ),
)  # fmt: skip
"""J. R. Dormand and P. J. Prince, J. Comput. Appl. Math. 6, 19 (1980), table 2: 5(4), 7 stages."""


class RungeKutta:
    """One method and its workspace.

    tableau : RK4 or DORMAND_PRINCE
    shape : of the spins, (3, ...): vectors along the first axis, unit or zero ones (empty sites)
    dtype : of the spins and of all arithmetic on them

    ``evaluations`` counts the rates taken, ``step_ps`` is the last step that an error estimate
    chose; the next adaptive run starts with it.
    """

    def __init__(self, tableau: Tableau, shape: tuple[int, ...], dtype: Any = np.float64) -> None:
        self.tableau = tableau
        self.evaluations = 0
        self.step_ps: float | None = None
        self._dtype = np.dtype(dtype)
        # Row 0 is the state, the others are the rates: a stage is one weighted sum of rows.
        self._rows = np.zeros((1 + len(tableau.nodes), *shape), self._dtype)
        self._stage = np.zeros(shape, self._dtype)
        self._difference = np.zeros(shape, self._dtype)

    def advance(
        self, rate: Rate, spins: np.ndarray, start_ps: float, span_ps: float, steps: int
    ) -> None:
        """Move ``spins``, in place, by ``steps`` equal steps that fill ``span_ps``."""
        step_ps = span_ps / steps
        self._rows[0] = spins
        for i in range(steps):
            self._step(rate, start_ps + i * step_ps, step_ps, new_state=i == 0)
            self._accept()
        spins[...] = self._rows[0]

    def advance_adaptive(
        self,
        rate: Rate,
        spins: np.ndarray,
        start_ps: float,
        span_ps: float,
        tolerance: float,
        longest_ps: Callable[[float], float] = lambda time_ps: np.inf,
    ) -> None:
        """Move ``spins``, in place, over ``span_ps`` in steps that an error estimate chooses.

        tolerance : largest estimated error of any component in one step
        longest_ps : the longest step from a time on. An error estimate sees a rate at the stages
            alone: of what begins and ends between two of them it knows nothing

        Raises ValueError for a method without an error estimate or a tolerance that is not above
        0, RuntimeError where no step is short enough (the rate is not finite, or not smooth).
        """
        if self.tableau.error is None:
            raise ValueError("this Runge–Kutta method has no error estimate: use DORMAND_PRINCE")
        if not tolerance > 0:
            raise ValueError(f"tolerance {tolerance}: must be above 0")
        self._rows[0] = spins
        elapsed, new_state = 0.0, True
        step_ps = self.step_ps or span_ps / 100
        while (left := span_ps - elapsed) > _SHORTEST_STEP * span_ps:
            longest = min(step_ps, longest_ps(start_ps + elapsed))
            tried = left if longest >= left else min(longest, left / 2)
            self._step(rate, start_ps + elapsed, tried, new_state)
            new_state = False
            error = self._error(tried)
            change = _SAFETY * (tolerance / max(error, 1e-30)) ** (1 / self.tableau.order)
            best = tried * min(max(change, _SMALLEST_CHANGE), _LARGEST_CHANGE)
            if error <= tolerance:
                self._accept()
                elapsed += tried
                # A step that was cut short to end in time says little about longer ones.
                self.step_ps = step_ps = best if tried == step_ps else max(step_ps, best)
            else:
                step_ps = best
                if not step_ps > _SHORTEST_STEP * span_ps:
                    raise RuntimeError(
                        f"at {start_ps + elapsed:g} ps no step meets tolerance {tolerance:g} "
                        f"(estimated error {error:g}): the rate is not finite, or the tolerance "
                        "is below rounding"
                    )
        spins[...] = self._rows[0]

    def _step(self, rate: Rate, time_ps: float, step_ps: float, new_state: bool) -> None:
        """Fill the rates and leave the result, not yet of unit length, in the stage.

        A new state needs its first rate. Else a method whose last stage is its result has it, but
        for the change of length on accepting, which is as small as the step's error.
        """
        t = self.tableau
        for j, (node, weights) in enumerate(zip(t.nodes, t.stages, strict=True)):
            if j == 0 and t.first_same_as_last and not new_state:
                continue
            if j:
                self._sum(1.0, weights, step_ps, self._stage)
            rate(time_ps + node * step_ps, self._stage if j else self._rows[0], self._rows[1 + j])
            self.evaluations += 1
        if not t.first_same_as_last:
            self._sum(1.0, t.weights, step_ps, self._stage)

    def _sum(
        self, state: float, weights: tuple[float, ...], step_ps: float, out: np.ndarray
    ) -> None:
        factors = np.array([state, *(step_ps * weight for weight in weights)], self._dtype)
        weighted_sum(out.reshape(-1), self._rows.reshape(len(self._rows), -1), factors)

    def _error(self, step_ps: float) -> float:
        self._sum(0.0, self.tableau.error or (), step_ps, self._difference)
        return float(np.abs(self._difference).max())

    def _accept(self) -> None:
        normalise(self._stage.reshape(3, -1), self._rows[0].reshape(3, -1))
        if self.tableau.first_same_as_last:
            self._rows[1] = self._rows[-1]
