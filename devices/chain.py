"""Chained lines: each carries a keyed hash of the one before, so none can be changed or cut out.

The key stands in a file beside, readable by its user alone, and with it how far the chain has come:
without that, lines cut off at the end would be missed by nobody.
"""

import hashlib
import json
import os
import re
import secrets
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_HASH_BYTES = 16
_KEY_BYTES = 32
_TIP_BYTES = 200  # of one length, so that it is overwritten in place
_SEAL = re.compile(rb', "chain": "([0-9a-f]{32})"\}')
_SEAL_LENGTH = len(b', "chain": ""}') + 2 * _HASH_BYTES


def open_private(path: Path, *, append: bool = False) -> int:
    """A descriptor to read and write a file that nobody but its user may open; made if need be.

    append : every write goes to its end

    Raises OSError: also for a link, for what is no plain file, and for a file of another user, who
    could hold its lock or change it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags | (os.O_APPEND if append else 0), 0o600)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(f"{path} is no plain file")
        if os.geteuid() not in (0, state.st_uid):
            raise OSError(f"{path} belongs to another user")
        if state.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at this path."""
    held = os.fstat(descriptor)
    try:
        there = path.stat()
    except OSError:
        return False
    return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk: a new or renamed file is not, before its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Tip:
    """How far a chain has come.

    lines : of its whole life; chain : of the last one
    shots, dose_T2ps, dose_A2s_per_m4 : what they sum up to
    """

    lines: int = 0
    chain: str = ""
    shots: int = 0
    dose_T2ps: float = 0.0
    dose_A2s_per_m4: float = 0.0


class Key:
    """The key of a chain and the chain's tip, in a file of their own.

    path : of that file. Raises FileNotFoundError where it is not there, ValueError where it holds
    no key, OSError where it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise FileNotFoundError(f"its key {path} is not there")
        self._file = open_private(path)
        try:
            first, second = os.pread(self._file, 2 * _KEY_BYTES + 2 + _TIP_BYTES, 0).splitlines()
            self._key = bytes.fromhex(first.decode())
            self.tip = Tip(**json.loads(second))
            if len(self._key) != _KEY_BYTES:
                raise ValueError("too short")
        except (ValueError, TypeError) as error:
            os.close(self._file)
            raise ValueError(f"its key {path} is none ({error})") from error

    @classmethod
    def make(cls, path: Path) -> "Key":
        """A new key, on disk when this returns. Raises OSError."""
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)
        descriptor = open_private(new)
        try:
            os.write(descriptor, secrets.token_hex(_KEY_BYTES).encode() + b"\n" + _told(Tip()))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.rename(path)
        sync_folder(path.parent)
        return cls(path)

    def note(self, tip: Tip, *, sync: bool = False) -> None:
        """Remember the tip. Raises OSError.

        One that a power cut takes back is harmless, the lines after it still prove themselves; so
        it is synchronised only where lines are put away (``sync``).
        """
        os.pwrite(self._file, _told(tip), 2 * _KEY_BYTES + 1)
        if sync:
            os.fsync(self._file)
        self.tip = tip

    @property
    def in_place(self) -> bool:
        """Whether the file is still the one that stands at its path."""
        return is_at(self._file, self.path)

    def hash(self, *parts: bytes) -> str:
        """Keyed hash of the parts."""
        return self.hasher(b"".join(parts)).hexdigest()

    def hasher(self, content: bytes = b"") -> "hashlib.blake2b":
        """The same, to be fed."""
        return hashlib.blake2b(content, key=self._key, digest_size=_HASH_BYTES)

    def number(self, name: str) -> int:
        """A name as a 64-bit number, another one with every key."""
        return int.from_bytes(
            hashlib.blake2b(name.encode(), key=self._key, digest_size=8).digest(), "little"
        )

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)

    def seal(self, line: dict[str, Any], before: str) -> tuple[bytes, str]:
        """A line as it is written, and its hash. ``before`` : that of the line before, or ""."""
        body = json.dumps(line).encode()[:-1]
        chain = self.hash(before.encode(), body)
        return body + b', "chain": "' + chain.encode() + b'"}\n', chain

    def unseal(self, line: bytes, before: str) -> str:
        """The hash of a line that follows ``before``. Raises ValueError where it does not."""
        found = _SEAL.fullmatch(line, max(0, len(line) - _SEAL_LENGTH))
        if not found:
            raise ValueError("it carries no hash")
        chain = found[1].decode()
        if self.hash(before.encode(), line[: found.start()]) != chain:
            raise ValueError("it was changed, or the lines before it were")
        return chain


def _told(tip: Tip) -> bytes:
    return json.dumps(asdict(tip)).ljust(_TIP_BYTES - 1).encode() + b"\n"
