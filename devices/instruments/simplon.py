"""DECTRIS SIMPLON transport: a detector's REST interface, as the dectris camera table needs it.

Source: SIMPLON API reference 1.8 (detector module: config, status, command).
"""

import http.client
import json
from collections.abc import Sequence
from typing import Any

from skyctl.devices.instruments.transport import Puts, Reading, Value
from skyctl.errors import InstrumentError, InstrumentSilent

_LONGEST_ANSWER = 2**20


class Simplon:
    """Names are paths below /detector/api/VERSION: "config/nimages", "command/arm".

    What is put is PUT, one after the other and in order; what is read is GET, and its ``value``. A
    command without a number has no body. ``command/trigger`` answers when the series is over: a
    movie that waits for the pulse is armed for external triggers instead.

    address : "HOST" or "HOST:PORT"; version : of the interface
    """

    connections = 1

    def __init__(self, address: str, version: str = "1.8.0") -> None:
        self.address = f"http://{address}"
        self._host, self._root = address, f"/detector/api/{version}/"

    def put(self, values: Puts, timeout_s: float, read: Sequence[str] = ()) -> dict[str, Reading]:
        """Put all, then read. Raises InstrumentSilent, or InstrumentError for another status."""
        for name, value in values.items():
            if isinstance(value, float) and value.is_integer():
                value = int(value)  # numbers of images are no floats to it
            body = b"" if value is None else json.dumps({"value": value}).encode()
            self._ask("PUT", name, body, timeout_s)
        return self.get(read, timeout_s)

    def begin(self, values: Puts, timeout_s: float) -> None:
        """As `put`: here nothing is answered late."""
        self.put(values, timeout_s)

    def get(self, names: Sequence[str], timeout_s: float) -> dict[str, Reading]:
        """Read all. Raises InstrumentSilent or InstrumentError."""
        return {name: Reading(self._value(name, timeout_s)) for name in names}

    def close(self) -> None:
        """Nothing is held: each question has a connection of its own."""

    def _value(self, name: str, timeout_s: float) -> Value:
        answer = self._ask("GET", name, b"", timeout_s)
        try:
            value = json.loads(answer)["value"]
        except (ValueError, KeyError, TypeError) as error:
            raise InstrumentError(
                f"{self.address}, {name}: answered by {answer[:60]!r}, which has no value"
            ) from error
        if not isinstance(value, float | int | str):
            raise InstrumentError(f"{self.address}, {name}: {str(value)[:40]!r} is no number")
        return value

    def _ask(self, method: str, name: str, body: bytes, timeout_s: float) -> bytes:
        connection = http.client.HTTPConnection(self._host, timeout=timeout_s)
        headers: dict[str, Any] = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, self._root + name, body, headers)
            answer = connection.getresponse()
            content = answer.read(_LONGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise InstrumentSilent(
                f"{self.address}, {name}: no answer within {timeout_s:g} s ({error}). See whether "
                "the detector's control unit is on, and reachable at this address."
            ) from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise InstrumentError(
                f"{self.address}, {name}: refused with status {answer.status} ({content[:80]!r})"
            )
        return content
