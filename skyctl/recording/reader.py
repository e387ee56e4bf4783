"""Recording: reads a run back, also one that still grows or whose writer was killed."""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyctl.errors import RecordingError
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.recording import layout
from skyctl.recording.files import Storage
from skyctl.recording.salvage import Health, Padded, health
from skyctl.samples import Samples, whole
from skyctl.waveform import MOST_SAMPLES


class Recording:
    """A recorded run, open for reading; a context manager.

    salvage : open a truncated copy as well, and keep every frame and row that is left in it

    Attributes: ``rows``, where the frames stand that are whole; ``cut_frames``, how many more have
    a row and no image; ``health``, how the file was left; ``killed``, whether it was never closed,
    or was recovered from one that was not.

    Raises RecordingError for a file that is missing, truncated, or no recording of skyctl, for one
    of its data files that is missing, and for compressed frames without hdf5plugin.
    """

    def __init__(self, path: Path | str, *, salvage: bool = False) -> None:
        self.path = Path(path)
        recover = "" if salvage else ", or see what skyctl recover finds in it"
        if not self.path.is_file():
            raise RecordingError(f"recording {path}: no such file. Give a file written by skyctl.")
        try:
            self._file, self.health = _open(self.path, salvage)
        except OSError as error:
            raise RecordingError(
                f"recording {path}: cannot be opened ({error}). The file is truncated or no HDF5; "
                f"copy it again from where it was recorded{recover}."
            ) from error
        try:
            entry: Any = self._file["/entry"]
            self.run = str(entry.attrs["run"])
            self.classes: tuple[str, ...] = tuple(json.loads(entry.attrs["classes"]))
            self.header: dict[str, Any] = json.loads(entry.attrs["header"])
            self.killed = self.health.being_written or "recovered_from" in entry.attrs
            self._camera: Any = self._file[layout.CAMERA]
            self._tables: Any = self._file[layout.SHOTS]
            newer = [name for name in _NEWER_TABLES if name in self._tables]
            # A kill between two columns leaves them of different length.
            columns = [self._camera[n] for n in layout.FRAME_COLUMNS]
            # Before any of it is read: a few bytes can declare more than a machine holds.
            whole = self.path.stat().st_size + self.health.missing_bytes
            for rows in (*columns, *(self._tables[n] for n in (*_TABLES, *newer))):
                _refuse_absurd(rows, min(whole, _LARGEST_TABLE))
            length = min(map(len, columns))
            self._images = _Images(self.path, self._camera, salvage)
            if salvage:
                there = self._images.present(length)
                for column in columns:
                    there &= _present(column, self.path)[:length]
                self.rows = np.flatnonzero(there)
            else:
                self.rows = np.arange(self._images.stored(length))
            self.cut_frames = length - len(self.rows)
            self.starts = self._table("starts", salvage)
            self.ends = self._table("ends", salvage)
            self.verdicts = self._table("verdicts", salvage)
            self.results = self._table("results", salvage)
            self.waveforms = self._table("waveforms", salvage)
        except RecordingError:
            self._file.close()
            raise
        except (KeyError, ValueError, TypeError, OSError, RuntimeError) as error:
            # RecursionError, of a header nested too deep, is a RuntimeError
            self._file.close()
            raise RecordingError(
                f"recording {path}: no recording of skyctl, or damaged ({error}). "
                f"Give a file written by skyctl's recorder{recover}."
            ) from error

    def samples(self, digest: str) -> bytes:
        """A waveform's samples, as skyctl.samples has them. Raises LookupError for none."""
        for row in self.waveforms[self.waveforms["sha256"] == digest.encode()]:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                last = row["first"] + min(row["count"], MOST_SAMPLES)
                there = self._tables["samples"][row["first"] : last]
                return np.array([there["time_ps"], there["value"]], "<f8").tobytes()
        raise LookupError(digest)

    def _table(self, name: str, salvage: bool) -> np.ndarray:
        if name not in self._tables:  # an older file
            return np.empty(0, layout.WAVEFORMS)
        table = self._tables[name]
        return _rows(table, np.flatnonzero(_present(table, self.path))) if salvage else table[()]

    @property
    def frame_count(self) -> int:
        """How many frames there are."""
        return len(self.rows)

    @property
    def frames_promised(self) -> int:
        """How many frames the movies would have had, had none ended early."""
        return int(self.starts["expected_frames"].sum())

    @property
    def frames_exposed(self) -> int:
        """How many frames were exposed, as far as is known: what came and what is missing of each
        movie, and what is here of one whose end is not recorded."""
        ended = self.ends["shot_number"]
        unended = ~np.isin(self.columns()["shot_number"], ended)
        return int((self.ends["received"] + self.ends["missing"]).sum() + unended.sum())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a frame, (H, W) or (3, H, W)."""
        if self.storage.frames_per_file:  # HDF5 opens all data files to know a view's shape
            plot: Any = self._file[layout.PLOT]
            return tuple(len(plot[axis]) for axis in plot.attrs["axes"][1:])
        return tuple(self._camera["data"].shape[1:])

    @property
    def storage(self) -> Storage:
        """How the frames are stored."""
        return self._images.storage

    @property
    def attributes(self) -> dict[str, str]:
        """All attributes of the entry, plain strings."""
        return {name: str(value) for name, value in self._file["/entry"].attrs.items()}

    def images(self, first: int, last: int) -> np.ndarray:
        """Frames ``first`` to ``last`` (not included) of those that are whole, (n, *shape)."""
        return np.stack([self._images[int(row)] for row in self.rows[first:last]])

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._images.close()
        self._file.close()

    def columns(self) -> dict[str, np.ndarray]:
        """The frames' columns without the images, each (frames,)."""
        return {n: _rows(self._camera[n], self.rows) for n in layout.FRAME_COLUMNS}

    def shots(self) -> Iterator[tuple[ShotStart, Iterator[Frame], ShotEnd]]:
        """Each shot: its start, its frames, and its end as the source told it, without counts;
        ``sent_frames`` is None where that is not recorded."""
        columns = self.columns()
        ends = {int(row["shot_number"]): row for row in self.ends}
        for row in self.starts:
            number = int(row["shot_number"])
            start = self._start(row)
            rows = np.flatnonzero(columns["shot_number"] == number)
            end = _end(start, ends.get(number))
            yield start, self._frames(start, rows, columns), end

    def _start(self, row: np.void) -> ShotStart:
        try:
            pulse, movie, shape, may_end_early = parse_header(bytes(row["header"]), self.samples)
            shot = bytes(row["shot"]).decode()
        except (RecordingError, UnicodeDecodeError) as error:
            raise RecordingError(
                f"recording {self.path}: shot {row['shot_number']} has a damaged header ({error}). "
                "Copy the file again, or replay the other shots (--shots)."
            ) from error
        promised = int(row["expected_frames"])
        return ShotStart(self.run, shot, pulse, movie, promised, shape, may_end_early=may_end_early)

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
                data=self._images[int(self.rows[i])],
            )


