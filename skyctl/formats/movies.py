"""Movies of other programs, whatever file they come in: opened, looked at, read piece by piece."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from skyctl.errors import FormatError
from skyctl.formats.ovf import SUFFIXES as OVF_SUFFIXES
from skyctl.formats.ovf import read_ovf
from skyctl.formats.spin_states import spins_of

TIFF_SUFFIXES = (".tif", ".tiff")
HDF5_SUFFIXES = (".h5", ".hdf5", ".nxs", ".hdf")
BLOCK_BYTES = 2 * 2**20
"""How much of a movie is read at a time, about: little enough to stay in the processor's cache."""
MOST_PIXELS = 2**26
"""Of a frame: some 8000 x 8000."""


class Movie(ABC):
    """The frames of a file, or of a folder, in their order; a context manager.

    name : of the file; frames : how many
    shape : of each, (H, W), or (3, H, W) where they are spins
    dtype : of their numbers as they are in the file
    interval_ps : between two frames, None where the file does not say
    """

    name: str
    frames: int
    shape: tuple[int, ...]
    dtype: np.dtype
    interval_ps: float | None = None

    @abstractmethod
    def images(self, first: int, last: int) -> np.ndarray:
        """Frames ``first`` to ``last`` (not included), (n, *shape). Raises FormatError, OSError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def blocks(self) -> Iterator[np.ndarray]:
        """All frames, a few at a time, each (n, *shape)."""
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        step = max(1, BLOCK_BYTES // size)
        for first in range(0, self.frames, step):
            yield self.images(first, min(first + step, self.frames))

    def __enter__(self) -> "Movie":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_movie(path: Path, dataset: str | None = None) -> Movie:
    """The movie in a TIFF stack, an HDF5 or NeXus file, a numpy file, or a folder of images.

    dataset : where the frames are in an HDF5 file; None: where areaDetector, DECTRIS and NeXus have
        them

    Raises FormatError for what is no movie of grey images, or of spins; OSError.
    """
    if dataset is not None and path.suffix.lower() not in HDF5_SUFFIXES:
        raise FormatError(f"movie {path}: --dataset is of an HDF5 file, and this is none")
    movie = _opened(path, dataset)
    try:
        return _checked(movie)
    except FormatError:
        movie.close()
        raise


def _opened(path: Path, dataset: str | None) -> Movie:
    suffix = path.suffix.lower()
    if path.is_dir():
        return FolderMovie(path)
    if not path.is_file():
        raise FormatError(f"movie {path}: no such file or folder")
    if suffix in TIFF_SUFFIXES:
        from skyctl.formats.tiff_movie import TiffMovie

        return TiffMovie(path)
    if suffix in HDF5_SUFFIXES:
        from skyctl.formats.hdf5_movie import Hdf5Movie

        return Hdf5Movie(path, dataset)
    if suffix == ".npy":
        return NumpyMovie(path)
    raise FormatError(
        f"movie {path}: give a TIFF stack ({', '.join(TIFF_SUFFIXES)}), an HDF5 or NeXus file "
        f"({', '.join(HDF5_SUFFIXES)}), a numpy array (.npy), or a folder of TIFF, PNG or OVF files"
    )


def _checked(movie: Movie) -> Movie:
    if movie.frames < 1:
        raise FormatError(f"movie {movie.name}: has no frame")
    if len(movie.shape) == 3 and movie.shape[0] != 3:
        raise FormatError(
            f"movie {movie.name}: frames of {movie.shape}: several channels. Give grey images "
            "(rows, columns), or spins (3, rows, columns)."
        )
    if len(movie.shape) not in (2, 3) or not 0 < np.prod(movie.shape, dtype=object) <= MOST_PIXELS:
        raise FormatError(f"movie {movie.name}: frames of {movie.shape}: no images")
    if movie.dtype.kind not in "uif" or movie.dtype.itemsize > 8:
        raise FormatError(
            f"movie {movie.name}: frames of {movie.dtype}: give whole or real numbers"
        )
    return movie


class NumpyMovie(Movie):
    """An array of (frames, rows, columns) or (frames, 3, rows, columns), left on the disk."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise FormatError(f"movie {path}: no numpy array, or damaged ({error})") from error
        if self._array.ndim not in (3, 4):
            raise FormatError(
                f"movie {path}: an array of {self._array.shape}: give (frames, rows, columns)"
            )
        self.frames, *shape = self._array.shape
        self.shape, self.dtype = tuple(shape), self._array.dtype

    def images(self, first: int, last: int) -> np.ndarray:
        return np.asarray(self._array[first:last])

    def close(self) -> None:
        del self._array


