"""RunFile: the HDF5 side of a recording; frames and rows in, files that can always be read out."""

import contextlib
import datetime
import os
import resource
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from skyctl.recording import layout

_CHUNK_CACHE_BYTES = 128 * 2**10
"""Of each dataset: HDF5's own is 1 MB, which a long run fills for every column and table."""
_LARGE_FRAME = 2**18
"""Bytes; a call of h5py's for each frame of that size takes no time beside its bytes."""
_CHUNK_ROWS = {"starts": 16, "samples": 1024}
"""Of tables whose rows are long, or come by the thousand; of others 64."""
_METADATA_CACHE_BYTES = 4 * 2**20
_FRAME_BY_FRAME = 4096
"""Frames of a recording whose view names each: NeXpy takes a part of a view for one frame. 0.2 ms
each; of more frames it shows one a data file, other viewers all."""
ROOM_BYTES = 32 * 2**20
"""Free space below which nothing more is written: HDF5 must close the file in it."""


@dataclass(frozen=True)
class Storage:
    """How a recording stores its frames.

    compression : "bslz4" (bitshuffle and LZ4, lossless, as DECTRIS writes) or None
    frames_per_file : a new data file after so many frames; None keeps everything in one file

    Raises ValueError for another compression or a size below 1.
    """

    compression: Literal["bslz4"] | None = None
    frames_per_file: int | None = None

    def __post_init__(self) -> None:
        if self.compression not in (None, "bslz4"):
            raise ValueError(f"compression {self.compression!r}: choose 'bslz4' or None")
        if self.frames_per_file is not None and self.frames_per_file < 1:
            raise ValueError(f"frames_per_file {self.frames_per_file}: give 1 or more, or None")


