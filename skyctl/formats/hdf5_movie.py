"""The frames of an HDF5 file as a movie: areaDetector's, DECTRIS's, or any NeXus file's."""

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 -- registers the compressions that detectors write with
import numpy as np

from skyctl.errors import FormatError
from skyctl.formats.movies import Movie

_PLACES = (
    "/entry/data/data", "/entry/instrument/detector/data", "/entry/data/data_000001",
    "/exchange/data",
)  # fmt: skip
"""Where areaDetector's NDFileHDF5, NeXus's NXdetector, DECTRIS's FileWriter and Data Exchange have
their frames."""


class Hdf5Movie(Movie):
    """Frames of one dataset, or of DECTRIS's several that follow on each other.

    dataset : where; None: what the file itself calls its default (NXdata), else the usual places
    Raises FormatError for a file without frames, or with one of its data files missing.
    """

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        self.name = str(path)
        try:
            self._file = h5py.File(path)
        except OSError as error:
            raise FormatError(f"movie {path}: no HDF5 file, or damaged ({error})") from error
        try:
            self._parts = self._found(dataset)
        except BaseException:
            self._file.close()
            raise
        first = self._parts[0]
        self.shape, self.dtype = tuple(first.shape[1:]), first.dtype
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        self.frames = int(self._starts[-1])

    def _found(self, dataset: str | None) -> list[Any]:
        entry: Any = self._file.get("entry")
        if entry is not None and "run" in entry.attrs:
            raise FormatError(f"movie {self.name}: is a recording of skyctl already: replay it")
        places = (dataset,) if dataset else (_default(self._file), *_PLACES)
        for place in filter(None, places):
            if place.endswith("data_000001"):
                parts = self._series(place.removesuffix("000001"))
            else:
                parts = [self._file.get(place)]
            if parts and all(isinstance(p, h5py.Dataset) and p.ndim in (3, 4) for p in parts):
                return self._checked(parts)
        raise FormatError(
            f"movie {self.name}: no frames at {', '.join(filter(None, places))}. Say where they "
            "are: --dataset /path/in/the/file, an array of (frames, rows, columns)."
        )

    def _series(self, stem: str) -> list[Any]:
        """DECTRIS's data_000001, data_000002 …, each perhaps in a file of its own."""
        group = self._file.get(stem.rpartition("/")[0])
        if not isinstance(group, h5py.Group):
            return []
        prefix = stem.rpartition("/")[2]
        names = sorted(name for name in map(str, group) if name.startswith(prefix))
        missing = [name for name in names if group.get(name) is None]
        if missing:
            link: Any = group.get(missing[0], getlink=True)
            raise FormatError(
                f"movie {self.name}: {missing[0]} is in {getattr(link, 'filename', 'a file')}, "
                "which is not there. Copy the data files beside their master."
            )
        return [group[name] for name in names]

    def _checked(self, parts: list[Any]) -> list[Any]:
        kinds = {(part.shape[1:], part.dtype) for part in parts}
        if len(kinds) > 1:
            raise FormatError(f"movie {self.name}: unequal parts: {sorted(map(str, kinds))}")
        if parts[0].ndim == 4 and parts[0].shape[1] != 3:
            raise FormatError(
                f"movie {self.name}: {parts[0].name} of {parts[0].shape}: several channels. Give "
                "grey images, or spins (frames, 3, rows, columns)."
            )
        return parts

    def images(self, first: int, last: int) -> np.ndarray:
        pieces = []
        for part, start in zip(self._parts, self._starts, strict=False):
            low, high = max(first - start, 0), min(last - start, len(part))
            if low < high:
                pieces.append(self._read(part, low, high))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _read(self, part: Any, low: int, high: int) -> np.ndarray:
        try:
            return part[low:high]
        except (OSError, RuntimeError) as error:
            raise FormatError(
                f"movie {self.name}: frames {low} to {high} of {part.name} cannot be read ({error})"
            ) from error

    def close(self) -> None:
        self._file.close()


def _default(file: h5py.File) -> str | None:
    """What a NeXus file says is to be plotted: its default NXdata's signal."""
    group: Any = file
    for _ in range(4):
        name = group.attrs.get("signal") or group.attrs.get("default")
        if not isinstance(name, str) or group.get(name) is None:
            return None
        group = group[name]
        if isinstance(group, h5py.Dataset):
            return str(group.name)
    return None
