"""Waiting for shots by name: statuses that a stream finishes from another thread."""

import threading

from ophyd import Device
from ophyd.status import Status

from skyctl.errors import StreamError


class PendingShots:
    """Statuses of shots that are awaited, and the names of those that are over."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lock = threading.Condition()
        self._waiting: dict[str, list[Status]] = {}
        self._over: set[str] = set()

    def knows(self, shot: str) -> bool:
        """Whether the shot is awaited or over."""
        with self._lock:
            return shot in self._waiting or shot in self._over

    def expect(self, shot: str, timeout_s: float, source: str) -> Status:
        """A status that is done when the shot is over; fails with StreamError after a while."""
        status = Status(self._device)
        with self._lock:
            if shot in self._over:
                status.set_finished()
                return status
            self._waiting.setdefault(shot, []).append(status)
        timer = threading.Timer(timeout_s, self._expire, (shot, timeout_s, source))
        timer.daemon = True
        timer.start()
        status.add_callback(lambda _: timer.cancel())
        return status

    def finish(self, shot: str) -> None:
        """The shot is over."""
        with self._lock:
            statuses = self._waiting.pop(shot, [])
            self._over.add(shot)
            self._lock.notify_all()
        for status in statuses:
            status.set_finished()

    def fail(self, error: Exception) -> None:
        """Nothing awaited will come."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._lock.notify_all()
        for statuses in waiting.values():
            for status in statuses:
                status.set_exception(error)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is awaited; whether that came to be."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._waiting, timeout_s)

    def _expire(self, shot: str, timeout_s: float, source: str) -> None:
        with self._lock:
            statuses = self._waiting.pop(shot, [])
            self._lock.notify_all()
        for status in statuses:
            status.set_exception(
                StreamError(
                    f"{self._device.name}: shot {shot} not over after {timeout_s:g} s. See whether "
                    f"the source at {source} runs and sends."
                )
            )
