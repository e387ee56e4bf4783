"""Ledger: what was fired, on disk before it is fired, and held by one controller at a time."""

import fcntl
import json
import os
import time
from pathlib import Path

from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse


class Ledger:
    """A JSON-lines file, a line a shot, that one controller holds until `close`.

    path : made where it is not there, with its folder

    ``entries`` is what stood in it, (shot, pulse) in order. A shot is written and synchronised to
    disk before its pulse is sent, so a line that a crash cut is of a pulse that was not sent.

    Raises PulseRefused when another controller holds it, and when it cannot be read: what was
    fired is then unknown.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fault = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise _refused(
                path, f"cannot be written ({error}). Make room or choose another place."
            ) from error
        try:
            self._hold()
            content = self._read()
            self.entries = _parse(path, content)
            self._size = len(content)
        except BaseException:
            self._file.close()
            raise

    def append(self, shot: str, pulse: Pulse) -> None:
        """Write a shot down; it is on disk when this returns.

        Raises PulseRefused. After a failed write nothing more is written: what the disk then
        holds is not known until the ledger has been read anew.
        """
        if not self._fault:
            self._fault = self._tampered()
        if self._fault:
            raise _refused(self.path, f"{self._fault}. Nothing was fired; start skyctl again.")
        line = {"shot": shot, "time": time.time(), "pulse": pulse.model_dump()}
        content = json.dumps(line).encode() + b"\n"
        try:
            if self._file.write(content) != len(content):
                raise OSError("the disk took a part of the line")
            os.fsync(self._file.fileno())
        except OSError as error:
            self._fault = f"cannot be written ({error})"
            raise _refused(
                self.path,
                f"{self._fault}. Nothing was fired, and nothing will be: make room, then start "
                "skyctl again.",
            ) from error
        self._size += len(content)

    def close(self) -> None:
        """Let another controller have it; nothing can be written any more."""
        self._fault = "is closed"
        self._file.close()

    def _hold(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _refused(
                self.path,
                "another controller holds it. One pulser has one controller: stop the other first.",
            ) from error

    def _read(self) -> bytes:
        self._file.seek(0)
        content = self._file.read()
        if not content:  # a new file is not on disk before its folder is
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return content

    def _tampered(self) -> str:
        """What happened to the file since it was last written, or ""."""
        held = os.fstat(self._file.fileno())
        try:
            there = self.path.stat()
        except OSError as error:
            return f"was moved away while in use ({error.strerror})"
        if (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino):
            return "was replaced by another file while in use"
        if held.st_size != self._size:
            return "was changed by another program while in use"
        return ""


def _parse(path: Path, content: bytes) -> list[tuple[str, Pulse]]:
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        raise _refused(
            path,
            f"its last line was cut, as by a crash ({len(content) - len(whole)} bytes from byte "
            f"{len(whole)}). A pulse is sent after its whole line is on disk, so that one was not: "
            f"delete it (truncate --size={len(whole)}), then start again.",
        )
    try:
        lines = [json.loads(line) for line in whole.decode().splitlines()]
        entries = [(line["shot"], Pulse.model_validate(line["pulse"])) for line in lines]
        names = {shot for shot, _ in entries}
        if not all(isinstance(name, str) for name in names) or len(names) < len(entries):
            raise ValueError("a shot has no name, or stands there twice")
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(
            path,
            f"cannot be read ({error}), so the shots left are unknown. Mend it, or move it away "
            "and set the envelope's budget to what is left; then start again.",
        ) from error
    return entries


def _refused(path: Path, fault: str) -> PulseRefused:
    return PulseRefused(f"ledger {path}: {fault}", "ledger")
