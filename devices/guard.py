"""The pulser's guard: what may be fired, how often, and how much in all. It fails closed."""

import math
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from skyctl.devices.exact_pulse import Numbers, exact_copy, numbers_of, pulse_of_numbers
from skyctl.devices.ledger import Ledger
from skyctl.devices.ledger_files import SEGMENT
from skyctl.devices.ledger_lines import Spent
from skyctl.devices.ledger_samples import SampleFiles
from skyctl.devices.rare_pulses import RarePulses
from skyctl.errors import PulseRefused
from skyctl.pulse import PRINTABLE, SETTINGS, Pulse, settings_of

Limits = tuple[float, float]

REFUSALS = {
    "type": "no pulse, no number, or no name for the shot",
    "range": "a setting outside its limits, NaN or infinite, or too many repeats",
    "dose": "more ∫B² dt than one pulse may have",
    "slew": "too large a step of the amplitude",
    "rest": "too soon after the last shot",
    "budget": "the shots or the dose in all are used up",
    "repeat": "the name of a shot that was fired, with another pulse",
    "ledger": "the ledger cannot be written",
    "interlock": "an interlock holds fire",
    "unarmed": "not armed, or stopped before it fired",
    "driver": "what sends the pulses refused",
}
"""Kinds of refusals, as they are counted."""

_NAME_LENGTH = 64
_PS = 1e-12
_REMEMBERED = 2 * SEGMENT


