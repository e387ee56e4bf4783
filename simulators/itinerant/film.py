"""LLG on the itinerant magnet: the field on the spins comes from electrons, or from a network.

Where the field of a ``Film`` is a stencil of its own kernels, here it is any function of the spins:
``exact_field`` diagonalises, ``itinerant_kpm.KernelPolynomial`` estimates, and
``inference.torque.TorqueNetwork`` predicts. The spins move alike under all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

import numpy as np

from skyctl.pulse import Pulse, Spot
from skyctl.simulators.itinerant.electrons import (
    FOUR_TWISTS,
    Electrons,
    checked_spins,
    equilibrium,
    lattice_charge,
    perpendicular,
    skyrmion_lattice,
)
from skyctl.simulators.lattice.engines import CORRECTOR_AT, Coefficients, Engine, Span, noise_key
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.film import PulsedFilm

MAX_STEP_T0 = 1.0
"""Longest time step, in units of t0: the fields perpendicular to the spins, which alone turn them,
are some hundredths."""
_MOST_TURN = 0.3
_ONLY_DAMPING = 1e12


class FieldOfSpins(Protocol):
    """What of J ⟨c† σ c⟩ is perpendicular to the spins: (3, rows, columns) from the same.

    The rest, which turns nothing, is an order of magnitude longer: a step would have to be as
    short as if it did.
    """

    def __call__(self, spins: np.ndarray) -> np.ndarray: ...


class BoundField(FieldOfSpins, Protocol):
    """A field of spins that also takes them where they are, and leaves the field there.

    device : "cpu" or "cuda", whose memory the addresses are of
    """

    device: str

    def bind(self, spins: int, field: int, rows: int, columns: int) -> Callable[[], None]:
        """An evaluation from one address to another, of float32 (3, rows, columns).

        What it reads must be there when it is called; what it writes is there when it returns.
        """
        ...


def exact_field(
    electrons: Electrons, twists: Sequence[tuple[float, float]] = FOUR_TWISTS
) -> FieldOfSpins:
    """The perpendicular field by exact diagonalisation, see ``itinerant.equilibrium``."""

    def field(spins: np.ndarray) -> np.ndarray:
        return perpendicular(spins, equilibrium(electrons, spins, twists).field)

    return field


def midpoint_step(
    spins: np.ndarray,
    field_of: Callable[[np.ndarray, bool], np.ndarray],
    turn: float,
    damping: float,
) -> np.ndarray:
    """One semi-implicit midpoint step: the spins, (3, …), after it.

    field_of : the field on the spins (unit vectors), and whether they are the predictor's, half a
        step on
    turn : by how much a field of 1 turns a spin in the step, γ dt/(1 + α²), rad

    Source: J. H. Mentink et al., J. Phys.: Condens. Matter 22, 176001 (2010), in the closed form of
    ``llg.cayley``: |S| stays 1 to rounding.
    """

    def turned(by_field: np.ndarray, among: np.ndarray) -> np.ndarray:
        (sx, sy, sz), (bx, by, bz) = among, turn * by_field
        ax, ay, az = llg.turning(sx, sy, sz, bx, by, bz, damping)
        sx, sy, sz = spins
        return np.stack(llg.cayley(sx, sy, sz, ax, ay, az, 0.5, 1.0))

    middle = (spins + turned(field_of(spins, False), spins)) / 2
    unit = middle / np.linalg.norm(middle, axis=0)
    return turned(field_of(unit, True), middle)


@dataclass(frozen=True)
class ItinerantFilmParameters:
    """An itinerant film: how its electrons' units are an experiment's, and what acts on it.

    hopping_meV : the nearest-neighbour hopping, the electrons' unit of energy
    bias_T : static field; the default is the paper's H_ext = 0.005 hoppings a moment

    Raises ValueError for what cannot be.
    """

    rows: int = 48
    columns: int = 48
    hopping_meV: float = 10.0
    moment_muB: float = 1.0
    damping: float = 0.05
    bias_T: tuple[float, float, float] = (0.0, 0.0, 0.8638)
    temperature_K: float = 0.0

    def __post_init__(self) -> None:
        for name in ("hopping_meV", "moment_muB", "damping", "temperature_K"):
            value = getattr(self, name)
            if not np.isfinite(value) or value < 0:
                raise ValueError(f"film {name} = {value}: give a finite number, 0 or more")
        for name in ("hopping_meV", "moment_muB"):
            if getattr(self, name) == 0:
                raise ValueError(f"film {name} = 0: must be above 0")
        if min(self.rows, self.columns) < 5:
            raise ValueError(f"film of {self.rows} x {self.columns} sites: give 5 or more each way")
        if np.shape(self.bias_T) != (3,) or not np.isfinite(self.bias_T).all():
            raise ValueError(f"film bias_T = {self.bias_T}: give three finite numbers")

    @property
    def field_unit_T(self) -> float:
        """A field of one hopping a moment, T."""
        return self.hopping_meV / (self.moment_muB * llg.MU_B_MEV_PER_T)

    @property
    def t0_ps(self) -> float:
        """The paper's unit of time: 1/γ in a field of one hopping, ps."""
        return 1 / (llg.GAMMA_RAD_PER_PS_T * self.field_unit_T)

    def as_dict(self) -> dict[str, Any]:
        """The parameters as plain numbers, for a start document or a file header."""
        return asdict(self)


