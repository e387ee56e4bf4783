"""Recording: reads a run back, also one that still grows or whose writer was killed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyctl.errors import RecordingError
from skyctl.frame import Frame, ShotStart
from skyctl.pulse import Movie, Pulse
from skyctl.recording import layout

_SUPERBLOCK_BYTES = 48


class Recording:
    """A recorded run, open for reading; a context manager.

    Raises RecordingError for a file that is missing, truncated, or no recording of skyctl.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise RecordingError(f"recording {path}: no such file. Give a file written by skyctl.")
        try:
            # Only a file that is, or was, being written is opened for reading while it grows: so
            # opened, HDF5 takes a truncated file for a growing one and gives zeros for its frames.
            self._file = h5py.File(self.path, "r", swmr=_is_being_written(self.path))
        except OSError as error:
            raise RecordingError(
                f"recording {path}: cannot be opened ({error}). The file is truncated or no HDF5; "
                "copy it again from where it was recorded."
            ) from error
        try:
            entry: Any = self._file["/entry"]
            self.run = str(entry.attrs["run"])
            self.classes: tuple[str, ...] = tuple(json.loads(entry.attrs["classes"]))
            self.header: dict[str, Any] = json.loads(entry.attrs["header"])
            self._camera: Any = self._file[layout.CAMERA]
            self._tables: Any = self._file[layout.SHOTS]
            # A kill between two columns leaves them of different length.
            lengths = [len(self._camera[n]) for n in (*layout.FRAME_COLUMNS, "data")]
            self.frame_count = _stored(self._camera["data"], min(lengths), self.path)
            self.starts = self._table("starts")
            self.ends = self._table("ends")
            self.verdicts = self._table("verdicts")
            self.results = self._table("results")
        except (KeyError, ValueError, OSError, RuntimeError) as error:
            self._file.close()
            raise RecordingError(
                f"recording {path}: no recording of skyctl, or damaged ({error}). "
                "Give a file written by skyctl's recorder."
            ) from error

    def _table(self, name: str) -> np.ndarray:
        return np.asarray(self._tables[name][()])

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def columns(self) -> dict[str, np.ndarray]:
        """The frames' columns without the images, each (frames,)."""
        return {n: self._camera[n][: self.frame_count] for n in layout.FRAME_COLUMNS}

    def shots(self) -> Iterator[tuple[ShotStart, Iterator[Frame], int | None]]:
        """Each shot: its start, its frames, and how many the source sent (None when unknown)."""
        columns = self.columns()
        sent = {int(row["shot_number"]): int(row["sent_frames"]) for row in self.ends}
        for row in self.starts:
            number = int(row["shot_number"])
            start = self._start(row)
            rows = np.flatnonzero(columns["shot_number"] == number)
            count = sent.get(number, -1)
            yield start, self._frames(start, rows, columns), None if count < 0 else count

    def _start(self, row: np.void) -> ShotStart:
        header = json.loads(bytes(row["header"]))
        pulse = header["pulse"]
        return ShotStart(
            run=self.run,
            shot=bytes(row["shot"]).decode(),
            pulse=Pulse.model_validate(pulse) if pulse else None,
            movie=Movie.model_validate(header["movie"]),
            expected_frames=int(row["expected_frames"]),
            shape=tuple(header["shape"]),
        )

    def _frames(
        self, start: ShotStart, rows: np.ndarray, columns: dict[str, np.ndarray]
    ) -> Iterator[Frame]:
        for i in rows:
            yield Frame(
                run=self.run,
                shot=start.shot,
                index=int(columns["frame_index"][i]),
                movie_time_ps=float(columns["movie_time_ps"][i]),
                source_time_ns=int(columns["source_time_ns"][i]),
                data=self._camera["data"][i],
            )


def _is_being_written(path: Path) -> bool:
    """Whether a writer has the file open, or had when it was killed. Raises OSError for a stump."""
    with path.open("rb") as file:
        superblock = file.read(_SUPERBLOCK_BYTES)
    if len(superblock) < _SUPERBLOCK_BYTES:  # HDF5 would wait for the rest
        raise OSError(f"only {len(superblock)} bytes")
    return superblock[8] >= 3 and superblock[11] != 0


def _stored(images: Any, count: int, path: Path) -> int:
    """How many of the first ``count`` images are in the file: a full disk leaves some out."""
    size = path.stat().st_size
    while count:
        chunk = images.id.get_chunk_info_by_coord((count - 1,) + (0,) * (images.ndim - 1))
        if chunk.byte_offset is not None and chunk.byte_offset + chunk.size <= size:
            break
        count -= 1
    return count
