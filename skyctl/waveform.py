"""Waveforms of a pulse that is no Gaussian: their course, dose and duty, in closed form.

A waveform says how strong a pulse is at a time, from -1 to 1 of its amplitude; 0 is the pulse's
``peak_ps``, and ``width_ps`` its scale of time: the Gaussian's standard deviation, or what has the
same ∫ f² t² dt.
"""

import cmath
import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

_SQRT_PI = math.sqrt(math.pi)
GAUSSIAN_REACH = 4.0
"""Widths after its peak at which a Gaussian has fallen to 3e-4."""
MOST_SAMPLES = 20_000
"""A start message with so many is of 400 kB."""


class Square(BaseModel):
    """On for twice the pulse's width, from half height to half height, with straight flanks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["square"] = "square"
    rise_ps: FiniteFloat = Field(default=0.0, ge=0, description="from 0 to full height, ps")
    fall_ps: FiniteFloat = Field(default=0.0, ge=0, description="from full height to 0, ps")

    def at(self, after_ps: np.ndarray, width_ps: float) -> np.ndarray:
        """Strength at times (n,) after the pulse's middle."""
        return np.interp(after_ps, self.corners(width_ps), [0.0, 1.0, 1.0, 0.0], 0.0, 0.0)

    def square_ps(self, width_ps: float) -> float:
        """∫ f² dt, ps."""
        return 2 * width_ps - (self.rise_ps + self.fall_ps) / 6

    def on_ps(self, width_ps: float) -> float:
        """∫ |f| dt, or more, ps."""
        return 2 * width_ps

    def shortest_ps(self, width_ps: float) -> float:
        """What a step in time must not leap over, ps."""
        return min([width_ps, *(flank for flank in (self.rise_ps, self.fall_ps) if flank)])

    def corners(self, width_ps: float) -> tuple[float, ...]:
        """When it begins, bends and ends, after the pulse's middle."""
        up, down = self.rise_ps / 2, self.fall_ps / 2
        return (-width_ps - up, -width_ps + up, width_ps - down, width_ps + down)

    def fault(self, width_ps: float) -> str:
        """Why there is no such pulse of this width, or ""."""
        if self.rise_ps / 2 + self.fall_ps / 2 > 2 * width_ps:
            return f"flanks of {self.rise_ps:g} and {self.fall_ps:g} ps in {2 * width_ps:g} ps"
        return ""


class Burst(BaseModel):
    """A sine under the pulse's Gaussian; its frequency may change as it goes: a chirp."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["burst"] = "burst"
    frequency_THz: FiniteFloat = Field(ge=0, le=100, description="at the peak, THz")
    chirp_THz_per_ps: FiniteFloat = Field(default=0.0, description="change of frequency, THz/ps")
    phase_deg: FiniteFloat = Field(default=0.0, description="at the peak; 0 is a cosine")

    def at(self, after_ps: np.ndarray, width_ps: float) -> np.ndarray:
        """Strength at times (n,) after the pulse's middle."""
        phase = math.radians(self.phase_deg) + 2 * np.pi * after_ps * (
            self.frequency_THz + self.chirp_THz_per_ps * after_ps / 2
        )
        return np.exp(-((after_ps / width_ps) ** 2) / 2) * np.cos(phase)

    def square_ps(self, width_ps: float) -> float:
        """∫ f² dt, ps: of half a Gaussian's square, and of the same at twice the frequency."""
        curve = 1 / width_ps**2 - 2j * math.pi * self.chirp_THz_per_ps
        turn = 2j * math.radians(self.phase_deg)
        carrier = cmath.sqrt(math.pi / curve) * cmath.exp(
            turn - (2 * math.pi * self.frequency_THz) ** 2 / curve
        )
        return (width_ps * _SQRT_PI + carrier.real) / 2

    def on_ps(self, width_ps: float) -> float:
        """∫ |f| dt, or more, ps."""
        return width_ps * math.sqrt(2 * math.pi)

    def shortest_ps(self, width_ps: float) -> float:
        """What a step in time must not leap over, ps."""
        fastest = self.frequency_THz + 4 * width_ps * abs(self.chirp_THz_per_ps)
        return min(width_ps, 0.1 / fastest) if fastest else width_ps

    def corners(self, width_ps: float) -> tuple[float, ...]:
        """When it begins and ends, after the pulse's middle: beyond, it is below 3e-4."""
        return -GAUSSIAN_REACH * width_ps, GAUSSIAN_REACH * width_ps

    def fault(self, width_ps: float) -> str:
        """Why there is no such pulse of this width, or ""."""
        return ""


