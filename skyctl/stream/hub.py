"""Hub: receives the frame stream in a thread of its own and fans it out.

Each subscriber has a bounded queue and a thread. A *lossless* subscriber (recorder, classifier)
that falls behind holds the hub, and through ZeroMQ the source, back; a *newest* one (monitor)
loses the oldest events, which are counted.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from skyctl.errors import ForeignMessage, UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.stream.accounting import ShotAccount
from skyctl.stream.sources.own import own_source
from skyctl.stream.sources.source import Event, Source

QUEUED_EVENTS = 256
"""Events that wait for one subscriber (10 MB of 100 × 100 S_z frames)."""

_POLL_MS = 50
_IDLE_S = 1.0
_log = logging.getLogger(__name__)


class Consumer:
    """A bounded queue and the thread that empties it into ``handle``; ``idle`` is called when
    nothing came for a second.

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
    ) -> None:
        self.name = name
        self.error: Exception | None = None
        self.skipped = 0
        self._handle = handle
        self._idle = idle
        self._on_error = on_error
        self._policy = policy
        self._depth = depth
        self._closed = False
        self._events: deque[Any] = deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"skyctl-{name}", daemon=True)
        self._thread.start()

    def put(self, event: Any) -> None:
        """Queue an event, by this consumer's policy. A closed consumer takes no more."""
        with self._changed:
            if self._policy == "lossless":
                self._changed.wait_for(lambda: self._closed or len(self._events) < self._depth)
            if self._closed:
                return
            if len(self._events) == self._depth:
                self._events.popleft()
                self.skipped += 1
            self._events.append(event)
            self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        """What to do next; None when the queue is closed and worked off."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._events, _IDLE_S)
            if self._events:
                event = self._events.popleft()
                self._changed.notify_all()
                return partial(self._handle, event)
            return None if self._closed else self._idle

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


class Hub:
    """The receiving end of the frame stream. It receives from the first ``subscribe`` on: what the
    source sent before waits.

    source : where frames come from; an address is short for a Publisher bound there
    stall_s : a movie without a message of its own for so long is closed as incomplete
    totals : messages of each kind since the start, by name
    """

    def __init__(self, source: Source | str, stall_s: float = 10.0) -> None:
        self._source = own_source(source) if isinstance(source, str) else source
        self.address = self._source.transport.address
        self.totals: Counter[str] = Counter()
        self._stall_s = stall_s
        self._consumers: tuple[Consumer, ...] = ()
        self._account: ShotAccount | None = None
        self._last_message = 0.0
        self._stop = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skyctl-hub", daemon=True)
        self._thread.start()

    def subscribe(self, consumer: Consumer) -> None:
        """Send all events from now on to ``consumer`` as well."""
        self._consumers = (*self._consumers, consumer)
        self._wanted.set()

    def unsubscribe(self, consumer: Consumer) -> None:
        """Stop sending events to ``consumer``."""
        self._consumers = tuple(c for c in self._consumers if c is not consumer)

    @property
    def alive(self) -> bool:
        """Whether the receiving thread runs."""
        return self._thread.is_alive() and not self._stop.is_set()

    def close(self) -> None:
        """Stop receiving. An open movie is closed as incomplete."""
        self._stop.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        self._wanted.wait()
        try:
            while not self._stop.is_set():
                self._receive()
                if self._account and time.monotonic() - self._last_message > self._stall_s:
                    _log.warning("shot %s: no message for %g s", self._shot, self._stall_s)
                    self._finish(None)
            self._finish(None)
        finally:
            self._source.transport.close()

    @property
    def _shot(self) -> str:
        return self._account.start.shot if self._account else "-"

    def _receive(self) -> None:
        try:
            message = self._source.transport.receive(_POLL_MS)
            if message is None:
                return
            events = self._source.parser.parse(message, time.monotonic_ns())
        except (UndecodableMessage, ForeignMessage) as error:
            self._note("foreign" if isinstance(error, ForeignMessage) else "undecodable")
            _log.warning("shot %s: message dropped: %s", self._shot, error)
            return
        for event in events:
            self._sort(event)

    def _sort(self, event: Event) -> None:
        if isinstance(event, ShotStart):
            if self._account and self._account.start == event:
                self._account.note("duplicates")
                return
            self._finish(None)
            self._account = ShotAccount(event)
            self.totals["shots"] += 1
            self._emit(event)
            self._last_message = time.monotonic()
        elif self._account is None or not self._account.owns(event):
            # An end may come twice; any other message without its start is a stray.
            if isinstance(event, Frame):
                self._note("stray")
        elif isinstance(event, ShotEnd):
            self._finish(event.sent_frames)
        else:
            if self._account.accept(event):
                self.totals["received"] += 1
                self._emit(event)
            # After the event is handed on: a slow subscriber's time is not the source's silence.
            self._last_message = time.monotonic()

    def _note(self, what: str) -> None:
        """Count an odd message, in total and for the open shot."""
        self.totals[what] += 1
        if self._account:
            self._account.note(what)

    def _finish(self, sent_frames: int | None) -> None:
        if self._account is None:
            return
        end = self._account.close(sent_frames)
        self._account = None
        self.totals["missing"] += end.counts.missing
        self.totals["duplicates"] += end.counts.duplicates
        self.totals["reordered"] += end.counts.reordered
        self._emit(end)

    def _emit(self, event: Event) -> None:
        for consumer in self._consumers:
            consumer.put(event)
