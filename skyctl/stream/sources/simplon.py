"""What a DECTRIS detector says of itself over its SIMPLON API (HTTP)."""

import http.client
import json
import logging

from skyctl.stream.http import ask_directly

_TIMEOUT_S = 0.3
_LONGEST_ANSWER = 4096
_NO_ANSWER = (
    *(OSError, http.client.HTTPException),
    *(ValueError, TypeError, LookupError, ArithmeticError, RecursionError),
)
"""What the network, HTTP and JSON raise, and a number that is none."""
_log = logging.getLogger(__name__)


class SimplonDropped:
    """Images that the detector's stream dropped because nobody took them: ``dropped`` of a
    ZmqTransport. Asked at the start and at the end of each shot, for 0.3 s at most; without an
    answer it is what it was, and a warning is logged.

    host : "HOST" or "HOST:PORT" of the detector control unit; version : of its API
    """

    def __init__(self, host: str, version: str = "1.8.0") -> None:
        self._url = f"http://{host}/stream/api/{version}/status/dropped"
        self._last = 0

    def __call__(self) -> int:
        """The detector's count."""
        try:
            with ask_directly(self._url, _TIMEOUT_S) as answer:
                self._last = int(json.loads(answer.read(_LONGEST_ANSWER))["value"])
        except _NO_ANSWER as error:
            _log.warning("%s: no count of dropped images (%s)", self._url, error)
        return self._last
