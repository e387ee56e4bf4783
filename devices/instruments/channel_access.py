"""EPICS transport over Channel Access: ophyd's signals, whatever control layer ophyd has."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from ophyd import EpicsSignal

from skyctl.devices.instruments.transport import Puts, Reading, Value
from skyctl.errors import InstrumentError, InstrumentSilent, install


class ChannelAccess:
    """Names are PVs after the prefix, fields too: "AMP", "AMP.DRVH". A command is a PV put to 1.

    Put completion is waited for, and proves nothing: some control layers report it for an IOC that
    died meanwhile. Reads go to the IOC, past any monitor.

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
        self._lock = threading.Lock()

    def put(self, values: Puts, timeout_s: float, read: Sequence[str] = ()) -> dict[str, Reading]:
        """Put all, wait for all, then read. Raises InstrumentSilent or InstrumentError."""
        due_s = time.monotonic() + timeout_s
        self._connect(values, due_s)
        waiting = []
        for name, value in values.items():
            done = threading.Event()
            self._put(name, value, use_complete=True, callback=_set(done))
            waiting.append((name, done))
        for name, done in waiting:
            if not done.wait(max(0.0, due_s - time.monotonic())):
                raise self._silent(name, f"no put completion within {timeout_s:g} s")
        return self.get(read, timeout_s)

    def begin(self, values: Puts, timeout_s: float) -> None:
        """Put all, and wait for none. Raises InstrumentSilent or InstrumentError."""
        self._connect(values, time.monotonic() + timeout_s)
        for name, value in values.items():
            self._put(name, value, use_complete=False)

    def get(self, names: Sequence[str], timeout_s: float) -> dict[str, Reading]:
        """Read all afresh. Raises InstrumentSilent."""
        due_s = time.monotonic() + timeout_s
        self._connect(names, due_s)
        return {name: self._read(name, due_s, timeout_s) for name in names}

    def close(self) -> None:
        """Let go of the channels."""
        for signal in self._signals.values():
            signal.destroy()
        self._signals.clear()

    def _put(self, name: str, value: Value | None, **how: Any) -> None:
        try:
            self._signals[name].put(1 if value is None else value, **how)
        except Exception as error:
            raise InstrumentError(
                f"{self.address}{name} = {value!r}: not put ({error}). See whether the PV may "
                "be written, and takes such a value."
            ) from error

    def _read(self, name: str, due_s: float, timeout_s: float) -> Reading:
        signal: Any = self._signals[name]
        left_s = max(0.01, due_s - time.monotonic())
        try:
            value = signal.get(use_monitor=False, timeout=left_s, connection_timeout=left_s)
        except Exception as error:
            self._begin_anew(name)
            raise self._silent(name, f"not read within {timeout_s:g} s ({error})") from error
        severity = signal.alarm_severity
        return Reading(value, "" if not severity else getattr(severity, "name", str(severity)))

    def _connect(self, names: Any, due_s: float) -> None:
        """Have a channel for each name, those that are new side by side."""
        for name in names:
            with self._lock:
                if name not in self._signals:
                    signal = EpicsSignal(
                        self._prefix + name, name=name, put_complete=True, auto_monitor=False
                    )
                    signal.subscribe(self._connection_changed, event_type=signal.SUB_META)
                    self._signals[name] = signal
        for name in names:
            try:
                self._signals[name].wait_for_connection(timeout=max(0.01, due_s - time.monotonic()))
            except TimeoutError as error:
                raise self._silent(name, "not connected") from error

    def _begin_anew(self, name: str) -> None:
        """Have another channel: pyepics waits for ever for a read that an IOC took with it."""
        with self._lock:
            signal = self._signals.pop(name, None)
        if signal:
            self.connections += 1
            signal.destroy()

    def _connection_changed(self, *, connected: bool = True, **_: Any) -> None:
        if not connected:
            self.connections += 1

    def _silent(self, name: str, fault: str) -> InstrumentSilent:
        return InstrumentSilent(
            f"PV {self._prefix}{name}: {fault}. See whether the IOC runs, and whether "
            "EPICS_CA_ADDR_LIST names its machine."
        )


def _set(done: threading.Event) -> Any:
    return lambda **_: done.set()
