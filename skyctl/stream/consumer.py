"""Consumer: a bounded queue before a subscriber, and the thread that empties it."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from skyctl.frame import Frame, ShotEnd

QUEUED_EVENTS = 256
"""Events that wait for one subscriber."""
QUEUED_BYTES = 64 * 2**20
"""Bytes of the frames among them; one frame always may wait, however large."""

_IDLE_S = 1.0
_log = logging.getLogger(__name__)


class Consumer:
    """A bounded queue and the thread that empties it into ``handle``; ``idle`` is called when
    nothing came for a second.

    policy : a "lossless" subscriber that falls behind holds the hub, and through it the source,
        back. Of the frames that wait for a "newest" one only the newest of a movie is kept, and
        handed on unless it is older than ``max_age_s``; starts and ends are kept
    depth, max_bytes : what may wait
    max_age_s : since the frame left its source ("newest" alone); None for any age

    What a "newest" subscriber did not see is counted in ``skipped``, and for each movie in the
    ``stale`` of the counts that its ShotEnd has.

    When ``handle`` raises, the error is kept in ``error`` and later events are discarded, so that
    one broken subscriber cannot block the others, and ``on_error`` is called once with it.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Any], None],
        idle: Callable[[], None] = lambda: None,
        on_error: Callable[[Exception], None] = lambda error: None,
        policy: Literal["lossless", "newest"] = "lossless",
        depth: int = QUEUED_EVENTS,
        max_bytes: int = QUEUED_BYTES,
        max_age_s: float | None = None,
    ) -> None:
        self.name = name
        self.error: Exception | None = None
        self.skipped = 0
        self.queued_bytes = 0
        self._handle = handle
        self._idle = idle
        self._on_error = on_error
        self._policy = policy
        self._depth = depth
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._stale: Counter[tuple[str, str]] = Counter()
        self._closed = False
        self._events: deque[Any] = deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"skyctl-{name}", daemon=True)
        self._thread.start()

    def put(self, event: Any) -> None:
        """Queue an event, by this consumer's policy. A closed consumer takes no more."""
        self.put_all([event])

    def put_all(self, events: Iterable[Any]) -> None:
        """Queue events in order, waking the subscriber once."""
        with self._changed:
            for event in events:
                if self._policy == "lossless":
                    self._wait_for_room(_bytes(event))
                if self._closed:
                    return
                if self._policy == "newest":
                    self._make_room(event)
                self._events.append(event)
                self.queued_bytes += _bytes(event)
            self._changed.notify_all()

    def _wait_for_room(self, size: int) -> None:
        while not self._closed and (
            len(self._events) >= self._depth
            or (self._events and self.queued_bytes + size > self._max_bytes)
        ):
            self._changed.notify_all()  # of what was queued before it was full
            self._changed.wait()

    def _make_room(self, event: Any) -> None:
        last = self._events[-1] if self._events else None
        if isinstance(event, Frame) and isinstance(last, Frame) and last.shot == event.shot:
            self._pass_over(self._events.pop())
        while len(self._events) >= self._depth:
            self._pass_over(self._events.popleft())

    def _pass_over(self, event: Any) -> None:
        self.queued_bytes -= _bytes(event)
        self.skipped += 1
        if isinstance(event, Frame):
            self._stale[event.run, event.shot] += 1
        elif isinstance(event, ShotEnd):
            self._stale.pop((event.run, event.shot), None)

    def _next(self) -> Callable[[], None] | None:
        """What to do next; None when the queue is closed and worked off."""
        with self._changed:
            if not self._events and not self._closed:
                self._changed.wait(_IDLE_S)
            while self._events:
                event = self._events.popleft()
                self._changed.notify_all()
                if self._is_too_old(event):
                    self._pass_over(event)
                    continue
                self.queued_bytes -= _bytes(event)
                return partial(self._handle, self._with_its_count(event))
            return None if self._closed else self._idle

    def _is_too_old(self, event: Any) -> bool:
        if self._max_age_s is None or self._policy == "lossless" or not isinstance(event, Frame):
            return False
        return time.monotonic_ns() - event.left_source_ns > self._max_age_s * 1e9

    def _with_its_count(self, event: Any) -> Any:
        if self._stale and isinstance(event, ShotEnd):
            stale = self._stale.pop((event.run, event.shot), 0)
            return replace(event, counts=replace(event.counts, stale=stale))
        return event

    def _run(self) -> None:
        try:
            while work := self._next():
                if self.error is not None:
                    continue
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - no subscriber may stop the others
                    _log.exception("%s stopped", self.name)
                    self.error = error
                    self._on_error(error)
        finally:
            self._shut()

    def _shut(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Work off the queue and stop."""
        self._shut()
        self._thread.join()


def _bytes(event: Any) -> int:
    return event.data.nbytes if isinstance(event, Frame) and event.data is not None else 0