class FolderMovie(Movie):
    """A folder with a file a frame: all TIFF, all PNG or all OVF, in the order of their numbers."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._files, self._read = _frame_files(path)
        first = self._read(self._files[0])
        self.frames, self.shape, self.dtype = len(self._files), first.shape, first.dtype
        if self._files[0].suffix.lower() in OVF_SUFFIXES:
            self.interval_ps = _interval_ps(path, self._files)

    def images(self, first: int, last: int) -> np.ndarray:
        found = [self._read(path) for path in self._files[first:last]]
        for path, image in zip(self._files[first:last], found, strict=True):
            if (image.shape, image.dtype) != (self.shape, self.dtype):
                raise FormatError(
                    f"movie {self.name}: {path.name} has {image.dtype} of {image.shape}, the first "
                    f"frame {self.dtype} of {self.shape}. Give frames of one kind."
                )
        return np.stack(found)

    def close(self) -> None:
        self._files = []


def _frame_files(folder: Path) -> tuple[list[Path], Callable[[Path], np.ndarray]]:
    for suffixes, read in (
        (TIFF_SUFFIXES, _read_tiff), ((".png",), read_png), (OVF_SUFFIXES, _read_spins),
    ):  # fmt: skip
        files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes]
        if files:
            return sorted(files, key=_natural), read
    raise FormatError(f"movie {folder}: a folder without TIFF, PNG or OVF files")


def _natural(path: Path) -> list[tuple[int, str]]:
    """So that frame 10 comes after frame 9."""
    return [(int(part or 0), "") if part.isdigit() else (0, part)
            for part in re.split(r"(\d+)", path.name)]  # fmt: skip


def _read_tiff(path: Path) -> np.ndarray:
    from skyctl.formats.tiff_movie import TiffMovie

    with TiffMovie(path) as stack:
        if stack.frames != 1:
            raise FormatError(f"movie {path}: {stack.frames} pages in a folder of frames")
        return stack.images(0, 1)[0]


def read_png(path: Path) -> np.ndarray:
    """Grey levels, (rows, columns), the first row at the top. Raises FormatError for colours."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            image = np.asarray(picture)
            if picture.mode not in ("L", "I", "I;16", "I;16B"):
                raise FormatError(
                    f"movie {path}: a picture of mode {picture.mode!r}: several channels, or a "
                    "palette. Save it in grey."
                )
    except (OSError, ValueError, SyntaxError) as error:
        raise FormatError(f"movie {path}: no PNG picture, or damaged ({error})") from error
    return image


def _read_spins(path: Path) -> np.ndarray:
    try:
        return spins_of(read_ovf(path)).spins.astype(np.float32)
    except FormatError as error:
        raise FormatError(f"movie {path}: {error}") from error


def _interval_ps(folder: Path, files: Sequence[Path]) -> float | None:
    """Between the states of a simulation, where each says its time."""
    times_s = [read_ovf(path).time_s for path in files]
    known = [time_s for time_s in times_s if time_s is not None]
    if len(known) < len(files) or len(files) < 2:
        return None
    steps = np.diff(known) * 1e12
    if steps.min() <= 0 or np.ptp(steps) > 0.01 * steps.mean():
        raise FormatError(
            f"movie {folder}: its states are {steps.min():g} to {steps.max():g} ps apart. Give "
            "states at equal intervals, as autosave makes them."
        )
    return float(f"{steps.mean():.9g}")
