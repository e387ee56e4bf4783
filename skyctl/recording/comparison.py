"""Comparison of a shot's verdicts and result as they were recorded with those of its replay."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.recording.playback import RecordedShot
from skyctl.recording.reader import Recording
from skyctl.verdict import ShotResult, Verdict


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


def compare(
    recording: Recording,
    shot: RecordedShot,
    frames: int,
    result: ShotResult,
    verdicts: list[Verdict],
) -> ReplayedShot:
    """A replayed shot beside what was recorded of it.

    frames : how many were sent; result, verdicts : what the replay gave
    """
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
    return {"label": result.label, **result.seen}


def homeless_rows(recording: Recording) -> Iterator[str]:
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
