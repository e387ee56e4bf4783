"""LLG on the itinerant magnet: the field on the spins comes from electrons, or from a network.

Where the field of a ``Film`` is a stencil of its own kernels, here it is any function of the spins:
``exact_field`` diagonalises, ``kernel_polynomial.KernelPolynomial`` estimates, and
``inference.torque_network.TorqueNetwork`` predicts. The spins move alike under all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.itinerant.electrons import (
    FOUR_TWISTS,
    Electrons,
    checked_spins,
    equilibrium,
    lattice_charge,
    perpendicular,
    skyrmion_lattice,
)
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.pulsed_film import PulsedFilm
from skyctl.simulators.physics.schemes import MIDPOINT
from skyctl.simulators.physics.span import Engine, Span

MAX_STEP_T0 = 1.0
"""Longest time step, in units of t0: the fields perpendicular to the spins, which alone turn them,
are some hundredths."""
_MOST_TURN = 0.3
_predict, _correct = MIDPOINT.functions(lambda function: function)
_HALF_ONE_PADE: Any = (0.5, 1.0, llg.TAN_PADE)


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

    The scalar functions of ``schemes.MIDPOINT``, on arrays: |S| stays 1 to rounding.
    """

    def turning(by_field: np.ndarray, among: np.ndarray) -> Any:
        (sx, sy, sz), (bx, by, bz) = among, turn * by_field
        return llg.turning(sx, sy, sz, bx, by, bz, damping)

    a = turning(field_of(spins, False), spins)
    middle = np.stack(_predict(*spins, *a, *_HALF_ONE_PADE))
    unit = middle / np.linalg.norm(middle, axis=0)
    later = turning(field_of(unit, True), middle)
    return np.stack(_correct(*spins, *middle, *a, *later, *_HALF_ONE_PADE))


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
    def periodic(self) -> bool:
        """It has no edges."""
        return True

    @property
    def moment_meV_per_T(self) -> float:
        """Magnetic moment of a site, meV/T."""
        return self.moment_muB * llg.MU_B_MEV_PER_T

    @property
    def field_unit_T(self) -> float:
        """A field of one hopping a moment, T."""
        return self.hopping_meV / self.moment_meV_per_T

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
        self.torque, self.device = torque, device
        self._start(_make_engine(device, torque, p), seed)
        self.set_uniform()

    def _unit_spins(self, value: np.ndarray) -> np.ndarray:
        shape = (3, self.parameters.rows, self.parameters.columns)
        if np.shape(value) != shape:
            raise ValueError(f"spins of shape {np.shape(value)}: this film needs {shape}")
        return checked_spins(value)

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

    def longest_step_ps(self, pulse: Pulse | None, wanted_ps: float | None = None) -> float:
        """As ``PulsedFilm.longest_step_ps``: ``MAX_STEP_T0``, or what a strong field asks for.

        Raises ValueError for a step that is not above 0.
        """
        if wanted_ps is not None:
            if not wanted_ps > 0:
                raise ValueError(f"max_step_ps = {wanted_ps}: must be above 0")
            return wanted_ps
        p = self.parameters
        applied_T = float(np.linalg.norm(p.bias_T)) + (pulse.amplitude_T if pulse else 0.0)
        bound = MAX_STEP_T0 * p.t0_ps
        if applied_T:
            bound = min(bound, _MOST_TURN / (llg.GAMMA_RAD_PER_PS_T * applied_T))
        return bound

    def _relaxing_ps(self) -> tuple[float, float]:
        step_ps = 2 * MAX_STEP_T0 * self.parameters.t0_ps
        return step_ps, step_ps

    @staticmethod
    def squared_distances(right: np.ndarray, down: np.ndarray) -> np.ndarray:
        """On the triangular lattice."""
        return right**2 + right * down + down**2

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
                now_ps = time_ps + half_on * MIDPOINT.corrector_at * span.step_ps
                strength = llg.pulse_envelope(now_ps, span.peak_ps, span.width_ps)
                applied_T = bias_T + strength * pulse_T
                return self._field_unit_T * self._torque(spins) + applied_T + noise_T

            self._spins = midpoint_step(self._spins, field_T, c.rate * span.step_ps, c.damping)

    def _noise_T(self, span: Span, step: int) -> np.ndarray:
        """The thermal field in a step, (3, rows, columns)."""
        from skyctl.simulators.physics.kernels_noise import draw_noise

        deviation_T = np.sqrt(span.coefficients.thermal_T2ps / span.step_ps)
        sites = self._spins[0].size
        noise = np.empty((3, sites), np.float32)
        draw_noise(noise, 0, sites, 0, span.first_step + step, span.noise_key)
        return deviation_T * noise.reshape(self._spins.shape).astype(np.float64)
