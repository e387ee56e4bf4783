"""Options of pulses that are no single Gaussian field: their course, their current, a second."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from skyctl.pulse import Pulse

WaveformOption = Annotated[
    str | None,
    typer.Option(
        "--waveform",
        help="square:RISE,FALL (ps; on for twice --width), burst:THZ[,THZ_PER_PS[,PHASE]] (a sine, "
        "or a chirp, under the Gaussian), or a file of times in ps and values (.csv, .npy).",
    ),
]

CurrentOption = Annotated[
    str | None,
    typer.Option(
        "--current",
        help="A spin current: A_PER_M2[,FIELD_LIKE]; --amplitude is its damping-like torque as a "
        "field, --theta and --phi its polarisation.",
    ),
]

SecondOption = Annotated[
    str | None,
    typer.Option(
        "--second", help="Another Gaussian field in the shot: AMPLITUDE,WIDTH,THETA,PHI,PEAK."
    ),
]

_SECOND = ("amplitude_T", "width_ps", "theta_deg", "phi_deg", "peak_ps")


@dataclass(frozen=True)
class RareOptions:
    """What the options say of a pulse besides its settings, unread."""

    waveform: str | None
    current: str | None
    second: str | None

    def added_to(self, pulse: "Pulse") -> "Pulse":
        """The pulse with what is asked for. Raises ValueError for what cannot be."""
        from skyctl.pulse import Pulse

        told: dict[str, Any] = pulse.model_dump()
        if self.waveform:
            told |= _waveform(self.waveform)
        if self.current:
            density, field_like = _numbers("--current", self.current, "A_PER_M2[,FIELD_LIKE]", 1, 2)
            told["current"] = {"density_A_per_m2": density, "field_like": field_like or 0.0}
        if self.second:
            numbers = _numbers("--second", self.second, ",".join(_SECOND).upper(), 5, 5)
            told["second"] = {**dict(zip(_SECOND, numbers, strict=True)), "spot": told["spot"]}
        return Pulse.model_validate(told)


def _waveform(text: str) -> dict[str, Any]:
    from skyctl.waveform import read_waveform

    kind, _, numbers = text.partition(":")
    if kind == "square":
        rise, fall = _numbers("--waveform", numbers, "square:RISE,FALL", 2, 2)
        return {"waveform": {"kind": kind, "rise_ps": rise, "fall_ps": fall}}
    if kind == "burst":
        wanted = "burst:THZ[,THZ_PER_PS[,PHASE]]"
        frequency, chirp, phase = _numbers("--waveform", numbers, wanted, 1, 3)
        told = {"frequency_THz": frequency, "chirp_THz_per_ps": chirp or 0.0}
        return {"waveform": {"kind": kind, **told, "phase_deg": phase or 0.0}}
    sampled = read_waveform(Path(text))
    return {"waveform": sampled.model_dump(), "width_ps": sampled.width_ps}


def _numbers(option: str, text: str, wanted: str, least: int, most: int) -> list[Any]:
    """So many numbers, None for those left out."""
    try:
        numbers: list[Any] = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not least <= len(numbers) <= most:
        raise ValueError(f"{option} {text}: give {wanted}")
    return [*numbers, *[None] * (most - len(numbers))]
