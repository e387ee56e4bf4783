"""Presence: whether a device is there; one that is not is asked again until it is."""

import threading
from collections.abc import Callable

from skyctl.errors import InstrumentError, InstrumentSilent

_AGAIN_S = 1.0


class Presence:
    """Asks a device in a thread of its own, so that one that is dead keeps nobody waiting.

    what : for people, with its address
    ask : returns once the device has answered; raises InstrumentSilent where it does not, or
        InstrumentError where it answers something else than it should
    """

    def __init__(self, what: str, ask: Callable[[], object]) -> None:
        self.error: InstrumentError | None = InstrumentSilent(f"{what}: it was not asked yet")
        self._ask = ask
        self._asked, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._until_there, name="skyctl-there", daemon=True)
        self._thread.start()

    def wait_asked(self, timeout_s: float) -> None:
        """Return once it has answered, or is known not to."""
        self._asked.wait(timeout_s)

    def fault(self) -> str:
        """Why it cannot be used, or ""."""
        return str(self.error) if self.error else ""

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()
        self._thread.join()

    def _until_there(self) -> None:
        while not self._closed.is_set():
            try:
                self._ask()
            except InstrumentError as error:
                self.error = error
            else:
                self.error = None
            self._asked.set()
            if self.error is None or self._closed.wait(_AGAIN_S):
                return
