"""A soft magnetic film with its own stray field: standard problem 4, and its response to fields.

Micromagnetics: the Landau–Lifshitz–Gilbert equation with exchange, demagnetising and applied
field, on one layer of cells. Standard problem 4 is https://www.ctcms.nist.gov/~rdm/mumag.org.html.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from skyctl.simulators.physics import llg
from skyctl.simulators.physics.multirate import Multirate
from skyctl.simulators.physics.pulsed_film import check_times
from skyctl.simulators.thin import DEFAULT_TOLERANCE
from skyctl.simulators.thin.demag import DemagField
from skyctl.simulators.thin.kernels_cpu import film_rate, turn

MU0_T_M_PER_A = 4e-7 * np.pi
"""Vacuum permeability, T·m/A."""
SP4_FIELDS_T = {1: (-24.6e-3, 4.3e-3, 0.0), 2: (-35.5e-3, -6.3e-3, 0.0)}
"""Applied fields μ0 H of standard problem 4, T."""

_STABLE_RADIANS = 2.6
"""Turn of the fastest wave in a substep: RK4 is stable to 2.8 on both axes and to 2.6 between."""
_QUINTIC = 120.0  # RK4's error in the angle θ of a substep is θ⁵/120


@dataclass(frozen=True)
class ThinFilmParameters:
    """A film of ``rows`` x ``columns`` cells in one layer.

    cell_nm : edges of a cell along x, y and z (the thickness), nm
    exchange_J_per_m, magnetisation_A_per_m : A and M_s
    gamma_m_per_As : γ0 = μ0 γ

    The defaults are standard problem 4 as arXiv:1903.09499 and the reference series in
    ``reference/`` have it: permalloy, 256 x 64 cells with edges of 1.95 nm. (500 nm / 256 is
    1.953 nm; those 0.16 % shift ⟨m⟩ by up to 0.007 within 1 ns in field 1.)

    Raises ValueError for values that are no film.
    """

    rows: int = 64
    columns: int = 256
    cell_nm: tuple[float, float, float] = (1.95, 1.95, 3.0)
    exchange_J_per_m: float = 1.3e-11
    magnetisation_A_per_m: float = 8e5
    damping: float = 0.02
    gamma_m_per_As: float = 2.211e5

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(
                f"thin film of {self.rows} x {self.columns} cells: needs 1 or more each way"
            )
        if np.shape(self.cell_nm) != (3,):
            raise ValueError(f"thin film cell_nm = {self.cell_nm}: give three edges, x, y, z")
        for name in ("cell_nm", "magnetisation_A_per_m", "gamma_m_per_As"):
            value = getattr(self, name)
            if not (np.isfinite(value) & (np.asarray(value) > 0)).all():
                raise ValueError(f"thin film {name} = {value}: give finite numbers above 0")
        for name in ("exchange_J_per_m", "damping"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(
                    f"thin film {name} = {getattr(self, name)}: give a finite number, 0 or more"
                )

    @property
    def saturation_T(self) -> float:
        """μ0 M_s, T."""
        return MU0_T_M_PER_A * self.magnetisation_A_per_m

    @property
    def gamma_rad_per_ps_T(self) -> float:
        """Gyromagnetic ratio γ0/μ0, rad/(ps·T)."""
        return self.gamma_m_per_As / MU0_T_M_PER_A * 1e-12

    @property
    def temperature_K(self) -> float:
        """0: it has no noise."""
        return 0.0

    @property
    def exchange_T(self) -> tuple[float, float]:
        """Exchange field 2A/(M_s Δ²) that one neighbour along x, and one along y, gives, T."""
        x, y = (
            2 * self.exchange_J_per_m / (self.magnetisation_A_per_m * (edge * 1e-9) ** 2)
            for edge in self.cell_nm[:2]
        )
        return x, y

    def as_dict(self) -> dict[str, Any]:
        """The parameters as plain numbers, for a file header."""
        return asdict(self)

    @staticmethod
    def from_dict(said: dict[str, Any]) -> "ThinFilmParameters":
        """What ``as_dict`` gave, also from JSON. Raises TypeError, ValueError."""
        return ThinFilmParameters(**{**said, "cell_nm": tuple(said["cell_nm"])})


class ThinFilm:
    """One film: its magnetisation, and what a field does to it.

    parameters : ThinFilmParameters; None: standard problem 4
    tolerance : error that the demagnetising field between two of its evaluations may leave in a
        component of m; ⟨m⟩ after 1 ns of standard problem 4 is then better than that

    It starts magnetised along +x. ``demag_evaluations`` and ``rate_evaluations`` count the work.
    """

    def __init__(
        self, parameters: ThinFilmParameters | None = None, *, tolerance: float = DEFAULT_TOLERANCE
    ) -> None:
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance {tolerance}: give a number between 0 and 1, such as 1e-3")
        self.parameters = p = parameters or ThinFilmParameters()
        self._tolerance = tolerance
        self._demag = DemagField(p.rows, p.columns, p.cell_nm)
        self._padded = np.zeros((3, p.rows + 2, p.columns + 2))
        self.demag_evaluations = self.rate_evaluations = 0
        self.set_uniform((1.0, 0.0, 0.0))

    @property
    def magnetisation(self) -> np.ndarray:
        """A copy of m = M/M_s, (3, rows, columns), unit vectors."""
        return _inner(self._padded).copy()

    @magnetisation.setter
    def magnetisation(self, value: np.ndarray) -> None:
        shape = (3, self.parameters.rows, self.parameters.columns)
        value = np.asarray(value, dtype=np.float64)
        if value.shape != shape:
            raise ValueError(f"magnetisation of shape {value.shape}: this film needs {shape}")
        length = np.linalg.norm(value, axis=0)
        if not (np.isfinite(length).all() and (length > 0).all()):
            raise ValueError(
                "magnetisation holds a NaN, an infinity or a zero vector: give unit vectors"
            )
        _inner(self._padded)[:] = value / length

    def set_uniform(self, direction: Sequence[float]) -> None:
        """Magnetise the whole film along ``direction``, (3,), of any length but 0."""
        p = self.parameters
        self.magnetisation = np.broadcast_to(
            np.reshape(direction, (3, 1, 1)), (3, p.rows, p.columns)
        )

    def set_s_state(self) -> None:
        """Magnetise the film as saturation along (1, 1, 1) leaves it: ``s_state``."""
        self.magnetisation = s_state(self.parameters)

    def frames(self, field_T: Sequence[float], times_ps: Sequence[float]) -> Iterator[np.ndarray]:
        """Apply a field and yield the magnetisation, (3, rows, columns), at each of ``times_ps``.

        field_T : (3,) uniform applied field μ0 H, on from time 0
        times_ps : ascend, from 0 or later

        Raises ValueError, before the film has moved, for a field or times that are none.
        """
        field = _checked_field(field_T)
        check_times(times_ps)
        for _ in self._run(field, times_ps):
            yield self.magnetisation

    def relax(
        self,
        field_T: Sequence[float] = (0.0, 0.0, 0.0),
        torque_T: float = 1e-6,
        max_steps: int = 20_000,
    ) -> float:
        """Let the film settle into a state of least energy in a field; return the torque left, T.

        Stops when no cell feels a torque above ``torque_T``, or after ``max_steps``.

        Steepest descent along the sphere with Barzilai–Borwein steps: L. Exl et al., J. Appl.
        Phys. 115, 17D118 (2014). Damped dynamics ends in the same state of standard problem 4, but
        takes 2 ns and ten times as long, held up by its stiffest wave.
        """
        applied = _checked_field(field_T)
        # The step that moves the stiffest wave by what it is off; T⁻¹, as all steps here.
        first_step = 1 / (4 * sum(self.parameters.exchange_T) + self.parameters.saturation_T)
        m, step = self.magnetisation, first_step
        torque, slope = self._torque_and_slope(m, applied)
        for taken in range(max_steps):
            if _largest(torque) <= torque_T:
                break
            # The turn -m x (step torque) goes downhill, and no cell changes its length.
            new = np.stack(llg.cayley(*m, *(step * torque), half=0.5, one=1.0))
            self.magnetisation = new
            torque, new_slope = self._torque_and_slope(new, applied)
            moved, bent = new - m, new_slope - slope
            curvature = float((moved * bent).sum())
            if curvature <= 0:
                step = first_step
            elif taken % 2:
                step = float((moved * moved).sum()) / curvature
            else:
                step = curvature / float((bent * bent).sum())
            m, slope = new, new_slope
        return _largest(torque)

    def _torque_and_slope(
        self, m: np.ndarray, applied_T: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """m x B and m x (m x B), the energy's slope along the sphere, (3, rows, columns), T."""
        torque = _cross(m, self._own_field_T() + applied_T[:, None, None])
        return torque, _cross(m, torque)

    def field_T(self, applied_T: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """Effective field -(1/(M_s V)) ∂E/∂m, (3, rows, columns), T."""
        return self._own_field_T() + np.reshape(_checked_field(applied_T), (3, 1, 1))

    def max_torque_T(self, applied_T: Sequence[float] = (0.0, 0.0, 0.0)) -> float:
        """Largest |m × B| over the film, T."""
        return _largest(_cross(_inner(self._padded), self.field_T(applied_T)))

    def energy_J(self, applied_T: Sequence[float] = (0.0, 0.0, 0.0)) -> float:
        """Exchange, demagnetising and Zeeman energy, J; the film's own field counts half."""
        p = self.parameters
        m = _inner(self._padded)
        applied = np.reshape(_checked_field(applied_T), (3, 1, 1))
        moment = p.magnetisation_A_per_m * float(np.prod(p.cell_nm)) * 1e-27
        return float(-moment * (m * (self._own_field_T() / 2 + applied)).sum())

    def _own_field_T(self) -> np.ndarray:
        """Exchange and demagnetising field, (3, rows, columns), T."""
        m = _inner(self._padded)
        field = np.empty_like(m)
        self._demag.evaluate(m, self.parameters.saturation_T, field)
        # A cell beyond a free edge is its neighbour's mirror image.
        g = np.pad(m, ((0, 0), (1, 1), (1, 1)), mode="edge")
        x, y = self.parameters.exchange_T
        field += x * (g[:, 1:-1, :-2] + g[:, 1:-1, 2:] - 2 * m)
        field += y * (g[:, :-2, 1:-1] + g[:, 2:, 1:-1] - 2 * m)
        return field

    def _run(self, field_T: np.ndarray, times_ps: Sequence[float]) -> Iterator[None]:
        """Move the film to one after another of ``times_ps``, and stop at each of them."""
        p, damping = self.parameters, self.parameters.damping
        rate_per_T = p.gamma_rad_per_ps_T / (1 + damping**2)
        exchange_x, exchange_y = (rate_per_T * e for e in p.exchange_T)
        saturation = rate_per_T * p.saturation_T
        applied = rate_per_T * field_T
        # What is local of the demagnetising field of a film, -m_z, costs nothing with the exchange;
        # it is the part that follows the spins fastest, so that what is left is smoother.
        local = -saturation
        padded, ratio = self._padded, exchange_y / exchange_x if exchange_x else 0.0
        width = padded.shape[2]

        def fast_rate(m: np.ndarray, slow: np.ndarray, out: np.ndarray) -> None:
            film_rate(_flat(m), _flat(slow), _flat(out), width, exchange_x, ratio, local, damping)

        def slow_field(m: np.ndarray, out: np.ndarray) -> None:
            field = _inner(out)
            self._demag.evaluate(_inner(m), saturation, field)
            field += applied[:, None, None]
            field[2] -= local * _inner(m)[2]

        def correct(
            m: np.ndarray, was: np.ndarray, should_be: np.ndarray, time_ps: float, out: np.ndarray
        ) -> float:
            return turn(_flat(m), _flat(was), _flat(should_be), time_ps, damping, _flat(out))

        slowest = np.sqrt(1 + damping**2) * (saturation + float(np.linalg.norm(applied)))
        fastest = slowest + np.sqrt(1 + damping**2) * 4 * (exchange_x + exchange_y)
        substep_ps = min(_STABLE_RADIANS / fastest, (_QUINTIC * self._tolerance) ** 0.2 / slowest)
        stepper = Multirate(padded.shape, substep_ps, self._tolerance)
        stepper.start(padded, slow_field)
        now = 0.0
        rates_before, fields_before = self.rate_evaluations, self.demag_evaluations
        for time_ps in times_ps:
            stepper.advance(fast_rate, slow_field, correct, padded, now, time_ps)
            now = time_ps
            self.rate_evaluations = rates_before + stepper.fast_evaluations
            self.demag_evaluations = fields_before + stepper.slow_evaluations
            yield


def _inner(padded: np.ndarray) -> np.ndarray:
    """The film, (3, rows, columns), of an array that has an empty cell all around."""
    return padded[:, 1:-1, 1:-1]


def _flat(padded: np.ndarray) -> np.ndarray:
    return padded.reshape(3, -1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a x b of (3, …); numpy's takes three times as long."""
    return np.stack([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)])


def _largest(vectors: np.ndarray) -> float:
    """Length of the longest of vectors (3, …)."""
    return float(np.sqrt((vectors * vectors).sum(0).max()))


def _checked_field(field_T: Sequence[float] | np.ndarray) -> np.ndarray:
    if np.shape(field_T) != (3,) or not np.isfinite(field_T).all():
        raise ValueError(f"applied field {field_T} T: give three finite numbers, x, y, z")
    return np.asarray(field_T, dtype=np.float64)


def s_state(parameters: ThinFilmParameters | None = None) -> np.ndarray:
    """What is left of saturation along (1, 1, 1): the S-state of standard problem 4.

    Returns m, (3, rows, columns), relaxed without a field; computed once, a second or two.
    """
    return _s_state(parameters or ThinFilmParameters()).copy()


@lru_cache(maxsize=4)
def _s_state(parameters: ThinFilmParameters) -> np.ndarray:
    film = ThinFilm(parameters)
    film.set_uniform((1.0, 1.0, 1.0))
    film.relax()
    return film.magnetisation
