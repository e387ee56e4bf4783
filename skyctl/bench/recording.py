"""How fast the recorder writes, beside a plain h5py loop that writes the same chunks."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.recording.files import Storage
from skyctl.recording.writer import FLUSH_FRAMES, Recorder
from skyctl.stream.hub import Consumer

SHAPE = (3, 100, 100)
_DISTINCT_FRAMES = 64
_NOISE = 0.01

Compression = Literal["bslz4"] | None


def bench_recording(
    folder: Path | None = None,
    seconds: float = 20.0,
    rate_hz: float = 1000.0,
    frames: int = 10_000,
    progress: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Frames of 3 × 100 × 100 float32 (120 kB) written per second, with and without compression.

    folder : on the disk to measure; None is the system's folder for temporary files
    seconds, rate_hz : how long frames come at a steady rate; frames : of the flat-out runs
    progress : called with each row

    A row is {"what", "compression", "frames", "frames_per_s", "bytes_per_frame"}. The loop flushes
    as often as the recorder. The recorder's flat-out row adds "ratio", to the loop before it; the
    steady row adds "lost", "behind" (most frames that waited in the recorder's queue) and
    "handle_ms" {"p50", "p99", "max"}. The images are a noisy skyrmion: noise is what is hard to
    compress. Everything written is removed.
    """
    rows: list[dict[str, Any]] = []
    images = _images()
    place = Path(tempfile.mkdtemp(prefix="skyctl-bench-", dir=folder))
    compressions: tuple[Compression, ...] = (None, "bslz4")
    try:
        for compression in compressions:
            for what in ("loop", "flat out", "steady"):
                if what == "loop":
                    row = _loop(place, images, frames, compression)
                elif what == "flat out":
                    row = _flat_out(place, images, frames, compression)
                    row["ratio"] = row["frames_per_s"] / rows[-1]["frames_per_s"]
                else:
                    row = _steady(place, images, int(seconds * rate_hz), rate_hz, compression)
                rows.append(row)
                progress(row)
                for file in place.iterdir():
                    file.unlink()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return rows


def _images() -> list[np.ndarray]:
    """Different frames of a breathing skyrmion with camera noise, each (3, H, W) float32."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices(SHAPE[1:])
    x, y = columns - 49.5, rows - 49.5
    distance = np.hypot(x, y) + 1e-9
    movie = []
    for index in range(_DISTINCT_FRAMES):
        sz = np.tanh((distance - 15 - 5 * np.sin(index / 10)) / 4)
        inplane = np.sqrt(1 - sz**2)
        spins = np.stack([inplane * x / distance, inplane * y / distance, sz])
        movie.append((spins + _NOISE * rng.standard_normal(SHAPE)).astype(np.float32))
    return movie


def _row(
    what: str, compression: Compression, frames: int, seconds: float, path: Path
) -> dict[str, Any]:
    return {
        "what": what,
        "compression": compression or "none",
        "frames": frames,
        "frames_per_s": frames / seconds,
        "bytes_per_frame": path.stat().st_size / frames,
    }


def _loop(
    place: Path, images: list[np.ndarray], frames: int, compression: Compression
) -> dict[str, Any]:
    path = place / "loop.h5"
    options: dict[str, Any] = {}
    if compression:
        import hdf5plugin

        options = dict(hdf5plugin.Bitshuffle(cname="lz4"))
    began = time.perf_counter()
    with h5py.File(path, "x", libver="latest") as file:
        data = file.create_dataset(
            "data", (0, *SHAPE), "f4", maxshape=(None, *SHAPE), chunks=(1, *SHAPE), **options
        )
        file.swmr_mode = True
        for index in range(frames):
            data.resize(index + 1, axis=0)
            data[index] = images[index % len(images)]
            if (index + 1) % FLUSH_FRAMES == 0:
                file.flush()
    return _row("h5py loop", compression, frames, time.perf_counter() - began, path)


def _recorder(place: Path, name: str, frames: int, compression: Compression) -> Recorder:
    recorder = Recorder(place / name, "bench", SHAPE, storage=Storage(compression))
    recorder.handle(ShotStart("bench", "shot", None, FrameSchedule(), frames, SHAPE))
    return recorder


def _frame(index: int, images: list[np.ndarray]) -> Frame:
    now = time.time_ns()
    return Frame("bench", "shot", index, float(index), now, images[index % len(images)], now)


def _flat_out(
    place: Path, images: list[np.ndarray], frames: int, compression: Compression
) -> dict[str, Any]:
    began = time.perf_counter()
    recorder = _recorder(place, "flat.h5", frames, compression)
    for index in range(frames):
        recorder.handle(_frame(index, images))
    recorder.close()
    seconds = time.perf_counter() - began
    return _row("recorder, flat out", compression, frames, seconds, recorder.path)


def _steady(
    place: Path, images: list[np.ndarray], frames: int, rate_hz: float, compression: Compression
) -> dict[str, Any]:
    """Frames at a steady rate through a queue, as behind a hub."""
    recorder = _recorder(place, "steady.h5", frames, compression)
    taken_s: list[float] = []
    over = threading.Event()

    def handle(event: Frame | ShotEnd) -> None:
        began = time.perf_counter()
        recorder.handle(event)
        taken_s.append(time.perf_counter() - began)
        if isinstance(event, ShotEnd):
            over.set()

    consumer = Consumer("bench", handle, on_error=lambda _: over.set())
    behind = 0
    began = time.perf_counter()
    for index in range(frames):
        while (left := began + index / rate_hz - time.perf_counter()) > 0:
            time.sleep(left)
        consumer.put(_frame(index, images))
        behind = max(behind, index + 1 - len(taken_s))
    consumer.put(ShotEnd("bench", "shot", frames))
    over.wait()
    seconds = time.perf_counter() - began
    consumer.close()
    recorder.close()
    p50, p99 = np.percentile(taken_s, (50, 99)) * 1e3
    row = _row(f"recorder, {rate_hz:g} frames/s", compression, frames, seconds, recorder.path)
    row.update(
        lost=frames - recorder.frames_written,
        behind=behind,
        handle_ms={"p50": float(p50), "p99": float(p99), "max": 1e3 * max(taken_s)},
    )
    return row