class TorqueFilm(PulsedFilm):
    """A film whose torque is a function of its spins; pulsed, filmed and relaxed as ``Film``.

    torque : the electrons' field on the spins, in hoppings (``FieldOfSpins``)
    parameters : ItinerantFilmParameters; seed : of the thermal noise, 0 or more
    device : "cpu", in double precision, under any torque; or "cuda", in single precision, under a
        ``BoundField`` of that device: nothing leaves it but frames. Chosen once, here
    spins at the start : along +z

    Raises ValueError for what cannot be, RuntimeError where there is no CUDA device.
    """

    def __init__(
        self,
        torque: FieldOfSpins,
        parameters: ItinerantFilmParameters | None = None,
        *,
        device: Literal["cpu", "cuda"] = "cpu",
        seed: int = 0,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed = {seed}: must be 0 or more")
        self.parameters = p = parameters or ItinerantFilmParameters()
        self.torque, self.device, self.seed = torque, device, seed
        self.steps_taken = 0
        self._noise_key = noise_key(seed)
        self._engine = _make_engine(device, torque, p)
        self.set_uniform()

    @property
    def spins(self) -> np.ndarray:
        """As ``PulsedFilm.spins``."""
        return self._engine.read()[0]

    @spins.setter
    def spins(self, value: np.ndarray) -> None:
        shape = (3, self.parameters.rows, self.parameters.columns)
        if np.shape(value) != shape:
            raise ValueError(f"spins of shape {np.shape(value)}: this film needs {shape}")
        self._engine.write(checked_spins(value)[None])

    def set_uniform(self, sign: int = 1) -> None:
        """Magnetise the whole film along +z or -z (``sign``)."""
        spins = np.zeros((3, self.parameters.rows, self.parameters.columns))
        spins[2] = sign
        self.spins = spins

    def set_skyrmion_lattice(self, magnetisation: float = 0.4) -> None:
        """The skyrmion-lattice ansatz. Raises ValueError where it does not fit the film."""
        p = self.parameters
        self.spins = skyrmion_lattice(p.rows, p.columns, magnetisation=magnetisation)

    def charge(self) -> float:
        """Topological charge of the periodic film, an integer."""
        return lattice_charge(self.spins)

    def advance(
        self,
        span_ps: float,
        pulse: Pulse | None = None,
        *,
        start_ps: float = 0.0,
        max_step_ps: float | None = None,
    ) -> None:
        """As ``PulsedFilm.advance``.

        max_step_ps : longest time step; left out, ``MAX_STEP_T0``, or what a strong pulse asks for
        """
        p = self.parameters
        if not 0 <= span_ps < np.inf:
            raise ValueError(f"span_ps = {span_ps}: give 0 or more")
        if max_step_ps is not None and not max_step_ps > 0:
            raise ValueError(f"max_step_ps = {max_step_ps}: must be above 0")
        applied_T = float(np.linalg.norm(p.bias_T)) + (pulse.amplitude_T if pulse else 0.0)
        bound = MAX_STEP_T0 * p.t0_ps
        if applied_T:
            bound = min(bound, _MOST_TURN / (llg.GAMMA_RAD_PER_PS_T * applied_T))
        steps = int(np.ceil(span_ps / (max_step_ps or bound) - 1e-9))
        if not steps:
            return
        coefficients = _coefficients(
            rate=llg.GAMMA_RAD_PER_PS_T / (1 + p.damping**2),
            damping=p.damping,
            thermal_T2ps=2 * p.damping * llg.K_B_MEV_PER_K * p.temperature_K
            / (llg.GAMMA_RAD_PER_PS_T * p.moment_muB * llg.MU_B_MEV_PER_T),
        )  # fmt: skip
        self._engine.advance([self._span(coefficients, pulse, start_ps, span_ps, steps)])
        self.steps_taken += steps

    def relax(self, max_ps: float = 500.0, torque_T: float = 1e-3) -> float:
        """As ``PulsedFilm.relax``."""
        # Damping alone, γ/2: what the Landau–Lifshitz–Gilbert equation tends to for large α.
        coefficients = _coefficients(llg.GAMMA_RAD_PER_PS_T / 2 / _ONLY_DAMPING, _ONLY_DAMPING)
        step_ps = 2 * MAX_STEP_T0 * self.parameters.t0_ps
        elapsed = 0.0
        while (torque := self.max_torque_T()) > torque_T and elapsed < max_ps:
            self._engine.advance([self._span(coefficients, None, 0.0, step_ps, 1)])
            elapsed += step_ps
        return torque

    def field_T(self, spins: np.ndarray | None = None) -> np.ndarray:
        """Field on the film's spins, or on others, without pulse, (3, rows, columns), T."""
        p = self.parameters
        field = p.field_unit_T * self.torque(self.spins if spins is None else spins)
        return field + np.asarray(p.bias_T)[:, None, None]

    def max_torque_T(self) -> float:
        """Largest |S × B| over the film, T."""
        spins = self.spins
        across = perpendicular(spins, self.field_T(spins))
        return float(np.linalg.norm(across, axis=0).max())

    def _span(
        self,
        coefficients: Coefficients,
        pulse: Pulse | None,
        start_ps: float,
        span_ps: float,
        steps: int,
    ) -> Span:
        p = self.parameters
        spot: Any = pulse.spot if pulse else None
        return Span(
            coefficients=coefficients,
            bias_T=p.bias_T,
            peak_T=pulse.peak_field_T if pulse else (0.0, 0.0, 0.0),
            peak_ps=pulse.peak_ps if pulse else 0.0,
            width_ps=pulse.width_ps if pulse else 1.0,
            spot=_spot_profile(spot, p.rows, p.columns) if spot else None,
            anisotropy_map=None,
            start_ps=start_ps,
            step_ps=span_ps / steps,
            steps=steps,
            noise_key=self._noise_key,
            first_step=self.steps_taken,
        )


def _coefficients(rate: float, damping: float, thermal_T2ps: float = 0.0) -> Coefficients:
    """Those of a film without couplings of its own: its torque has them."""
    return Coefficients(0.0, 0.0, 0.0, rate, damping, thermal_T2ps)


def _make_engine(device: str, torque: FieldOfSpins, p: ItinerantFilmParameters) -> Engine:
    if device == "cpu":
        return _CpuEngine(torque, p.field_unit_T, p.rows, p.columns)
    if device == "cuda":
        from skyctl.simulators.itinerant.kernels_film_cuda import TorqueCudaEngine

        return TorqueCudaEngine(torque, p.field_unit_T, p.rows, p.columns)
    raise ValueError(f"device {device!r}: choose 'cpu' or 'cuda'")


class _CpuEngine:
    """One film in double precision, under a field that may be any function of its spins."""

    def __init__(self, torque: FieldOfSpins, field_unit_T: float, rows: int, columns: int) -> None:
        self._torque, self._field_unit_T = torque, field_unit_T
        self._spins = np.zeros((3, rows, columns))

    def read(self) -> np.ndarray:
        return self._spins[None].copy()

    def write(self, spins: np.ndarray) -> None:
        self._spins = spins[0].astype(np.float64)

    def advance(self, spans: Sequence[Span]) -> None:
        (span,) = spans
        c = span.coefficients
        spot = 1.0 if span.spot is None else span.spot
        bias_T = np.asarray(span.bias_T)[:, None, None]
        pulse_T = spot * np.asarray(span.peak_T)[:, None, None]
        for step in range(span.steps):
            time_ps = span.start_ps + step * span.step_ps
            noise_T: Any = self._noise_T(span, step) if c.thermal_T2ps else 0.0

            def field_T(
                spins: np.ndarray, half_on: bool, time_ps: float = time_ps, noise_T: Any = noise_T
            ) -> np.ndarray:
                now_ps = time_ps + half_on * CORRECTOR_AT["midpoint"] * span.step_ps
                strength = llg.pulse_envelope(now_ps, span.peak_ps, span.width_ps)
                applied_T = bias_T + strength * pulse_T
                return self._field_unit_T * self._torque(spins) + applied_T + noise_T

            self._spins = midpoint_step(self._spins, field_T, c.rate * span.step_ps, c.damping)

    def _noise_T(self, span: Span, step: int) -> np.ndarray:
        """The thermal field in a step, (3, rows, columns)."""
        from skyctl.simulators.lattice.kernels_cpu import draw_noise

        deviation_T = np.sqrt(span.coefficients.thermal_T2ps / span.step_ps)
        sites = self._spins[0].size
        noise = np.empty((3, sites), np.float32)
        draw_noise(noise, 0, sites, 0, span.first_step + step, span.noise_key)
        return deviation_T * noise.reshape(self._spins.shape).astype(np.float64)


@lru_cache(maxsize=8)
def _spot_profile(spot: Spot, rows: int, columns: int) -> np.ndarray:
    """Pulse strength over the film, (rows, columns): a Gaussian on the triangular lattice.

    A spot's x and y count columns and rows; its radius is in lattice constants.
    """
    row, column = np.mgrid[:rows, :columns]
    down, right = row - spot.y, column - spot.x
    # Periodic: the nearest image along each side.
    down -= rows * np.rint(down / rows)
    right -= columns * np.rint(right / columns)
    square = right**2 + right * down + down**2
    profile = np.exp(-square / (2 * spot.sigma**2))
    profile.flags.writeable = False  # shared by all that ask for it
    return profile
