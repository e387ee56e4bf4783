"""The simulated sample: an atomistic LLG film that is pulsed, relaxed and filmed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from skyctl.pulse import Pulse, Spot
from skyctl.simulators import llg
from skyctl.simulators.engines import Stretch, make_engine

MAX_STEP_PS = 0.015
"""Longest time step, ps; the measured process map was made with it."""

_RELAX_CHUNK_PS = 5.0
_SKYRMION_RADIUS = 12.0


@dataclass(frozen=True)
class FilmParameters:
    """A square-lattice film. Couplings in meV, each bond counted once.

    The defaults are arXiv:1907.01814's film (which counts every pair twice: its J and D are half
    of these). The paper prints neither moment nor boundary: 0.6 μ_B and open edges reproduce its
    example movies.
    """

    rows: int = 100
    columns: int = 100
    exchange_meV: float = 2 * 0.03676 * llg.MEV_PER_MRY
    dmi_meV: float = 2 * 0.008824 * llg.MEV_PER_MRY
    anisotropy_meV: float = 0.00735 * llg.MEV_PER_MRY
    moment_muB: float = 0.6
    damping: float = 0.36
    periodic: bool = False
    bias_T: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.rows < 3 or self.columns < 3:
            raise ValueError(
                f"film of {self.rows} x {self.columns} sites: needs 3 or more each way"
            )
        for name in ("exchange_meV", "dmi_meV", "anisotropy_meV", "moment_muB", "damping"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"film {name} = {getattr(self, name)}: give a finite number")
        if np.shape(self.bias_T) != (3,) or not np.isfinite(self.bias_T).all():
            raise ValueError(f"film bias_T = {self.bias_T}: give three finite numbers")
        if self.moment_muB <= 0:
            raise ValueError(f"film moment_muB = {self.moment_muB}: must be above 0")
        if self.damping < 0:
            raise ValueError(f"film damping = {self.damping}: must not be negative")

    @property
    def moment_meV_per_T(self) -> float:
        """Magnetic moment of a site, meV/T."""
        return self.moment_muB * llg.MU_B_MEV_PER_T

    def as_dict(self) -> dict[str, Any]:
        """The parameters as plain numbers, for a start document or a file header."""
        return asdict(self)


class Film:
    """One film: its spins, and what happens to them.

    parameters : FilmParameters
    precision : "f8" or "f4"
    device : "cpu" or "cuda"; chosen once, here
    threads : CPU threads that share one film
    """

    def __init__(
        self,
        parameters: FilmParameters | None = None,
        *,
        precision: Literal["f8", "f4"] = "f8",
        device: Literal["cpu", "cuda"] = "cpu",
        threads: int = 1,
    ) -> None:
        self.parameters = parameters or FilmParameters()
        self._engine = make_engine(
            device, self.parameters.rows, self.parameters.columns, precision, threads
        )
        self.set_uniform()

    @property
    def spins(self) -> np.ndarray:
        """A copy of the spins, (3, rows, columns), unit vectors."""
        return self._engine.read()

    @spins.setter
    def spins(self, value: np.ndarray) -> None:
        shape = (3, self.parameters.rows, self.parameters.columns)
        value = np.asarray(value, dtype=np.float64)
        if value.shape != shape:
            raise ValueError(f"spins of shape {value.shape}: this film needs {shape}")
        length = np.linalg.norm(value, axis=0)
        if not (np.isfinite(length).all() and (length > 0).all()):
            raise ValueError("spins hold a NaN, an infinity or a zero vector: give unit vectors")
        self._engine.write(value / length, self.parameters.periodic)

    def set_uniform(self, sign: int = -1) -> None:
        """Magnetise the whole film along +z or -z (``sign``)."""
        p = self.parameters
        self.spins = np.stack(
            [np.zeros((p.rows, p.columns))] * 2 + [np.full((p.rows, p.columns), float(sign))]
        )

    def set_skyrmion(self, background: int = -1) -> None:
        """One relaxed Bloch skyrmion in the middle of a ``background`` of -z or +z."""
        self.spins = _relaxed_skyrmion(replace(self.parameters, damping=1.0), background)

    def frames(
        self, pulse: Pulse | None, times_ps: Sequence[float], max_step_ps: float = MAX_STEP_PS
    ) -> Iterator[np.ndarray]:
        """Fire ``pulse`` and yield the spins, (3, rows, columns), at each of ``times_ps``.

        Each frame leaves as soon as it is reached; the film stops at the last one.
        ``times_ps`` starts at 0 or later and ascends; ``pulse`` None films the film at rest.
        Raises ValueError, before the film has moved, for times that do not.
        """
        if not all(a <= b < np.inf for a, b in pairwise((0.0, *times_ps))):
            raise ValueError(f"frame times {list(times_ps)} ps: must ascend from 0 or later")
        if not max_step_ps > 0:
            raise ValueError(f"max_step_ps = {max_step_ps}: must be above 0")
        now = 0.0
        c = self.coefficients()
        for time_ps in times_ps:
            self._advance(pulse, now, time_ps - now, max_step_ps, c)
            now = time_ps
            yield self.spins

    def relax(self, max_ps: float = 500.0, torque_T: float = 1e-3) -> float:
        """Let the film settle without field pulse or precession; return the torque left, in T.

        Stops when no spin feels a torque above ``torque_T``, or after ``max_ps``.
        """
        c = self.coefficients()
        c = {**c, "precession": 0.0, "damping": llg.GAMMA_RAD_PER_PS_T / 2}
        elapsed = 0.0
        while (torque := self.max_torque_T()) > torque_T and elapsed < max_ps:
            self._advance(None, 0.0, _RELAX_CHUNK_PS, MAX_STEP_PS, c)
            elapsed += _RELAX_CHUNK_PS
        return torque

    def field_T(self) -> np.ndarray:
        """Effective field without pulse, -(1/μ) ∂E/∂S, (3, rows, columns), T."""
        p = self.parameters
        s = self.spins.astype(np.float64)
        mode: Any = "wrap" if p.periodic else "constant"
        g = np.pad(s, ((0, 0), (1, 1), (1, 1)), mode=mode)
        left, right = g[:, 1:-1, :-2], g[:, 1:-1, 2:]
        down, up = g[:, :-2, 1:-1], g[:, 2:, 1:-1]
        c = self.coefficients()
        b = llg.interaction_field(
            *left,
            *right,
            *down,
            *up,
            sz=s[2],
            exchange_T=c["exchange"],
            dmi_T=c["dmi"],
            anisotropy_T=c["anisotropy"],
        )
        return np.stack(b) + np.asarray(p.bias_T)[:, None, None]

    def max_torque_T(self) -> float:
        """Largest |S × B| over the film, T."""
        return float(np.linalg.norm(np.cross(self.spins, self.field_T(), axis=0), axis=0).max())

    def energy_meV(self) -> float:
        """Energy without pulse, meV: the interactions are quadratic in S, so half of -μ S·B."""
        p = self.parameters
        bias = np.asarray(p.bias_T)[:, None, None]
        interactions = (self.spins * (self.field_T() - bias)).sum() / 2
        return float(-p.moment_meV_per_T * (interactions + (self.spins * bias).sum()))

    def coefficients(self) -> dict[str, float]:
        """What multiplies each term: J/μ, D/μ, 2K/μ (T), γ/(1+α²), γα/(1+α²) (rad/ps/T)."""
        p = self.parameters
        mu = p.moment_meV_per_T
        rate = llg.GAMMA_RAD_PER_PS_T / (1 + p.damping**2)
        return {
            "exchange": p.exchange_meV / mu,
            "dmi": p.dmi_meV / mu,
            "anisotropy": 2 * p.anisotropy_meV / mu,
            "precession": rate,
            "damping": rate * p.damping,
        }

    def _advance(
        self,
        pulse: Pulse | None,
        start_ps: float,
        span_ps: float,
        max_step_ps: float,
        coefficients: dict[str, float],
    ) -> None:
        if span_ps <= 0:
            return
        p = self.parameters
        steps = int(np.ceil(span_ps / max_step_ps - 1e-9))
        stretch = Stretch(
            coefficients=coefficients,
            bias_T=p.bias_T,
            peak_T=pulse.peak_field_T if pulse else (0.0, 0.0, 0.0),
            peak_ps=pulse.peak_ps if pulse else 0.0,
            width_ps=pulse.width_ps if pulse else 1.0,
            spot=_spot_profile(
                pulse.spot if pulse else None,  # pyright: ignore[reportArgumentType] frozen: hashable
                p.rows,
                p.columns,
            ),
            start_ps=start_ps,
            step_ps=span_ps / steps,
            steps=steps,
            periodic=p.periodic,
        )
        self._engine.advance(stretch)


@lru_cache(maxsize=8)
def _spot_profile(spot: Spot | None, rows: int, columns: int) -> np.ndarray:
    """Pulse strength over the film, (rows, columns), 1 at the spot's centre."""
    if spot is None:
        return np.ones((rows, columns))
    y, x = np.mgrid[:rows, :columns]
    return np.exp(-((x - spot.x) ** 2 + (y - spot.y) ** 2) / (2 * spot.sigma**2))


@lru_cache(maxsize=8)
def _relaxed_skyrmion(parameters: FilmParameters, background: int) -> np.ndarray:
    film = Film(parameters)
    film.spins = bloch_skyrmion(
        parameters.rows, parameters.columns, _SKYRMION_RADIUS, background, parameters.dmi_meV
    )
    film.relax()
    return film.spins


def bloch_skyrmion(
    rows: int, columns: int, radius: float, background: int = -1, dmi_meV: float = 1.0
) -> np.ndarray:
    """An analytic Bloch skyrmion, (3, rows, columns), centred, not relaxed.

    The polar angle falls linearly from the core to the background at 2·``radius`` sites; the sense
    of rotation is the one a bulk DMI of that sign prefers.
    """
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    x, y = x - (columns - 1) / 2, y - (rows - 1) / 2
    r, phi = np.hypot(x, y), np.arctan2(y, x)
    theta = np.pi * np.clip(r / (2 * radius), 0, 1)
    core = -background
    helicity = -np.sign(dmi_meV) * core * np.pi / 2
    in_plane = np.sin(theta)
    return np.stack(
        [in_plane * np.cos(phi + helicity), in_plane * np.sin(phi + helicity), core * np.cos(theta)]
    )
