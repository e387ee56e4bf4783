"""Recorder: writes a run to one NeXus/HDF5 file that can be read while it grows (SWMR)."""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyctl import __version__
from skyctl.errors import RecordingError
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.recording import layout
from skyctl.verdict import ShotResult, Verdict

FLUSH_FRAMES = 10
FLUSH_S = 1.0
ROOM_BYTES = 32 * 2**20
"""Free space below which nothing more is written: HDF5 must close the file in it."""


class Recorder:
    """Writes frames, shots and verdicts; on disk at least every 10 frames or every second.

    path : the new file; an existing one is never overwritten
    run : name of the run, in every message of its stream
    shape : of each frame, (H, W) or (3, H, W)
    classes : of the classifier whose verdicts are recorded
    header : plain facts for the file's attributes: model card, sample, seed
    on_end : called when all of a shot's frames are on disk

    ``handle`` takes the hub's events and the classifier's verdicts and results, in one thread.
    Raises RecordingError when the file cannot be made or written (a full disk, say).
    """

    def __init__(
        self,
        path: Path,
        run: str,
        shape: tuple[int, ...],
        classes: tuple[str, ...] = (),
        header: Mapping[str, Any] | None = None,
        on_end: Callable[[ShotEnd], None] = lambda end: None,
    ) -> None:
        self.path = path
        self.frames_written = 0
        self.unrecorded = 0
        self._run = run
        self._shape = shape
        self._on_end = on_end
        self._shots = 0
        self._numbers: dict[str, int] = {}
        self._abandoned = False
        # Held open: a dataset that is closed while the disk is full crashes HDF5.
        self._datasets: dict[str, h5py.Dataset] = {}
        self._frames: list[tuple[np.ndarray, tuple[Any, ...]]] = []
        self._rows: dict[str, list[Any]] = {"starts": [], "ends": [], "verdicts": [], "results": []}
        self._last_flush = time.monotonic()
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(path, "x", libver="latest")
            self._check_room()
            self._create(run, classes, header or {})
            self._file.swmr_mode = True
        except (OSError, RuntimeError) as error:
            self._abandon()
            raise RecordingError(
                f"recording {path}: cannot be made ({error}). Choose a new file name in a folder "
                "that can be written, with room on the disk."
            ) from error

    def _create(self, run: str, classes: tuple[str, ...], header: Mapping[str, Any]) -> None:
        file = self._file
        file.attrs["default"] = "entry"
        entry = _group(file, "/entry", "NXentry")
        entry.attrs.update(
            {
                "default": "data",
                "run": run,
                "skyctl": __version__,
                "classes": json.dumps(classes),
                "header": json.dumps(header),
            }
        )
        _group(file, "/entry/instrument", "NXinstrument")
        camera = _group(file, layout.CAMERA, "NXdetector")
        chunk = (1, *self._shape)
        self._datasets["data"] = camera.create_dataset(
            "data", (0, *self._shape), "f4", maxshape=(None, *self._shape), chunks=chunk
        )
        for name, dtype in layout.FRAME_COLUMNS.items():
            column = camera.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(1024,))
            if name in layout.FRAME_UNITS:
                column.attrs["units"] = layout.FRAME_UNITS[name]
            self._datasets[name] = column
        data = _group(file, "/entry/data", "NXdata")
        data.attrs["signal"] = "data"
        data["data"] = h5py.SoftLink(layout.DATA)
        shots = _group(file, layout.SHOTS, "NXcollection")
        tables = {
            "starts": layout.STARTS,
            "ends": layout.ENDS,
            "verdicts": layout.verdicts(len(classes)),
            "results": layout.RESULTS,
        }
        for name, dtype in tables.items():
            self._datasets[name] = shots.create_dataset(
                name, (0,), dtype, maxshape=(None,), chunks=(64,)
            )

    def handle(self, event: ShotStart | Frame | ShotEnd | Verdict | ShotResult) -> None:
        """Take one event; writes in blocks."""
        with self._lock:
            self._take(event)
            if (
                len(self._frames) >= FLUSH_FRAMES
                or isinstance(event, ShotEnd | ShotResult)
                or time.monotonic() - self._last_flush > FLUSH_S
            ):
                self._flush()
        if isinstance(event, ShotEnd):
            self._on_end(event)

    def flush(self) -> None:
        """Write what waits to the disk."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Write what waits and close the file. After a failed write there is nothing to do."""
        with self._lock:
            if not self._file or self._abandoned:
                return
            self._flush()
            self._file.close()

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if free < ROOM_BYTES:
            raise OSError(f"the disk is full: {free / 2**20:.0f} MB free")

    def _abandon(self) -> None:
        """Let go of a file that could not be written; what is on the disk stays as it is.

        HDF5 tries to write what it still holds when the file is closed, and crashes the process
        when it cannot. So it is let to, but to memory.
        """
        self._abandoned = True
        self._frames.clear()
        if file := getattr(self, "_file", None):
            if hasattr(os, "memfd_create"):
                nowhere = os.memfd_create("skyctl")
                os.dup2(nowhere, file.id.get_vfd_handle())
                os.close(nowhere)
            with contextlib.suppress(OSError, RuntimeError):
                file.close()

    def _take(self, event: ShotStart | Frame | ShotEnd | Verdict | ShotResult) -> None:
        if isinstance(event, ShotStart):
            if event.run != self._run:  # a movie of somebody else's run is not ours to keep
                return
            self._numbers[event.shot] = self._shots
            self._shots += 1
            self._rows["starts"].append(_start_row(self._numbers[event.shot], event))
            return
        number = self._numbers.get(event.shot)
        if number is None:  # of a shot before this recording, or of another run
            return
        if isinstance(event, Frame):
            if event.data.shape != self._shape:
                self.unrecorded += 1
                return
            times = (event.movie_time_ps, number, event.index)
            self._frames.append((event.data, (*times, event.source_time_ns, event.received_ns)))
        elif isinstance(event, ShotEnd):
            counts = asdict(event.counts)
            sent = -1 if event.sent_frames is None else event.sent_frames
            self._rows["ends"].append((number, sent, *(counts[n] for n in layout.COUNTS)))
        elif isinstance(event, Verdict):
            label = (event.label or "").encode()
            times = (event.received_ns, event.decided_ns)
            self._rows["verdicts"].append((number, event.index, label, *times, event.probabilities))
        else:
            self._rows["results"].append(_result_row(number, event))

    def _flush(self) -> None:
        try:
            self._check_room()
            if self._frames:
                images, columns = zip(*self._frames, strict=True)
                for name, values in zip(
                    layout.FRAME_COLUMNS, zip(*columns, strict=True), strict=True
                ):
                    _append(self._datasets[name], np.asarray(values))
                _append(self._datasets["data"], np.stack(images))
                self.frames_written += len(images)
                self._frames.clear()
            for name, rows in self._rows.items():
                if rows:
                    table = self._datasets[name]
                    _append(table, np.array(rows, table.dtype))
                    rows.clear()
            self._file.flush()
        except (OSError, RuntimeError, ValueError) as error:
            self._abandon()
            raise RecordingError(
                f"recording {self.path}: cannot be written ({error}). Make room on the disk and "
                "start a new run; what was flushed can be read."
            ) from error
        self._last_flush = time.monotonic()


def _group(file: h5py.File, path: str, nx_class: str) -> h5py.Group:
    group = file.create_group(path)
    group.attrs["NX_class"] = nx_class
    return group


def _append(dataset: Any, rows: np.ndarray) -> None:
    old = len(dataset)
    dataset.resize(old + len(rows), axis=0)
    dataset[old:] = rows


def _start_row(number: int, start: ShotStart) -> tuple[Any, ...]:
    pulse = start.pulse
    header = {
        "pulse": pulse.model_dump() if pulse else None,
        "movie": start.movie.model_dump(),
        "shape": start.shape,
    }
    fields = ("amplitude_T", "width_ps", "theta_deg", "phi_deg", "peak_ps")
    values = (getattr(pulse, name) if pulse else np.nan for name in fields)
    encoded = json.dumps(header).encode()
    return (number, start.shot.encode(), start.expected_frames, *values, encoded)


def _result_row(number: int, result: ShotResult) -> tuple[Any, ...]:
    state = result.state
    seen = (
        (state.background, state.discs, state.domains, state.reversed_sites)
        if state
        else (0, -1, -1, -1)
    )
    return (number, result.label.encode(), result.problem.encode()[:160], *seen)
