"""Recorded: a recording as a page shows it, with nothing to act on."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import RecordingError
from skyctl.frame import ShotStart
from skyctl.monitor.account import filmed_pulse, finite
from skyctl.monitor.controls import Controls
from skyctl.monitor.film import MOST_FRAMES, LiveFrame, Picture, pack_movie, picture
from skyctl.monitor.newest import Newest
from skyctl.recording.reader import Recording
from skyctl.verdict import SEEN, UNSURE, FilmState


class RecordedView:
    """A `View` of a recording: its shots, to be replayed one by one.

    Raises RecordingError as Recording.
    """

    controls: Controls | None = None
    still = True

    def __init__(self, path: Path) -> None:
        with Recording(path) as recording:
            self._path = path
            self._classes = recording.classes
            self._killed = recording.killed
            model = recording.header.get("model") or {}
            self._model = f"{model.get('name', '')} {model.get('version', '')}".strip()
            self._starts = [start for start, _, _ in recording.shots()]
            self._numbers = [int(row["shot_number"]) for row in recording.starts]
            self._verdicts = recording.verdicts
            self._results = {int(row["shot_number"]): row for row in recording.results}
            self._ends = {int(row["shot_number"]): row for row in recording.ends}
            columns = recording.columns()
        self._times = {
            (int(shot), int(index)): float(at)
            for shot, index, at in zip(
                columns["shot_number"],
                columns["frame_index"],
                columns["movie_time_ps"],
                strict=True,
            )
        }
        self._newest: Newest[LiveFrame] = Newest()
        self._history = self._shots()

    @property
    def newest(self) -> Newest[LiveFrame]:
        """Nothing ever: no frame is live."""
        return self._newest

    def state(self) -> dict[str, Any]:
        """What is shown besides the film."""
        return {
            "kind": "recording",
            "title": self._path.name,
            "recording": str(self._path),
            "killed": self._killed,
            "model": self._model,
            "stamp": time.monotonic(),
            "time": time.time(),
            "shots": len(self._history),
            "history": self._history,
        }

    def movie(self, shot: str, frames: int, side: int) -> bytes | None:
        """From the file."""
        return recorded_movie(self._path, shot, frames, side)

    def curve(self, shot: str) -> dict[str, Any] | None:
        """The recorded verdicts of a shot."""
        for number, start in zip(self._numbers, self._starts, strict=True):
            if start.shot == shot:
                return self._curve(number, start)
        return None

    def _curve(self, number: int, start: ShotStart) -> dict[str, Any]:
        rows = self._verdicts[self._verdicts["shot_number"] == number]
        points = [
            (self._times[number, int(row["frame_index"])], *map(float, row["probabilities"]))
            for row in rows
            if (number, int(row["frame_index"])) in self._times
        ]
        result = self._results.get(number)
        early = result is not None and bool(_field(result, "ended_early", 0))
        off_states = 0.0 if result is None else _field(result, "off_states", 0)
        label = bytes(rows[-1]["label"]).decode() if len(rows) else ""
        return {
            "shot": start.shot,
            "classes": self._classes,
            "points": points,
            "early_ps": points[-1][0] if early and points else None,
            "label": label or None,
            "novelty": None,
            "outside": "",
            "off_states": finite(off_states) or None,
            "pulse": filmed_pulse(start.pulse) if start.pulse else None,
        }

    def _shots(self) -> list[dict[str, Any]]:
        """The pulsed shots, each with the film that the look after it showed."""
        shots: list[dict[str, Any]] = []
        for number, start in zip(self._numbers, self._starts, strict=True):
            result, end = self._results.get(number), self._ends.get(number)
            if start.pulse is None:
                if shots and result is not None:
                    shots[-1]["film"] = _film(result)
                continue
            rows = self._verdicts[self._verdicts["shot_number"] == number]
            label = bytes(result["label"]).decode() if result is not None else UNSURE
            shots.append(
                {
                    "number": len(shots) + 1,
                    "shot": start.shot,
                    "task": "",
                    "label": label,
                    "confidence": float(np.max(rows[-1]["probabilities"])) if len(rows) else None,
                    "problem": bytes(result["problem"]).decode() if result is not None else "cut",
                    "early": result is not None and bool(_field(result, "ended_early", 0)),
                    "frames": int(end["received"]) if end is not None else len(rows),
                    "missing": int(end["missing"]) if end is not None else 0,
                    "film": "",
                    "time": 0.0,
                    "pulse": str(start.pulse),
                }
            )
        return shots


def _field(row: np.void, name: str, otherwise: float) -> float:
    """Of a column that older recordings lack."""
    return float(row[name]) if name in (row.dtype.names or ()) else otherwise


def _film(row: np.void) -> str:
    seen: dict[str, Any] = {name: int(row[name]) for name in SEEN}
    return str(FilmState(**seen)) if seen["discs"] >= 0 else "not seen"


def recorded_movie(path: Path, shot: str, frames: int, side: int) -> bytes | None:
    """At most ``frames`` frames of a recorded shot, each at most ``side`` wide; None where it is
    not there, or the file cannot be read while it is written."""
    try:
        with Recording(path) as recording:
            for row in recording.starts:
                if bytes(row["shot"]).decode() == shot:
                    number, expected = int(row["shot_number"]), int(row["expected_frames"])
                    pictures = _pictures(recording, number, min(frames, MOST_FRAMES))
                    return pack_movie(shot, pictures, expected, frames, side)
    except (RecordingError, OSError):
        return None
    return None


def _pictures(recording: Recording, number: int, most: int) -> list[Picture]:
    """At most so many of a shot, evenly spread; the others are not read."""
    columns = recording.columns()
    rows = np.flatnonzero(columns["shot_number"] == number)
    kept = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]
    return [
        picture(
            recording.images(row, row + 1)[0],
            int(columns["frame_index"][row]),
            float(columns["movie_time_ps"][row]),
        )
        for row in kept
    ]
