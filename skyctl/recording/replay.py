"""Replay: a recording through the same stream, hub and classifier as when it was live."""

import queue
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from skyctl.errors import RecordingError, StreamError
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.recording.reader import Recording
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.verdict import ShotResult, Verdict

_RESULT_TIMEOUT_S = 30.0

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


@dataclass(frozen=True)
class Said:
    """What a network said at one frame; ``label`` is "" where it abstained."""

    label: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Difference:
    """A frame whose verdict is another one than was recorded; None: there is no verdict."""

    frame: int
    recorded: Said | None
    replayed: Said | None


@dataclass(frozen=True)
class ReplayedShot:
    """One shot, replayed: its result, and how many verdicts agree with the recorded ones.

    promised : frames that it would have had, had it not ended early
    faults : what else is not as it was recorded, a line each: frames that were received and are not
        there, a result (of a look, what was seen) that is missing or another one
    cut : how many of its last frames had no verdict on disk when the run was killed
    """

    number: int
    promised: int
    result: ShotResult
    recorded_label: str
    verdicts: int
    recorded_verdicts: int
    differences: tuple[Difference, ...]
    faults: tuple[str, ...] = ()
    cut: int = 0

    @property
    def identical(self) -> int:
        """Verdicts that are the same bit for bit."""
        return self.verdicts - self.cut - sum(d.replayed is not None for d in self.differences)

    @property
    def agrees(self) -> bool:
        """Same verdicts, each the same bit for bit, the same result, and every frame is there."""
        return not (self.differences or self.faults)


