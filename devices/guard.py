"""The pulser's guard: what may be fired, how often, and how much in all. It fails closed."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse

Limits = tuple[float, float]


class Envelope(BaseModel):
    """What one pulser may do. The defaults suit the simulated film.

    Each (low, high) bounds one setting; the rest bound them together or over time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    amplitude_T: Limits = (0.0, 12.0)
    width_ps: Limits = (1.0, 60.0)
    theta_deg: Limits = (0.0, 180.0)
    phi_deg: Limits = (-180.0, 360.0)
    peak_ps: Limits = (0.0, 200.0)
    spot_x: Limits = (0.0, 100.0)
    spot_y: Limits = (0.0, 100.0)
    spot_sigma: Limits = Field(default=(0.0, 20.0), description="sites; 0 is the whole film")
    uniform_amplitude_T: float = Field(default=3.0, description="highest field on the whole film")
    dose_T2ps: float = Field(default=7000.0, description="highest ∫B² dt of one pulse")
    slew_T: float = Field(default=12.0, description="largest change of amplitude between shots")
    rest_s: float = Field(default=0.02, description="shortest time between two shots")
    shots: int = Field(default=1000, description="shots in all, over the life of the ledger")


class Guard:
    """Checks pulses against an envelope and keeps the ledger of what was fired.

    envelope : what is allowed
    ledger : JSON-lines file, a line a shot, on disk *before* the pulse is sent, so that a crash
        cannot forget a shot; None keeps the count in memory only
    clock : seconds, for the rest between shots

    Raises PulseRefused when the ledger cannot be read: what was fired is then unknown.
    """

    def __init__(
        self,
        envelope: Envelope,
        ledger: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.envelope = envelope
        self.ledger = ledger
        self._clock = clock
        self._fired: dict[str, Pulse] = {}
        self._last: tuple[float, float] | None = None  # time, amplitude
        if ledger is not None and ledger.exists():
            try:
                booked = [json.loads(line) for line in ledger.read_text().splitlines()]
                self._fired = {
                    str(shot["shot"]): Pulse.model_validate(shot["pulse"]) for shot in booked
                }
                if booked:  # a restart is no way round rest and slew
                    self._last = (clock(), float(booked[-1]["pulse"]["amplitude_T"]))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise PulseRefused(
                    f"ledger {ledger}: cannot be read ({error}), so the shots left are unknown. "
                    "Mend or move it away, then start again."
                ) from error

    @property
    def shots_fired(self) -> int:
        """Shots in the ledger."""
        return len(self._fired)

    def has_fired(self, shot: str) -> bool:
        """Whether this shot was fired before: a shot fires once."""
        return shot in self._fired

    def replays(self, shot: str, pulse: Pulse) -> bool:
        """Whether exactly this was fired before; the name with another pulse is no replay."""
        return self._fired.get(shot) == pulse

    @property
    def rest_left_s(self) -> float:
        """How long to wait before the next shot, s."""
        if self._last is None:
            return 0.0
        return max(0.0, self._last[0] + self.envelope.rest_s - self._clock())

    def check(self, pulse: Pulse) -> None:
        """Raise PulseRefused unless the pulse itself is inside the envelope."""
        e = self.envelope
        for name, value in settings(pulse).items():
            low, high = getattr(e, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise PulseRefused(
                    f"pulse {name} = {value:g}: outside {low:g} … {high:g}. Nothing was fired; "
                    "choose a value inside, or change the pulser's envelope."
                )
        if pulse.spot is None and pulse.amplitude_T > e.uniform_amplitude_T:
            raise PulseRefused(
                f"pulse amplitude_T = {pulse.amplitude_T:g} on the whole film: above "
                f"{e.uniform_amplitude_T:g}. Nothing was fired; use a spot or a weaker pulse."
            )
        if pulse.dose_T2ps > e.dose_T2ps:
            raise PulseRefused(
                f"pulse dose = {pulse.dose_T2ps:.0f} T²ps: above {e.dose_T2ps:g}. Nothing was "
                "fired; make it weaker or shorter."
            )

    def allow(self, shot: str, pulse: Pulse) -> None:
        """Raise PulseRefused unless the pulse may be the next one; the rest may still be due."""
        self.check(pulse)
        e = self.envelope
        if self.has_fired(shot):
            raise PulseRefused(
                f"shot {shot}: fired before. Nothing was fired; use a new shot name."
            )
        if len(self._fired) >= e.shots:
            raise PulseRefused(
                f"shot budget of {e.shots}: used up. Nothing was fired; raise it in the envelope "
                f"or start a new ledger ({self.ledger})."
            )
        if self._last and abs(pulse.amplitude_T - self._last[1]) > e.slew_T:
            raise PulseRefused(
                f"pulse amplitude_T = {pulse.amplitude_T:g} after {self._last[1]:g}: a step "
                f"above {e.slew_T:g} T. Nothing was fired; go there in smaller steps."
            )

    def book(self, shot: str, pulse: Pulse) -> None:
        """Write the shot down, or raise PulseRefused; only then may it be fired."""
        self.allow(shot, pulse)
        now = self._clock()
        if self._last and now - self._last[0] < self.envelope.rest_s:
            raise PulseRefused(
                f"shot {shot}: {now - self._last[0]:.3f} s after the last, the envelope wants "
                f"{self.envelope.rest_s:g} s. Nothing was fired; wait and fire again."
            )
        self._write(shot, pulse)
        self._fired[shot] = pulse
        self._last = (now, pulse.amplitude_T)

    def _write(self, shot: str, pulse: Pulse) -> None:
        if self.ledger is None:
            return
        line = json.dumps({"shot": shot, "time": time.time(), "pulse": pulse.model_dump()})
        try:
            self.ledger.parent.mkdir(parents=True, exist_ok=True)
            with self.ledger.open("a") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise PulseRefused(
                f"ledger {self.ledger}: cannot be written ({error}). Nothing was fired; make room "
                "or choose another place."
            ) from error


def settings(pulse: Pulse) -> dict[str, float]:
    """A pulse as the pulser's plain settings; ``spot_sigma`` 0 is the whole film."""
    spot = pulse.spot
    return {
        "amplitude_T": pulse.amplitude_T,
        "width_ps": pulse.width_ps,
        "theta_deg": pulse.theta_deg,
        "phi_deg": pulse.phi_deg,
        "peak_ps": pulse.peak_ps,
        "spot_x": spot.x if spot else 0.0,
        "spot_y": spot.y if spot else 0.0,
        "spot_sigma": spot.sigma if spot else 0.0,
    }
