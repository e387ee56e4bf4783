"""Hub: receives the frame stream in a thread of its own and fans it out to its consumers."""

import contextlib
import logging
import threading
import time
from collections import Counter, deque

from skyctl.errors import ForeignMessage, StreamError, UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.stream import wire
from skyctl.stream.accounting import LatencyHistogram, ShotAccount
from skyctl.stream.clock import SAME_MACHINE, UNKNOWN, measure_offset
from skyctl.stream.consumer import Consumer
from skyctl.stream.keys import Keys, is_local
from skyctl.stream.memory import keep_freed_memory
from skyctl.stream.sources.own import own_source
from skyctl.stream.sources.source import Event, Source

__all__ = ["Consumer", "Event", "Hub"]

_POLL_MS = 50
_AT_ONCE = 64
_BYTES_AT_ONCE = 2**20
"""So much is handed on while it is in the processor's cache."""
_LAST_FRAME_S = 1.0
"""What was exposed before the camera was told to stop is here by then."""
_CLOCK_EVERY_S = 30.0
_REMEMBERED_SHOTS = 256
_NOBODYS_CLOCK_NS = 86_400 * 1_000_000_000
"""A frame that seems a day old has a clock that was never set."""
_CLOCK_SLACK_NS = 1_000_000_000
"""Clocks on one machine differ by nothing, but a step of the clock takes frames on their way."""
_log = logging.getLogger(__name__)


