"""Files of a ledger: opened and held by one controller, read whole, put away by the segment."""

import errno
import fcntl
import os
import time
from io import FileIO
from pathlib import Path
from typing import Any

from skyctl.devices.chain import Key, is_at, open_private, sync_folder
from skyctl.devices.ledger_lines import LONGEST_LINE, Spent
from skyctl.errors import PulseRefused

SEGMENT = 1000
"""Shots in the file that is read and checked before each booking; then it is put away."""
_LONGEST_FILE = (SEGMENT + 2) * LONGEST_LINE


def open_ledger(path: Path) -> FileIO:
    """Open a ledger to append, made with its folder. Raises PulseRefused where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileIO(open_private(path, append=True), "ab+")
    except OSError as error:
        raise refused(
            path, f"cannot be written ({error}). Make room or choose another place."
        ) from error


def hold(path: Path, file: FileIO) -> None:
    """Lock it until it is closed. Raises PulseRefused where another controller has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise refused(
            path,
            "another controller holds it. One pulser has one controller: stop the other first.",
        ) from error
    except OSError as error:
        raise refused(
            path,
            f"it cannot be held, its file system has no locks ({error}). Put it on a local disk.",
        ) from error
    if not is_at(file.fileno(), path):  # put away between opening and holding it
        raise refused(path, "another controller held it just now. Stop that one, start again.")


def read_whole(path: Path, file: FileIO) -> bytes:
    """All of it. Raises PulseRefused for a file too long to be a ledger."""
    size = os.fstat(file.fileno()).st_size
    if size > _LONGEST_FILE:
        raise untrusted(path, f"it cannot be read: of {size} bytes, it is none of ours")
    if not size:
        sync_folder(path.parent)
    return os.pread(file.fileno(), size + 1, 0)


def refuse_cut(path: Path, content: bytes) -> None:
    """Raise PulseRefused where the last line has no end."""
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        raise refused(
            path,
            f"its last line was cut, as by a crash ({len(content) - whole} bytes from byte "
            f"{whole}). A pulse is sent after its whole line is on disk, so that one was not: "
            f"delete it (truncate --size={whole}), then start again.",
        )


def key_of(path: Path, content: bytes) -> Key:
    """Its key, made where there is neither key nor content. Raises PulseRefused without one."""
    place = beside(path, "key")
    try:
        return Key(place) if content or place.exists() else Key.make(place)
    except (OSError, ValueError) as error:
        raise untrusted(path, f"line 1 cannot be read as written: {error}") from error


def new_segment(
    path: Path, key: Key, number: int, after: str, lines: int, spent: Spent,
    names: dict[str, Any], accepted: dict[str, str] | None = None,
) -> tuple[FileIO, bytes, str]:  # fmt: skip
    """Put a ledger's file away and begin a new one: it, held, its content and its line's hash.

    A crash at any point leaves the one or the other whole at its place. Raises OSError.
    """
    old, new = beside(path, str(number)), beside(path, "new")
    if old.exists() and not old.samefile(path):  # the same where a crash came before the renaming
        raise OSError(errno.EEXIST, "a segment would be overwritten", str(old))
    old.unlink(missing_ok=True)
    os.link(path, old)
    new.unlink(missing_ok=True)
    checkpoint = {
        "segment": number, "after": after, "lines": lines, "spent": spent.model_dump(),
        "names": names, "accepted": accepted,
    }  # fmt: skip
    content, chain = key.seal({"checkpoint": checkpoint, "time": time.time()}, "")
    file = FileIO(open_private(new, append=True), "ab+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_all(file, content)
        new.rename(path)
        sync_folder(path.parent)
    except BaseException:
        file.close()
        raise
    return file, content, chain


def write_all(file: FileIO, content: bytes) -> None:
    """Append, on disk when this returns. Raises OSError."""
    if file.write(content) != len(content):
        raise OSError("the disk took a part of the line")
    os.fsync(file.fileno())


def beside(path: Path, what: str) -> Path:
    """The file of a ledger that is called ``what``."""
    return path.with_name(f"{path.name}.{what}")


def segments_of(path: Path) -> dict[int, Path]:
    """What was put away, by number."""
    there = {each.name.removeprefix(f"{path.name}."): each for each in path.parent.iterdir()}
    return {int(what): each for what, each in sorted(there.items()) if what.isdecimal()}


def untrusted(path: Path, fault: str) -> PulseRefused:
    """The refusal of a ledger that only a person can have go on."""
    return refused(
        path,
        f"{fault}. So the shots left are unknown, and nothing is fired. Look at it, then say what "
        "was spent: skyctl ledger accept --help",
    )


def refused(path: Path, fault: str) -> PulseRefused:
    """The refusal that names the ledger."""
    return PulseRefused(f"ledger {path}: {fault}", "ledger")
