"""Recorder: writes a run to NeXus/HDF5 that can be read while it grows (SWMR)."""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from skyctl import __version__
from skyctl.errors import RecordingError
from skyctl.frame import COUNTS, Frame, ShotEnd, ShotStart
from skyctl.pulse import PULSE_NUMBERS
from skyctl.recording import layout
from skyctl.recording.counts import CountsFile, counts_beside
from skyctl.recording.files import RunFile, Storage
from skyctl.samples import brief, samples_of
from skyctl.verdict import ShotResult, Verdict

FLUSH_FRAMES = 10
FLUSH_S = 1.0
_REMEMBERED = 1000
"""Shots of which something may still come; a run of days has millions."""


class Recorder:
    """Writes frames, shots and verdicts; on disk at least every 10 frames or every second.

    path : the new file; an existing one is never overwritten
    run : name of the run, in every message of its stream
    shape : of each frame, (H, W) or (3, H, W)
    classes : of the classifier whose verdicts are recorded
    header : plain facts for the file's attributes: model card, sample, seed
    on_end : called when all of a shot's frames are on disk
    storage : compression, and when to begin another data file

    Frames that carry their counts have them written beside, see skyctl.recording.counts.

    ``handle`` takes the hub's events and the classifier's verdicts and results, in one thread. What
    was received of a shot and is not in the file, because it has another shape, is counted in the
    shot's end: in the file, and as ``on_end`` has it.
    Raises RecordingError when the file cannot be made or written (a full disk, say).
    """

    def __init__(
        self,
        path: Path,
        run: str,
        shape: tuple[int, ...],
        classes: tuple[str, ...] = (),
        header: Mapping[str, Any] | None = None,
        on_end: Callable[[ShotEnd], None] = lambda end: None,
        storage: Storage | None = None,
    ) -> None:
        self.path = path
        self.storage = storage or Storage()
        self.frames_written = 0
        self._recorded: Counter[str] = Counter()
        self._run = run
        self._shape = shape
        self._on_end = on_end
        self._shots = 0
        self._numbers: dict[str, int] = {}
        self._ended: RecordingError | None = None
        self._frames: list[tuple[np.ndarray, tuple[Any, ...]]] = []
        self._counted_frames: list[Frame] = []
        self._counts = CountsFile(counts_beside(path))
        self._samples: dict[str, bytes] = {}
        self._samples_written: set[str] = set()
        self._rows: dict[str, list[Any]] = {"starts": [], "ends": [], "verdicts": [], "results": []}
        self._last_flush = time.monotonic()
        self._lock = threading.Lock()
        attributes = {
            "run": run,
            "skyctl": __version__,
            "classes": json.dumps(classes),
            "header": json.dumps(header or {}),
        }
        try:
            self._file = RunFile(path, shape, len(classes), attributes, self.storage)
        except (OSError, RuntimeError) as error:
            raise RecordingError(
                f"recording {path}: cannot be made ({error}). Choose a new file name in a folder "
                "that can be written, with room on the disk."
            ) from error

    def handle(self, event: ShotStart | Frame | ShotEnd | Verdict | ShotResult) -> None:
        """Take one event; writes in blocks."""
        if isinstance(event, ShotEnd):
            event = self._counted(event)
        with self._lock:
            self._take(event)
            if (
                len(self._frames) >= FLUSH_FRAMES
                or isinstance(event, ShotEnd | ShotResult)
                or time.monotonic() - self._last_flush > FLUSH_S
            ):
                self._flush()
        if isinstance(event, ShotEnd):
            self._on_end(event)

    def _counted(self, end: ShotEnd) -> ShotEnd:
        """The end with what was received and not recorded; as it is where no start was recorded."""
        if end.run != self._run or end.shot not in self._numbers:
            return end
        lost = max(0, end.counts.received - self._recorded.pop(end.shot, 0))
        return replace(end, counts=replace(end.counts, unrecorded=lost))

    def flush(self) -> None:
        """Write what waits to the disk."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Write what waits and close the file. After a failed write there is nothing to do."""
        with self._lock:
            if self._ended:
                return
            self._flush()
            with self._writing():
                self._file.close()
                self._counts.close()
            self._ended = RecordingError(f"recording {self.path}: is closed. Open a new one.")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Raise RecordingError, now and from now on, when the file cannot be written."""
        if self._ended:
            raise self._ended
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            self._file.abandon()
            self._counts.close()
            self._frames.clear()
            self._ended = RecordingError(
                f"recording {self.path}: cannot be written ({error}). Make room on the disk and "
                "start a new run; what was flushed can be read."
            )
            raise self._ended from error

    def _take(self, event: ShotStart | Frame | ShotEnd | Verdict | ShotResult) -> None:
        if event.run != self._run:  # a movie of somebody else's run is not ours to keep
            return
        if isinstance(event, ShotStart):
            self._numbers[event.shot] = self._shots
            if len(self._numbers) > _REMEMBERED:  # nothing more comes of it
                del self._numbers[next(iter(self._numbers))]
            self._shots += 1
            self._recorded[event.shot] = 0
            self._samples |= samples_of(event.pulse) if event.pulse else {}
            self._rows["starts"].append(_start_row(self._numbers[event.shot], event))
            return
        number = self._numbers.get(event.shot)
        if number is None:  # of a shot before this recording
            return
        if isinstance(event, Frame):
            if event.data.shape != self._shape:
                return
            self._recorded[event.shot] += 1
            times = (event.movie_time_ps, number, event.index)
            self._frames.append((event.data, (*times, event.source_time_ns, event.received_ns)))
            if event.counts is not None:
                self._counted_frames.append(event)
        elif isinstance(event, ShotEnd):
            counts = asdict(event.counts)
            sent = -1 if event.sent_frames is None else event.sent_frames
            transit = event.transit_ms or (np.nan, np.nan)
            counted = (counts[name] for name in COUNTS)
            self._rows["ends"].append((number, sent, *counted, *transit, event.ended_early))
        elif isinstance(event, Verdict):
            label = (event.label or "").encode()
            times = (event.received_ns, event.decided_ns)
            self._rows["verdicts"].append((number, event.index, label, *times, event.probabilities))
        else:
            self._rows["results"].append(_result_row(number, event))

    def _flush(self) -> None:
        with self._writing():
            self._file.check()
            if self._frames:
                images, rows = zip(*self._frames, strict=True)
                values = map(np.asarray, zip(*rows, strict=True))
                columns = dict(zip(layout.FRAME_COLUMNS, values, strict=True))
                self._file.append(images, columns)
                self._counts.append(self._counted_frames)
                self._counted_frames.clear()
                self.frames_written += len(images)
                self._frames.clear()
            for digest in self._samples.keys() - self._samples_written:
                self._file.add_samples(digest, self._samples[digest])
                self._samples_written.add(digest)
            self._samples.clear()
            for name, rows in self._rows.items():
                if rows:
                    self._file.add_rows(name, rows)
                    rows.clear()
            self._file.flush()
        self._last_flush = time.monotonic()


def _start_row(number: int, start: ShotStart) -> tuple[Any, ...]:
    pulse = start.pulse
    header = {
        "pulse": brief(pulse) if pulse else None,
        "movie": start.movie.model_dump(),
        "shape": start.shape,
        "may_end_early": start.may_end_early,
    }
    values = (getattr(pulse, name) if pulse else np.nan for name in PULSE_NUMBERS)
    encoded = json.dumps(header).encode()
    return (number, start.shot.encode(), start.expected_frames, *values, encoded)


def _result_row(number: int, result: ShotResult) -> tuple[Any, ...]:
    problem = result.problem.encode()[:160]
    counts = result.counts
    return (
        number,
        result.label.encode(),
        problem,
        *result.seen.values(),
        counts.stale,
        result.ended_early,
        result.off_states,
    )
