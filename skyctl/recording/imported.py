"""A movie of another program as a recording, which replay, classifier and plans take."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import FormatError
from skyctl.formats.movies import Movie
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.recording.writer import Recorder
from skyctl.stream.sources.pixels import Scaling
from skyctl.verdict import ShotResult, Verdict

_LONGEST_SPIN = 1.25
"""Of real numbers that are S_z already: a camera's gain may be off."""


@dataclass(frozen=True)
class MovieFacts:
    """What a movie's file does not say, and nobody may guess.

    interval_ps : between two frames; pulse : fired, its peak counted from the first frame
    scaling : what counts mean; None for numbers that are S_z already
    frames_per_shot : of a file with several movies one after the other; None: all are one
    """

    interval_ps: float
    pulse: Pulse
    scaling: Scaling | None = None
    frames_per_shot: int | None = None


@dataclass(frozen=True)
class Imported:
    """What became of a movie: ``labels`` of its shots, () where no classifier was asked."""

    shots: int
    frames: int
    seconds: float
    labels: tuple[str, ...]


def import_movie(
    movie: Movie,
    target: Path,
    facts: MovieFacts,
    model: MovieClassifier | None = None,
    progress: Callable[[int], None] = lambda frames: None,
) -> Imported:
    """Write a movie as a recording; a few frames are in memory at a time.

    model : whose verdicts are recorded beside it, so that ``replay`` has something to compare;
        None: none
    progress : called with how many frames were written

    Raises FormatError for a movie whose numbers are no S_z, RecordingError.
    """
    run = _run_name(movie)
    header: dict[str, Any] = {"imported_from": movie.name, "interval_ps": facts.interval_ps}
    if model:
        header["model"] = asdict(model.card)
    began, labels, shots = time.monotonic(), [], 0
    events = _events(movie, facts, run)
    first = next(events)  # a movie that cannot be one leaves no file
    recorder = Recorder(target, run, movie.shape, model.card.classes if model else (), header)

    def listen(news: Verdict | ShotResult) -> None:
        recorder.handle(news)
        if isinstance(news, ShotResult):
            labels.append(news.label)

    classifier = StreamingClassifier(model) if model else None
    if classifier:
        classifier.subscribe(listen)
    try:
        for event in chain([first], events):
            recorder.handle(event)
            if classifier:
                classifier.handle(event)
            if isinstance(event, Frame):
                progress(1)
            else:
                shots += isinstance(event, ShotEnd)
    except FormatError:
        target.unlink()  # half a movie is none
        raise
    finally:
        recorder.close()
    return Imported(shots, recorder.frames_written, time.monotonic() - began, tuple(labels))


def _run_name(movie: Movie) -> str:
    """Printable ASCII, as names of runs are."""
    stem = re.sub(r"[^!-~]+", "-", Path(movie.name).resolve().stem)
    return f"import-{stem}"[:64]


def _events(movie: Movie, facts: MovieFacts, run: str) -> Iterator[ShotStart | Frame | ShotEnd]:
    """The movie as the hub would have had it, a shot after the other."""
    per_shot = facts.frames_per_shot or movie.frames
    if per_shot < 1 or movie.frames % per_shot:
        raise FormatError(
            f"movie {movie.name}: its {movie.frames} frames are no whole number of shots of "
            f"{per_shot}"
        )
    interval_ps = facts.interval_ps
    schedule = FrameSchedule(duration_ps=(per_shot - 1) * interval_ps, interval_ps=interval_ps)
    for number, image in enumerate(_images(movie, facts)):
        shot, index = f"shot-{number // per_shot}", number % per_shot
        if index == 0:
            yield ShotStart(run, shot, facts.pulse, schedule, per_shot, movie.shape)
        now_ns, received_ns = time.time_ns(), time.monotonic_ns()
        yield Frame(run, shot, index, schedule.time_ps(index), now_ns, image, received_ns)
        if index == per_shot - 1:
            yield ShotEnd(run, shot, per_shot, Counts(received=per_shot))


def _images(movie: Movie, facts: MovieFacts) -> Iterator[np.ndarray]:
    """Each frame as S_z or spins, float32; the next few are read while these are written."""
    with ThreadPoolExecutor(1) as ahead:
        blocks = movie.blocks()

        def following() -> np.ndarray | None:
            block = next(blocks, None)
            return None if block is None else _spins(movie, block, facts.scaling)

        pending = ahead.submit(following)
        while (block := pending.result()) is not None:
            pending = ahead.submit(following)
            yield from block


def _spins(movie: Movie, block: np.ndarray, scaling: Scaling | None) -> np.ndarray:
    """S_z or spins of some frames. Raises FormatError for numbers that are none."""
    if scaling:
        return scaling.apply(block)
    if block.dtype.kind != "f":
        raise FormatError(
            f"movie {movie.name}: holds counts ({block.dtype}), and nobody but you knows what they "
            "mean. Say which are S_z = -1 and +1: --levels DOWN,UP."
        )
    values = block.astype(np.float32, copy=False)
    low, high = float(values.min()), float(values.max())
    if not -_LONGEST_SPIN <= low <= high <= _LONGEST_SPIN:
        raise FormatError(
            f"movie {movie.name}: holds numbers from {low:g} to {high:g}, which are no S_z. Say "
            "which are S_z = -1 and +1: --levels DOWN,UP."
        )
    return values
