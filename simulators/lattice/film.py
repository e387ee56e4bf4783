"""The simulated sample: an atomistic LLG film that is pulsed, relaxed and filmed."""

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.engines import (
    ONLY_AT_ZERO_KELVIN,
    make_engine,
    stable_turn,
)
from skyctl.simulators.lattice.shapes import checked_sites
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.drive import PulseDrive, drive_of
from skyctl.simulators.physics.pulsed_film import PulsedFilm
from skyctl.simulators.physics.schemes import SCHEMES, Integrator
from skyctl.simulators.physics.span import ALONG_Z, Coefficients
from skyctl.simulators.physics.topology import topological_charge

MAX_STEP_PS = 0.015
"""Longest time step of itself, ps; the measured process map was made with it."""
_RELAX_CHUNK_PS = 5.0
_SKYRMION_RADIUS = 12.0
SKYRMION_RELAXES_PS = 5000.0
"""At most: of 0.7 μ_B, low K and high D it is far from rest after 500 ps."""
_LEAST_CHARGE = 0.5


@dataclass(frozen=True)
class FilmParameters:
    """A square-lattice film. Couplings in meV, each bond counted once.

    The defaults are arXiv:1907.01814's film (which counts every pair twice: its J and D are half
    of these). The paper prints neither moment nor boundary: 0.6 μ_B and open edges reproduce its
    example movies.

    dmi_meV : of the bulk, whose walls are Bloch's; interfacial_dmi_meV : of an interface, Néel's
        (``llg``); a film may have both
    easy_axis : of the anisotropy, any direction; kept as a unit vector
    lattice_nm : from one site to the next; moves nothing, and is kept for files. None: not known
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
    temperature_K: float = 0.0
    interfacial_dmi_meV: float = 0.0
    easy_axis: tuple[float, float, float] = ALONG_Z
    lattice_nm: float | None = None

    def __post_init__(self) -> None:
        # Across the edges of a periodic film, one row would be its own neighbour.
        fewest = 2 if self.periodic else 1
        if self.rows < fewest or self.columns < fewest:
            edges = "periodic" if self.periodic else "open"
            raise ValueError(
                f"film of {self.rows} x {self.columns} sites: with {edges} edges it needs {fewest} "
                "or more each way"
            )
        for name in (
            "exchange_meV", "dmi_meV", "anisotropy_meV", "moment_muB", "damping", "temperature_K",
            "interfacial_dmi_meV",
        ):  # fmt: skip
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"film {name} = {getattr(self, name)}: give a finite number")
        for name in ("bias_T", "easy_axis"):
            vector = getattr(self, name)
            if np.shape(vector) != (3,) or not np.isfinite(vector).all():
                raise ValueError(f"film {name} = {vector}: give three finite numbers")
        length = float(np.linalg.norm(self.easy_axis))
        if not length:
            raise ValueError(f"film easy_axis = {self.easy_axis}: give a direction")
        x, y, z = (component / length for component in self.easy_axis)
        object.__setattr__(self, "easy_axis", (x, y, z))
        if self.moment_muB <= 0:
            raise ValueError(f"film moment_muB = {self.moment_muB}: must be above 0")
        for name in ("damping", "temperature_K"):
            if getattr(self, name) < 0:
                raise ValueError(f"film {name} = {getattr(self, name)}: must not be negative")
        if self.lattice_nm is not None and not 0 < self.lattice_nm < np.inf:
            raise ValueError(f"film lattice_nm = {self.lattice_nm}: give a length above 0, or None")

    @property
    def moment_meV_per_T(self) -> float:
        """Magnetic moment of a site, meV/T."""
        return self.moment_muB * llg.MU_B_MEV_PER_T

    def as_dict(self) -> dict[str, Any]:
        """The parameters as plain numbers, for a start document or a file header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "FilmParameters":
        """What ``as_dict`` gave, also by way of JSON. Raises TypeError, ValueError."""
        lists = {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
        return cls(**{**plain, **lists})


class Film(PulsedFilm):
    """One film: its spins, and what happens to them.

    parameters : FilmParameters
    precision : "f8" or "f4"
    device : "cpu" or "cuda"; chosen once, here
    threads : CPU threads that share one film; they do not change a bit of the result
    integrator : "heun", "midpoint" (Mentink's semi-implicit), "depondt"; "rk4" and
        "dormand-prince" (adaptive) at 0 K on the CPU
    tolerance : error of a spin's component that a Dormand–Prince step may make; None is 1e-8, or
        1e-5 in single precision
    seed : of the thermal noise, 0 or more
    anisotropy_map : (rows, columns), K of each site in units of the film's, for pinning defects;
        None is 1 everywhere
    sites : (rows, columns), where there is a spin (``shapes``); None is everywhere. What is not
        there is an edge like the film's own: without neighbour, and with the twist of a DMI

    Raises ValueError for what cannot be, RuntimeError where there is no CUDA device.
    """

    takes_rare_pulses = True

    def __init__(
        self,
        parameters: FilmParameters | None = None,
        *,
        precision: Literal["f8", "f4"] = "f8",
        device: Literal["cpu", "cuda"] = "cpu",
        threads: int = 1,
        integrator: Integrator = "heun",
        tolerance: float | None = None,
        seed: int = 0,
        anisotropy_map: np.ndarray | None = None,
        sites: np.ndarray | None = None,
    ) -> None:
        self.parameters = p = parameters or FilmParameters()
        if p.temperature_K > 0 and integrator in ONLY_AT_ZERO_KELVIN:
            raise ValueError(
                f"integrator {integrator!r} at {p.temperature_K:g} K: it is for smooth motion; "
                f"choose {' or '.join(map(repr, SCHEMES))}"
            )
        if seed < 0:
            raise ValueError(f"seed = {seed}: must be 0 or more")
        self.anisotropy_map = _checked_map(anisotropy_map, p)
        self.sites = None if sites is None else checked_sites(sites, p.rows, p.columns, p.periodic)
        self.precision, self.integrator = precision, integrator
        self.tolerance = (1e-5 if precision == "f4" else 1e-8) if tolerance is None else tolerance
        engine = make_engine(
            device,
            p.rows,
            p.columns,
            periodic=p.periodic,
            precision=precision,
            integrator=integrator,
            threads=threads,
            tolerance=self.tolerance,
        )
        self._start(engine, seed)
        self.set_uniform()

    def _unit_spins(self, value: np.ndarray) -> np.ndarray:
        value = self._checked_spins(value)
        if self.sites is None:
            return value / np.linalg.norm(value, axis=0)
        lengths = np.where(self.sites, np.linalg.norm(value, axis=0), 1.0)
        return value / lengths

    def _checked_spins(self, value: np.ndarray) -> np.ndarray:
        shape = (3, self.parameters.rows, self.parameters.columns)
        value = np.asarray(value, dtype=np.float64)
        if value.shape != shape:
            raise ValueError(f"spins of shape {value.shape}: this film needs {shape}")
        if self.sites is not None:
            value = np.where(self.sites, value, 0.0)
        length = np.linalg.norm(value, axis=0)
        there = length if self.sites is None else length[self.sites]
        if not (np.isfinite(length).all() and (there > 0).all()):
            raise ValueError("spins hold a NaN, an infinity or a zero vector: give unit vectors")
        return value

    def restore(self, spins: np.ndarray, steps_taken: int) -> None:
        """Go on from a saved state: spins (3, rows, columns), bit for bit, and the noise's step."""
        self._engine.write(self._checked_spins(spins)[None])
        self.steps_taken = steps_taken

    def charge(self) -> float:
        """Topological charge, see ``topology.topological_charge``."""
        return topological_charge(self.spins, self.parameters.periodic)

    def set_uniform(self, sign: int = -1) -> None:
        """Magnetise the whole film along +z or -z (``sign``)."""
        p = self.parameters
        self.spins = np.stack(
            [np.zeros((p.rows, p.columns))] * 2 + [np.full((p.rows, p.columns), float(sign))]
        )

    def set_skyrmion(self, background: int = -1) -> None:
        """One relaxed skyrmion in the middle of a ``background`` of -z or +z, as the DMI winds it.

        Raises ValueError where the film does not hold one.
        """
        calm = replace(self.parameters, damping=1.0, temperature_K=0.0)
        there = None if self.sites is None else self.sites.tobytes()
        spins = _relaxed_skyrmion(calm, background, there)
        charge = topological_charge(spins, calm.periodic)
        if abs(charge) < _LEAST_CHARGE:
            raise ValueError(
                f"no skyrmion is stable in this film of {calm.rows} x {calm.columns} sites: it "
                f"relaxes to charge {charge:.2f}. Choose a larger film (30 sites of the default), "
                "or start from an empty one."
            )
        self.spins = spins

    def field_T(self) -> np.ndarray:
        """Effective field without pulse, -(1/μ) ∂E/∂S, (3, rows, columns), T."""
        return effective_field_T(self.parameters, self.spins, self.anisotropy_map)

    def max_torque_T(self) -> float:
        """Largest |S × B| over the film, T."""
        return float(np.linalg.norm(np.cross(self.spins, self.field_T(), axis=0), axis=0).max())

    def energy_meV(self) -> float:
        """Energy without pulse, meV: the interactions are quadratic in S, so half of -μ S·B."""
        return float(energies_meV(self.parameters, self.spins, self.anisotropy_map))

    def coefficients(self) -> Coefficients:
        """As ``PulsedFilm.coefficients``, with the film's couplings."""
        p = self.parameters
        mu = p.moment_meV_per_T
        return replace(
            super().coefficients(),
            exchange_T=p.exchange_meV / mu,
            dmi_T=p.dmi_meV / mu,
            anisotropy_T=2 * p.anisotropy_meV / mu,
            interfacial_dmi_T=p.interfacial_dmi_meV / mu,
            easy_axis=p.easy_axis,
        )

    def longest_step_ps(self, pulse: Pulse | None, wanted_ps: float | None = None) -> float:
        """As ``PulsedFilm.longest_step_ps``: MAX_STEP_PS, or what the film's couplings allow.

        Raises ValueError for a step that is not above 0 or not stable (``engines.stable_turn``).
        """
        bound, drive = self.stable_step_ps(pulse), drive_of(pulse)
        finest_ps = drive.shortest_ps / 2 if drive else np.inf
        if wanted_ps is None:
            return min(MAX_STEP_PS, bound, finest_ps)
        if not wanted_ps > 0:
            raise ValueError(f"max_step_ps = {wanted_ps}: must be above 0")
        if wanted_ps > finest_ps:
            raise ValueError(
                f"max_step_ps = {wanted_ps:g}: leaps over parts of this pulse. Give "
                f"{finest_ps:.3g} ps or less."
            )
        if wanted_ps > bound * (1 + 1e-9):
            turn = self._stable_turn()
            raise ValueError(
                f"max_step_ps = {wanted_ps:g}: the fastest spin wave of this film would turn "
                f"{wanted_ps / bound * turn:.3g} rad in a step; {self.integrator} is stable up to "
                f"{turn:.2g}. Give {bound:.3g} ps or less."
            )
        return wanted_ps

    def stable_step_ps(self, pulse: Pulse | None = None) -> float:
        """The longest stable time step under a pulse, however accurate; infinite where nothing
        turns the spins."""
        field = self._bias_T() + (PulseDrive(pulse).strongest_T if pulse else 0.0)
        fastest = self.coefficients().fastest_rad_per_ps(field)
        return self._stable_turn() / fastest if fastest else np.inf

    def _stable_turn(self) -> float:
        return stable_turn(self.integrator, self.parameters.damping)

    def _relaxing_ps(self) -> tuple[float, float]:
        return _RELAX_CHUNK_PS, 1.0 / max(self._calm().fastest_rad_per_ps(self._bias_T()), 1.0)

    def _bias_T(self) -> float:
        return float(np.linalg.norm(self.parameters.bias_T))

    @staticmethod
    def squared_distances(right: np.ndarray, down: np.ndarray) -> np.ndarray:
        """On the square lattice."""
        return right**2 + down**2


def effective_field_T(
    parameters: FilmParameters, spins: np.ndarray, anisotropy_map: np.ndarray | None = None
) -> np.ndarray:
    """-(1/μ) ∂E/∂S of one film or of many, spins (…, 3, rows, columns): as many fields, T."""
    p, mu = parameters, parameters.moment_meV_per_T
    s = np.asarray(spins, np.float64)
    mode: Any = "wrap" if p.periodic else "constant"
    g = np.moveaxis(np.pad(s, [(0, 0)] * (s.ndim - 2) + [(1, 1)] * 2, mode=mode), -3, 0)
    left, right = g[..., 1:-1, :-2], g[..., 1:-1, 2:]
    down, up = g[..., :-2, 1:-1], g[..., 2:, 1:-1]
    anisotropy_T = 2 * p.anisotropy_meV / mu * (1.0 if anisotropy_map is None else anisotropy_map)
    tilted = p.easy_axis != ALONG_Z
    couplings = (p.exchange_meV / mu, p.dmi_meV / mu, 0.0 if tilted else anisotropy_T)
    arguments: tuple[Any, ...] = (*left, *right, *down, *up, s[..., 2, :, :], *couplings)
    b = np.stack(llg.interaction_field(*arguments), axis=-3)
    if p.interfacial_dmi_meV:
        arguments = (*left[::2], *right[::2], *down[1:], *up[1:], p.interfacial_dmi_meV / mu)
        b += np.stack(llg.interfacial_dmi_field(*arguments), axis=-3)
    if tilted:
        arguments = (*np.moveaxis(s, -3, 0), *p.easy_axis, anisotropy_T)
        b += np.stack(llg.axis_field(*arguments), axis=-3)
    return b + np.asarray(p.bias_T)[:, None, None]


def energies_meV(
    parameters: FilmParameters, spins: np.ndarray, anisotropy_map: np.ndarray | None = None
) -> np.ndarray:
    """(…) energies without pulse of films (…, 3, rows, columns), meV: the interactions are
    quadratic in S, so half of -μ S·B."""
    bias = np.asarray(parameters.bias_T)[:, None, None]
    field = effective_field_T(parameters, spins, anisotropy_map)
    along = spins * ((field - bias) / 2 + bias)
    return -parameters.moment_meV_per_T * along.sum(axis=(-3, -2, -1))


def _checked_map(values: np.ndarray | None, parameters: FilmParameters) -> np.ndarray | None:
    if values is None:
        return None
    shape = (parameters.rows, parameters.columns)
    values = np.array(values, dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"anisotropy_map of shape {values.shape}: this film needs {shape}")
    if not np.isfinite(values).all():
        raise ValueError("anisotropy_map holds a NaN or an infinity: give finite numbers")
    values.flags.writeable = False
    return values


@lru_cache(maxsize=8)
def _relaxed_skyrmion(
    parameters: FilmParameters, background: int, there: bytes | None
) -> np.ndarray:
    """``there`` : the film's sites, as bytes: it can be hashed"""
    shape = parameters.rows, parameters.columns
    sites = None if there is None else np.frombuffer(there, bool).reshape(shape)
    film = Film(parameters, sites=sites)
    p = parameters
    film.spins = analytic_skyrmion(
        p.rows, p.columns, _SKYRMION_RADIUS, background, p.dmi_meV, p.interfacial_dmi_meV
    )
    film.relax(SKYRMION_RELAXES_PS)
    return film.spins


def analytic_skyrmion(
    rows: int,
    columns: int,
    radius: float,
    background: int = -1,
    dmi_meV: float = 1.0,
    interfacial_dmi_meV: float = 0.0,
) -> np.ndarray:
    """An analytic skyrmion, (3, rows, columns), centred, not relaxed.

    The polar angle falls linearly from the core to the background at 2·``radius`` sites; the
    helicity is the one that the DMI prefers: Bloch's for one of the bulk, Néel's for one of an
    interface.
    """
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    x, y = x - (columns - 1) / 2, y - (rows - 1) / 2
    return bloch_or_neel(x, y, radius, background, dmi_meV, interfacial_dmi_meV)


def bloch_or_neel(
    x: np.ndarray,
    y: np.ndarray,
    radius: float,
    background: int,
    dmi_meV: float,
    interfacial_dmi_meV: float,
) -> np.ndarray:
    """The spins of ``analytic_skyrmion`` at these places from its centre, sites."""
    r, phi = np.hypot(x, y), np.arctan2(y, x)
    theta = np.pi * np.clip(r / (2 * radius), 0, 1)
    core = -background
    # D r̂ + D' r̂×ẑ is r̂ turned about z; the spins turn with it.
    helicity = np.arctan2(-interfacial_dmi_meV, dmi_meV) - core * np.pi / 2
    in_plane = np.sin(theta)
    return np.stack(
        [in_plane * np.cos(phi + helicity), in_plane * np.sin(phi + helicity), core * np.cos(theta)]
    )
