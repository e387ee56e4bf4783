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

    salvage : open a truncated copy as well, for what is left in it (see ``whole``)

    Raises RecordingError for a file that is missing, truncated, or no recording of skyctl, for one
    of its data files that is missing, and for compressed frames without hdf5plugin.
    """

    def __init__(self, path: Path | str, *, salvage: bool = False) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise RecordingError(f"recording {path}: no such file. Give a file written by skyctl.")
        try:
            # Only a file that is, or was, being written is opened for reading while it grows: so
            # opened, HDF5 takes a truncated file for a growing one and gives zeros for its frames.
            self.being_written = _is_being_written(self.path)
            self._file = h5py.File(self.path, "r", swmr=salvage or self.being_written)
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
            self.columns_length = min(len(self._camera[n]) for n in layout.FRAME_COLUMNS)
            self._images = _Images(self.path, self._camera, salvage)
            self.frame_count = self._images.stored(self.columns_length)
            self.starts = self._table("starts")
            self.ends = self._table("ends")
            self.verdicts = self._table("verdicts")
            self.results = self._table("results")
        except RecordingError:
            self._file.close()
            raise
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
        self._images.close()
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
                data=self._images[i],
            )


def _is_being_written(path: Path) -> bool:
    """Whether a writer has the file open, or had when it was killed. Raises OSError for a stump."""
    with path.open("rb") as file:
        superblock = file.read(_SUPERBLOCK_BYTES)
    if len(superblock) < _SUPERBLOCK_BYTES:  # HDF5 would wait for the rest
        raise OSError(f"only {len(superblock)} bytes")
    return superblock[8] >= 3 and superblock[11] != 0


class _Images:
    """The frames of a recording, from its one file or from its data files."""

    def __init__(self, master: Path, camera: Any, salvage: bool) -> None:
        self._master, self._salvage = master, salvage
        self._per_file = int(camera.attrs.get(layout.FRAMES_PER_FILE, 0))
        self._open: dict[int, tuple[h5py.File, Any]] = {}
        self._data = None if self._per_file else _readable(camera["data"], master)

    def __getitem__(self, row: int) -> np.ndarray:
        data, row_in_file, _ = self._place(row)
        return data[row_in_file]

    def _place(self, row: int) -> tuple[Any, int, Path]:
        """The dataset that has a frame, where in it, and the file it is in."""
        if not self._per_file:
            return self._data, row, self._master
        number, row_in_file = divmod(row, self._per_file)
        path = layout.data_file(self._master, number)
        if number not in self._open:
            if not path.is_file():
                raise RecordingError(
                    f"recording {self._master}: its data file {path.name} is missing. Copy all "
                    f"{self._master.stem}.data-*.h5 into the same folder."
                )
            try:
                file = h5py.File(path, "r", swmr=self._salvage or _is_being_written(path))
                self._open[number] = file, _readable(file[layout.IMAGES], path)
            except (OSError, KeyError, RuntimeError) as error:
                raise RecordingError(
                    f"recording {self._master}: its data file {path.name} cannot be opened "
                    f"({error}). Copy it again from where it was recorded."
                ) from error
        return self._open[number][1], row_in_file, path

    def stored(self, count: int) -> int:
        """How many of the first ``count`` are in the files: a full disk leaves some out.

        Raises RecordingError for a data file that is missing.
        """
        for first in range(0, count, self._per_file or max(count, 1)):
            self._place(first)
        while count and not _has(*self._place(count - 1)):
            count -= 1
        return count

    def close(self) -> None:
        """Close the data files."""
        while self._open:
            self._open.popitem()[1][0].close()


def _readable(images: Any, path: Path) -> Any:
    """The dataset, once what its compression needs is there."""
    filters = images.id.get_create_plist()
    missing = [
        filters.get_filter(number)[0]
        for number in range(filters.get_nfilters())
        if not h5py.h5z.filter_avail(filters.get_filter(number)[0])
    ]
    if missing:
        try:
            import hdf5plugin  # noqa: F401 - it makes its filters known to HDF5
        except ImportError as error:
            raise RecordingError(
                f"recording {path}: its frames are compressed (HDF5 filter {missing[0]}). Install "
                "hdf5plugin: pip install hdf5plugin."
            ) from error
    return images


def _has(images: Any, row: int, path: Path) -> bool:
    """Whether the file has the chunk of a frame, and all of it."""
    if row >= len(images):
        return False
    chunk = images.id.get_chunk_info_by_coord((row,) + (0,) * (images.ndim - 1))
    end = (chunk.byte_offset or 0) + chunk.size
    return chunk.byte_offset is not None and end <= path.stat().st_size