def _end(start: ShotStart, row: np.void | None) -> ShotEnd:
    """The end of a shot from its row, None where there is none."""
    if row is None:
        return ShotEnd(start.run, start.shot, None)
    sent = int(row["sent_frames"])
    ended_early = "ended_early" in (row.dtype.names or ()) and bool(
        row["ended_early"]
    )  # older: never
    return ShotEnd(start.run, start.shot, None if sent < 0 else sent, ended_early=ended_early)


def parse_header(
    text: bytes, samples: Samples
) -> tuple[Pulse | None, FrameSchedule, tuple[int, ...], bool]:
    """A shot's pulse, movie and frame shape, and whether it may end early, from the JSON in its
    row; in older recordings none may.

    samples : has those of its pulse's waveform

    Raises RecordingError for what no recorder wrote.
    """
    try:
        header = json.loads(text)
        pulse, sides = header["pulse"], header["shape"]
        shape = tuple(sides)
        if len(shape) not in (2, 3) or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"shape {str(sides)[:32]}")
        may_end_early = header.get("may_end_early", False)
        if type(may_end_early) is not bool:
            raise ValueError(f"may_end_early {str(may_end_early)[:32]}")
        return (
            whole(pulse, samples) if pulse else None,
            FrameSchedule.model_validate(header["movie"]),
            shape,
            may_end_early,
        )
    # pydantic's ValidationError, json's and Unicode's errors are ValueErrors
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise RecordingError(f"no header of a shot: {error}") from error


def _open(path: Path, salvage: bool) -> tuple[h5py.File, Health]:
    """A file for reading, by how it was left. Raises OSError when HDF5 cannot open it."""
    state = health(path)
    # Only a file that is, or was, being written is opened as a growing one: HDF5 would take a
    # truncated file for it and give zeros for its frames, or wait for the rest.
    if salvage or (state.being_written and state.missing_bytes):
        return h5py.File(Padded(path), "r"), state
    return h5py.File(path, "r", swmr=state.being_written), state


_TABLES = ("starts", "ends", "verdicts", "results")
_NEWER_TABLES = ("waveforms", "samples")
_LARGEST_TABLE = 2**30
_LARGEST_FRAME = 2**28
_MOST_FRAMES_CUT = 1_000_000
_OPEN_FILES = 64
"""Data files that are open at a time: a process may have 1,024 files, and a long run has more."""
_BITSHUFFLE = 32008
"""HDF5's number of the only filter that skyctl writes frames with."""


def _refuse_absurd(rows: Any, most_bytes: int) -> None:
    """Raise ValueError for a column or table that declares more than its file can hold."""
    if not isinstance(rows, h5py.Dataset) or rows.ndim != 1 or not rows.chunks:
        raise ValueError(f"{rows.name} is no column")
    if rows.id.get_create_plist().get_nfilters():
        raise ValueError(f"{rows.name} is compressed, which skyctl never does")
    if rows.nbytes > most_bytes:
        raise ValueError(
            f"{rows.name} declares {len(rows)} rows, more than the file can hold, or than is read"
        )


