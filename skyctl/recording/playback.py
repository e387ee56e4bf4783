"""Playback: the shots of a recording, published again frame by frame at the pace asked for."""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from skyctl.errors import RecordingError
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.recording.reader import Recording
from skyctl.stream.publisher import Publisher

Pace = float | Literal["max", "recorded"]
"""Frames a second; "max", as fast as they are taken; or "recorded", when the source sent them."""


class Clock:
    """Says when each frame is due, waits for it, and notes how far off it was.

    pace : see Pace. Raises ValueError for a rate that is not above 0.
    """

    def __init__(self, pace: Pace) -> None:
        if not isinstance(pace, str) and not pace > 0:
            raise ValueError(f"rate {pace}: give frames a second above 0")
        self._pace: Pace = pace
        self._began: float | None = None
        self._first_ns = 0
        self._due_s = 0.0
        self.errors_s: list[float] = []

    def wait(self, source_time_ns: int) -> None:
        """Return when the next frame is due, at once where that is over."""
        if self._pace == "max":
            return
        now = time.monotonic()
        if self._began is None:
            self._began, self._first_ns = now, source_time_ns
        elif self._pace == "recorded":  # a source whose clock was set back sends no frame early
            self._due_s = max(self._due_s, (source_time_ns - self._first_ns) / 1e9)
        else:
            self._due_s += 1 / self._pace
        due = self._began + self._due_s
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)
        self.errors_s.append(time.monotonic() - due)

    def jitter_ms(self) -> dict[str, float] | None:
        """|actual − due| of the frames, p50, p99 and max, ms; None where none was due."""
        if not self.errors_s:
            return None
        errors = 1e3 * np.abs(self.errors_s)
        p50, p99 = np.percentile(errors, (50, 99))
        return {"p50": float(p50), "p99": float(p99), "max": float(errors.max())}


@dataclass(frozen=True)
class RecordedShot:
    """A shot of a recording; ``end`` has no ``sent_frames`` where it was not recorded."""

    number: int
    start: ShotStart
    frames: Iterator[Frame]
    end: ShotEnd

    def send(
        self,
        publisher: Publisher,
        clock: Clock,
        start: ShotStart | None = None,
        told_to_end: Callable[[], bool] = lambda: False,
    ) -> int:
        """Publish it in the recorded order; how many frames.

        start : to send in place of the recorded one: another run, another name
        told_to_end : asked before each frame, whether this and later ones are to be left out

        The source's time of a frame is that of now, so that latencies are of today; frames that
        were lost when it was recorded are lost again, and those never exposed are not there.
        """
        start = start or self.start
        publisher.start(start)
        end, exposed, count = self.end, 0, 0
        for frame in self.frames:
            clock.wait(frame.source_time_ns)
            if told_to_end():
                end = replace(end, sent_frames=exposed, ended_early=True)
                break
            now = time.time_ns()
            publisher.frame(replace(frame, run=start.run, shot=start.shot, source_time_ns=now))
            exposed = max(exposed, frame.index + 1)
            count += 1
        publisher.end(start.run, start.shot, end.sent_frames, ended_early=end.ended_early)
        return count


def recorded_shots(
    recording: Recording, numbers: Collection[int] | None = None
) -> Iterator[RecordedShot]:
    """The shots of these numbers (0 is the first), in the recorded order; None is all.

    Raises RecordingError for a number that is not there, and when there is no shot at all.
    """
    there = [int(row["shot_number"]) for row in recording.starts]
    if not there:
        raise RecordingError(
            f"recording {recording.path}: it holds no shot, so there is nothing to replay. Give "
            "the recording of a run that fired or looked."
        )
    wanted = set(there if numbers is None else numbers)
    if unknown := sorted(wanted - set(there)):
        raise RecordingError(
            f"recording {recording.path}: no shot {', '.join(map(str, unknown))}. Choose from "
            f"{there[0]} to {there[-1]}."
        )
    for number, (start, frames, end) in zip(there, recording.shots(), strict=True):
        if number in wanted:
            yield RecordedShot(number, start, frames, end)


@dataclass(frozen=True)
class Sent:
    """What was published, and how far off its time: see ``Clock.jitter_ms``."""

    shots: int
    frames: int
    seconds: float
    jitter_ms: dict[str, float] | None


def publish(
    recording: Recording,
    publisher: Publisher,
    pace: Pace = "recorded",
    numbers: Collection[int] | None = None,
    progress: Callable[[RecordedShot], None] = lambda shot: None,
) -> Sent:
    """Send shots of ``recording`` to whatever hub is connected to ``publisher``.

    Raises StreamError when nobody takes them, RecordingError when there is no such shot.
    """
    clock, began = Clock(pace), time.monotonic()
    shots = frames = 0
    for shot in recorded_shots(recording, numbers):
        frames += shot.send(publisher, clock)
        shots += 1
        progress(shot)
    return Sent(shots, frames, time.monotonic() - began, clock.jitter_ms())
