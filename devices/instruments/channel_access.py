"""EPICS transport over Channel Access: ophyd's signals, whatever control layer ophyd has."""

import threading
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from ophyd import EpicsSignal

from skyctl.devices.instruments.transport import Puts, Reading, Value
from skyctl.errors import InstrumentError, InstrumentSilent, install

_SLICE_S = 0.1
"""Of waiting for a channel: that it was cut off is heard of a little later."""
_BETWEEN_S = 0.005
_AT_ONCE_S = 0.02
"""pyepics else keeps a put for a line that was cut, and FIRE would come up to ten seconds late."""
_LOOKS_S = 1.0
"""A channel that found nobody for so long is replaced: it would look at longer and longer times."""


class ChannelAccess:
    """Names are PVs after the prefix, fields too: "AMP", "AMP.DRVH". A command is a PV put to 1.

    Put completion is waited for, and proves nothing: some control layers report it for an IOC that
    died meanwhile. Reads go to the IOC, past any monitor.

    A channel that was cut off is replaced before it is used again: libca looks for the old one
    within ten seconds, for a new one at once.

    prefix : of every PV, like "XF:PULSER:"

    Raises InstrumentError where ophyd has no control layer.
    """

    def __init__(self, prefix: str) -> None:
        import ophyd

        if ophyd.cl.name == "dummy":
            raise InstrumentError(
                f"PVs {prefix}…: neither pyepics nor caproto is installed: {install('epics')}"
            )
        self.address = f"ca://{prefix}"
        self.connections = 1
        self._prefix = prefix
        self._signals: dict[str, EpicsSignal] = {}
        self._made_s: dict[str, float] = {}
        self._lost: set[str] = set()
        # caproto looks for a lost channel by itself, and never lets go of one.
        self._replaces = ophyd.cl.name == "pyepics"
        self._lock = threading.Lock()

    def put(self, values: Puts, timeout_s: float, read: Sequence[str] = ()) -> dict[str, Reading]:
        """Put all, wait for all, then read. Raises InstrumentSilent or InstrumentError."""
        due_s = time.monotonic() + timeout_s
        signals, waiting = self._connect(values, due_s), []
        for name, value in values.items():
            done = threading.Event()
            self._put(name, signals[name], value, use_complete=True, callback=_set(done))
            waiting.append((name, done))
        for name, done in waiting:
            if not done.wait(max(0.0, due_s - time.monotonic())):
                raise self._silent(name, f"no put completion within {timeout_s:g} s")
        return self.get(read, timeout_s)

    def begin(self, values: Puts, timeout_s: float) -> None:
        """Put all, and wait for none. Raises InstrumentSilent or InstrumentError."""
        signals = self._connect(values, time.monotonic() + timeout_s)
        for name, value in values.items():
            self._put(name, signals[name], value, use_complete=False)

    def get(self, names: Sequence[str], timeout_s: float) -> dict[str, Reading]:
        """Read all afresh. Raises InstrumentSilent."""
        due_s = time.monotonic() + timeout_s
        signals = self._connect(names, due_s)
        return {name: self._read(name, signals[name], due_s, timeout_s) for name in names}

    def close(self) -> None:
        """Let go of the channels."""
        for signal in self._signals.values():
            signal.destroy()
        self._signals.clear()

    def _put(self, name: str, signal: EpicsSignal, value: Value | None, **how: Any) -> None:
        if self._replaces:
            how["timeout"] = _AT_ONCE_S
        try:
            signal.put(1 if value is None else value, **how)
        except Exception as error:
            raise InstrumentError(
                f"{self.address}{name} = {value!r}: not put ({error}). See whether the PV may "
                "be written, and takes such a value."
            ) from error
        if not signal.connected:
            raise self._silent(name, "its connection was lost while it was put")

    def _read(self, name: str, signal: Any, due_s: float, timeout_s: float) -> Reading:
        left_s = max(0.01, due_s - time.monotonic())
        try:
            value = signal.get(use_monitor=False, timeout=left_s, connection_timeout=left_s)
        except Exception as error:
            self._begin_anew(name)
            raise self._silent(name, f"not read within {timeout_s:g} s ({error})") from error
        severity = signal.alarm_severity
        return Reading(value, "" if not severity else getattr(severity, "name", str(severity)))

    def _connect(self, names: Iterable[str], due_s: float) -> dict[str, EpicsSignal]:
        """A channel for each name, connected; those that are new look side by side."""
        signals = {name: self._have(name) for name in names}
        for name in signals:
            while not signals[name].connected:
                left_s = due_s - time.monotonic()
                if left_s <= 0:
                    raise self._silent(name, "not connected")
                try:
                    signals[name].wait_for_connection(timeout=min(_SLICE_S, left_s))
                except Exception:  # noqa: BLE001 - a line that breaks just then has errors of its own
                    time.sleep(_BETWEEN_S)
                    signals[name] = self._have(name)
        return signals

    def _have(self, name: str) -> EpicsSignal:
        """The channel of a name; another one where that was cut off."""
        with self._lock:
            known = self._signals.get(name)
            if known is not None and not self._is_cut_off(name, known):
                return known
            if known is not None:  # destroyed first: two of a name share one channel
                known.destroy()
            self._lost.discard(name)
            self._signals[name] = made = self._new(name)
        return made

    def _new(self, name: str) -> EpicsSignal:
        self._made_s[name] = time.monotonic()
        pv = self._prefix + name
        signal: Any = EpicsSignal(pv, name=name, put_complete=True, auto_monitor=False)
        signal.subscribe(partial(self._connection_changed, name), event_type=signal.SUB_META)
        if self._replaces:
            signal._write_pv.connection_timeout = _AT_ONCE_S
        return signal

    def _is_cut_off(self, name: str, signal: EpicsSignal) -> bool:
        """Whether a channel was lost, or looks for its IOC since long and ever more seldom."""
        if signal.connected or not self._replaces:
            return False
        return name in self._lost or time.monotonic() - self._made_s[name] > _LOOKS_S

    def _begin_anew(self, name: str) -> None:
        """Have another channel: pyepics waits for ever for a read that an IOC took with it."""
        with self._lock:
            signal = self._signals.pop(name, None)
        if signal:
            self.connections += 1
            signal.destroy()

    def _connection_changed(self, name: str, *, connected: bool = True, **_: Any) -> None:
        if not connected:
            self.connections += 1
            self._lost.add(name)

    def _silent(self, name: str, fault: str) -> InstrumentSilent:
        return InstrumentSilent(
            f"PV {self._prefix}{name}: {fault}. See whether the IOC runs, and whether "
            "EPICS_CA_ADDR_LIST names its machine."
        )


def _set(done: threading.Event) -> Any:
    return lambda **_: done.set()
