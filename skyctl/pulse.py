"""Pulse: what is fired. FrameSchedule: when the camera looks."""

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from skyctl.waveform import GAUSSIAN_REACH, Waveform

PRINTABLE = r"^[!-~][ -~]*$"
"""Names of runs and shots: printable ASCII, which every file format and log keeps as it is."""


class Stripe(BaseModel):
    """A footprint that is a straight line, as wide as the spot's sigma."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["stripe"] = "stripe"
    angle_deg: FiniteFloat = Field(default=0.0, description="of the line, from +x")


class Ring(BaseModel):
    """A footprint that is a circle, its line as wide as the spot's sigma."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ring"] = "ring"
    radius: FiniteFloat = Field(gt=0, description="sites")


class _Lean(BaseModel):
    """A model whose rarer parts are not written down where there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _without_what_is_not(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told = handler(self)
        return {k: v for k, v in told.items() if v is not None or k not in _RARE}


_RARE = ("waveform", "current", "second", "shape")


class Spot(_Lean):
    """Gaussian footprint of a local pulse on the film, in sites from the film's corner."""

    x: FiniteFloat = Field(description="centre along columns, sites")
    y: FiniteFloat = Field(description="centre along rows, sites")
    sigma: FiniteFloat = Field(gt=0, description="Gaussian radius, sites")
    shape: Annotated[Stripe | Ring, Field(discriminator="kind")] | None = Field(
        default=None, description="a line or a circle of that width; None is a round spot"
    )


