"""Replay: a recording through the same stream, hub and classifier as when it was live."""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from skyctl.errors import RecordingError, StreamError
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.recording.reader import Recording
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.verdict import ShotResult, Verdict

_RESULT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ReplayedShot:
    """One shot, replayed: its result, and how many verdicts agree with the recorded ones."""

    result: ShotResult
    recorded_label: str
    verdicts: int
    recorded_verdicts: int
    identical: int

    @property
    def agrees(self) -> bool:
        """Same number of verdicts, each the same bit for bit."""
        return self.verdicts == self.recorded_verdicts == self.identical


@dataclass
class ReplayReport:
    """What a replay gave, shot by shot."""

    same_model: bool
    shots: list[ReplayedShot] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Whether every verdict came out as recorded, bit for bit."""
        return all(shot.agrees for shot in self.shots)


def replay(
    recording: Recording,
    model: MovieClassifier,
    rate_hz: float | None = None,
    progress: Callable[[ReplayedShot], None] = lambda shot: None,
) -> ReplayReport:
    """Stream ``recording`` through a hub and ``model`` and compare with the recorded verdicts.

    rate_hz : frames a second; None is as fast as they are classified.
    Raises StreamError when a shot's result does not come.
    """
    if not len(recording.starts):
        raise RecordingError(
            f"recording {recording.path}: it holds no shot, so there is nothing to replay. Give "
            "the recording of a run that fired or looked."
        )
    recorded_model = recording.header.get("model", {}).get("file_sha256")
    report = ReplayReport(same_model=recorded_model == model.card.file_sha256)
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
    try:
        for number, (start, frames, _) in enumerate(recording.shots()):
            verdicts.clear()
            publisher.start(start)
            for frame in frames:
                publisher.frame(replace(frame, source_time_ns=time.time_ns()))
                if rate_hz:
                    time.sleep(1 / rate_hz)
            publisher.end(start.run, start.shot)
            try:
                result = results.get(timeout=_RESULT_TIMEOUT_S)
            except queue.Empty:
                raise StreamError(
                    f"replay of {recording.path}: no result for shot {start.shot} within "
                    f"{_RESULT_TIMEOUT_S:g} s. Run it again with fewer programs beside it."
                ) from None
            if isinstance(result, Exception):
                raise StreamError(
                    f"replay of {recording.path}: shot {start.shot} cannot be classified "
                    f"({result}). Give the model that the recording was made with."
                ) from result
            shot = _compare(recording, number, result, verdicts)
            report.shots.append(shot)
            progress(shot)
    finally:
        hub.close()
        consumer.close()
        publisher.close()
    return report


def _compare(
    recording: Recording, number: int, result: ShotResult, verdicts: list[Verdict]
) -> ReplayedShot:
    rows = recording.verdicts[recording.verdicts["shot_number"] == number]
    recorded = {int(row["frame_index"]): tuple(map(float, row["probabilities"])) for row in rows}
    labels = recording.results[recording.results["shot_number"] == number]["label"]
    return ReplayedShot(
        result=result,
        recorded_label=bytes(labels[0]).decode() if len(labels) else "",
        verdicts=len(verdicts),
        recorded_verdicts=len(rows),
        identical=sum(recorded.get(v.index) == v.probabilities for v in verdicts),
    )
