"""What a latent network must beat: modes alone, linear dynamics, kernels, projected physics, and
interpolation of trajectories over the field.

All give coordinates in the modes, (frames, modes), of a run from its first state in its fields.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RBFInterpolator

from skyctl.models.latent import Modes
from skyctl.models.latent_data import INTERVAL_PS, whole_of
from skyctl.simulators.thin.film import ThinFilm, ThinFilmParameters

_RIDGE = 1e-6


class Interpolation:
    """Trajectories of constant fields from one start, interpolated over the field: a thin-plate
    spline through the nearest ones. It knows no other start and no changing fields.

    fields_T : (runs, 3); coordinates : (runs, frames, modes)
    """

    name = "interpolation over the field"

    def __init__(self, fields_T: np.ndarray, coordinates: np.ndarray, neighbours: int = 30) -> None:
        self._shape = coordinates.shape[1:]
        self._over = RBFInterpolator(
            fields_T[:, :2] * 1e3, coordinates.reshape(len(coordinates), -1),
            neighbors=min(neighbours, len(coordinates)),
        )  # fmt: skip

    def run(self, fields_T: np.ndarray) -> np.ndarray | None:
        """Coordinates, (frames, modes); None where the field, (frames - 1, 3), changes."""
        if np.ptp(fields_T, 0).any():
            return None
        return self._over(fields_T[:1, :2] * 1e3).reshape(self._shape)


class LinearDynamics:
    """Dynamic mode decomposition with control: a linear step in ``modes`` coordinates and field."""

    def __init__(self, coordinates: np.ndarray, fields_T: np.ndarray, modes: int = 64) -> None:
        before = coordinates[:, :-1, :modes].reshape(-1, modes)
        after = coordinates[:, 1:, :modes].reshape(-1, modes)
        inputs = self._inputs(before, fields_T.reshape(-1, 3))
        gram = inputs.T @ inputs
        gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        self._step = np.linalg.solve(gram, inputs.T @ after)
        self._modes = modes

    def run(self, start: np.ndarray, fields_T: np.ndarray) -> np.ndarray:
        """Coordinates, (frames, modes), from ``start``, (modes,)."""
        states = [start[: self._modes]]
        for field in fields_T:
            states.append((self._inputs(states[-1][None], field[None]) @ self._step)[0])
        return _padded(np.array(states), len(start))

    @staticmethod
    def _inputs(states: np.ndarray, fields_T: np.ndarray) -> np.ndarray:
        return np.concatenate([states, fields_T / 0.04, np.ones((len(states), 1))], 1)


class KernelDynamics:
    """A step by kernel ridge regression (Gaussian kernel) in ``modes`` coordinates and field."""

    def __init__(
        self, coordinates: np.ndarray, fields_T: np.ndarray, modes: int = 64,
        centres: int = 3000, seed: int = 0,
    ) -> None:  # fmt: skip
        from sklearn.kernel_ridge import KernelRidge

        before = coordinates[:, :-1, :modes].reshape(-1, modes)
        after = coordinates[:, 1:, :modes].reshape(-1, modes)
        inputs = np.concatenate([before, fields_T.reshape(-1, 3) / 0.04], 1)
        some = np.random.default_rng(seed).permutation(len(inputs))[:centres]
        spread = inputs.std(0)
        self._scale = 1 / (spread + 0.05 * spread.max())
        scaled = inputs[some] * self._scale
        self._regression = KernelRidge(kernel="rbf", gamma=0.1 / modes, alpha=1e-5)  # pyright: ignore[reportArgumentType]
        self._regression.fit(scaled, after[some] - before[some])
        self._modes = modes

    def run(self, start: np.ndarray, fields_T: np.ndarray) -> np.ndarray:
        """Coordinates, (frames, modes), from ``start``, (modes,)."""
        states = [start[: self._modes]]
        for field in fields_T:
            inputs = np.concatenate([states[-1], field / 0.04]) * self._scale
            states.append(states[-1] + self._regression.predict(inputs[None])[0])
        return _padded(np.array(states), len(start))


@dataclass
class ProjectedPhysics:
    """POD–Galerkin: the film's own LLG rate, projected on the modes; slower than the film itself.

    step_ps : of fourth-order Runge–Kutta
    """

    modes: Modes
    film: ThinFilmParameters
    step_ps: float = 1.0

    def run(self, start: np.ndarray, fields_T: np.ndarray) -> np.ndarray:
        """Coordinates, (frames, modes), from ``start``, (modes,)."""
        thin, state, h = ThinFilm(self.film), start.astype(np.float64), self.step_ps
        states = [state]
        for field in fields_T:
            for _ in range(round(INTERVAL_PS / h)):
                first = self._rate(thin, state, field)
                second = self._rate(thin, state + h / 2 * first, field)
                third = self._rate(thin, state + h / 2 * second, field)
                fourth = self._rate(thin, state + h * third, field)
                state = state + h / 6 * (first + 2 * second + 2 * third + fourth)
            states.append(state)
        return np.array(states)

    def _rate(self, thin: ThinFilm, state: np.ndarray, field_T: np.ndarray) -> np.ndarray:
        """d/dt of the coordinates, 1/ps."""
        p = self.film
        thin.magnetisation = whole_of(self.modes.half(state))
        m, field = thin.magnetisation, thin.field_T(field_T.tolist())
        torque = np.cross(m, field, axis=0)
        turn = torque + p.damping * np.cross(m, torque, axis=0)
        rate = -p.gamma_rad_per_ps_T / (1 + p.damping**2) * turn
        half = rate[:, : p.rows // 2].reshape(-1)
        return self.modes.basis @ half / np.sqrt(self.modes.cells)


def _padded(states: np.ndarray, modes: int) -> np.ndarray:
    """With the coordinates that it knows nothing of at 0; what runs away is held at ±2."""
    held = np.clip(np.nan_to_num(states, nan=2.0), -2, 2)
    return np.pad(held, ((0, 0), (0, modes - states.shape[1])))
