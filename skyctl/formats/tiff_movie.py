"""A TIFF stack as a movie: pages of one grey image each, read through tifffile."""

from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import FormatError
from skyctl.formats.movies import Movie

_PS = {"ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "ms": 1e9, "s": 1e12, "sec": 1e12}


class TiffMovie(Movie):
    """The pages of a stack; also ImageJ's, which has one page and the rest behind it.

    A stack that is stored plainly is mapped, not read: 10 GB cost no memory.
    Raises FormatError for colours, 12-bit packed or unequal pages, and damaged files.
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        self.name = str(path)
        try:
            self._file: Any = tifffile.TiffFile(path)
        except (tifffile.TiffFileError, ValueError, OSError) as error:
            raise FormatError(f"movie {path}: no TIFF file, or damaged ({error})") from error
        try:
            self._look()
        except BaseException:
            self._file.close()
            raise

    def _look(self) -> None:
        file = self._file
        pages = file.pages
        if not len(pages):
            raise FormatError(f"movie {self.name}: has no page")
        page = pages[0]
        if page.bitspersample not in (8, 16, 32, 64):
            raise FormatError(
                f"movie {self.name}: pixels of {page.bitspersample} bits, packed. Save it with 8 "
                "or 16 bits a pixel."
            )
        if page.samplesperpixel != 1:
            raise FormatError(
                f"movie {self.name}: {page.samplesperpixel} channels a pixel. Save it in grey."
            )
        if len(file.series) != 1:
            kinds = ", ".join(f"{s.dtype} of {s.shape}" for s in list(file.series)[:3])
            raise FormatError(
                f"movie {self.name}: unequal pages ({kinds}). Give pages of one kind."
            )
        series = file.series[0]
        *leading, rows, columns = series.shape
        axes = series.axes[:-2]
        if any(axis in "CS" and n > 1 for axis, n in zip(axes, leading, strict=True)):
            raise FormatError(
                f"movie {self.name}: axes {series.axes} of {series.shape}: several channels. Save "
                "one."
            )
        self.dtype = np.dtype(series.dtype)
        many = [n for n in leading if n > 1]
        spins = len(many) == 2 and many[1] == 3 and self.dtype.kind == "f"
        if len(many) > 1 and not spins:
            raise FormatError(
                f"movie {self.name}: axes {series.axes} of {series.shape}: one axis of time is "
                "wanted. Save one slice."
            )
        self.frames = many[0] if many else 1
        self.shape = (3, rows, columns) if spins else (rows, columns)
        self._pages_a_frame = 3 if spins else 1
        self._offset: int | None = series.dataoffset if file.filehandle.is_file else None
        self._order = file.byteorder
        self.interval_ps = _interval_ps(file.imagej_metadata)

    def images(self, first: int, last: int) -> np.ndarray:
        if self._offset is not None:
            count = int(np.prod(self.shape)) * self.dtype.itemsize
            stored = np.memmap(
                self.name, self.dtype.newbyteorder(self._order), "r",
                self._offset + first * count, (last - first, *self.shape),
            )  # fmt: skip
            return stored.astype(self.dtype, copy=False)
        try:
            each = self._pages_a_frame
            pages = [self._file.pages[n].asarray() for n in range(first * each, last * each)]
            return np.stack(pages).reshape(last - first, *self.shape)
        except (ValueError, RuntimeError, IndexError, OSError) as error:
            raise FormatError(
                f"movie {self.name}: page {first} to {last} cannot be read ({error})"
            ) from error

    def close(self) -> None:
        self._file.close()


def _interval_ps(metadata: dict[str, Any] | None) -> float | None:
    """ImageJ's frame interval, where it has one in a unit of time."""
    interval, unit = (metadata or {}).get("finterval"), (metadata or {}).get("tunit", "sec")
    scale = _PS.get(str(unit).lower())
    return float(interval) * scale if interval and scale else None
