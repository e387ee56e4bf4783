"""EPICS transport over PV Access: p4p."""

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from skyctl.devices.instruments.transport import Puts, Reading
from skyctl.errors import InstrumentError, InstrumentSilent, install

_COMPLETED = "record[block=true]field(value)"
_SEVERITIES = ("", "MINOR", "MAJOR", "INVALID")


class PvAccess:
    """Names are PVs after the prefix, fields too. A command is a PV put to 1.

    After a connection was lost, or an answer did not come, new channels are used: they are looked
    for at once, the old ones when their turn comes. What was asked of the old ones and fails then
    has nothing to say of the new.

    prefix : of every PV; conf : EPICS_PVA_… settings instead of the environment's
    watched : a name whose channel tells when the connection is lost

    Raises InstrumentError where p4p is not installed.
    """

    def __init__(
        self, prefix: str, *, watched: str = "FIRED", conf: dict[str, str] | None = None
    ) -> None:
        try:
            from p4p.client.thread import Context
        except ImportError as error:
            raise InstrumentError(
                f"PVs {prefix}…: p4p is not installed: {install('epics')}"
            ) from error
        self.address = f"pva://{prefix}"
        self.connections = 1
        self._prefix = prefix
        self._watched = prefix + watched
        self._fields: dict[str, str] = {}
        self._lock = threading.Lock()
        self._channels, self._cut_off, self._connected = 0, False, False
        self._context = Context("pva", conf=conf, useenv=conf is None, nt=False)
        self._monitor = self._watch()

    def put(self, values: Puts, timeout_s: float, read: Sequence[str] = ()) -> dict[str, Reading]:
        """Put all, then read. Raises InstrumentSilent, or InstrumentError in the server's words."""
        self._put(values, timeout_s, _COMPLETED)
        return self.get(read, timeout_s)

    def begin(self, values: Puts, timeout_s: float) -> None:
        """Put all, and do not wait until it is done. Raises as `put`."""
        self._put(values, timeout_s, "field(value)")

    def _put(self, values: Puts, timeout_s: float, request: str) -> None:
        channels = self._find_again()
        new = [name for name in values if name not in self._fields]
        for name, told in self._ask(new, timeout_s).items():
            # An enumeration is put by its index.
            self._fields[name] = "value.index" if isinstance(told["value"], dict) else "value"
        numbers = [
            {self._fields[name]: 1 if value is None else value} for name, value in values.items()
        ]
        answers: Any = self._context.put(
            [self._prefix + name for name in values], numbers, timeout=timeout_s, throw=False,
            request=[request] * len(values), get=False,
        )  # fmt: skip
        for name, answer in zip(values, answers, strict=True):
            self._check(name, answer, timeout_s, channels)

    def get(self, names: Sequence[str], timeout_s: float) -> dict[str, Reading]:
        """Read all afresh, side by side. Raises InstrumentSilent or InstrumentError."""
        return {name: _reading(told) for name, told in self._ask(names, timeout_s).items()}

    def close(self) -> None:
        """Let go of the channels."""
        self._monitor.close()
        self._context.close()

    def _ask(self, names: Sequence[str], timeout_s: float) -> dict[str, dict[str, Any]]:
        channels = self._find_again()
        pvs = [self._prefix + name for name in names]
        answers: Any = self._context.get(pvs, timeout=timeout_s, throw=False) if pvs else []
        for name, answer in zip(names, answers, strict=True):
            self._check(name, answer, timeout_s, channels)
        return {name: answer.todict() for name, answer in zip(names, answers, strict=True)}

    def _check(self, name: str, answer: Any, timeout_s: float, channels: int) -> None:
        where = f"PV {self._prefix}{name}"
        if isinstance(answer, TimeoutError) or type(answer).__name__ == "Disconnected":
            self._lost(channels)
            raise InstrumentSilent(
                f"{where}: no answer within {timeout_s:g} s. See whether the IOC runs, and whether "
                "EPICS_PVA_ADDR_LIST names its machine."
            )
        if isinstance(answer, Exception):
            raise InstrumentError(f"{where}: refused ({answer})")

    def _watch(self) -> Any:
        """Be told when the channels of now lose their connection; at first they have none."""
        self._connected = False
        told = partial(self._update, self._channels)
        return self._context.monitor(self._watched, told, notify_disconnect=True)

    def _update(self, channels: int, value: Any) -> None:
        if not isinstance(value, Exception):
            self._connected = True
        elif self._connected:
            self._lost(channels)

    def _lost(self, channels: int) -> None:
        with self._lock:
            if channels == self._channels and not self._cut_off:
                self.connections += 1
                self._cut_off = True

    def _find_again(self) -> int:
        """Which channels are used now, the first or later ones; new ones after a loss."""
        with self._lock:
            if self._cut_off:
                self._cut_off = False
                self._channels += 1
                self._monitor.close()
                self._context.disconnect()  # forgets all, the monitor's too: it would hear no more
                self._monitor = self._watch()
            return self._channels


def _reading(told: dict[str, Any]) -> Reading:
    value, alarm = told["value"], told.get("alarm", {})
    if isinstance(value, dict):  # an enumeration
        value = value["index"]
    return Reading(value, _SEVERITIES[min(3, max(0, alarm.get("severity", 0)))])
