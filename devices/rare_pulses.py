"""Pulses that are no single Gaussian field: which of them a guard lets through."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse


class RarePulses(BaseModel):
    """Which pulses a pulser may fire that are no single Gaussian field: by default none.

    Raises ValueError for limits that are no numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    waveforms: tuple[Literal["square", "burst", "sampled"], ...] = ()
    footprints: tuple[Literal["stripe", "ring"], ...] = ()
    pulses: int = Field(default=1, ge=1, le=2, description="most in one shot")
    density_A_per_m2: float = Field(default=0.0, ge=0, description="highest; 0: no current")
    dose_A2s_per_m4: float = Field(default=0.0, ge=0, description="highest ∫j² dt of one pulse")
    budget_A2s_per_m4: float = Field(
        default=0.0, ge=0, description="∫j² dt in all, over the life of the ledger"
    )

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

    def check_budget(self, spent_A2s_per_m4: float, dose_A2s_per_m4: float) -> None:
        """Raise PulseRefused for a current that would go over the budget."""
        if dose_A2s_per_m4 and not spent_A2s_per_m4 + dose_A2s_per_m4 <= self.budget_A2s_per_m4:
            raise PulseRefused(
                f"current budget of {self.budget_A2s_per_m4:g} A²s/m⁴: {spent_A2s_per_m4:.3g} is "
                f"used up, and the shot has {dose_A2s_per_m4:.3g}. Nothing was fired; raise it in "
                "the envelope or start a new ledger.",
                "budget",
            )


def _refused(fault: str, kind: str) -> PulseRefused:
    return PulseRefused(
        f"{fault}. Nothing was fired; choose another, or change the pulser's envelope.", kind
    )
