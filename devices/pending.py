"""Waiting for shots by name: statuses that a stream finishes from another thread."""

import threading
from dataclasses import dataclass, field

from ophyd import Device
from ophyd.status import Status

from skyctl.errors import StreamError

_REMEMBERED = 1000
"""Shots that are over and known by name; a run of days has millions."""


@dataclass
class _Wait:
    """One shot that is awaited, by however many statuses, and until when."""

    timeout_s: float
    source: str
    statuses: list[Status] = field(default_factory=list)
    timer: threading.Timer | None = None

    def stop_clock(self) -> None:
        if self.timer:
            self.timer.cancel()


class PendingShots:
    """Statuses of shots that are awaited, and the names of the last ones that are over.

    A paused run may come back hours later and ask for the same shot again, so the clock of a shot
    stands still in a pause and starts anew whenever the shot is asked for.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lock = threading.Condition()
        self._waiting: dict[str, _Wait] = {}
        self._over: dict[str, Exception | None] = {}

    def knows(self, shot: str) -> bool:
        """Whether the shot is awaited or over."""
        with self._lock:
            return shot in self._waiting or shot in self._over

    def is_over(self, shot: str) -> bool:
        """Whether the shot is over."""
        with self._lock:
            return shot in self._over

    def expect(self, shot: str, timeout_s: float, source: str) -> Status:
        """A status that is done when the shot is over; fails with StreamError after a while, and
        at once where nobody waits for that shot any more."""
        status = Status(self._device)
        with self._lock:
            if shot in self._over:
                _end(status, self._over[shot])
                return status
            wait = self._waiting.setdefault(shot, _Wait(timeout_s, source))
            wait.statuses.append(status)
            self._start_clock(shot, wait)
        return status

    def finish(self, shot: str) -> None:
        """The shot is over."""
        self._end(shot, None)

    def fail(self, error: Exception) -> None:
        """Nothing awaited will come."""
        with self._lock:
            shots = list(self._waiting)
        for shot in shots:
            self._end(shot, error)

    def pause(self) -> None:
        """Stop the clocks."""
        with self._lock:
            for wait in self._waiting.values():
                wait.stop_clock()

    def resume(self) -> None:
        """Start the clocks anew."""
        with self._lock:
            for shot, wait in self._waiting.items():
                self._start_clock(shot, wait)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is awaited; whether that came to be."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._waiting, timeout_s)

    def _start_clock(self, shot: str, wait: _Wait) -> None:
        wait.stop_clock()
        wait.timer = threading.Timer(wait.timeout_s, self._expire, (shot, wait.statuses[-1]))
        wait.timer.daemon = True
        wait.timer.start()

    def _expire(self, shot: str, asked: Status) -> None:
        with self._lock:
            wait = self._waiting.get(shot)
            if wait is None or wait.statuses[-1] is not asked:  # asked for again meanwhile
                return
        self._end(
            shot,
            StreamError(
                f"{self._device.name}: shot {shot} not over after {wait.timeout_s:g} s. See "
                f"whether the source at {wait.source} runs and sends."
            ),
        )

    def _end(self, shot: str, error: Exception | None) -> None:
        with self._lock:
            self._over[shot] = error
            if len(self._over) > _REMEMBERED:
                del self._over[next(iter(self._over))]
            wait = self._waiting.pop(shot, None)
            if wait:
                wait.stop_clock()
            self._lock.notify_all()
        for status in wait.statuses if wait else ():
            _end(status, error)


def _end(status: Status, error: Exception | None) -> None:
    if error:
        status.set_exception(error)
    else:
        status.set_finished()
