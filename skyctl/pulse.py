"""Pulse: what is fired. FrameSchedule: when the camera looks."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

PRINTABLE = r"^[!-~][ -~]*$"
"""Names of runs and shots: printable ASCII, which every file format and log keeps as it is."""


class Spot(BaseModel):
    """Gaussian footprint of a local pulse on the film, in sites from the film's corner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: FiniteFloat = Field(description="centre along columns, sites")
    y: FiniteFloat = Field(description="centre along rows, sites")
    sigma: FiniteFloat = Field(gt=0, description="Gaussian radius, sites")


class Pulse(BaseModel):
    """A Gaussian magnetic field pulse, B0 exp(-(t-t_p)²/2t_w²) e(θ, φ) (arXiv:1907.01814 eq. 3).

    Raises pydantic.ValidationError for NaN, infinity, a width that is not positive or a field that
    is not there. What an instrument may fire is the pulser's envelope, not this type's business.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    amplitude_T: FiniteFloat = Field(default=2.0, ge=0, description="peak field B0, T")
    width_ps: FiniteFloat = Field(gt=0, description="Gaussian width t_w (standard deviation), ps")
    theta_deg: FiniteFloat = Field(default=40.0, description="polar angle from +z, degrees")
    phi_deg: FiniteFloat = Field(default=0.0, description="azimuth from +x, degrees")
    peak_ps: FiniteFloat = Field(default=40.0, description="time of the peak in the movie, ps")
    spot: Spot | None = Field(default=None, description="local footprint; None is the whole film")

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
        """∫B² dt over the whole pulse, T²·ps."""
        return self.amplitude_T**2 * self.width_ps * math.sqrt(math.pi)

    def scaled(self, factor: float) -> "Pulse":
        """The same pulse at ``factor`` times the field, 0 or more."""
        return self.model_copy(update={"amplitude_T": self.amplitude_T * factor})

    def __str__(self) -> str:
        place = f" spot σ={self.spot.sigma:g}" if self.spot else ""
        return f"{self.amplitude_T:g} T {self.width_ps:g} ps θ={self.theta_deg:g}°{place}"


PULSE_NUMBERS = tuple(name for name in Pulse.model_fields if name != "spot")
"""Numbers of a pulse without its spot, in the order in which files and messages have them."""
SPOT_NUMBERS = tuple(Spot.model_fields)
SETTINGS = (*PULSE_NUMBERS, *(f"spot_{name}" for name in SPOT_NUMBERS))
"""A pulse as plain numbers: what a pulser calls its settings."""


def settings_of(pulse: Pulse) -> dict[str, float]:
    """A pulse as its SETTINGS; on the whole film those of the spot are 0."""
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