@dataclass
class ReplayReport:
    """What a replay gave, shot by shot.

    faults : what the recording has and no shot of it: verdicts of a shot without a start, say
    """

    same_model: bool
    shots: list[ReplayedShot] = field(default_factory=list)
    faults: tuple[str, ...] = ()
    frames: int = 0
    seconds: float = 0.0
    jitter_ms: dict[str, float] | None = None

    @property
    def identical(self) -> bool:
        """Whether every verdict came out as recorded, bit for bit."""
        return not self.faults and all(shot.agrees for shot in self.shots)

    @property
    def cut(self) -> int:
        """Frames at the end of a killed run that had no verdict on disk yet."""
        return sum(shot.cut for shot in self.shots)

    @property
    def frames_promised(self) -> int:
        """How many frames these movies would have had, had none ended early."""
        return sum(shot.promised for shot in self.shots)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings, with every verdict that differs."""
        return {
            "identical": self.identical,
            "same_model": self.same_model,
            "shots": len(self.shots),
            "frames": self.frames,
            "frames_promised": self.frames_promised,
            "ended_early": [shot.result.ended_early for shot in self.shots],
            "verdicts": sum(shot.verdicts for shot in self.shots),
            "labels": [shot.result.label for shot in self.shots],
            "recorded_labels": [shot.recorded_label for shot in self.shots],
            "faults": [
                *self.faults,
                *(f"shot {shot.number}: {fault}" for shot in self.shots for fault in shot.faults),
            ],
            "cut": self.cut,
            "differences": [
                {
                    "shot": shot.number,
                    "frame": difference.frame,
                    "recorded": vars(difference.recorded) if difference.recorded else None,
                    "replayed": vars(difference.replayed) if difference.replayed else None,
                }
                for shot in self.shots
                for difference in shot.differences
            ],
            "seconds": self.seconds,
            "jitter_ms": self.jitter_ms,
        }


def replay(
    recording: Recording,
    model: MovieClassifier,
    pace: Pace = "max",
    numbers: Collection[int] | None = None,
    progress: Callable[[ReplayedShot], None] = lambda shot: None,
) -> ReplayReport:
    """Stream ``recording`` through a hub and ``model`` and compare with the recorded verdicts.

    What a killed run had no time to record, the verdicts and the result of its last shot, is told
    as ``cut`` and nothing to differ in.

    pace : when frames are sent; numbers : of the shots, None is all
    Raises StreamError when a shot's result does not come, RecordingError when there is no such
    shot.
    """
    recorded_model = recording.header.get("model", {}).get("file_sha256")
    report = ReplayReport(
        recorded_model == model.card.file_sha256, faults=tuple(_homeless(recording))
    )
    results: queue.Queue[ShotResult | Exception] = queue.Queue()
    verdicts: list[Verdict] = []

    def listen(news: Verdict | ShotResult) -> None:
        if isinstance(news, Verdict):
            verdicts.append(news)
        else:
            results.put(news)

    classifier = StreamingClassifier(model)
    classifier.subscribe(listen)
    publisher = Publisher()
    hub = Hub(publisher.address)
    consumer = Consumer("replay-classifier", classifier.handle, on_error=results.put)
    hub.subscribe(consumer)
    clock, began = Clock(pace), time.monotonic()
    try:
        for shot in recorded_shots(recording, numbers):
            verdicts.clear()
            frames = shot.send(publisher, clock)
            report.frames += frames
            try:
                result = results.get(timeout=_RESULT_TIMEOUT_S)
            except queue.Empty:
                raise StreamError(
                    f"replay of {recording.path}: no result for shot {shot.start.shot} within "
                    f"{_RESULT_TIMEOUT_S:g} s. Run it again with fewer programs beside it."
                ) from None
            if isinstance(result, Exception):
                raise StreamError(
                    f"replay of {recording.path}: shot {shot.start.shot} cannot be classified "
                    f"({result}). Give the model that the recording was made with."
                ) from result
            report.shots.append(_compare(recording, shot, frames, result, verdicts))
            progress(report.shots[-1])
    finally:
        hub.close()
        consumer.close()
        publisher.close()
    report.seconds, report.jitter_ms = time.monotonic() - began, clock.jitter_ms()
    return report


def _compare(
    recording: Recording,
    shot: RecordedShot,
    frames: int,
    result: ShotResult,
    verdicts: list[Verdict],
) -> ReplayedShot:
    number = shot.number
    rows = _of(recording.verdicts, number)
    recorded = {
        int(row["frame_index"]): Said(
            bytes(row["label"]).decode(), tuple(map(float, row["probabilities"]))
        )
        for row in rows
    }
    replayed = {v.index: Said(v.label or "", v.probabilities) for v in verdicts}
    last = number == int(recording.starts["shot_number"].max())
    killed = recording.killed and last
    cut = {frame for frame in replayed if killed and frame > max(recorded, default=-1)}
    labels = _of(recording.results, number)["label"]
    return ReplayedShot(
        number=number,
        promised=shot.start.expected_frames,
        result=result,
        recorded_label=bytes(labels[0]).decode() if len(labels) else "",
        verdicts=len(verdicts),
        recorded_verdicts=len(rows),
        differences=tuple(
            Difference(frame, recorded.get(frame), replayed.get(frame))
            for frame in sorted((recorded.keys() | replayed.keys()) - cut)
            if recorded.get(frame) != replayed.get(frame)
        ),
        faults=tuple(_faults(recording, number, frames, result, killed)),
        cut=len(cut),
    )


def _faults(
    recording: Recording, number: int, frames: int, result: ShotResult, killed: bool
) -> Iterator[str]:
    """What else of a shot is missing, or came out otherwise, a line each."""
    for end in _of(recording.ends, number):
        unrecorded = (
            int(end["unrecorded"]) if "unrecorded" in (recording.ends.dtype.names or ()) else 0
        )
        if there := int(end["received"]) - unrecorded - frames:
            yield f"{frames} frames are there, {frames + there} were recorded"
    results = _of(recording.results, number)
    if not (len(results) or killed):
        yield "no result was recorded"
    for row in results:
        for name, now in _seen(result).items():
            before = row[name].decode() if isinstance(row[name], bytes) else int(row[name])
            if before != now:
                yield f"{name} was {before!r} and is {now!r}"


def _seen(result: ShotResult) -> dict[str, Any]:
    """What a result says, as it is recorded. Not its problem: losses have names of their own."""
    state = result.state
    return {
        "label": result.label, "background": state.background if state else 0,
        "discs": state.discs if state else -1, "domains": state.domains if state else -1,
        "reversed_sites": state.reversed_sites if state else -1,
    }  # fmt: skip


def _homeless(recording: Recording) -> Iterator[str]:
    """Rows of shots that have no start, a line each table."""
    known = recording.starts["shot_number"]
    for name, numbers in (
        ("frames", recording.columns()["shot_number"]), ("ends", recording.ends["shot_number"]),
        ("verdicts", recording.verdicts["shot_number"]),
        ("results", recording.results["shot_number"]),
    ):  # fmt: skip
        if lost := int(np.count_nonzero(~np.isin(numbers, known))):
            yield f"{lost} {name} are of shots that have no start"


def _of(table: np.ndarray, number: int) -> np.ndarray:
    return table[table["shot_number"] == number]
