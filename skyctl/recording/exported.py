"""A recording in files of other programs: TIFF stack, OVF series, a film for a talk, a table."""

import csv
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import FormatError, install
from skyctl.formats.ovf import VectorField
from skyctl.formats.ovf_writer import write_ovf
from skyctl.formats.spin_states import SpinState, field_of
from skyctl.frame import Frame
from skyctl.recording.playback import RecordedShot, recorded_shots
from skyctl.recording.reader import Recording

Progress = Callable[[int], None]


def export(
    recording: Recording,
    target: Path,
    shots: Collection[int] | None = None,
    *,
    frames_per_s: float = 10.0,
    lattice_nm: float | None = None,
    progress: Progress = lambda frames: None,
) -> int:
    """Write a recording as what its new name asks for; how many frames or verdicts.

    target : .tif (S_z or spins, float32, a page an image), .gif or .mp4 (S_z from blue, -1, to
        red, +1), .csv (a line a verdict), or a folder (an OVF file a frame, with its time)
    shots : their numbers, None is all
    lattice_nm : of the OVF files' mesh; a recording does not know it

    Raises FormatError for another name, or one that is there; RecordingError for a shot that is
    not; OSError.
    """
    if target.exists():
        raise FormatError(f"export {target}: is there already. Give a new name.")
    chosen = list(recorded_shots(recording, shots))
    suffix = target.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return _tiff(recording, chosen, target, progress)
    if suffix == ".csv":
        return _csv(recording, chosen, target)
    if suffix in _FILMS:
        return _FILMS[suffix](chosen, target, frames_per_s, progress)
    if not suffix:
        return _ovf_series(chosen, target, lattice_nm, progress)
    raise FormatError(
        f"export {target}: its name does not say what to write. End it in .tif, .gif, .mp4 or "
        ".csv, or in nothing, for a folder of OVF files."
    )


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A name beside the target, which it gets when what is written there is whole."""
    beside = target.with_name(f"part-{os.getpid()}-{target.name}")
    try:
        yield beside
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _tiff(recording: Recording, shots: list[RecordedShot], target: Path, progress: Progress) -> int:
    import tifffile

    count = 0
    with _whole(target) as path, tifffile.TiffWriter(path, bigtiff=True) as file:
        for frame in _frames(shots):
            facts = {"shot": frame.shot, "movie_time_ps": frame.movie_time_ps}
            # Pages that follow on each other, plainly: `skyctl import` maps such a file.
            file.write(
                np.ascontiguousarray(frame.data), contiguous=True, photometric="minisblack",
                metadata={"first": facts, "run": recording.run} if count == 0 else None,
            )  # fmt: skip
            count += 1
            progress(1)
    return count


def _frames(shots: list[RecordedShot]) -> Iterator[Frame]:
    for shot in shots:
        yield from shot.frames


def _ovf_series(
    shots: list[RecordedShot], target: Path, lattice_nm: float | None, progress: Progress
) -> int:
    target.mkdir(parents=True)
    count = 0
    for shot in shots:
        for frame in shot.frames:
            field = _field(frame, lattice_nm)
            write_ovf(target / f"shot{shot.number:04}-frame{frame.index:05}.ovf", [field])
            count += 1
            progress(1)
    return count


def _field(frame: Frame, lattice_nm: float | None) -> VectorField:
    """Spins as m, an image of S_z as the scalar that it is."""
    time = (f"Total simulation time:  {frame.movie_time_ps * 1e-12:.12g}  s",)
    spins = frame.data if frame.data.ndim == 3 else np.stack([frame.data] * 3)
    field = field_of(SpinState(spins, lattice_nm))
    one = frame.data.ndim == 2
    return VectorField(
        field.values[..., :1] if one else field.values, field.step, field.base, field.mesh_unit,
        ("1",) if one else field.units, ("m_z",) if one else field.labels,
        "m_z" if one else "m", (*time, f"shot {frame.shot}"),
    )  # fmt: skip


def _csv(recording: Recording, shots: list[RecordedShot], target: Path) -> int:
    columns = recording.columns()
    at = zip(columns["shot_number"], columns["frame_index"], columns["movie_time_ps"], strict=True)
    times = {(int(shot), int(index)): float(time_ps) for shot, index, time_ps in at}
    names = {shot.number: shot.start.shot for shot in shots}
    count = 0
    with _whole(target) as path, path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["shot", "name", "frame", "movie_time_ps", "label", *recording.classes, "latency_ms"]
        )
        for row in recording.verdicts:
            number, index = int(row["shot_number"]), int(row["frame_index"])
            if number not in names:
                continue
            latency_ms = (int(row["decided_ns"]) - int(row["received_ns"])) / 1e6
            table.writerow([
                number, names[number], index, times.get((number, index), ""),
                bytes(row["label"]).decode(), *(f"{p:.6g}" for p in row["probabilities"]),
                f"{latency_ms:.4g}",
            ])  # fmt: skip
            count += 1
    return count


def _pictures(shots: list[RecordedShot], progress: Progress) -> Iterator[np.ndarray]:
    """S_z of each frame as colours, (H, W, 3) uint8; y goes up."""
    from matplotlib import colormaps

    colours = (colormaps["RdBu_r"](np.arange(256))[:, :3] * 255).astype(np.uint8)
    for frame in _frames(shots):
        levels = np.clip((frame.sz[::-1] + 1) * 127.5, 0, 255)
        yield colours[np.nan_to_num(levels).astype(np.uint8)]
        progress(1)


def _gif(shots: list[RecordedShot], target: Path, frames_per_s: float, progress: Progress) -> int:
    from PIL import Image

    pictures = (Image.fromarray(colours) for colours in _pictures(shots, progress))
    first = next(pictures)
    count = 1

    def others() -> Iterator[Any]:
        nonlocal count
        for picture in pictures:
            count += 1
            yield picture

    with _whole(target) as path:
        first.save(
            path, format="GIF", save_all=True, append_images=others(),
            duration=round(1000 / frames_per_s), loop=0,
        )  # fmt: skip
    return count


def _mp4(shots: list[RecordedShot], target: Path, frames_per_s: float, progress: Progress) -> int:
    try:
        import imageio_ffmpeg  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise FormatError(
            f"export {target}: MP4 needs ffmpeg: {install('mp4')}, or give a name that ends in "
            ".gif."
        ) from error
    pictures = _pictures(shots, progress)
    first = next(pictures)
    rows, columns = first.shape[:2]
    # The encoder wants even sides: the last row or column is written twice.
    odd = ((0, rows % 2), (0, columns % 2), (0, 0))
    size = (columns + columns % 2, rows + rows % 2)
    count = 0
    with _whole(target) as path:
        film = imageio_ffmpeg.write_frames(
            str(path), size, fps=frames_per_s,  # pyright: ignore[reportArgumentType]
            macro_block_size=2, quality=9,
        )  # fmt: skip
        film.send(None)
        for colours in (first, *pictures):
            film.send(np.ascontiguousarray(np.pad(colours, odd, mode="edge")))
            count += 1
        film.close()
    return count


_FILMS = {".gif": _gif, ".mp4": _mp4}
