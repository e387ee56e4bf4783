"""Ledger: what was fired, on disk before it is fired, and held by one controller at a time.

Lines are chained (skyctl.devices.chain) and put away by the segment, so that a ledger of a million
shots opens as fast as one of a few thousand. Beside ``PATH`` stand

- ``PATH.key``: the key of the chain, and how far it has come;
- ``PATH.names``: a hash of each shot's name in the segments that were put away;
- ``PATH.1``, ``PATH.2`` …: those segments, which are read no more.

The first line of every segment but the first is a checkpoint: what was spent before it.
"""

import contextlib
import errno
import fcntl
import itertools
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from skyctl.devices.chain import Key, Tip, is_at, open_private, sync_folder
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse

SEGMENT = 1000
"""Shots in the file that is read and checked before each booking; then it is put away."""
_LONGEST_LINE = 4096
_LONGEST_FILE = (SEGMENT + 2) * _LONGEST_LINE
_NAME_TYPE = np.dtype("<u8")


class Spent(BaseModel):
    """What a pulser has fired so far.

    amplitude_T : of the last shot, None before the first
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: int = 0
    dose_T2ps: float = 0.0
    amplitude_T: float | None = None

    def and_(self, pulse: Pulse) -> "Spent":
        """With one shot more."""
        return Spent(
            shots=self.shots + 1,
            dose_T2ps=self.dose_T2ps + pulse.dose_T2ps,
            amplitude_T=pulse.amplitude_T,
        )


class Ledger:
    """A JSON-lines file, a line a shot, that one controller holds until `close`.

    path : made where it is not there, with its folder; nobody but its user may read it

    ``before`` is what the segments put away sum up to, ``entries`` what stood in the file, (shot,
    pulse) in order, ``spent`` all of it. A shot is written and synchronised to disk before its
    pulse is sent, so a line that a crash cut is of a pulse that was not sent.

    Raises PulseRefused when another controller holds it, and when it cannot be read or is not as it
    was written: what was fired is then unknown until a person says so (`accept`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fault = ""
        self._file = _open(path)
        try:
            _hold(path, self._file)
            content = _read(path, self._file)
            self._key = _key_of(path, content)
            try:
                self._take(content)
            except BaseException:
                self._key.close()
                raise
        except BaseException:
            self._file.close()
            raise

    def _take(self, content: bytes) -> None:
        """Check the whole file, and know what stands in it."""
        _refuse_cut(self.path, content)
        chains, lines = self._check_chain(content), content.splitlines()
        checkpoint = (_checkpoint(lines[0]) if lines else None) or _NOTHING_BEFORE
        self._number, self._after = checkpoint["segment"], checkpoint["after"]
        self._lines_before = checkpoint["lines"]
        self.before = self.spent = Spent(**checkpoint["spent"])
        self.entries = [_entry(line) for line in lines[bool(self._number) :]]
        for _, pulse in self.entries:
            self.spent = self.spent.and_(pulse)
        self._chain = chains[-1] if chains else ""
        self._check_tip(chains)
        self._names = _Names(_beside(self.path, "names"), self._key, checkpoint["names"])
        self._live = [self._key.number(shot) for shot, _ in self.entries]
        self._content, self._size = self._key.hasher(content), len(content)

    def knows(self, shot: str) -> bool:
        """Whether it stands in a segment that was put away before."""
        return self._names.holds(self._key.number(shot))

    def append(self, shot: str, pulse: Pulse) -> None:
        """Write a shot down; it is on disk when this returns.

        Raises PulseRefused. After a failed write nothing more is written: what the disk then
        holds is not known until the ledger has been read anew.
        """
        if not self._fault:
            self._fault = self._tampered()
        if self._fault:
            raise _refused(self.path, f"{self._fault}. Nothing was fired; start skyctl again.")
        try:
            if len(self._live) >= SEGMENT:
                self._put_away()
            line = {"shot": shot, "time": time.time(), "pulse": pulse.model_dump()}
            self._write(line)
            self._live.append(self._key.number(shot))
            self.spent = self.spent.and_(pulse)
            self._note_tip()
        except OSError as error:
            self._fault = f"cannot be written ({error})"
            raise _refused(
                self.path,
                f"{self._fault}. Nothing was fired, and nothing will be: make room, then start "
                "skyctl again.",
            ) from error

    def close(self) -> None:
        """Let another controller have it; nothing can be written any more."""
        if self._fault != _CLOSED:
            self._fault = _CLOSED
            self._file.close()
            self._key.close()

    def _write(self, line: dict[str, Any]) -> None:
        content, self._chain = self._key.seal(line, self._chain if self._size else "")
        _write_all(self._file, content)
        self._content.update(content)
        self._size += len(content)

    def _note_tip(self, *, sync: bool = False) -> None:
        tip = Tip(
            self._lines_before + len(self._live), self._chain, self.spent.shots,
            self.spent.dose_T2ps,
        )  # fmt: skip
        self._key.note(tip, sync=sync)

    def _put_away(self) -> None:
        """Begin a new segment with a checkpoint of what was spent. Raises OSError."""
        names = self._names.add(self._live)
        self._note_tip(sync=True)
        lines = self._lines_before + len(self._live)
        number, closing = self._number + 1, self._file
        self._file, content, chain = _new_segment(
            self.path, self._key, number, self._chain, lines, self.spent, names
        )
        closing.close()
        self._content, self._size = self._key.hasher(content), len(content)
        self._number, self._after, self._chain = number, self._chain, chain
        self._lines_before, self._live = lines, []
        self._note_tip(sync=True)

    def _check_chain(self, content: bytes) -> list[str]:
        """The hash of each line. Raises PulseRefused naming the first that is not as written."""
        chains, before = [], ""
        for number, line in enumerate(content.splitlines(), 1):
            try:
                before = self._key.unseal(line, before)
            except ValueError as error:
                raise _untrusted(
                    self.path, f"line {number} cannot be read as written: {error}"
                ) from error
            chains.append(before)
        return chains

    def _check_tip(self, chains: list[str]) -> None:
        """Raise PulseRefused where lines are gone from the end, or a whole segment is."""
        tip, base = self._key.tip, self._lines_before
        # Segment 0 has a line a shot; the others begin with the checkpoint.
        ends = [self._after, *chains] if not self._number else chains
        there = base + len(ends) - 1
        if tip.lines > there or tip.lines < base:
            raise _untrusted(
                self.path,
                f"line {there + 1} cannot be read: {tip.lines} shots were booked, and the lines "
                f"here are {base + 1} to {there}",
            )
        known = {ends[tip.lines - base]} | ({self._after} if tip.lines == base else set())
        if tip.chain not in known:
            raise _untrusted(
                self.path, f"line {tip.lines} cannot be read as written: it is another shot's"
            )

    def _tampered(self) -> str:
        """What happened to the file since it was last written, or ""."""
        if not self.path.exists():
            return "was moved away while in use"
        if not is_at(self._file.fileno(), self.path):
            return "was replaced by another file while in use"
        if not self._key.in_place:
            return f"has lost its key {self._key.path} while in use"
        content = os.pread(self._file.fileno(), self._size + 1, 0)
        if self._key.hasher(content).digest() == self._content.digest():
            return ""
        try:
            self._check_chain(content)
        except PulseRefused as error:
            return f"was changed by another program while in use ({error})"
        return "was changed by another program while in use"


_CLOSED = "is closed"
_NOTHING_BEFORE: dict[str, Any] = {
    "segment": 0, "after": "", "lines": 0, "spent": {}, "names": {"count": 0, "hash": ""},
}  # fmt: skip


class _Names:
    """Hashes of the names in the segments put away, in a file that is only added to.

    known : how many, and their hash, as the checkpoint has them; what the file holds beyond is of a
        crash. Raises PulseRefused where it holds something else.
    """

    def __init__(self, path: Path, key: Key, known: dict[str, Any]) -> None:
        self._path = path
        self._length = known["count"] * _NAME_TYPE.itemsize
        content = path.read_bytes()[: self._length] if self._length and path.exists() else b""
        self._hash = key.hasher(content)
        if self._length and self._hash.hexdigest() != known["hash"]:
            raise _untrusted(path, "it is not as it was written")
        self._sorted = np.sort(np.frombuffer(content, _NAME_TYPE))

    @classmethod
    def anew(cls, path: Path, key: Key, shots: Iterable[str]) -> dict[str, Any]:
        """Write the names of these shots of the ledger at ``path``; as `add`."""
        place = _beside(path, "names")
        place.unlink(missing_ok=True)
        return cls(place, key, _NOTHING_BEFORE["names"]).add([key.number(shot) for shot in shots])

    def holds(self, number: int) -> bool:
        place = int(np.searchsorted(self._sorted, np.uint64(number)))
        return place < len(self._sorted) and int(self._sorted[place]) == number

    def add(self, numbers: list[int]) -> dict[str, Any]:
        """Add names, on disk when this returns; what a checkpoint says of them. Raises OSError."""
        content = np.array(numbers, _NAME_TYPE).tobytes()
        descriptor = open_private(self._path)
        try:
            os.ftruncate(descriptor, self._length)
            if os.pwrite(descriptor, content, self._length) != len(content):
                raise OSError("the disk took a part of the names")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._length += len(content)
        self._hash.update(content)
        self._sorted = np.sort(np.concatenate([self._sorted, np.frombuffer(content, _NAME_TYPE)]))
        return {"count": len(self._sorted), "hash": self._hash.hexdigest()}


def _open(path: Path) -> FileIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileIO(open_private(path, append=True), "ab+")
    except OSError as error:
        raise _refused(
            path, f"cannot be written ({error}). Make room or choose another place."
        ) from error


def _hold(path: Path, file: FileIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _refused(
            path,
            "another controller holds it. One pulser has one controller: stop the other first.",
        ) from error
    except OSError as error:
        raise _refused(
            path,
            f"it cannot be held, its file system has no locks ({error}). Put it on a local disk.",
        ) from error
    if not is_at(file.fileno(), path):  # put away between opening and holding it
        raise _refused(path, "another controller held it just now. Stop that one, start again.")


def _read(path: Path, file: FileIO) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > _LONGEST_FILE:
        raise _untrusted(path, f"it cannot be read: of {size} bytes, it is none of ours")
    if not size:
        sync_folder(path.parent)
    return os.pread(file.fileno(), size + 1, 0)


def _key_of(path: Path, content: bytes) -> Key:
    place = _beside(path, "key")
    try:
        return Key(place) if content or place.exists() else Key.make(place)
    except (OSError, ValueError) as error:
        raise _untrusted(path, f"line 1 cannot be read as written: {error}") from error


def _new_segment(
    path: Path, key: Key, number: int, after: str, lines: int, spent: Spent,
    names: dict[str, Any], accepted: dict[str, str] | None = None,
) -> tuple[FileIO, bytes, str]:  # fmt: skip
    """Put a ledger's file away and begin a new one: it, held, its content and its line's hash.

    A crash at any point leaves the one or the other whole at its place. Raises OSError.
    """
    old, new = _beside(path, str(number)), _beside(path, "new")
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
        _write_all(file, content)
        new.rename(path)
        sync_folder(path.parent)
    except BaseException:
        file.close()
        raise
    return file, content, chain


def _write_all(file: FileIO, content: bytes) -> None:
    """Append, on disk when this returns. Raises OSError."""
    if file.write(content) != len(content):
        raise OSError("the disk took a part of the line")
    os.fsync(file.fileno())


def _refuse_cut(path: Path, content: bytes) -> None:
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        raise _refused(
            path,
            f"its last line was cut, as by a crash ({len(content) - whole} bytes from byte "
            f"{whole}). A pulse is sent after its whole line is on disk, so that one was not: "
            f"delete it (truncate --size={whole}), then start again.",
        )


def _checkpoint(first: bytes) -> dict[str, Any] | None:
    """What the first line of a segment says of those before it; None where it does not.

    Raises ValueError where it cannot be read.
    """
    if not first.startswith(b'{"checkpoint": '):
        return None
    return _loaded(first)["checkpoint"]


def _entry(line: bytes) -> tuple[str, Pulse]:
    """The shot of a line. Raises ValueError, whatever the line is."""
    try:
        told = _loaded(line)
        shot, pulse = told["shot"], Pulse.model_validate(told["pulse"])
        if type(shot) is not str or not math.isfinite(pulse.dose_T2ps):
            raise ValueError("a shot without a name, or a dose without end")
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(repr(error)) from error
    return shot, pulse


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}")


@dataclass(frozen=True)
class Found:
    """What a ledger says, be it trusted or not.

    fault : why it is not, or ""; spent : what its lines, or the key's note of them, sum up to
    unreadable : numbers of the lines that are none; missing : shots that were noted and are gone
    """

    fault: str
    spent: Spent
    unreadable: tuple[int, ...]
    missing: int


def inspect(path: Path) -> Found:
    """What a ledger says. Nothing is changed. Raises PulseRefused when it is held or not there."""
    if not path.exists():
        raise _refused(path, "is not there. See whether the path is right.")
    fault = ""
    try:
        Ledger(path).close()
    except PulseRefused as error:
        fault = str(error)
    with _open(path) as file:
        _hold(path, file)
    with (
        contextlib.suppress(OSError, ValueError),
        contextlib.closing(Key(_beside(path, "key"))) as key,
    ):
        return _found(path, fault, key.tip)
    return _found(path, fault, Tip())


def _found(path: Path, fault: str, tip: Tip) -> Found:
    spent, unreadable = Spent(), []
    for number, line in _lines(path):
        try:
            checkpoint = _checkpoint(line) if number == 1 else None
            spent = Spent(**checkpoint["spent"]) if checkpoint else spent.and_(_entry(line)[1])
        except (ValueError, KeyError, TypeError):
            unreadable.append(number)
    shots = spent.shots + len(unreadable)
    total = Spent(
        shots=max(shots, tip.shots), dose_T2ps=max(spent.dose_T2ps, tip.dose_T2ps),
        amplitude_T=spent.amplitude_T,
    )  # fmt: skip
    return Found(fault, total, tuple(unreadable), max(0, tip.shots - shots))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number, line) of the whole lines of a file; what is too long comes in pieces."""
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(_LONGEST_LINE)
            if not line or (len(line) < _LONGEST_LINE and not line.endswith(b"\n")):
                return  # a line that a crash cut: its pulse was not sent
            yield number, line


def accept(
    path: Path, who: str, why: str, *, shots: int | None = None, dose_T2ps: float | None = None
) -> Spent:
    """Have a ledger go on that is not as it was written: a person says what was spent.

    who, why : stand in the new segment's first line. The old one is kept beside it
    shots, dose_T2ps : spent so far; None takes what `inspect` finds

    Names of shots are gathered anew from all segments. Raises PulseRefused when it is held, and
    ValueError without a reason or a dose that the lines do not tell.
    """
    found = inspect(path)
    if not who.strip() or not why.strip():
        raise ValueError(f"ledger {path}: say who accepts it, and why")
    if found.unreadable and dose_T2ps is None:
        raise ValueError(
            f"ledger {path}: lines {found.unreadable[:5]} cannot be read, so their dose is "
            "unknown. Give the dose in all."
        )
    spent = Spent(
        shots=found.spent.shots if shots is None else shots,
        dose_T2ps=found.spent.dose_T2ps if dose_T2ps is None else dose_T2ps,
        amplitude_T=found.spent.amplitude_T,
    )
    if spent.shots < 0 or not 0 <= spent.dose_T2ps < math.inf:
        raise ValueError(
            f"ledger {path}: {spent.shots} shots, {spent.dose_T2ps:g} T²ps: not below 0"
        )
    segments = _segments(path)
    with _open(path) as file:
        _hold(path, file)
        try:
            key = Key(_beside(path, "key"))
        except ValueError:
            _beside(path, "key").unlink()
            key = Key.make(_beside(path, "key"))
        except FileNotFoundError:
            key = Key.make(_beside(path, "key"))
        with contextlib.closing(key):
            names = _Names.anew(path, key, _shots_in([*segments.values(), path]))
            number = max(segments, default=0) + 1
            new, _, chain = _new_segment(
                path, key, number, "", spent.shots, spent, names,
                {"by": who, "why": why, "fault": found.fault},
            )  # fmt: skip
            key.note(Tip(spent.shots, chain, spent.shots, spent.dose_T2ps), sync=True)
            new.close()
    return spent


def _segments(path: Path) -> dict[int, Path]:
    """What was put away, by number."""
    beside = {each.name.removeprefix(f"{path.name}."): each for each in path.parent.iterdir()}
    return {int(what): each for what, each in sorted(beside.items()) if what.isdecimal()}


def _shots_in(files: list[Path]) -> Iterator[str]:
    for file in files:
        for _, line in _lines(file):
            with contextlib.suppress(ValueError):
                yield _entry(line)[0]


def _untrusted(path: Path, fault: str) -> PulseRefused:
    return _refused(
        path,
        f"{fault}. So the shots left are unknown, and nothing is fired. Look at it, then say what "
        "was spent: skyctl ledger accept --help",
    )


def _refused(path: Path, fault: str) -> PulseRefused:
    return PulseRefused(f"ledger {path}: {fault}", "ledger")