class RunFile:
    """A new recording, open for writing; others can read it while it grows (SWMR).

    path : the master file; neither it nor a data file may exist
    shape : of each frame; classes : how many probabilities a verdict has
    attributes : of /entry, plain strings

    All methods raise OSError, RuntimeError or ValueError when something cannot be written, a full
    disk or a deleted folder say; call ``abandon`` then and nothing else.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        classes: int,
        attributes: Mapping[str, str],
        storage: Storage,
    ) -> None:
        self.path = path
        self.frames = 0
        self._shape = shape
        self._storage = storage
        self._files: list[h5py.File] = []
        # Held open: a dataset that is closed while the disk is full crashes HDF5.
        self._tables: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._master = self._new_file(path)
        try:
            check_room(self.path.parent)
            self._create(classes, attributes)
            self._master.swmr_mode = True
            if storage.frames_per_file:
                self._next_data_file()
        except BaseException:
            self.abandon()
            raise

    def _new_file(self, path: Path) -> h5py.File:
        file = h5py.File(path, "x", libver="latest", rdcc_nbytes=_CHUNK_CACHE_BYTES)
        self._files.append(file)
        # Left to itself it grows to 32 MB, over hours; what was appended is not read again.
        cache = file.id.get_mdc_config()
        cache.max_size = _METADATA_CACHE_BYTES
        file.id.set_mdc_config(cache)
        return file

    def _create(self, classes: int, attributes: Mapping[str, str]) -> None:
        file = self._master
        entry = _root(file)
        entry.attrs.update(attributes)
        entry["start_time"] = datetime.datetime.now().astimezone().isoformat()
        _group(file, "/entry/instrument", "NXinstrument")
        camera = _group(file, layout.CAMERA, "NXdetector")
        per_file = self._storage.frames_per_file
        if per_file:
            camera.attrs[layout.FRAMES_PER_FILE] = per_file
            camera.attrs[layout.DATA_FILES_OF] = self.path.stem
            _growing_view(camera, self.path, self._shape, per_file)
        else:
            self._images: Any = self._create_images(camera, 0, None)
        for name, dtype in {layout.ROW: "i8", **layout.FRAME_COLUMNS}.items():
            column = camera.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(1024,))
            if name in layout.FRAME_UNITS:
                column.attrs["units"] = layout.FRAME_UNITS[name]
            self._tables[name] = column
        plot = _plot(file, self._shape)
        for name in ("data", layout.ROW, "movie_time_ps", "shot_number"):
            plot[name] = h5py.SoftLink(f"{layout.CAMERA}/{name}")
        for name in ("movie_time_ps", "shot_number"):  # other scales for the first axis
            plot.attrs[f"{name}_indices"] = 0
        shots = _group(file, layout.SHOTS, "NXcollection")
        tables = {
            "starts": layout.STARTS,
            "ends": layout.ENDS,
            "verdicts": layout.verdicts(classes),
            "results": layout.RESULTS,
            "waveforms": layout.WAVEFORMS,
            "samples": layout.SAMPLES,
        }
        for name, dtype in tables.items():
            self._tables[name] = shots.create_dataset(
                name, (0,), dtype, maxshape=(None,), chunks=(_CHUNK_ROWS.get(name, 64),)
            )

    def _create_images(self, group: h5py.Group, rows: int, most: int | None) -> Any:
        options: dict[str, Any] = {}
        if self._storage.compression:
            import hdf5plugin

            options = dict(hdf5plugin.Bitshuffle(cname="lz4"))
        images = group.create_dataset(
            "data", (rows, *self._shape), "f4", maxshape=(most, *self._shape),
            chunks=(1, *self._shape), fillvalue=np.float32(np.nan), **options,
        )  # fmt: skip
        images.attrs["long_name"] = _name(self._shape)
        return images

    def _next_data_file(self) -> None:
        """Close the full data file, whole and plain, and open the next.

        It has its full length from the start: a virtual dataset cannot show part of a data file.
        """
        per_file = self._storage.frames_per_file or 0
        if len(self._files) > 1:
            self._files.pop().close()
        file = self._new_file(layout.data_file(self.path, self.frames // per_file))
        _root(file).attrs["run"] = self._master["/entry"].attrs["run"]
        plot = _plot(file, self._shape)
        self._images = self._create_images(plot, per_file, per_file)
        rows = np.arange(self.frames, self.frames + per_file)
        self.add_rows(layout.ROW, rows)  # as long as the view, or a viewer refuses to plot it
        self._rows = plot.create_dataset(layout.ROW, data=rows, maxshape=(per_file,), chunks=True)
        file.swmr_mode = True

    def append(self, images: Sequence[np.ndarray], columns: Mapping[str, np.ndarray]) -> None:
        """Add frames: n images of ``shape``, and each of ``layout.FRAME_COLUMNS`` (n,)."""
        first, count = self.frames, len(images)
        per_file = self._storage.frames_per_file
        while len(images):
            if per_file is None:
                self._images.resize(self.frames + len(images), axis=0)
                row, fits = self.frames, len(images)
            else:
                if self.frames and self.frames % per_file == 0:
                    self._next_data_file()
                row = self.frames % per_file
                fits = min(len(images), per_file - row)
            self._put(row, images[:fits])
            self.frames += fits
            images = images[fits:]
            self._files[-1].flush()
        if per_file is None:
            self.add_rows(layout.ROW, np.arange(first, first + count))
        for name in layout.FRAME_COLUMNS:
            self.add_rows(name, columns[name])

    def _put(self, row: int, images: Sequence[np.ndarray]) -> None:
        if images[0].nbytes < _LARGE_FRAME:  # one call for all of them
            self._images[row : row + len(images)] = np.stack(images)
            return
        for place, image in enumerate(images, row):  # no copy of them all
            self._images[place] = image

    def add_rows(self, name: str, rows: Any) -> None:
        """Add rows to a column of the frames or a table of the shots."""
        table = self._tables[name]
        old = len(table)
        table.resize(old + len(rows), axis=0)
        table[old:] = np.asarray(rows, table.dtype)

    def add_samples(self, digest: str, content: bytes) -> None:
        """Add a waveform's samples, as skyctl.samples has them."""
        times_ps, values = np.frombuffer(content, "<f8").reshape(2, -1)
        rows = np.empty(len(values), layout.SAMPLES)
        rows["time_ps"], rows["value"] = times_ps, values
        place = (digest.encode(), len(self._tables["samples"]), len(rows))
        self.add_rows("samples", rows)
        self.add_rows("waveforms", [place])

    def row(self, name: str) -> np.dtype:
        """What a row of a table is made of."""
        return self._tables[name].dtype

    def flush(self) -> None:
        """Put everything on the disk, whatever becomes of this process."""
        self._master.flush()

    def check(self) -> None:
        """Raise OSError when the disk is full or the files are gone: HDF5 would write on."""
        check_room(self.path.parent, max(map(_size, self._files), default=0))
        for file in self._files:
            on_disk, ours = os.stat(file.filename), os.fstat(file.id.get_vfd_handle())
            if not os.path.samestat(on_disk, ours):
                raise OSError(f"{file.filename} was replaced by another file")

    def close(self) -> None:
        """Close the files; they are plain HDF5 then."""
        per_file = self._storage.frames_per_file
        if per_file:
            in_last = (self.frames - 1) % per_file + 1 if self.frames else 0
            for dataset in (self._images, self._rows):
                dataset.resize(in_last, axis=0)
            self._tables[layout.ROW].resize(self.frames, axis=0)
        while self._files:
            self._files.pop().close()
        if per_file:
            self._finish_view(per_file)

    def _finish_view(self, per_file: int) -> None:
        """Replace the master's growing view, which has room for more, by an exact one.

        In a copy that is renamed when it is done: no kill can leave half a master.
        """
        copy = self.path.with_name(f"{self.path.name}.part")
        try:
            shutil.copyfile(self.path, copy)
            with h5py.File(copy, "r+", libver="latest") as file:
                view = h5py.VirtualLayout((self.frames, *self._shape), "f4")
                for first in range(0, self.frames, per_file):
                    count = min(per_file, self.frames - first)
                    name = layout.data_file(self.path, first // per_file).name
                    source = h5py.VirtualSource(
                        name.replace("%", "%%"), layout.IMAGES, (count, *self._shape), "f4"
                    )
                    if self.frames <= _FRAME_BY_FRAME:
                        for row in range(count):
                            view[first + row] = source[row]
                    else:
                        view[first : first + count] = source
                camera: Any = file[layout.CAMERA]
                attributes = dict(camera["data"].attrs)
                del camera["data"]
                camera.create_virtual_dataset("data", view, fillvalue=np.nan)
                camera["data"].attrs.update(attributes)
            os.replace(copy, self.path)
        finally:
            copy.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Let go of files that could not be written; what is on the disk stays as it is."""
        while self._files:
            let_go(self._files.pop())


def check_room(folder: Path, size: int = 0) -> None:
    """Raise OSError when HDF5 might not find the room to close a file of that size there."""
    free = shutil.disk_usage(folder).free
    if free < ROOM_BYTES:
        raise OSError(f"the disk is full: {free / 2**20:.0f} MB free")
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most != resource.RLIM_INFINITY and size + ROOM_BYTES > most:
        raise OSError(f"no file may be larger than {most / 2**20:.1f} MB here (ulimit -f)")


def _size(file: h5py.File) -> int:
    return os.fstat(file.id.get_vfd_handle()).st_size


def let_go(file: h5py.File) -> None:
    """Close a file that could not be written; what is on the disk stays as it is.

    HDF5 tries to write what it still holds when a file is closed, and crashes the process when it
    cannot. So it is let to, but to memory.
    """
    if hasattr(os, "memfd_create"):
        nowhere = os.memfd_create("skyctl")
        os.dup2(nowhere, file.id.get_vfd_handle())
        os.close(nowhere)
    with contextlib.suppress(OSError, RuntimeError):
        file.close()


def _group(file: h5py.File, path: str, nx_class: str) -> h5py.Group:
    group = file.create_group(path)
    group.attrs["NX_class"] = nx_class
    return group


def _root(file: h5py.File) -> h5py.Group:
    """The entry of a new file."""
    file.attrs.update({"NX_class": "NXroot", "default": "entry"})
    entry = _group(file, "/entry", "NXentry")
    entry.attrs["default"] = "data"
    return entry


def _name(shape: tuple[int, ...]) -> str:
    return "S_z" if len(shape) == 2 else "spin S"


def _plot(file: h5py.File, shape: tuple[int, ...]) -> h5py.Group:
    """An NXdata group with all but the data and its first axis."""
    plot = _group(file, layout.PLOT, "NXdata")
    inner = ("y", "x") if len(shape) == 2 else ("component", "y", "x")
    plot.attrs.update({"signal": "data", "axes": [layout.ROW, *inner]})
    for number, (name, length) in enumerate(zip((layout.ROW, *inner), (0, *shape), strict=True)):
        plot.attrs[f"{name}_indices"] = number
        if name == "component":
            plot[name] = np.arange(length)
            plot[name].attrs["long_name"] = "component of the spin: 0 x, 1 y, 2 z"
        elif number:
            plot[name] = np.arange(length)
            plot[name].attrs.update({"units": "pixel", "long_name": f"{name} (pixel)"})
    return plot


def _growing_view(camera: h5py.Group, master: Path, shape: tuple[int, ...], per_file: int) -> None:
    """A virtual dataset over data files that are still to come: HDF5 puts a number for %b."""
    h5s = h5py.h5s
    whole = h5s.create_simple((per_file, *shape))
    room = h5s.create_simple((per_file, *shape), (h5s.UNLIMITED, *shape))
    inner = (1,) * len(shape)
    room.select_hyperslab(
        (0,) * (1 + len(shape)), (h5s.UNLIMITED, *inner), (per_file, *inner), (per_file, *shape)
    )
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_fill_value(np.array(np.nan, "f4"))
    name = layout.data_file(Path(master.name.replace("%", "%%")), "%b").name
    properties.set_virtual(room, name.encode(), layout.IMAGES.encode(), whole)
    none = h5s.create_simple((0, *shape), (h5s.UNLIMITED, *shape))
    h5py.h5d.create(camera.id, b"data", h5py.h5t.IEEE_F32LE, none, properties)
    camera["data"].attrs["long_name"] = _name(shape)
