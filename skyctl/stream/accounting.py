"""Accounting: what arrived of a shot and what did not. No sockets, no threads."""

from collections import Counter

from skyctl.frame import Counts, Frame, ShotEnd, ShotStart


class ShotAccount:
    """Counts the messages of one shot and decides which frames go on."""

    def __init__(self, start: ShotStart) -> None:
        self.start = start
        self._seen: set[int] = set()
        self._last = -1
        self._counts: Counter[str] = Counter()

    def owns(self, message: Frame | ShotEnd) -> bool:
        """Whether the message belongs to this shot."""
        return (message.run, message.shot) == (self.start.run, self.start.shot)

    def note(self, what: str) -> None:
        """Count a message that is no frame of this shot: stray, foreign or undecodable."""
        self._counts[what] += 1

    def accept(self, frame: Frame) -> bool:
        """Count a frame of this shot; False for one that was there before."""
        if frame.index in self._seen:
            self._counts["duplicates"] += 1
            return False
        self._seen.add(frame.index)
        if frame.index < self._last:
            self._counts["reordered"] += 1
        self._last = max(self._last, frame.index)
        return True

    def close(self, sent_frames: int | None) -> ShotEnd:
        """The end of the shot, with its counts; ``sent_frames`` is None when no end message came.

        A source that sends fewer frames than it promised lost them itself: they are missing too.
        One that numbers more than it promised is held to its numbers.
        """
        promised = max(sent_frames or 0, self.start.expected_frames, self._last + 1)
        missing = promised - len(self._seen)
        return ShotEnd(
            run=self.start.run,
            shot=self.start.shot,
            sent_frames=sent_frames,
            counts=Counts(received=len(self._seen), missing=missing, **self._counts),
        )