class SpinCurrent(BaseModel):
    """A current whose spins are polarised along the pulse's direction (Slonczewski's torques).

    The pulse's ``amplitude_T`` is then the strength of the damping-like torque as a field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    density_A_per_m2: FiniteFloat = Field(gt=0, description="at the peak, A/m²")
    field_like: FiniteFloat = Field(
        default=0.0, ge=-1, le=1, description="field-like torque over the damping-like one"
    )


class Pulse(_Lean):
    """A Gaussian magnetic field pulse, B0 exp(-(t-t_p)²/2t_w²) e(θ, φ) (arXiv:1907.01814 eq. 3).

    It may be rarer: of another ``waveform``, a spin ``current``'s, or followed by a ``second`` on
    the same place, in the same shot. Such a pulse has no SETTINGS: who knows only those refuses it.

    Raises pydantic.ValidationError for NaN, infinity, a width that is not positive or a field that
    is not there. What an instrument may fire is the pulser's envelope, not this type's business.
    """

    amplitude_T: FiniteFloat = Field(default=2.0, ge=0, description="peak field B0, T")
    width_ps: FiniteFloat = Field(gt=0, description="Gaussian width t_w (standard deviation), ps")
    theta_deg: FiniteFloat = Field(default=40.0, description="polar angle from +z, degrees")
    phi_deg: FiniteFloat = Field(default=0.0, description="azimuth from +x, degrees")
    peak_ps: FiniteFloat = Field(default=40.0, description="time of the peak in the movie, ps")
    spot: Spot | None = Field(default=None, description="local footprint; None is the whole film")
    waveform: Waveform | None = Field(default=None, description="course in time; None: Gaussian")
    current: SpinCurrent | None = Field(default=None, description="None: a magnetic field")
    second: "Pulse | None" = Field(default=None, description="another in the same shot")

    @model_validator(mode="after")
    def _is_possible(self) -> "Pulse":
        if self.waveform and (fault := self.waveform.fault(self.width_ps)):
            raise ValueError(f"no such {self.waveform.kind} pulse: {fault}")
        if self.second and self.second.second:
            raise ValueError("three pulses in a shot: two are the most")
        if self.second and self.second.spot != self.spot:
            raise ValueError("two pulses of a shot on different places: give them one spot")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether its SETTINGS say all of it: one Gaussian field on a round spot or everywhere."""
        rare = self.waveform or self.current or self.second
        return not (rare or (self.spot and self.spot.shape))

    @property
    def plain(self) -> "Pulse":
        """What its SETTINGS say of it."""
        spot = self.spot.model_copy(update={"shape": None}) if self.spot else None
        rare = dict.fromkeys(("waveform", "current", "second"))
        return self.model_copy(update={**rare, "spot": spot})

    def at(self, times_ps: np.ndarray) -> np.ndarray:
        """Strength of this pulse alone, without a second, at movie times (n,): -1 to 1."""
        after_ps = np.asarray(times_ps) - self.peak_ps
        if self.waveform:
            return self.waveform.at(after_ps, self.width_ps)
        return np.exp(-((after_ps / self.width_ps) ** 2) / 2)

    @property
    def peak_field_T(self) -> tuple[float, float, float]:
        """Field vector at the peak, T."""
        theta, phi = math.radians(self.theta_deg), math.radians(self.phi_deg)
        return (
            self.amplitude_T * math.sin(theta) * math.cos(phi),
            self.amplitude_T * math.sin(theta) * math.sin(phi),
            self.amplitude_T * math.cos(theta),
        )

    @property
    def dose_T2ps(self) -> float:
        """∫B² dt over the whole pulse and a second, T²·ps."""
        own = self.amplitude_T**2 * self._square_ps
        return own + (self.second.dose_T2ps if self.second else 0.0)

    @property
    def dose_A2s_per_m4(self) -> float:
        """∫j² dt over the whole pulse and a second, A²s/m⁴; 0 without current."""
        own = self.current.density_A_per_m2**2 * self._square_ps * 1e-12 if self.current else 0.0
        return own + (self.second.dose_A2s_per_m4 if self.second else 0.0)

    @property
    def _square_ps(self) -> float:
        if self.waveform:
            return self.waveform.square_ps(self.width_ps)
        return self.width_ps * math.sqrt(math.pi)

    @property
    def on_ps(self) -> float:
        """∫|B| dt / B0 of both pulses, or more: what a rectangle of its peak would last, ps."""
        own = (
            self.waveform.on_ps(self.width_ps)
            if self.waveform
            else math.sqrt(2 * math.pi) * self.width_ps
        )
        return own + (self.second.on_ps if self.second else 0.0)

    @property
    def corners_ps(self) -> list[float]:
        """Movie times at which this pulse and a second begin, bend and end, ascending."""
        width, reach = self.width_ps, GAUSSIAN_REACH * self.width_ps
        own = self.waveform.corners(width) if self.waveform else (-reach, reach)
        then = self.second.corners_ps if self.second else []
        return sorted([*(self.peak_ps + corner for corner in own), *then])

    def scaled(self, factor: float) -> "Pulse":
        """The same pulse at ``factor`` times the field, 0 or more."""
        second = self.second.scaled(factor) if self.second else None
        return self.model_copy(update={"amplitude_T": self.amplitude_T * factor, "second": second})

    def __str__(self) -> str:
        shape = f" {self.spot.shape.kind}" if self.spot and self.spot.shape else ""
        place = f" spot σ={self.spot.sigma:g}{shape}" if self.spot else ""
        kind = f" {self.waveform.kind}" if self.waveform else ""
        current = f" {self.current.density_A_per_m2:.3g} A/m²" if self.current else ""
        then = f", then {self.second}" if self.second else ""
        what = f"{self.amplitude_T:g} T{current} {self.width_ps:g} ps{kind}"
        return f"{what} θ={self.theta_deg:g}°{place}{then}"


PULSE_NUMBERS = tuple(name for name in Pulse.model_fields if name not in ("spot", *_RARE))
"""Numbers of a pulse without its spot, in the order in which files and messages have them."""
SPOT_NUMBERS = tuple(name for name in Spot.model_fields if name not in _RARE)
SETTINGS = (*PULSE_NUMBERS, *(f"spot_{name}" for name in SPOT_NUMBERS))
"""A pulse as plain numbers: what a pulser calls its settings."""


