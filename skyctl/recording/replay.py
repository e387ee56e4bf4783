"""Replay: a recording through the same stream, hub and classifier as when it was live."""

import queue
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from skyctl.errors import StreamError
from skyctl.inference.model import MovieClassifier
from skyctl.inference.state_check import StateCheck
from skyctl.inference.streaming import StreamingClassifier, foreign_to
from skyctl.recording.comparison import ReplayedShot, compare, homeless_rows
from skyctl.recording.playback import Clock, Pace, RecordedShot, recorded_shots
from skyctl.recording.reader import Recording
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.verdict import ShotResult, Verdict

_RESULT_TIMEOUT_S = 30.0
Watching = AbstractContextManager[object]


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
    watched: Callable[[Hub, StreamingClassifier], Watching] = lambda hub, streaming: nullcontext(),
    recount: Callable[[RecordedShot], RecordedShot] = lambda shot: shot,
    check: StateCheck | None = None,
) -> ReplayReport:
    """Stream ``recording`` through a hub and ``model`` and compare with the recorded verdicts.

    What a killed run had no time to record, the verdicts and the result of its last shot, is told
    as ``cut`` and nothing to differ in.

    pace : when frames are sent; numbers : of the shots, None is all
    watched : what looks on meanwhile; recount : each shot is sent as it gives it (a `Recount`)
    check : the run's, where its header has a ``state_check``
    Raises StreamError when a shot's result does not come, RecordingError when there is no such
    shot.
    """
    recorded_model = recording.header.get("model", {}).get("file_sha256")
    report = ReplayReport(
        recorded_model == model.card.file_sha256, faults=tuple(homeless_rows(recording))
    )
    results: queue.Queue[ShotResult | Exception] = queue.Queue()
    verdicts: list[Verdict] = []

    def listen(news: Verdict | ShotResult) -> None:
        if isinstance(news, Verdict):
            verdicts.append(news)
        else:
            results.put(news)

    classifier = StreamingClassifier(model, foreign=foreign_to(recording.header), check=check)
    classifier.subscribe(listen)
    publisher = Publisher()
    hub = Hub(publisher.address)
    consumer = Consumer("replay-classifier", classifier.handle, on_error=results.put)
    hub.subscribe(consumer)
    clock, began = Clock(pace), time.monotonic()
    try:
        with watched(hub, classifier):
            for shot in map(recount, recorded_shots(recording, numbers)):
                verdicts.clear()
                frames = shot.send(publisher, clock)
                report.frames += frames
                result = _result_of(shot, results, recording)
                report.shots.append(compare(recording, shot, frames, result, verdicts))
                progress(report.shots[-1])
    finally:
        hub.close()
        consumer.close()
        publisher.close()
    report.seconds, report.jitter_ms = time.monotonic() - began, clock.jitter_ms()
    return report


def _result_of(
    shot: RecordedShot, results: queue.Queue[ShotResult | Exception], recording: Recording
) -> ShotResult:
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
    return result
