"""A pulse read exactly: a private copy of what claims to be one, and what is remembered of it."""

import json
from typing import Any

from pydantic import BaseModel

from skyctl.errors import PulseRefused
from skyctl.pulse import (
    PULSE_NUMBERS,
    SPOT_NUMBERS,
    Pulse,
    Ring,
    SpinCurrent,
    Spot,
    Stripe,
)
from skyctl.samples import Samples, brief_text, whole
from skyctl.waveform import Burst, Sampled, Square

Numbers = tuple[tuple[float, ...], tuple[float, ...] | None, str]
"""Of a pulse, and of its spot where it has one: exact floats, in the order of their fields; and
the whole of one that is no single Gaussian field, as ``brief_text``, or ""."""

_PARTS: dict[str, tuple[type[BaseModel], ...]] = {
    "waveform": (Square, Burst, Sampled),
    "current": (SpinCurrent,),
    "shape": (Stripe, Ring),
}
_EXACT = 2**53  # beyond it an integer is no float


def exact_copy(pulse: Any) -> Pulse:
    """A copy, checked or not, of what claims to be a pulse: exact floats, each read once, so that
    nobody can change them any more.

    Raises PulseRefused for any type but the exact ones. A subclass could tell another dose, or
    answer the guard's comparisons itself.
    """
    if type(pulse) is not Pulse:
        raise _no_pulse(f"a {type(pulse).__name__} is no Pulse")
    given = dict(vars(pulse))
    spot = given.pop("spot", None)
    if type(spot) not in (Spot, type(None)):
        raise _no_pulse(f"a {type(spot).__name__} is no Spot")
    rare = _rare_parts(given, spot)
    sites = {} if spot is None else dict(vars(spot))
    sites.pop("shape", None)
    place = None if spot is None else _floats(sites, SPOT_NUMBERS, "spot_")
    plain = _plain(_floats(given, PULSE_NUMBERS, ""), place)
    return _rebuilt(plain, rare) if rare else plain


def numbers_of(own: Pulse) -> Numbers:
    """What is remembered of an exact copy."""
    spot = own.spot
    place = tuple(getattr(spot, name) for name in SPOT_NUMBERS) if spot else None
    values = tuple(getattr(own, name) for name in PULSE_NUMBERS)
    return values, place, "" if own.is_plain else brief_text(own)


def pulse_of_numbers(numbers: Numbers, samples: Samples) -> Pulse:
    """The pulse that is remembered so, in a new object.

    Raises PulseRefused where samples of its waveform are gone or changed.
    """
    values, place, rare = numbers
    if not rare:
        return _plain(values, place)
    try:
        return whole(json.loads(rare), samples)
    except ValueError as error:
        raise PulseRefused(
            f"booked pulse: {error}. Nothing was fired; put the ledger's folder of samples back.",
            "ledger",
        ) from error


def _floats(given: dict[str, Any], names: tuple[str, ...], prefix: str) -> tuple[float, ...]:
    if set(given) != set(names):
        raise _no_pulse(f"no Pulse: it has not the settings {', '.join(names)}")
    return tuple(_float(prefix + name, given[name]) for name in names)


def _float(name: str, value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int and abs(value) < _EXACT:
        return float(value)
    raise _no_pulse(f"pulse {name}: a {type(value).__name__} that is no number of this kind")


def _plain(values: tuple[float, ...], place: tuple[float, ...] | None) -> Pulse:
    """The pulse of these numbers, checked or not."""
    settings: dict[str, Any] = dict(zip(PULSE_NUMBERS, values, strict=True))
    settings["spot"] = None
    if place is not None:
        of_spot: dict[str, Any] = dict(zip(SPOT_NUMBERS, place, strict=True))
        settings["spot"] = Spot.model_construct(**of_spot)
    return Pulse.model_construct(**settings)


def _rare_parts(given: dict[str, Any], spot: Spot | None, depth: int = 0) -> dict[str, Any]:
    """What makes a pulse rare, taken out of ``given``, as plain numbers; {} of a plain pulse.

    given : the pulse's own attributes, each read once
    """
    parts = {name: given.pop(name, None) for name in ("waveform", "current")}
    parts["shape"] = dict(vars(spot)).get("shape") if spot is not None else None
    second = given.pop("second", None)
    told = {n: _exact(n, part) for n, part in parts.items() if part is not None}
    if second is not None:
        if type(second) is not Pulse or depth:
            raise _no_pulse(f"a {type(second).__name__} is no second pulse")
        own = dict(vars(second))
        place = own.pop("spot", None)
        if type(place) not in (Spot, type(None)):
            raise _no_pulse(f"a {type(place).__name__} is no Spot")
        rare = _rare_parts(own, place, depth + 1)
        shape = rare.pop("shape", None)
        told["second"] = {**{n: _float(n, v) for n, v in own.items()}, **rare}
        if place is not None:
            sites = dict(vars(place))
            sites.pop("shape", None)
            told["second"]["spot"] = {n: _float(f"spot_{n}", v) for n, v in sites.items()}
            told["second"]["spot"] |= {"shape": shape} if shape else {}
    return told


def _exact(name: str, part: Any) -> dict[str, Any]:
    if type(part) not in _PARTS[name]:
        raise _no_pulse(f"a {type(part).__name__} is no {name} of a pulse")
    told: dict[str, Any] = {}
    for field, value in dict(vars(part)).items():
        if field == "kind":
            told[field] = type(part).model_fields["kind"].default
        elif type(value) is tuple:
            told[field] = [_float(field, each) for each in value]
        else:
            told[field] = _float(field, value)
    return told


def _rebuilt(plain: Pulse, parts: dict[str, Any]) -> Pulse:
    told = plain.model_dump()
    shape = parts.pop("shape", None)
    if shape is not None and told["spot"] is not None:
        told["spot"]["shape"] = shape
    try:
        return Pulse.model_validate({**told, **parts})
    except ValueError as error:
        fault = str(error).splitlines()
        raise PulseRefused(
            f"no such pulse: {' '.join(fault[1:3])}. Nothing was fired; choose another.", "range"
        ) from error


def _no_pulse(fault: str) -> PulseRefused:
    return PulseRefused(f"{fault}. Nothing was fired; give a skyctl.pulse.Pulse of floats.", "type")