def settings_of(pulse: Pulse) -> dict[str, float]:
    """A pulse as its SETTINGS; on the whole film those of the spot are 0.

    Raises ValueError for one that they do not say all of.
    """
    if not pulse.is_plain:
        raise ValueError(
            f"pulse {pulse}: it is no single Gaussian field on a round spot or the whole film, and "
            "only such a pulse has settings"
        )
    spot = pulse.spot
    place = {f"spot_{name}": getattr(spot, name) if spot else 0.0 for name in SPOT_NUMBERS}
    return {**{name: getattr(pulse, name) for name in PULSE_NUMBERS}, **place}


def pulse_of(settings: Mapping[str, float]) -> Pulse:
    """The pulse of these SETTINGS; without a ``spot_sigma`` above 0 it is on the whole film.

    Raises KeyError for a setting that is missing, pydantic.ValidationError as Pulse.
    """
    place = {name: settings[f"spot_{name}"] for name in SPOT_NUMBERS}
    spot = Spot.model_validate(place) if place["sigma"] > 0 else None
    return Pulse.model_validate({**{name: settings[name] for name in PULSE_NUMBERS}, "spot": spot})


QUIET_INTERVAL_PS = 20.0
"""Time between frames while nothing happens; classifiers take no longer one."""


MOST_DELAYS = 64
"""So many fit into the start of a movie, in a message and in a recording."""


class FrameSchedule(BaseModel):
    """When the camera looks: frames at 0, interval, 2·interval … duration.

    The default is the paper's: 8 frames, every 15 ps to 105 ps. Before ``quiet_ps``, where a pulse
    with its peak there has done little yet, a frame every QUIET_INTERVAL_PS does.

    ``delays_ps`` are times of their own instead, ascending: of a stroboscopic movie, an exposure a
    delay, in whatever order they are taken; or of a movie in real time that is not even.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duration_ps: FiniteFloat = Field(default=105.0, ge=0)
    interval_ps: FiniteFloat = Field(default=15.0, gt=0)
    quiet_ps: FiniteFloat = Field(default=0.0, ge=0)
    delays_ps: tuple[FiniteFloat, ...] = Field(default=(), max_length=MOST_DELAYS)

    @field_validator("delays_ps")
    @classmethod
    def _ascend(cls, delays: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in itertools.pairwise(delays)):
            raise ValueError(f"delays {delays}: give them ascending, each once")
        if delays and delays[0] < 0:
            raise ValueError(f"delay {delays[0]:g} ps: a movie begins at 0")
        return delays

    @model_serializer(mode="wrap")
    def _without_no_delays(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told = dump(self)
        return told if self.delays_ps else {k: v for k, v in told.items() if k != "delays_ps"}

    @property
    def times_ps(self) -> list[float]:
        """Movie time of each frame, ps."""
        if self.delays_ps:
            return list(self.delays_ps)
        quiet_ps = min(self.quiet_ps, self.duration_ps)
        frames = math.floor((self.duration_ps - quiet_ps) / self.interval_ps + 1e-9) + 1
        return [self.time_ps(i) for i in range(self._quiet_frames + frames)]

    def time_ps(self, index: int) -> float:
        """Movie time of a frame, ps."""
        if self.delays_ps:
            return self.delays_ps[min(index, len(self.delays_ps) - 1)]  # a frame too many
        quiet = self._quiet_frames
        if index < quiet:
            return index * self._quiet_interval_ps
        return min(self.quiet_ps, self.duration_ps) + (index - quiet) * self.interval_ps

    @property
    def _quiet_interval_ps(self) -> float:
        return max(QUIET_INTERVAL_PS, self.interval_ps)

    @property
    def _quiet_frames(self) -> int:
        quiet_ps = min(self.quiet_ps, self.duration_ps)
        return math.ceil(quiet_ps / self._quiet_interval_ps - 1e-9)


class Exposure(BaseModel):
    """What a camera is asked for: the movie of one shot.

    ``pulsed`` : the movie starts with the pulse; otherwise the camera looks at once.
    ``ends_early`` : the movie may end with the first verdict that is certain.
    ``pulse`` : which one; a detector that knows no pulses cannot say it of its movie.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shot: str = Field(pattern=PRINTABLE, max_length=64)
    pulsed: bool = True
    ends_early: bool = True
    pulse: Pulse | None = None