class _Images:
    """The frames of a recording, from its one file or from its data files."""

    def __init__(self, master: Path, camera: Any, salvage: bool) -> None:
        self._master, self._salvage = master, salvage
        self._per_file = int(camera.attrs.get(layout.FRAMES_PER_FILE, 0))
        if self._per_file < 0:
            raise ValueError(f"{self._per_file} frames in a file")
        named_after = Path(str(camera.attrs.get(layout.DATA_FILES_OF, master.stem))).name
        self._named_after = master.with_name(f"{named_after}.h5")
        if not layout.data_file(self._named_after, 0).is_file():  # renamed together
            self._named_after = master
        self._open: dict[int, tuple[h5py.File, Any]] = {}
        self._data = None if self._per_file else _readable(camera["data"], master)

    @property
    def storage(self) -> Storage:
        """How the frames are stored."""
        one = self._data or next((data for _, data in self._open.values()), None)
        compressed = one is not None and one.id.get_create_plist().get_nfilters()
        return Storage("bslz4" if compressed else None, self._per_file or None)

    def __getitem__(self, row: int) -> np.ndarray:
        data, row_in_file, _ = self._place(row)
        return data[row_in_file]

    def _place(self, row: int) -> tuple[Any, int, Path]:
        """The dataset that has a frame, where in it, and the file it is in."""
        if not self._per_file:
            return self._data, row, self._master
        number, row_in_file = divmod(row, self._per_file)
        path = layout.data_file(self._named_after, number)
        if number not in self._open:
            if not path.is_file():
                raise RecordingError(
                    f"recording {self._master}: its data file {path.name} is missing. Copy all "
                    f"{self._named_after.stem}.data-*.h5 into the same folder."
                )
            if len(self._open) >= _OPEN_FILES:
                self._open.pop(next(iter(self._open)))[0].close()
            try:
                file, _ = _open(path, self._salvage)
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
        if self._data is not None and count - self._data.id.get_num_chunks() > _MOST_FRAMES_CUT:
            raise ValueError(f"{count} frames are declared, and hardly one is there")
        while count and not _has(*self._place(count - 1)):
            count -= 1
        return count

    def present(self, count: int) -> np.ndarray:
        """Which of the first ``count`` are in the files and can be read, (count,) bool."""
        there = np.zeros(count, bool)
        for row in range(count):
            with contextlib.suppress(OSError, RuntimeError, RecordingError):
                there[row] = _has(*self._place(row)) and self[row] is not None
        return there

    def close(self) -> None:
        """Close the data files."""
        while self._open:
            self._open.popitem()[1][0].close()


def _readable(images: Any, path: Path) -> Any:
    """The dataset, once what its compression needs is there."""
    if not isinstance(images, h5py.Dataset) or images.ndim not in (3, 4):
        raise RecordingError(f"recording {path}: its frames are no images. It is none of skyctl's.")
    filters = images.id.get_create_plist()
    used = {filters.get_filter(number)[0] for number in range(filters.get_nfilters())}
    largest = math.prod(images.chunks or images.shape[1:]) * images.dtype.itemsize
    if used - {_BITSHUFFLE} or largest > _LARGEST_FRAME:
        raise RecordingError(
            f"recording {path}: a frame of {largest} bytes, HDF5 filters {sorted(used)}; skyctl "
            f"writes at most {_LARGEST_FRAME} bytes a frame, plain or with filter {_BITSHUFFLE}. "
            "It is none of skyctl's, and not read."
        )
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


def _has(dataset: Any, row: int, path: Path) -> bool:
    """Whether the file has the chunk that a row is in, and all of it."""
    if row >= len(dataset):
        return False
    chunk = dataset.id.get_chunk_info_by_coord((row,) + (0,) * (dataset.ndim - 1))
    end = (chunk.byte_offset or 0) + chunk.size
    return chunk.byte_offset is not None and end <= path.stat().st_size


def _present(dataset: Any, path: Path) -> np.ndarray:
    """Which rows of a column or table are in the file, (rows,) bool."""
    there = np.zeros(len(dataset), bool)
    step = dataset.chunks[0]
    for first in range(0, len(dataset), step):
        with contextlib.suppress(OSError, RuntimeError):
            there[first : first + step] = _has(dataset, first, path)
    return there


def _rows(dataset: Any, rows: np.ndarray) -> np.ndarray:
    """These rows, in order: read in one piece, which is faster than HDF5's own selections."""
    if len(rows) == 0:
        return np.empty((0, *dataset.shape[1:]), dataset.dtype)
    first, last = int(rows[0]), int(rows[-1]) + 1
    return dataset[first:last][rows - first]