class Hub:
    """The receiving end of the frame stream. It receives from the first ``subscribe`` on: what the
    source sent before waits.

    source : where frames come from; an address is short for a Publisher bound there
    stall_s : a movie without a message of its own for so long is closed as incomplete
    keys : for the short form, this hub's and the publisher's; needed off this machine
    clock : where the source's machine tells its time (``Publisher.clock_address``); it is asked at
        once and every half minute
    max_message_bytes : for the short form, what is refused unread
    totals : messages of each kind since the start, by name; ``accounting`` is complete
    transit : how long frames took from the source to here

    Raises StreamError for an address that is none, one off this machine without keys, and a clock
    that does not answer.
    """

    def __init__(
        self,
        source: Source | str,
        stall_s: float = 10.0,
        *,
        keys: Keys | None = None,
        clock: str | None = None,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
    ) -> None:
        keep_freed_memory()
        self.clock = measure_offset(clock, keys) if clock else UNKNOWN
        if isinstance(source, str):
            source = own_source(source, keys, max_message_bytes)
        self._source = source
        self.address = source.transport.address
        if not clock and is_local(self.address):
            self.clock = SAME_MACHINE
        self.totals: Counter[str] = Counter()
        self.expected: ShotStart | None = None
        self.transit = LatencyHistogram()
        self._stall_s = stall_s
        self._consumers: tuple[Consumer, ...] = ()
        self._account: ShotAccount | None = None
        self._without_start: dict[tuple[str, str], ShotAccount] = {}
        self._over: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED_SHOTS)
        self._upstream_dropped = 0
        self._shot_number = 0
        self._last_message = 0.0
        self._told_to_end = ""
        self._outbox: list[Event] = []
        self._taken_bytes = 0
        self._stop = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skyctl-hub", daemon=True)
        self._thread.start()
        if clock:
            threading.Thread(
                target=self._keep_time, args=(clock, keys), name="skyctl-time", daemon=True
            ).start()

    def _keep_time(self, address: str, keys: Keys | None) -> None:
        while not self._stop.wait(_CLOCK_EVERY_S):
            with contextlib.suppress(StreamError):  # the last answer holds
                self.clock = measure_offset(address, keys)

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """Who is subscribed."""
        return self._consumers

    def accounting(self) -> Counter[str]:
        """``totals``, and the frames that subscribers passed over as stale."""
        totals = self.totals.copy()
        totals["stale"] = sum(consumer.skipped for consumer in self._consumers)
        return totals

    def subscribe(self, consumer: Consumer) -> None:
        """Send all events from now on to ``consumer`` as well."""
        self._consumers = (*self._consumers, consumer)
        self._wanted.set()

    def unsubscribe(self, consumer: Consumer) -> None:
        """Stop sending events to ``consumer``."""
        self._consumers = tuple(c for c in self._consumers if c is not consumer)

    def expect(self, start: ShotStart) -> None:
        """Say which shot is filmed next: a source may not say it itself, and a movie of another
        run that names its shot the same is told apart by it."""
        self.expected = start
        self._source.parser.expect(start)

    @property
    def names_shots(self) -> bool:
        """Whether the source says itself which shot a frame is of."""
        return self._source.parser.names_shots

    @property
    def alive(self) -> bool:
        """Whether the receiving thread runs."""
        return self._thread.is_alive() and not self._stop.is_set()

    def finish(self, shot: str) -> None:
        """The camera is about to be told to expose no more of this movie: what it then never
        exposes is not missing. From any thread; tell the hub first, or the end may come before.

        For sources that cannot say it. Their movie is over with their end, or when nothing came for
        a second, and what is expected are the numbers that came: nobody knows of a lost tail. A
        source that says it itself is held to its own count. A movie that is over, or another than
        the one under way, is let be.
        """
        if not self._source.parser.names_shots:
            self._told_to_end = shot

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
                self._hand_on()
                self._end_silent_movie()
            self._finish(None)
            self._hand_on()
        finally:
            self._source.transport.close()

    def _end_silent_movie(self) -> None:
        if self._account is None:
            return
        silence_s = time.monotonic() - self._last_message
        if self._shot == self._told_to_end and silence_s > min(_LAST_FRAME_S, self._stall_s):
            self._finish(None)
        elif silence_s > self._stall_s:
            _log.warning("shot %s: no message for %g s", self._shot, self._stall_s)
            self._finish(None)

    @property
    def _shot(self) -> str:
        start = self._account.start if self._account else None
        return start.shot if start else "-"

    def _receive(self) -> None:
        """Take the messages that are there; wait for the first."""
        timeout_ms = _POLL_MS
        self._taken_bytes = 0
        while (
            len(self._outbox) < _AT_ONCE
            and self._taken_bytes < _BYTES_AT_ONCE
            and self._receive_one(timeout_ms)
        ):
            timeout_ms = 0

    def _receive_one(self, timeout_ms: int) -> bool:
        try:
            message = self._source.transport.receive(timeout_ms)
            if message is None:
                return False
            events = self._source.parser.parse(message, time.monotonic_ns())
        except (UndecodableMessage, ForeignMessage) as error:
            self._note("foreign" if isinstance(error, ForeignMessage) else "undecodable")
            _log.warning("shot %s: message dropped: %s", self._shot, error)
            return True
        for event in events:
            self._sort(event)
        return True

    def _sort(self, event: Event) -> None:
        if isinstance(event, ShotStart):
            if self._account and self._account.start == event:
                self._account.note("duplicates")
                return
            self._finish(None)
            self._count_missing_shots(event)
            self._account = ShotAccount(event)
            self._upstream_dropped = self._source.transport.upstream_dropped
            self.totals["shots"] += 1
            self._emit(event)
            self._last_message = time.monotonic()
        elif self._account is None or not self._account.owns(event):
            self._sort_out_of_place(event)
        elif isinstance(event, ShotEnd):
            self._finish(event.sent_frames, event.ended_early)
        else:
            if self._account.accept(event):
                self.totals["received"] += 1
                self._taken_bytes += event.data.nbytes
                self._emit(self._timed(event, self._account))
            self._last_message = time.monotonic()

    def _count_missing_shots(self, start: ShotStart) -> None:
        """Count the movies of which nothing came, not even the start: their numbers are missing.

        A number that goes back is of a source that began again. What was sent before the first
        start that this hub got was somebody else's.
        """
        before, self._shot_number = self._shot_number, start.number or self._shot_number
        if not before or start.number in (0, before):
            return
        missing = start.number - 1 - (before if start.number > before else 0)
        if missing:
            self.totals["missing_shots"] += missing
            _log.warning("before shot %s: %d movies lost whole", start.shot, missing)

    def _sort_out_of_place(self, event: Frame | ShotEnd) -> None:
        """Count a frame or an end of a movie that is over, or whose start never came.

        Of the latter nothing can be handed on, but its end tells how many more frames there were.
        An end may come twice.
        """
        name = (event.run, event.shot)
        if name in self._over:
            if isinstance(event, Frame):
                self._note("late")
        elif isinstance(event, Frame):
            account = self._without_start.setdefault(name, ShotAccount(None))
            if account.accept(event):
                self._note("stray")
            while len(self._without_start) > _REMEMBERED_SHOTS:
                self._without_start.pop(next(iter(self._without_start)))
        else:
            account = self._without_start.pop(name, ShotAccount(None))
            self.totals["missing"] += account.missing(event.sent_frames)
            self._over.append(name)

    def _timed(self, frame: Frame, account: ShotAccount) -> Frame:
        """The frame, with how long it was on its way where the clocks tell."""
        if self.clock is UNKNOWN or not frame.source_time_ns:
            return frame
        transit = time.time_ns() + self.clock.offset_ns - frame.source_time_ns
        if not -_CLOCK_SLACK_NS - self.clock.uncertainty_ns <= transit <= _NOBODYS_CLOCK_NS:
            self.totals["clock_faults"] += 1
            return frame
        self.transit.add(transit / 1e6)
        account.took(transit / 1e6)
        return Frame(  # as replace(), which takes six times as long
            frame.run,
            frame.shot,
            frame.index,
            frame.movie_time_ps,
            frame.source_time_ns,
            frame.data,
            frame.received_ns,
            max(0, transit),
            frame.counts,
            frame.shift,
        )

    def _note(self, what: str) -> None:
        """Count an odd message, in total and for the open shot."""
        self.totals[what] += 1
        if self._account:
            self._account.note(what)

    def _finish(self, sent_frames: int | None, ended_early: bool = False) -> None:
        if self._account is None or self._account.start is None:
            return
        # Some senders count anew for each movie.
        dropped = self._source.transport.upstream_dropped - self._upstream_dropped
        self._account.note("upstream_dropped", max(0, dropped))
        if self._shot == self._told_to_end:  # whose count repeats its promise, if it has one
            sent_frames, ended_early = None, True
        end = self._account.close(sent_frames, ended_early=ended_early)
        self._account = None
        self._over.append((end.run, end.shot))
        for what in ("missing", "duplicates", "reordered", "upstream_dropped", "unrecorded"):
            self.totals[what] += getattr(end.counts, what)
        self._emit(end)

    def _emit(self, event: Event) -> None:
        self._outbox.append(event)

    def _hand_on(self) -> None:
        """Give the subscribers what was received: at once, because each wakes a thread for it."""
        if not self._outbox:
            return
        events, self._outbox = self._outbox, []
        for consumer in self._consumers:
            consumer.put_all(events)
        # Only now: a slow subscriber's time is not the source's silence.
        self._last_message = time.monotonic()
