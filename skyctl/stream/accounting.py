"""Accounting: what arrived of a shot and what did not, and how long it took. No sockets."""

import bisect
import math
from collections import Counter

from skyctl.frame import Counts, Frame, ShotEnd, ShotStart

MOST_FRAMES = 10_000_000
"""Frames of one shot; an account is a bit each, so 1.25 MB at most."""


class LatencyHistogram:
    """Counts of durations in buckets, five a decade from 10 µs to 100 s; of constant size."""

    BOUNDS_MS = tuple(round(10 ** (i / 5 - 2), 6) for i in range(36))
    """Upper bound of each bucket but the last, which has none."""

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS_MS) + 1)
        self.sum_ms = 0.0
        self.largest_ms = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one duration; a negative one counts as none."""
        milliseconds = max(0.0, milliseconds)
        self.counts[bisect.bisect_left(self.BOUNDS_MS, milliseconds)] += 1
        self.sum_ms += milliseconds
        self.largest_ms = max(self.largest_ms, milliseconds)

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    def quantile(self, fraction: float) -> float:
        """The duration that ``fraction`` of all stay below, ms; linear inside a bucket.

        NaN when nothing was counted.
        """
        below, wanted = 0, fraction * self.total
        low = 0.0
        for count, bound in zip(self.counts, (*self.BOUNDS_MS, math.inf), strict=True):
            high = min(bound, self.largest_ms)
            if count and below + count >= wanted:
                return low + (high - low) * (wanted - below) / count
            below, low = below + count, high
        return math.nan


class ShotAccount:
    """Counts the messages of one shot and decides which frames go on.

    start : how the shot began; None for one whose start was lost, of which only the numbers of its
        frames are known: those of a hub that came late, say
    """

    def __init__(self, start: ShotStart | None) -> None:
        self.start = start
        self._seen = bytearray()
        self._received = 0
        self._last = -1
        self._counts: Counter[str] = Counter()
        self._transit = LatencyHistogram()

    def owns(self, message: Frame | ShotEnd) -> bool:
        """Whether the message belongs to this shot."""
        start = self.start
        return start is not None and (message.run, message.shot) == (start.run, start.shot)

    def note(self, what: str, count: int = 1) -> None:
        """Count messages that are no frames of this shot: stray, foreign, undecodable, late …"""
        self._counts[what] += count

    def accept(self, frame: Frame) -> bool:
        """Count a frame of this shot; False for one that was there before.

        A number beyond MOST_FRAMES is no frame's: the message counts as undecodable.
        """
        byte, bit = frame.index >> 3, 1 << (frame.index & 7)
        if not 0 <= frame.index < MOST_FRAMES:
            self._counts["undecodable"] += 1
            return False
        if byte >= len(self._seen):
            self._seen.extend(bytes(byte + 1 - len(self._seen)))
        if self._seen[byte] & bit:
            self._counts["duplicates"] += 1
            return False
        self._seen[byte] |= bit
        self._received += 1
        if self.start and frame.data.shape != self.start.shape:
            self._counts["unrecorded"] += 1
        if frame.index < self._last:
            self._counts["reordered"] += 1
        self._last = max(self._last, frame.index)
        return True

    def took(self, milliseconds: float) -> None:
        """Count how long a frame was on its way from the source to the hub."""
        self._transit.add(milliseconds)

    @property
    def received(self) -> int:
        """How many distinct frames came so far."""
        return self._received

    def missing(self, sent_frames: int | None, *, ended_early: bool = False) -> int:
        """How many frames never came, when the source says it sent ``sent_frames``.

        A source that sends fewer frames than it promised lost them itself: they are missing too,
        unless it was made to end early, on purpose. One that numbers more than it promised is held
        to its numbers.
        """
        return self._expected(sent_frames, ended_early) - self._received

    def _expected(self, sent_frames: int | None, ended_early: bool) -> int:
        promised = 0 if ended_early else self._promised
        return max(sent_frames or 0, promised, self._last + 1)

    @property
    def _promised(self) -> int:
        return self.start.expected_frames if self.start else 0

    def close(self, sent_frames: int | None, *, ended_early: bool = False) -> ShotEnd:
        """The end of the shot, with its counts; ``sent_frames`` is None when no end message came.

        ended_early : the camera was told to; it may have been told too late
        Raises ValueError for a shot without a start.
        """
        if self.start is None:
            raise ValueError("a shot without a start has no end to tell of")
        missing = self.missing(sent_frames, ended_early=ended_early)
        counts = Counts(received=self._received, missing=missing, **self._counts)
        transit = self._transit
        return ShotEnd(
            run=self.start.run,
            shot=self.start.shot,
            sent_frames=sent_frames,
            counts=counts,
            transit_ms=(transit.quantile(0.5), transit.largest_ms) if transit.total else None,
            ended_early=ended_early and self._expected(sent_frames, True) < self._promised,
        )
