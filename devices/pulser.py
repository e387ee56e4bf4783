"""Pulser: fires one pulse at the sample, if its guard lets it."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from ophyd import Component, Device, Kind
from ophyd.status import Status

from skyctl.devices.guard import Envelope, Guard, settings
from skyctl.devices.signals import LimitedSignal, StateSignal
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse, Spot

_log = logging.getLogger(__name__)

Interlock = Callable[[], str]
"""Says why nothing may be fired now, or "" when it may."""


class PulseDriver(Protocol):
    """What sends the pulse: an instrument, or the simulated sample."""

    def fire(self, shot: str, pulse: Pulse) -> None:
        """Send the pulse now."""
        ...


class Pulser(Device):
    """A guarded pulse source.

    ``set(pulse, shot=name)`` checks the pulse, shows it in the settings and arms the pulser for
    that one shot; ``trigger()`` fires it. Every shot has a name and fires once: when the RunEngine
    replays messages after a pause, a shot that was fired is not fired again. Firing disarms; so do
    stop, pause, unstage and a change of any setting. An interlock that has a reason not to fire
    (lost stream, abstaining model) is asked at arming and again at firing.

    driver : what sends the pulse
    guard : the envelope and the ledger; None is the default envelope without a ledger
    """

    amplitude_T = Component(LimitedSignal, value=0.0, units="T")
    width_ps = Component(LimitedSignal, value=1.0, units="ps")
    theta_deg = Component(LimitedSignal, value=0.0, units="deg")
    phi_deg = Component(LimitedSignal, value=0.0, units="deg")
    peak_ps = Component(LimitedSignal, value=0.0, units="ps")
    spot_x = Component(LimitedSignal, value=0.0, units="sites")
    spot_y = Component(LimitedSignal, value=0.0, units="sites")
    spot_sigma = Component(LimitedSignal, value=0.0, units="sites", doc="0 is the whole film")
    shot = Component(StateSignal, value="", dtype_numpy="<U64", doc="the last shot fired")
    armed = Component(StateSignal, value=0, dtype_numpy="<i8")
    dose_T2ps = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="T2 ps")
    shots_fired = Component(StateSignal, value=0, dtype_numpy="<i8", kind=Kind.normal)

    _SETTINGS = tuple(settings(Pulse(width_ps=1)))

    def __init__(
        self, prefix: str = "", *, name: str, driver: PulseDriver, guard: Guard | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(prefix, name=name, **kwargs)
        self.interlocks: list[Interlock] = []
        self._driver = driver
        self.guard = guard or Guard(Envelope())
        self._lock = threading.RLock()
        self._request: tuple[Pulse, str] | None = None
        self._replayed = False
        self._setting_up = False
        for setting in self._SETTINGS:
            signal = getattr(self, setting)
            signal.set_limits(getattr(self.guard.envelope, setting))
            signal.subscribe(self._setting_changed, run=False)
        self.shots_fired.update(self.guard.shots_fired)

    @property
    def pulse(self) -> Pulse:
        """The pulse that the settings describe."""
        value = {name: getattr(self, name).get() for name in self._SETTINGS}
        x, y, sigma = (value.pop(name) for name in ("spot_x", "spot_y", "spot_sigma"))
        return Pulse(**value, spot=Spot(x=x, y=y, sigma=sigma) if sigma > 0 else None)

    def check_value(self, value: Pulse) -> None:
        """Raise PulseRefused unless the pulse is inside the envelope; `check_limits` calls it."""
        if not isinstance(value, Pulse):
            raise PulseRefused(
                f"{self.name}: {value!r} is no Pulse. Nothing was fired; give a skyctl.pulse.Pulse."
            )
        self.guard.check(value)

    def refusal(self, value: Pulse, shot: str) -> str:
        """Why `set` would refuse this pulse now, or ""."""
        try:
            self._allow(value, shot)
        except PulseRefused as error:
            return str(error)
        return ""

    def _allow(self, value: Pulse, shot: str) -> None:
        self.check_value(value)
        self.guard.allow(shot, value)
        self._ask_interlocks()

    @property
    def rest_left_s(self) -> float:
        """How long to wait before `trigger`, s."""
        return self.guard.rest_left_s

    def set(self, value: Pulse, *, shot: str) -> Status:
        """Check a pulse, show it in the settings and arm for the shot of that name.

        Raises PulseRefused; then nothing is armed and the settings are as they were.
        """
        with self._lock:
            self.disarm("a new pulse")
            self.check_value(value)
            self._replayed = self.guard.replays(shot, value)
            if not self._replayed:
                self._allow(value, shot)
                self._setting_up = True
                try:
                    for setting, number in settings(value).items():
                        getattr(self, setting).put(number)
                finally:
                    self._setting_up = False
                self._request = (value, shot)
                self.armed.update(1)
        return _finished(self)

    def trigger(self) -> Status:
        """Fire the pulse this pulser is armed for, once.

        Raises PulseRefused when it is not armed, an interlock objects or the guard refuses.
        """
        with self._lock:
            request, self._request = self._request, None
            self.armed.update(0)
            if request is None:
                if self._replayed:
                    _log.info("%s: this shot was fired before; not fired again", self.name)
                    return _finished(self)
                raise PulseRefused(
                    f"{self.name}: not armed. Nothing was fired; set a pulse first (a stop, a "
                    "pause or a changed setting disarms)."
                )
            pulse, shot = request
            self._ask_interlocks()
            self.guard.book(shot, pulse)
            self.shot.update(shot)
            self.dose_T2ps.update(pulse.dose_T2ps)
            self.shots_fired.update(self.guard.shots_fired)
            self._driver.fire(shot, pulse)
        return _finished(self)

    def disarm(self, reason: str = "asked to") -> None:
        """Forget the armed shot; nothing fires until a pulse is set again."""
        with self._lock:
            if self._request:
                _log.info("%s: disarmed (%s)", self.name, reason)
            self._request = None
            self._replayed = False
            self.armed.update(0)

    def stop(self, *, success: bool = False) -> None:
        """Disarm; the RunEngine calls this when it stops, aborts or pauses."""
        self.disarm("stop")
        super().stop(success=success)

    def pause(self) -> None:
        """Disarm; after the pause the plan arms again."""
        self.disarm("pause")
        super().pause()

    def unstage(self) -> list[object]:
        """Disarm at the end of a run."""
        self.disarm("unstage")
        return super().unstage()

    def _setting_changed(self, **_: Any) -> None:
        if not self._setting_up:
            self.disarm("a setting was changed")

    def _ask_interlocks(self) -> None:
        for interlock in self.interlocks:
            if reason := interlock():
                raise PulseRefused(f"{self.name}: held, {reason}. Nothing was fired.")


def _finished(device: Device) -> Status:
    status = Status(device)
    status.set_finished()
    return status
