"""Pulser: fires one pulse at the sample, if its guard lets it."""

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from ophyd import Component, Device, Kind
from ophyd.status import Status

from skyctl.devices.guard import REFUSALS, Envelope, Guard
from skyctl.devices.interlocks import Interlock, reason_of
from skyctl.devices.signals import LimitedSignal, StateSignal, counters
from skyctl.errors import PulseRefused
from skyctl.pulse import SETTINGS, Pulse, pulse_of, settings_of
from skyctl.samples import brief_text

_log = logging.getLogger(__name__)


class PulseDriver(Protocol):
    """What sends the pulse: an instrument, or the simulated sample."""

    def fire(self, shot: str, pulse: Pulse) -> Status | None:
        """Send the pulse now; a status is done once it is known to be sent."""
        ...


@runtime_checkable
class Instrument(PulseDriver, Protocol):
    """A driver that takes its time and may fail: see devices/instruments. None of it blocks."""

    def ready(self, shot: str, pulse: Pulse, repeats: int) -> Status:
        """Set the instrument up for this shot and arm it; done once that was read back."""
        ...

    def not_sent(self, shot: str, why: str) -> None:
        """A shot was booked, and will never be fired."""

    def disarm(self) -> None:
        """Switch the output off as soon as the instrument listens."""

    def hold_reason(self) -> str:
        """Interlock: why nothing may be fired, as far as the instrument knows."""
        ...

    def attach(self, guard: Guard, disarm: Callable[[str], object]) -> None:
        """Know what was booked, and whom to tell that the instrument is not well."""


