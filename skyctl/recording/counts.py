"""Raw counts beside a recording: what the detector counted of each frame, to compute S_z again.

``RUN.counts.h5`` beside ``RUN.h5``: /counts (n, rows, columns) in the detector's own type,
compressed without loss, /shot, /frame_index and /shift of each, how far it was moved before S_z was
computed (rows, columns; NaN where the sample was lost); readable while it grows (SWMR). Of two
helicities /counts is (n, 2, rows, columns), and /shift of either: plus, then minus.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from skyctl.errors import RecordingError
from skyctl.frame import Frame

_SHOT = "S64"


def counts_beside(recording: Path) -> Path:
    """Where the counts of a recording are."""
    return recording.with_suffix(".counts.h5")


class CountsFile:
    """Made with the first frame that has counts; others are passed over.

    path : the new file

    Raises OSError, RuntimeError or ValueError where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: h5py.File | None = None
        self._datasets: dict[str, Any] = {}

    def append(self, frames: list[Frame]) -> None:
        """Write the counts of these frames."""
        counted = [frame for frame in frames if frame.counts is not None]
        if not counted:
            return
        images = np.stack([frame.counts for frame in counted if frame.counts is not None])
        shifts = np.array([frame.shift for frame in counted], np.float64)
        if self._file is None:
            self._file = self._make(images, shifts.shape[1])
        have = len(self._datasets["counts"])
        for name, values in (
            ("counts", images),
            ("shot", np.array([frame.shot.encode() for frame in counted], _SHOT)),
            ("frame_index", np.array([frame.index for frame in counted], np.int32)),
            ("shift", shifts),
        ):
            dataset = self._datasets[name]
            dataset.resize(have + len(counted), axis=0)
            dataset[have:] = values
            dataset.flush()

    def close(self) -> None:
        """Close it, if it was made."""
        if self._file:
            self._file.close()

    def _make(self, images: np.ndarray, offsets: int) -> h5py.File:
        import hdf5plugin

        file = h5py.File(self._path, "x", libver="latest")
        shape, packed = images.shape[1:], dict(hdf5plugin.Bitshuffle(cname="lz4"))
        for name, inner, dtype, more in (
            ("counts", shape, images.dtype, packed),
            ("shot", (), np.dtype(_SHOT), {}),
            ("frame_index", (), np.dtype("i4"), {}),
            ("shift", (offsets,), np.dtype("f8"), {}),
        ):
            self._datasets[name] = file.create_dataset(
                name, (0, *inner), dtype, maxshape=(None, *inner),
                chunks=(1, *inner) if name == "counts" else (1024, *inner), **more,
            )  # fmt: skip
        file.swmr_mode = True
        return file


class Counted(NamedTuple):
    """What the detector counted of a frame, and how far that was moved, as the file has them."""

    shot: str
    index: int
    counts: np.ndarray
    shift: tuple[float, ...]


class RecordedCounts:
    """The counts beside a recording; readable while they are written.

    image_shape : (rows, columns) of the detector; (2, rows, columns) of two helicities

    Raises RecordingError where none were recorded.
    """

    def __init__(self, recording: Path) -> None:
        import hdf5plugin  # noqa: F401 - its filters

        path = counts_beside(recording)
        try:
            self._file = h5py.File(path, "r", libver="latest", swmr=True)
        except OSError as error:
            raise RecordingError(
                f"counts {path}: cannot be read ({error}). Counts are recorded where the camera's "
                "frames have a calibration."
            ) from error
        self._path, self._counts = path, self._dataset("counts")
        shots, indices = self._dataset("shot")[:], self._dataset("frame_index")[:]
        self._shifts = self._dataset("shift")[:]
        whole = min(len(self._counts), len(shots), len(indices), len(self._shifts))
        names = [name.decode() for name in shots[:whole]]
        self._rows = {key: row for row, key in enumerate(zip(names, indices.tolist()))}  # noqa: B905
        self.image_shape: tuple[int, ...] = self._counts.shape[1:]

    def __iter__(self) -> Iterator[Counted]:
        """In the order in which they came."""
        for shot, index in self._rows:
            yield self.of(shot, index)

    def of(self, shot: str, index: int) -> Counted:
        """Of one frame. Raises RecordingError where it has none."""
        try:
            row = self._rows[shot, index]
            return Counted(shot, index, self._counts[row], tuple(self._shifts[row].tolist()))
        except KeyError:
            raise RecordingError(
                f"counts {self._path}: none of frame {index} of shot {shot}"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _dataset(self, name: str) -> Any:
        return self._file[name]
