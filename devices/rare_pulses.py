"""Pulses that are no single Gaussian field: which of them a guard lets through, and how exactly."""

import json
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse, Ring, SpinCurrent, Spot, Stripe
from skyctl.waveform import Burst, Sampled, Square

_LONGEST = 800
"""Characters of such a pulse in a ledger's line or a recording's row."""
_PARTS: dict[str, tuple[type[BaseModel], ...]] = {
    "waveform": (Square, Burst, Sampled),
    "current": (SpinCurrent,),
    "shape": (Stripe, Ring),
}


class RarePulses(BaseModel):
    """Which pulses a pulser may fire that are no single Gaussian field: by default none.

    Raises ValueError for limits that are no numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    waveforms: tuple[Literal["square", "burst", "sampled"], ...] = ()
    footprints: tuple[Literal["stripe", "ring"], ...] = ()
    pulses: int = Field(default=1, ge=1, le=2, description="most in one shot")
    density_A_per_m2: float = Field(default=0.0, ge=0, description="highest; 0: no current")
    dose_A2s_per_m4: float = Field(default=0.0, ge=0, description="highest ∫j² dt of one shot")

    def check(self, pulse: Pulse) -> None:
        """Raise PulseRefused for a pulse, read exactly, that is none of these."""
        both = [pulse, *([pulse.second] if pulse.second else [])]
        if len(both) > self.pulses:
            raise _refused(f"{len(both)} pulses in a shot: {self.pulses} may be", "range")
        for each in both:
            if each.waveform and each.waveform.kind not in self.waveforms:
                raise _refused(f"a {each.waveform.kind} pulse: may not be fired here", "range")
            shape = each.spot.shape if each.spot else None
            if shape and shape.kind not in self.footprints:
                raise _refused(f"a {shape.kind} spot: may not be fired here", "range")
            density = each.current.density_A_per_m2 if each.current else 0.0
            if not 0 <= density <= self.density_A_per_m2:
                raise _refused(
                    f"current of {density:g} A/m²: outside 0 … {self.density_A_per_m2:g}", "range"
                )
        if not 0 <= pulse.dose_A2s_per_m4 <= self.dose_A2s_per_m4:
            raise _refused(
                f"current dose = {pulse.dose_A2s_per_m4:.3g} A²s/m⁴: outside 0 … "
                f"{self.dose_A2s_per_m4:g}",
                "dose",
            )


def exact_parts(
    given: dict[str, Any], spot: Spot | None, number: Callable[[str, Any], float], depth: int = 0
) -> dict[str, Any]:
    """What makes a pulse rare, taken out of ``given``, as plain numbers; {} of a plain pulse.

    given : the pulse's own attributes, each read once; number : makes an exact float, or refuses

    Raises PulseRefused for any but the exact types, and for what they cannot be.
    """
    parts = {name: given.pop(name, None) for name in ("waveform", "current")}
    parts["shape"] = dict(vars(spot)).get("shape") if spot is not None else None
    second = given.pop("second", None)
    told = {n: _exact(n, part, number) for n, part in parts.items() if part is not None}
    if second is not None:
        if type(second) is not Pulse or depth:
            raise _refused(f"a {type(second).__name__} is no second pulse", "type")
        own = dict(vars(second))
        place = own.pop("spot", None)
        if type(place) not in (Spot, type(None)):
            raise _refused(f"a {type(place).__name__} is no Spot", "type")
        rare = exact_parts(own, place, number, depth + 1)
        shape = rare.pop("shape", None)
        told["second"] = {**{n: number(n, v) for n, v in own.items()}, **rare}
        if place is not None:
            sites = dict(vars(place))
            sites.pop("shape", None)
            told["second"]["spot"] = {n: number(f"spot_{n}", v) for n, v in sites.items()}
            told["second"]["spot"] |= {"shape": shape} if shape else {}
    return told


def _exact(name: str, part: Any, number: Callable[[str, Any], float]) -> dict[str, Any]:
    if type(part) not in _PARTS[name]:
        raise _refused(f"a {type(part).__name__} is no {name} of a pulse", "type")
    told: dict[str, Any] = {}
    for field, value in dict(vars(part)).items():
        if field == "kind":
            told[field] = type(part).model_fields["kind"].default
        elif type(value) is tuple:
            told[field] = [number(field, each) for each in value]
        else:
            told[field] = number(field, value)
    return told


def rebuilt(plain: Pulse, rare: str) -> Pulse:
    """The pulse of these settings and these parts (JSON, as of ``exact_parts``).

    Raises PulseRefused for one that cannot be, or is too long to be written down.
    """
    parts = json.loads(rare)
    told = plain.model_dump()
    shape = parts.pop("shape", None)
    if shape is not None and told["spot"] is not None:
        told["spot"]["shape"] = shape
    try:
        pulse = Pulse.model_validate({**told, **parts})
    except ValueError as error:
        fault = str(error).splitlines()
        raise _refused(f"no such pulse: {' '.join(fault[1:3])}", "range") from error
    if len(text := pulse.model_dump_json()) > _LONGEST:
        raise _refused(
            f"a pulse of {len(text)} characters: {_LONGEST} can be written down", "range"
        )
    return pulse


def _refused(fault: str, kind: str) -> PulseRefused:
    return PulseRefused(
        f"{fault}. Nothing was fired; choose another, or change the pulser's envelope.", kind
    )
