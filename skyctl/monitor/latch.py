"""Latch: a STOP that holds the pulser until that very stop is released."""

import time
from dataclasses import dataclass
from threading import Lock

from skyctl.devices.pulser import Pulser


@dataclass(frozen=True)
class Stopped:
    """A STOP that holds. number : of the stops so far; a release names it"""

    who: str
    time: float
    number: int


class Latch:
    """An interlock of a pulser, one however many pages there are or were; made by `of`.

    stopped : the stop that holds, None while none does
    """

    name = "STOP"
    """Who holds fire, as the page has it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stops = 0
        self.stopped: Stopped | None = None

    @classmethod
    def of(cls, pulser: Pulser) -> "Latch":
        """That of a pulser, which gets one if it has none."""
        for interlock in pulser.interlocks:
            if isinstance(known := getattr(interlock, "__self__", None), cls):
                return known
        latch = cls()
        pulser.add_interlock(latch.hold_reason)
        return latch

    def hold_reason(self) -> str:
        """Interlock: who stopped, or ""."""
        stopped = self.stopped
        if stopped is None:
            return ""
        at = time.strftime("%H:%M:%S", time.localtime(stopped.time))
        return f"stopped by {stopped.who} at {at}; an operator releases it on the page"

    def stop(self, who: str) -> Stopped:
        """Hold from now on."""
        with self._lock:
            self._stops += 1
            self.stopped = Stopped(who, time.time(), self._stops)
            return self.stopped

    def recall(self, stopped: Stopped, *, released: bool) -> None:
        """Take up what an earlier process left; what was stopped since stays."""
        with self._lock:
            self._stops = max(self._stops, stopped.number)
            if not released and self.stopped is None:
                self.stopped = stopped

    def release(self, number: int) -> bool:
        """Release the stop of this number; False where another one holds, or none."""
        with self._lock:
            if self.stopped is None or self.stopped.number != number:
                return False
            self.stopped = None
            return True