class Envelope(BaseModel):
    """What one pulser may do. The defaults suit the simulated film.

    Each (low, high) bounds one setting; the rest bound them together or over time.

    Raises ValueError for limits that are no numbers or leave nothing between them.
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
    narrowest_spot: float = Field(default=0.5, gt=0, description="least sigma of a spot, sites")
    uniform_amplitude_T: float = Field(default=3.0, description="highest field on the whole film")
    dose_T2ps: float = Field(default=7000.0, description="highest ∫B² dt of one pulse")
    slew_T: float = Field(default=12.0, description="largest change of amplitude between shots")
    rest_s: float = Field(default=0.02, ge=0, description="shortest time between two shots")
    duty: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="largest part of the time that the field is on, from one shot to the next",
    )
    repeats: int = Field(default=1, ge=1, description="most pulses that one shot may repeat")
    rare: RarePulses = Field(
        default=RarePulses(), description="pulses that are no single Gaussian field: none"
    )
    shots: int = Field(default=1000, description="pulses in all, over the life of the ledger")
    budget_T2ps: float = Field(default=1e6, description="∫B² dt in all, over the same life")

    @model_validator(mode="after")
    def _leave_something(self) -> "Envelope":
        for name in SETTINGS:
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: from {low:g} to {high:g} is nothing; swap the two")
        return self


class Guard:
    """Checks pulses against an envelope and keeps the ledger of what was fired.

    envelope : what is allowed
    ledger : file of what was fired, see Ledger; None keeps the count in memory only, and then
        neither a restart nor a second controller is noticed
    clock : seconds, for the rest between shots
    spent : what was fired before, besides what the ledger says

    Raises PulseRefused when the ledger is held by another controller or cannot be read.
    """

    def __init__(
        self,
        envelope: Envelope,
        ledger: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        spent: Spent | None = None,
    ) -> None:
        self._envelope = Envelope.model_validate(envelope.model_dump())  # nobody else's object
        self._clock = clock
        self._booking = threading.Lock()
        self._spent = spent or Spent()
        self._fired: dict[str, tuple[Numbers, int]] = {}
        self._rested_s = clock()
        self._ledger = Ledger(ledger) if ledger else None
        self._samples = self._ledger.samples if self._ledger else SampleFiles(None)
        if self._ledger:  # a restart is no way round budgets, rest and slew
            self._add(self._ledger.before)
            for entry in self._ledger.entries:
                self._count(*entry)
            self._ledger.entries.clear()

    @property
    def envelope(self) -> Envelope:
        """What is allowed: a copy, the guard goes by its own."""
        return self._envelope.model_copy()

    @property
    def ledger_path(self) -> Path | None:
        """The ledger's file; None without one."""
        return self._ledger.path if self._ledger else None

    @property
    def spent(self) -> Spent:
        """What was fired so far."""
        return self._spent

    @property
    def shots_fired(self) -> int:
        """Pulses so far."""
        return self._spent.shots

    @property
    def fired(self) -> tuple[Pulse, ...]:
        """What was fired last, in order, as far as this guard or its ledger's file knows."""
        return tuple(pulse_of_numbers(each, self._samples) for each, _ in self._fired.values())

    def booked(self, shot: str) -> Pulse:
        """What was booked under this name, in an object made for the caller.

        Raises KeyError, and PulseRefused where samples of its waveform are gone or changed.
        """
        return pulse_of_numbers(self._fired[shot][0], self._samples)

    @property
    def last_shot(self) -> str:
        """Name of the shot booked last, as far as this guard or its ledger's file knows; or ""."""
        return next(reversed(self._fired), "")

    def has_fired(self, shot: str) -> bool:
        """Whether this shot was fired before: a shot fires once."""
        return shot in self._fired or bool(self._ledger and self._ledger.knows(shot))

    def replays(self, shot: str, pulse: Pulse, repeats: int = 1) -> bool:
        """Whether exactly this was fired before; the name with another pulse is no replay."""
        return self._fired.get(shot) == (numbers_of(exact_copy(pulse)), repeats)

    @property
    def rest_left_s(self) -> float:
        """How long to wait before the next shot, s."""
        return max(0.0, self._rested_s - self._clock())

    def check(self, pulse: Pulse) -> Pulse:
        """Raise PulseRefused unless the pulse is inside the envelope; return a copy of it.

        The copy holds exact floats, each read once from what was given. Who asked goes on with the
        copy alone: the other may still be changed, by whoever has it.
        """
        own = exact_copy(pulse)
        e = self._envelope
        e.rare.check(own)
        for each in (own, own.second):
            if each is not None:
                self._check_numbers(each)
        dose = _dose_T2ps(own)
        if not 0 <= dose <= e.dose_T2ps:  # as that of a negative width, or NaN, is not
            raise PulseRefused(
                f"pulse dose = {dose:.0f} T²ps: outside 0 … {e.dose_T2ps:g}. Nothing was "
                "fired; make it weaker or shorter.",
                "dose",
            )
        return own

    def _check_numbers(self, own: Pulse) -> None:
        e = self._envelope
        for name, value in settings_of(own.plain).items():
            low, high = getattr(e, name)
            if not low <= value <= high:  # as NaN is not
                raise PulseRefused(
                    f"pulse {name} = {value:g}: outside {low:g} … {high:g}. Nothing was fired; "
                    "choose a value inside, or change the pulser's envelope.",
                    "range",
                )
        if own.spot is not None and own.spot.sigma < e.narrowest_spot:
            raise PulseRefused(
                f"pulse spot_sigma = {own.spot.sigma:g}: below {e.narrowest_spot:g}. Nothing was "
                "fired; use a wider spot, or none for the whole film.",
                "range",
            )
        if own.spot is None and own.amplitude_T > e.uniform_amplitude_T:
            raise PulseRefused(
                f"pulse amplitude_T = {own.amplitude_T:g} on the whole film: above "
                f"{e.uniform_amplitude_T:g}. Nothing was fired; use a spot or a weaker pulse.",
                "range",
            )

    def check_name(self, shot: str) -> None:
        """Raise PulseRefused unless this can be the name of a shot."""
        if type(shot) is not str:  # a subclass may be equal to nothing, not even to itself
            raise PulseRefused(
                f"a {type(shot).__name__} is no name of a shot. Nothing was fired; give a str.",
                "type",
            )
        if not (len(shot) <= _NAME_LENGTH and re.fullmatch(PRINTABLE, shot)):
            raise PulseRefused(
                f"shot {shot[:_NAME_LENGTH]!r}: no name of a shot. Nothing was fired; give "
                f"1 to {_NAME_LENGTH} printable ASCII characters.",
                "type",
            )

    def check_repeats(self, repeats: int) -> None:
        """Raise PulseRefused unless a shot may be of so many pulses."""
        if type(repeats) is not int:
            raise PulseRefused(
                f"a {type(repeats).__name__} is no number of pulses. Nothing was fired; give an "
                "int.",
                "type",
            )
        if not 1 <= repeats <= self._envelope.repeats:
            raise PulseRefused(
                f"shot of {repeats} pulses: outside 1 … {self._envelope.repeats}. Nothing was "
                "fired; repeat it less often, or change the pulser's envelope.",
                "range",
            )

    def allow(self, shot: str, pulse: Pulse, repeats: int = 1) -> Pulse:
        """Raise PulseRefused unless the pulse, so many times, may be next; the rest may be due.

        Returns a copy of it, as `check` does.
        """
        self.check_name(shot)
        self.check_repeats(repeats)
        own = self.check(pulse)
        e, spent = self._envelope, self._spent
        if self.has_fired(shot):
            raise PulseRefused(
                f"shot {shot}: fired before. Nothing was fired; use a new shot name.", "repeat"
            )
        if spent.shots + repeats > e.shots:
            raise PulseRefused(
                f"shot budget of {e.shots}: used up. Nothing was fired; raise it in the envelope "
                "or start a new ledger.",
                "budget",
            )
        if not spent.dose_T2ps + repeats * own.dose_T2ps <= e.budget_T2ps:
            raise PulseRefused(
                f"dose budget of {e.budget_T2ps:g} T²ps: {spent.dose_T2ps:g} is used up, and the "
                f"shot has {repeats * own.dose_T2ps:g}. Nothing was fired; raise it in the "
                "envelope or start a new ledger.",
                "budget",
            )
        e.rare.check_budget(spent.dose_A2s_per_m4, repeats * own.dose_A2s_per_m4)
        last = spent.amplitude_T
        if last is not None and not abs(own.amplitude_T - last) <= e.slew_T:
            raise PulseRefused(
                f"pulse amplitude_T = {own.amplitude_T:g} after {last:g}: a step above "
                f"{e.slew_T:g} T. Nothing was fired; go there in smaller steps.",
                "slew",
            )
        return own

    def book(self, shot: str, pulse: Pulse, repeats: int = 1) -> None:
        """Write the shot down, or raise PulseRefused; only then may it, as `booked`, be fired."""
        with self._booking:
            own = self.allow(shot, pulse, repeats)
            if (left := self.rest_left_s) > 0:
                raise PulseRefused(
                    f"shot {shot}: {left:.3g} s too soon after the last. Nothing was fired; wait "
                    "and fire again.",
                    "rest",
                )
            if self._ledger:
                self._ledger.append(shot, own, repeats)
            else:
                self._samples.keep(own)
            self._count(shot, own, repeats)

    def close(self) -> None:
        """Let another controller have the ledger; nothing can be booked in it any more."""
        if self._ledger:
            self._ledger.close()

    def _add(self, before: Spent) -> None:
        """Count what the ledger put away; it rests as after its longest pulse, which is unknown."""
        if before.shots:
            spent = self._spent
            self._spent = Spent(
                shots=spent.shots + before.shots,
                dose_T2ps=spent.dose_T2ps + before.dose_T2ps,
                dose_A2s_per_m4=spent.dose_A2s_per_m4 + before.dose_A2s_per_m4,
                amplitude_T=before.amplitude_T,
            )
            longest_ps = math.sqrt(2 * math.pi) * self._envelope.width_ps[1]
            self._rest(longest_ps * self._envelope.repeats * self._envelope.rare.pulses)

    def _count(self, shot: str, pulse: Pulse, repeats: int) -> None:
        self._fired[shot] = numbers_of(pulse), repeats
        if self._ledger and len(self._fired) > _REMEMBERED:  # the ledger knows the older ones
            del self._fired[next(iter(self._fired))]
        self._spent = self._spent.and_(pulse, repeats)
        self._rest(repeats * pulse.on_ps)

    def _rest(self, on_ps: float) -> None:
        """Count the rest after pulses that are on so long in all."""
        e = self._envelope
        self._rested_s = self._clock() + max(e.rest_s, on_ps * _PS / e.duty)


def _dose_T2ps(pulse: Pulse) -> float:
    try:
        return pulse.dose_T2ps
    except OverflowError:
        return math.inf
