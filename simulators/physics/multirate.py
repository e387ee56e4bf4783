"""Two time scales in one equation: a cheap stiff field at every stage, a costly smooth one rarely.

The exchange field of a thin film turns its shortest waves by 12 rad/ps and costs 30 µs; the
demagnetising field changes with the 0.1 rad/ps of the film and costs a millisecond of FFT. So the
slow field is a polynomial in time through its last evaluations, under which Runge–Kutta substeps
take the fast one; what the polynomial missed at the end of a step corrects the spins and chooses
the length of the next step.
"""

from collections.abc import Callable
from math import ceil

import numpy as np

from skyctl.simulators.physics.kernels_runge_kutta import weighted_sum
from skyctl.simulators.physics.runge_kutta import RK4, RungeKutta

_POINTS = 3
"""Evaluations that the polynomial goes through. Four take half as many steps again: a longer memory
bears only shorter steps (the slow field depends on the spins that it turns)."""
_SAFETY = 0.9
_SMALLEST_CHANGE, _LARGEST_CHANGE = 0.3, 1.5
_SHORTEST_STEP = 1e-3  # of a substep


class FieldHistory:
    """The last evaluations of a field, and the polynomial in time through them.

    shape : of the field
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        # One row more than points: the next evaluation goes there and may be thrown away.
        self._rows = np.zeros((_POINTS + 1, *shape))
        self._used: list[int] = []
        self._times: list[float] = []
        self._field, self._field_time = np.zeros(shape), np.nan

    def next(self) -> np.ndarray:
        """Where to write the next evaluation; ``keep`` makes it one of the points."""
        return self._rows[self._free]

    @property
    def _free(self) -> int:
        return next(row for row in range(_POINTS + 1) if row not in self._used)

    def keep(self, time_ps: float) -> None:
        """Let the polynomial go through what was written into ``next()``, and forget the oldest."""
        self._used = [*self._used, self._free][-_POINTS:]
        self._times = [*self._times, time_ps][-_POINTS:]
        self._field_time = np.nan

    def at(self, time_ps: float) -> np.ndarray:
        """The polynomial at a time; the array is overwritten by the next call."""
        if time_ps != self._field_time:
            weights = np.zeros(_POINTS + 1)
            for row, time in zip(self._used, self._times, strict=True):
                others = np.array([t for t in self._times if t != time])
                weights[row] = np.prod((time_ps - others) / (time - others))
            weighted_sum(self._field.reshape(-1), self._rows.reshape(_POINTS + 1, -1), weights)
            self._field_time = time_ps
        return self._field

    def missed_mean(self, start_ps: float, step_ps: float) -> float:
        """Mean over a step of what the polynomial misses, over what it misses at the step's end.

        A smooth field misses by the next power of its polynomial, Π (t - t_k).
        """
        miss = np.poly((np.array(self._times) - start_ps) / step_ps)
        return float(np.polyval(np.polyint(miss), 1.0) / np.polyval(miss, 1.0))

    @property
    def points(self) -> int:
        """Evaluations that the polynomial goes through so far."""
        return len(self._times)


FastRate = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
"""fast_rate(spins, slow_field, out): the rate of the spins, 1/ps, under a given slow field."""
SlowField = Callable[[np.ndarray, np.ndarray], None]
"""slow_field(spins, out): evaluate the slow field, rad/ps."""
Correct = Callable[[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray], float]
"""correct(spins, was, should_be, time_ps, out): turn the spins by the difference of two slow fields
during a time, into ``out``; the largest change of a component."""


class Multirate:
    """Moves spins under a fast and a slow field.

    shape : of the spins, (3, ...), and of the slow field
    substep_ps : longest Runge–Kutta step (RK4), which the fast field bounds
    tolerance : largest correction of a spin component in one step; what is left after the
        correction is smaller

    ``substeps`` and ``slow_evaluations`` count the work, rejected steps included.
    """

    def __init__(self, shape: tuple[int, ...], substep_ps: float, tolerance: float) -> None:
        self._substep_ps, self._tolerance = substep_ps, tolerance
        self._method = RungeKutta(RK4, shape)
        self._history = FieldHistory(shape)
        self._predicted, self._corrected = np.zeros(shape), np.zeros(shape)
        self._step_ps = substep_ps
        self.slow_evaluations = 0

    @property
    def fast_evaluations(self) -> int:
        """Rates taken by the substeps."""
        return self._method.evaluations

    def start(self, spins: np.ndarray, slow_field: SlowField) -> None:
        """Evaluate the slow field at time 0, once, before the first ``advance``."""
        slow_field(spins, self._history.next())
        self._history.keep(0.0)
        self.slow_evaluations += 1

    def advance(
        self,
        fast_rate: FastRate,
        slow_field: SlowField,
        correct: Correct,
        spins: np.ndarray,
        start_ps: float,
        end_ps: float,
    ) -> None:
        """Move ``spins``, in place, from one time to another, on from where the last call ended.

        Raises RuntimeError where no step is short enough.
        """
        history = self._history

        def rate(time_ps: float, spins: np.ndarray, out: np.ndarray) -> None:
            fast_rate(spins, history.at(time_ps), out)

        now = start_ps
        while end_ps - now > _SHORTEST_STEP * self._substep_ps:
            step_ps = self._next_step(end_ps - now)
            # The last step ends exactly there: no rest of rounding is left to integrate.
            then = end_ps if step_ps == end_ps - now else now + step_ps
            self._predicted[...] = spins
            substeps = ceil(step_ps / self._substep_ps)
            self._method.advance(rate, self._predicted, now, step_ps, substeps)
            slow_field(self._predicted, history.next())
            self.slow_evaluations += 1
            missed_ps = history.missed_mean(now, step_ps) * step_ps
            error = correct(
                self._predicted, history.at(then), history.next(), missed_ps, self._corrected
            )
            change = _SAFETY * (self._tolerance / max(error, 1e-30)) ** (1 / (history.points + 1))
            if error <= self._tolerance:
                spins[...] = self._corrected
                history.keep(then)
                now = then
                # A step cut short to end in time may leave the next one as long as it would be.
                self._step_ps = min(step_ps * change, self._step_ps * _LARGEST_CHANGE)
            else:
                self._step_ps = step_ps * max(min(change, _SAFETY), _SMALLEST_CHANGE)
                if not self._step_ps > _SHORTEST_STEP * self._substep_ps:
                    raise RuntimeError(
                        f"at {now:g} ps no step meets tolerance {self._tolerance:g} (estimated "
                        f"error {error:g}): the field is not finite, or the tolerance is below "
                        "rounding"
                    )

    def _next_step(self, left_ps: float) -> float:
        if self._step_ps >= left_ps:
            return left_ps
        return min(self._step_ps, left_ps / 2)