class Pulser(Device):
    """A guarded pulse source.

    ``set(pulse, shot=name)`` checks the pulse, shows it in the settings and arms the pulser for
    that one shot; ``trigger()`` fires it. Every shot has a name and fires once: when the RunEngine
    replays messages after a pause, a shot that was fired is not fired again. Firing disarms; so do
    stop, pause, unstage and a change of any setting. What is checked, shown, booked and sent is a
    copy that the guard made when it was set: the caller's pulse may change, the shot does not. An
    interlock that has a reason not to fire (lost stream, abstaining model) is asked at arming and
    again at firing; once added it stays. What is refused is logged and counted: ``refused`` and
    its kinds.

    A stop waits for nothing: neither for the disk that a shot is written to, nor for a driver that
    is firing. A shot that a stop meets while it is written down is not fired, and is spent.

    An `Instrument` is set up and armed by ``set``, whose status is done when it has said so; what
    disarms the pulser disarms it. The status of ``trigger`` is done when its own counter has proved
    the shot, and fails with NotFired or FireUnknown.

    driver : what sends the pulse
    guard : the envelope and the ledger; None is the default envelope without a ledger
    """

    amplitude_T = Component(LimitedSignal, value=0.0, units="T", kind=Kind.hinted)
    width_ps = Component(LimitedSignal, value=1.0, units="ps", kind=Kind.hinted)
    theta_deg = Component(LimitedSignal, value=0.0, units="deg")
    phi_deg = Component(LimitedSignal, value=0.0, units="deg")
    peak_ps = Component(LimitedSignal, value=0.0, units="ps")
    spot_x = Component(LimitedSignal, value=0.0, units="sites")
    spot_y = Component(LimitedSignal, value=0.0, units="sites")
    spot_sigma = Component(LimitedSignal, value=0.0, units="sites", doc="0 is the whole film")
    rare = Component(
        StateSignal, value="", dtype_numpy="<U2000", doc="all of a pulse of which settings say less"
    )
    shot = Component(StateSignal, value="", dtype_numpy="<U64", doc="the last shot fired")
    armed = Component(StateSignal, value=0, dtype_numpy="<i8")
    repeats = Component(StateSignal, value=1, dtype_numpy="<i8", doc="pulses of the shot")
    dose_T2ps = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="T2 ps")
    shots_fired = Component(StateSignal, value=0, dtype_numpy="<i8", kind=Kind.normal)
    dose_fired_T2ps = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="T2 ps")
    dose_A2s_per_m4 = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="A2 s/m4")
    dose_fired_A2s_per_m4 = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="A2 s/m4")
    refused = Component(StateSignal, value=0, dtype_numpy="<i8", doc="in all, since the start")
    vars().update(counters({f"refused_{kind}": doc for kind, doc in REFUSALS.items()}))

    def __init__(
        self, prefix: str = "", *, name: str, driver: PulseDriver, guard: Guard | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(prefix, name=name, **kwargs)
        self._interlocks: tuple[Interlock, ...] = ()
        self._instrument: Instrument | None = None
        self._held = ""
        self._driver = driver
        self._guard = guard or Guard(Envelope())
        self._lock = threading.RLock()
        self._request: tuple[Pulse, str, int] | None = None
        self._replayed = False
        self._forgotten = ""
        self._times_disarmed = 0
        self._refused: Counter[str] = Counter()
        self._setting_up = False
        for setting in SETTINGS:
            signal = getattr(self, setting)
            signal.set_limits(getattr(self.guard.envelope, setting))
            signal.subscribe(self._setting_changed, run=False)
        self._show_spent()
        self._instrument = driver if isinstance(driver, Instrument) else None
        if self._instrument:
            self._instrument.attach(self.guard, self.disarm)
            self.add_interlock(self._instrument.hold_reason)

    def __repr__(self) -> str:
        state = "armed" if self.armed.get() else "not armed"
        return f"Pulser({self.name}: {self.pulse}, {state}, {self.shots_fired.get()} shots fired)"

    @property
    def guard(self) -> Guard:
        """The envelope and the ledger."""
        return self._guard

    @property
    def interlocks(self) -> tuple[Interlock, ...]:
        """What may hold fire."""
        return self._interlocks

    def add_interlock(self, interlock: Interlock) -> None:
        """Have it asked from now on, before every pulse; nothing takes it away again."""
        with self._lock:
            self.disarm("a new interlock")
            self._interlocks += (interlock,)

    def describe_guard(self) -> dict[str, Any]:
        """What may be fired and what was, plain values for a start document."""
        guard = self.guard
        return {"envelope": guard.envelope.model_dump(), "spent": guard.spent.model_dump()}

    @property
    def pulse(self) -> Pulse:
        """The pulse that the settings describe."""
        return pulse_of({name: getattr(self, name).get() for name in SETTINGS})

    def check_value(self, value: Pulse) -> None:
        """Raise PulseRefused unless the pulse is inside the envelope; `check_limits` calls it."""
        self.guard.check(value)

    def refusal(self, value: Pulse, shot: str, repeats: int = 1) -> str:
        """Why `set` refuses this pulse now, or ""; a refusal is counted like that of `set`."""
        try:
            with self._refusals_counted():
                self._allow(value, shot, repeats)
        except PulseRefused as error:
            return str(error)
        return ""

    def _allow(self, value: Pulse, shot: str, repeats: int) -> None:
        self.guard.allow(shot, value, repeats)
        self._ask_interlocks()

    @contextlib.contextmanager
    def _refusals_counted(self) -> Iterator[None]:
        try:
            yield
        except PulseRefused as error:
            _log.warning("%s: refused (%s): %s", self.name, error.kind, error)
            with self._lock:
                self._refused[error.kind] += 1
                self.refused.update(self._refused.total())
                getattr(self, f"refused_{error.kind}").update(self._refused[error.kind])
            raise

    @contextlib.contextmanager
    def _output_off_where_refused(self) -> Iterator[None]:
        """An instrument disarms for its next pulse; of a refused one it never hears."""
        try:
            yield
        except BaseException:
            if self._instrument:
                self._instrument.disarm()
            raise

    @property
    def rest_left_s(self) -> float:
        """How long to wait before `trigger`, s."""
        return self.guard.rest_left_s

    def set(self, value: Pulse, *, shot: str = "", repeats: int = 1) -> Status:
        """Check a pulse, show it in the settings and arm for the shot of that name.

        repeats : how often the shot sends the pulse; dose, duty and budgets count each

        Raises PulseRefused; then nothing is armed and the settings are as they were.
        """
        with self._refusals_counted(), self._output_off_where_refused():
            mark = self._forget("a new pulse")
            self.guard.check_name(shot)
            pulse = self.guard.check(value)
            replayed = self.guard.replays(shot, pulse, repeats)
            if not replayed:
                self._allow(pulse, shot, repeats)
            with self._lock:
                self._refuse_if_disarmed_since(mark, shot)
                self._replayed, self._forgotten = replayed, ""
                if not replayed:
                    self._show_settings(pulse)
                    self.repeats.update(repeats)
                    if self._instrument:
                        return self._ready(self._instrument, (pulse, shot, repeats), mark)
                    self._request = (pulse, shot, repeats)
                    self.armed.update(1)
        return _finished(self)

    def _ready(self, instrument: Instrument, request: tuple[Pulse, str, int], mark: int) -> Status:
        """Armed once the instrument is, unless something disarmed meanwhile."""
        armed = Status(self)

        def told(ready: Status) -> None:
            try:
                with self._refusals_counted(), self._lock:
                    ready.wait(0)  # raises what it failed with
                    self._refuse_if_disarmed_since(mark, request[1])
                    self._request = request
                    self.armed.update(1)
            except Exception as error:  # noqa: BLE001 - whoever waits for the status gets it
                armed.set_exception(error)
            else:
                armed.set_finished()

        pulse, shot, repeats = request
        instrument.ready(shot, pulse, repeats).add_callback(told)
        return armed

    def _show_settings(self, pulse: Pulse) -> None:
        self._setting_up = True
        try:
            for setting, number in settings_of(pulse.plain).items():
                getattr(self, setting).put(number)
            self.rare.update("" if pulse.is_plain else brief_text(pulse))
        finally:
            self._setting_up = False

    def trigger(self) -> Status:
        """Fire the pulse this pulser is armed for, once. Where none was asked for since the last,
        there is nothing to do: so do plans that read it (``count``, a baseline) trigger it.

        Raises PulseRefused when it was disarmed, an interlock objects or the guard refuses.
        """
        fired = None
        with self._refusals_counted(), self._output_off_where_refused():
            with self._lock:
                request, replayed = self._request, self._replayed
                forgotten, mark = self._forgotten, self._forget("fires")
                self._forgotten = ""
            if request:
                fired = self._fire(*request, mark)
            elif replayed:
                _log.info("%s: this shot was fired before; not fired again", self.name)
            elif forgotten:
                raise PulseRefused(
                    f"{self.name}: not armed ({forgotten}). Nothing was fired; set a pulse first "
                    "(a stop, a pause or a changed setting disarms).",
                    "unarmed",
                )
        return fired or _finished(self)

    def _fire(self, pulse: Pulse, shot: str, repeats: int, mark: int) -> Status | None:
        self._ask_interlocks()
        self.guard.book(shot, pulse, repeats)
        self.shot.update(shot)
        self.dose_T2ps.update(repeats * pulse.dose_T2ps)
        self.dose_A2s_per_m4.update(repeats * pulse.dose_A2s_per_m4)
        self._show_spent()
        with self._told_where_not_sent(shot):
            booked = self.guard.booked(shot)
            if booked != pulse:
                raise PulseRefused(
                    f"{self.name}: shot {shot} was armed with {pulse} and is booked as {booked}. "
                    "Nothing was fired; the shot is spent.",
                    "unarmed",
                )
            self._refuse_if_disarmed_since(mark, shot)
        return self._driver.fire(shot, booked)

    @contextlib.contextmanager
    def _told_where_not_sent(self, shot: str) -> Iterator[None]:
        """A booked shot that never comes to the instrument is known not to be fired."""
        try:
            yield
        except PulseRefused as error:
            if self._instrument:
                self._instrument.not_sent(shot, str(error))
            raise

    def _refuse_if_disarmed_since(self, mark: int, shot: str) -> None:
        """Others may have disarmed while this waited, for the disk say."""
        if self._times_disarmed != mark:
            self._forgotten = "disarmed while it was prepared"
            raise PulseRefused(
                f"{self.name}: disarmed while shot {shot} was prepared. Nothing was fired; set the "
                "pulse again, under a new name if it is in the ledger.",
                "unarmed",
            )

    def _show_spent(self) -> None:
        spent = self.guard.spent
        self.shots_fired.update(spent.shots)
        self.dose_fired_T2ps.update(spent.dose_T2ps)
        self.dose_fired_A2s_per_m4.update(spent.dose_A2s_per_m4)

    def disarm(self, reason: str = "asked to") -> int:
        """Forget the armed shot; nothing fires until a pulse is set again. How often it did so."""
        times = self._forget(reason)
        if self._instrument:
            self._instrument.disarm()
        return times

    def _forget(self, reason: str) -> int:
        with self._lock:
            if self._request:
                _log.info("%s: disarmed (%s)", self.name, reason)
                self._forgotten = f"disarmed: {reason}"
            self._request, self._replayed = None, False
            self._times_disarmed += 1
            self.armed.update(0)
            return self._times_disarmed

    def hold(self, reason: str) -> None:
        """Disarm, and let nothing be armed until `release`."""
        self._held = reason
        self.disarm(reason)

    def release(self) -> None:
        """Take back a `hold`; nothing is armed by it."""
        self._held = ""

    def stop(self, *, success: bool = False) -> None:
        """Disarm; the RunEngine calls this when it stops, aborts or pauses."""
        self.disarm("stop")
        super().stop(success=success)

    def pause(self) -> None:
        """Disarm; after the pause the plan arms again."""
        self.disarm("pause")
        super().pause()

    def stage(self) -> list[object]:
        """A new run knows nothing of what an earlier one had armed."""
        self._forgotten = ""
        return super().stage()

    def unstage(self) -> list[object]:
        """Disarm at the end of a run. What a stop took from it is then nobody's any more."""
        self._forgotten = ""
        self.disarm("unstage")
        return super().unstage()

    def _setting_changed(self, **_: Any) -> None:
        if not self._setting_up:
            self.disarm("a setting was changed")

    def hold_reason(self) -> str:
        """The reason of a `hold`, or what the first interlock that holds fire says, or ""."""
        return self._held or next(filter(None, map(reason_of, self._interlocks)), "")

    def hold_reasons(self) -> list[tuple[str, str]]:
        """Everything that holds fire, in the order in which it is asked: (device or "pulser",
        reason)."""
        said = [("pulser", self._held)]
        for interlock in self._interlocks:
            device = getattr(interlock, "__self__", None)
            said.append((getattr(device, "name", "interlock"), reason_of(interlock)))
        return [(who, why) for who, why in said if why]

    def _ask_interlocks(self) -> None:
        if reason := self.hold_reason():
            raise PulseRefused(f"{self.name}: held, {reason}. Nothing was fired.", "interlock")


def _finished(device: Device) -> Status:
    status = Status(device)
    status.set_finished()
    return status
