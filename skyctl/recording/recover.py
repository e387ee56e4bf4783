"""Recovery: a plain recording from one whose writer was killed, or of which a part is missing."""

import contextlib
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.lib.recfunctions import require_fields

from skyctl.errors import RecordingError
from skyctl.recording import layout
from skyctl.recording.files import RunFile
from skyctl.recording.reader import Recording

_BLOCK_FRAMES = 100

State = Literal["closed", "killed", "truncated"]


@dataclass(frozen=True)
class CutShot:
    """A shot that is not whole.

    received : frames that had been received of it, None when its end was not written
    """

    number: int
    shot: str
    frames: int
    expected_frames: int
    received: int | None


@dataclass(frozen=True)
class Recovery:
    """What was recovered; ``as_json`` is what ``--json`` writes.

    state : "closed" (nothing to do, nothing written), "killed" (never closed) or "truncated"
    recovered : the new file, None when there was nothing to do
    whole_shots : shots of which everything that was received is there
    frames : that are whole; cut_frames : that have a row in the file and no image
    missing_bytes : how much of the file was cut off
    """

    state: State
    original: Path
    recovered: Path | None
    shots: int
    whole_shots: int
    cut_shots: tuple[CutShot, ...]
    frames: int
    cut_frames: int
    verdicts: int
    missing_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        recovered = str(self.recovered) if self.recovered else None
        return {**asdict(self), "original": str(self.original), "recovered": recovered}


def recover(path: Path, out: Path | None = None) -> Recovery:
    """Copy all that is whole in a damaged recording into a new one; the original stays as it is.

    out : the new file; None is the same name with ``-recovered``

    Raises RecordingError when nothing can be read, or the new file exists or cannot be written.
    """
    with Recording(path, salvage=True) as recording:
        out = out or path.with_name(f"{path.stem}-recovered.h5")
        state = _state(recording)
        if state == "truncated" and not (recording.frame_count or len(recording.starts)):
            raise RecordingError(
                f"recording {path}: nothing of it is whole ({recording.health.missing_bytes} bytes "
                "are missing). Copy it again from where it was recorded."
            )
        if state != "closed":
            _copy(recording, out)
        numbers = Counter(recording.columns()["shot_number"].tolist())
        received = {int(row["shot_number"]): int(row["received"]) for row in recording.ends}
        cut = []
        for row in recording.starts:
            number = int(row["shot_number"])
            if received.get(number) != numbers[number]:
                shot, expected = bytes(row["shot"]).decode(), int(row["expected_frames"])
                cut.append(CutShot(number, shot, numbers[number], expected, received.get(number)))
        return Recovery(
            state=state,
            original=path,
            recovered=None if state == "closed" else out,
            shots=len(recording.starts),
            whole_shots=len(recording.starts) - len(cut),
            cut_shots=tuple(cut),
            frames=recording.frame_count,
            cut_frames=recording.cut_frames,
            verdicts=len(recording.verdicts),
            missing_bytes=recording.health.missing_bytes,
        )


def _state(recording: Recording) -> State:
    if recording.health.missing_bytes or (
        recording.cut_frames and not recording.health.being_written
    ):
        return "truncated"
    return "killed" if recording.health.being_written else "closed"


def _copy(recording: Recording, out: Path) -> None:
    kept = {k: v for k, v in recording.attributes.items() if k not in ("NX_class", "default")}
    attributes = {**kept, "recovered_from": recording.path.name}
    file, existed = None, out.exists()
    try:
        file = RunFile(out, recording.shape, len(recording.classes), attributes, recording.storage)
        columns = recording.columns()
        for first in range(0, recording.frame_count, _BLOCK_FRAMES):
            file.check()
            last = min(first + _BLOCK_FRAMES, recording.frame_count)
            block = {name: column[first:last] for name, column in columns.items()}
            file.append(list(recording.images(first, last)), block)
        for digest in map(bytes.decode, recording.waveforms["sha256"]):
            with contextlib.suppress(LookupError):  # its shots then say that they are missing
                file.add_samples(digest, recording.samples(digest))
        for name in ("starts", "ends", "verdicts", "results"):
            rows = getattr(recording, name)
            file.add_rows(name, require_fields(rows, file.row(name)))  # an older file has fewer
        file.close()
    except (OSError, RuntimeError, ValueError) as error:
        if file:
            file.abandon()
        if not existed:  # what is half a copy is of no use
            for part in (out, *out.parent.glob(layout.data_file(out, "*").name)):
                part.unlink(missing_ok=True)
        raise RecordingError(
            f"recording {recording.path}: cannot be recovered into {out} ({error}). The original "
            "is as it was; give a new file name in a folder with room: --out FILE."
        ) from error