class Sampled(BaseModel):
    """A waveform that was measured or drawn: straight lines between samples, 0 outside of them.

    times_ps : after the pulse's peak_ps, ascending; values : from -1 to 1 of its amplitude
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["sampled"] = "sampled"
    times_ps: tuple[FiniteFloat, ...] = Field(min_length=2, max_length=MOST_SAMPLES)
    values: tuple[Annotated[FiniteFloat, Field(ge=-1, le=1)], ...]

    @model_validator(mode="after")
    def _is_one(self) -> "Sampled":
        if len(self.times_ps) != len(self.values):
            raise ValueError(f"{len(self.times_ps)} times and {len(self.values)} values")
        steps = np.diff(self.times_ps)
        if not steps.min() > 0:
            at = int(np.argmin(steps > 0))
            raise ValueError(
                f"times must ascend: {self.times_ps[at]:g} is followed by "
                f"{self.times_ps[at + 1]:g} ps"
            )
        if not any(self.values):
            raise ValueError("every value is 0: no pulse")
        return self

    def as_bytes(self) -> bytes:
        """All times, then all values, doubles, little-endian."""
        return np.array([self.times_ps, self.values], "<f8").tobytes()

    @classmethod
    def of_bytes(cls, content: bytes) -> "Sampled":
        """What ``as_bytes`` gave. Raises ValueError for anything else."""
        times_ps, values = np.frombuffer(content, "<f8").reshape(2, -1).tolist()
        return cls(times_ps=tuple(times_ps), values=tuple(values))

    def at(self, after_ps: np.ndarray, width_ps: float) -> np.ndarray:
        """Strength at times (n,) after the pulse's middle."""
        return np.interp(after_ps, self.times_ps, self.values, 0.0, 0.0)

    def square_ps(self, width_ps: float) -> float:
        """∫ f² dt, ps."""
        a, b = np.array(self.values[:-1]), np.array(self.values[1:])
        return float((np.diff(self.times_ps) * (a * a + a * b + b * b)).sum() / 3)

    def on_ps(self, width_ps: float) -> float:
        """∫ |f| dt, or more, ps."""
        sizes = np.abs(self.values)
        return float((np.diff(self.times_ps) * (sizes[:-1] + sizes[1:])).sum() / 2)

    def shortest_ps(self, width_ps: float) -> float:
        """What a step in time must not leap over, ps."""
        slopes = np.abs(np.diff(self.values)) / np.diff(self.times_ps)
        return min(width_ps, float(1 / slopes.max()))

    def corners(self, width_ps: float) -> tuple[float, ...]:
        """When it begins and ends, after the pulse's middle."""
        return self.times_ps[0], self.times_ps[-1]

    def fault(self, width_ps: float) -> str:
        """Why there is no such pulse of this width, or ""."""
        if not math.isclose(width_ps, self.width_ps, rel_tol=1e-6):
            return f"width_ps {width_ps:g}, and these samples have {self.width_ps:g}"
        return ""

    @property
    def width_ps(self) -> float:
        """The width of the Gaussian that has the same ∫ f² t² dt over ∫ f² dt, ps."""
        t = np.linspace(self.times_ps[0], self.times_ps[-1], 4 * len(self.times_ps) + 1)
        weight = self.at(t, 1.0) ** 2
        middle = (weight * t).sum() / weight.sum()
        return float(np.sqrt(2 * (weight * (t - middle) ** 2).sum() / weight.sum()))


Waveform = Annotated[Square | Burst | Sampled, Field(discriminator="kind")]
WAVEFORMS: tuple[type[Square] | type[Burst] | type[Sampled], ...] = (Square, Burst, Sampled)


def read_waveform(path: Path) -> Sampled:
    """A waveform from a file: two columns, time in ps and value, as text (.csv, .txt) or .npy.

    Values are taken relative to the largest, which becomes ±1; times count from where that is.
    Raises ValueError for a file that holds none.
    """
    try:
        if path.suffix.lower() == ".npy":
            table = np.load(path, allow_pickle=False)
        else:
            rows = path.read_text().replace(",", " ").replace(";", " ").splitlines()
            lines = [row.split() for row in rows if row.strip() and not row.startswith("#")]
            if lines and not _is_number(lines[0][0]):  # a row of titles
                lines = lines[1:]
            table = np.array(lines, float)
    except (OSError, ValueError) as error:
        raise ValueError(f"waveform {path}: cannot be read ({error})") from error
    if table.ndim != 2 or table.shape[1] != 2 or len(table) < 2:
        raise ValueError(f"waveform {path}: {table.shape}: give rows of a time in ps and a value")
    times_ps, values = table.T.astype(float)
    largest = np.abs(values).max()
    if not np.isfinite(table).all() or not largest:
        raise ValueError(f"waveform {path}: holds a NaN or an infinity, or nothing but 0")
    peak_ps = times_ps[np.abs(values).argmax()]
    try:
        return Sampled(times_ps=tuple(times_ps - peak_ps), values=tuple(values / largest))
    except ValidationError as error:
        fault = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"waveform {path}: {fault}") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
