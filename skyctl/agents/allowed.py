"""What a pulser may fire, as plain numbers, so that agents propose nothing else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from skyctl.pulse import PULSE_NUMBERS, Pulse, settings_of

Limits = tuple[float, float]

_ANYTHING: Limits = (-math.inf, math.inf)
_BELOW = 1 - 1e-12
"""A field set to the limit of the dose must not exceed it by rounding."""


@dataclass(frozen=True)
class Allowed:
    """Limits of single pulses; the default allows everything. A guard has the last word.

    Each (low, high) bounds one setting of the pulser, as `settings_of` names them.
    narrowest_spot : least sigma of a spot, sites; uniform_amplitude_T : highest field on the whole
    film; dose_T2ps : highest ∫B² dt of one pulse
    """

    amplitude_T: Limits = _ANYTHING
    width_ps: Limits = _ANYTHING
    theta_deg: Limits = _ANYTHING
    phi_deg: Limits = _ANYTHING
    peak_ps: Limits = _ANYTHING
    spot_x: Limits = _ANYTHING
    spot_y: Limits = _ANYTHING
    spot_sigma: Limits = _ANYTHING
    narrowest_spot: float = 0.0
    uniform_amplitude_T: float = math.inf
    dose_T2ps: float = math.inf

    @classmethod
    def from_envelope(cls, envelope: Mapping[str, Any]) -> "Allowed":
        """Of a guard's envelope in plain values (``Envelope.model_dump()``), also from JSON.

        What bounds more than one pulse (budgets, rest, slew) stays the guard's business. Raises
        KeyError for a limit that is missing.
        """
        limits: dict[str, Any] = {each.name: envelope[each.name] for each in fields(cls)}
        for name, value in limits.items():
            limits[name] = tuple(value) if isinstance(value, list) else value
        return cls(**limits)

    def why_not(self, pulse: Pulse) -> str:
        """Which limit the pulse breaks, or ""."""
        for name, value in settings_of(pulse).items():
            low, high = getattr(self, name)
            if not low <= value <= high:
                return f"{name} = {value:g} is outside {low:g} … {high:g}"
        if pulse.spot is not None and pulse.spot.sigma < self.narrowest_spot:
            return f"spot_sigma = {pulse.spot.sigma:g} is below {self.narrowest_spot:g}"
        if pulse.spot is None and pulse.amplitude_T > self.uniform_amplitude_T:
            most = self.uniform_amplitude_T
            return f"amplitude_T = {pulse.amplitude_T:g} on the whole film is above {most:g}"
        if pulse.dose_T2ps > self.dose_T2ps:
            return f"a dose of {pulse.dose_T2ps:.0f} T²ps is above {self.dose_T2ps:g}"
        return ""

    def allows(self, pulse: Pulse) -> bool:
        """Whether the pulse may be fired."""
        return not self.why_not(pulse)

    def clamp(self, pulse: Pulse) -> Pulse:
        """The pulse with each setting moved to its nearest limit, and its field to what the dose
        leaves. The spot stays where it is; so ask `allows` of what comes out.
        """
        values = {
            name: min(max(value, getattr(self, name)[0]), getattr(self, name)[1])
            for name, value in settings_of(pulse).items()
        }
        spot = pulse.spot
        if spot is not None:
            sigma = max(values["spot_sigma"], self.narrowest_spot)
            spot = spot.model_copy(update={"sigma": sigma})
        numbers = {name: values[name] for name in PULSE_NUMBERS if name != "amplitude_T"}
        moved = pulse.model_copy(update={**numbers, "spot": spot})
        most = self.amplitudes(moved)[1]
        return moved.model_copy(update={"amplitude_T": min(values["amplitude_T"], most)})

    def amplitudes(self, pulse: Pulse) -> Limits:
        """(lowest, highest) field at which a pulse like this may be fired, T."""
        low, high = self.amplitude_T
        if pulse.spot is None:
            high = min(high, self.uniform_amplitude_T)
        by_dose = math.sqrt(self.dose_T2ps / (pulse.width_ps * math.sqrt(math.pi)))
        return low, min(high, by_dose * _BELOW)

    def widths(self, pulse: Pulse) -> Limits:
        """(shortest, longest) width with which a pulse like this may be fired, ps."""
        low, high = self.width_ps
        if pulse.amplitude_T == 0:
            return low, high
        by_dose = self.dose_T2ps / (pulse.amplitude_T**2 * math.sqrt(math.pi))
        return low, min(high, by_dose * _BELOW)
