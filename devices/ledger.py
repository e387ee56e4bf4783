"""Ledger: what was fired, on disk before it is fired, and held by one controller at a time.

Lines are chained (skyctl.devices.chain) and put away by the segment, so that a ledger of a million
shots opens as fast as one of a few thousand. Beside ``PATH`` stand

- ``PATH.key``: the key of the chain, and how far it has come;
- ``PATH.names``: a hash of each shot's name in the segments that were put away;
- ``PATH.samples``: a folder, where a pulse had a waveform of samples: they, by their hash;
- ``PATH.1``, ``PATH.2`` …: those segments, which are read no more.

The first line of every segment but the first is a checkpoint: what was spent before it. Lines are
read by ledger_lines, files by ledger_files and ledger_names; ledger_accept is a person's way out.
"""

import os
import time
from pathlib import Path
from typing import Any

from skyctl.devices.chain import Tip, is_at
from skyctl.devices.ledger_files import (
    SEGMENT,
    beside,
    hold,
    key_of,
    new_segment,
    open_ledger,
    read_whole,
    refuse_cut,
    refused,
    untrusted,
    write_all,
)
from skyctl.devices.ledger_lines import (
    NOTHING_BEFORE,
    Entry,
    Spent,
    checkpoint_of,
    entry_of,
    line_of,
)
from skyctl.devices.ledger_names import Names
from skyctl.devices.ledger_samples import samples_beside
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse

_CLOSED = "is closed"


class Ledger:
    """A JSON-lines file, a line a shot, that one controller holds until `close`.

    path : made where it is not there, with its folder; nobody but its user may read it

    ``before`` is what the segments put away sum up to, ``entries`` what stood in the file, in
    order, ``spent`` all of it. A shot is written and synchronised to disk before its pulse is sent,
    so a line that a crash cut is of a pulse that was not sent.

    Raises PulseRefused when another controller holds it, and when it cannot be read or is not as it
    was written: what was fired is then unknown until a person says so (`ledger_accept.accept`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = samples_beside(path)
        self._fault = ""
        self._file = open_ledger(path)
        try:
            hold(path, self._file)
            content = read_whole(path, self._file)
            self._key = key_of(path, content)
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
        refuse_cut(self.path, content)
        chains, lines = self._check_chain(content), content.splitlines()
        checkpoint = (checkpoint_of(lines[0]) if lines else None) or NOTHING_BEFORE
        self._number, self._after = checkpoint["segment"], checkpoint["after"]
        self._lines_before = checkpoint["lines"]
        self.before = self.spent = Spent(**checkpoint["spent"])
        self.entries = self._entries(lines)
        for entry in self.entries:
            self.spent = self.spent.and_(entry.pulse, entry.repeats)
        self._chain = chains[-1] if chains else ""
        self._check_tip(chains)
        self._names = Names(beside(self.path, "names"), self._key, checkpoint["names"])
        self._live = [self._key.number(entry.shot) for entry in self.entries]
        self._content, self._size = self._key.hasher(content), len(content)

    def _entries(self, lines: list[bytes]) -> list[Entry]:
        first, entries = 1 + bool(self._number), []
        for number, line in enumerate(lines[first - 1 :], first):
            try:
                entries.append(entry_of(line, self.samples))
            except ValueError as error:
                raise untrusted(self.path, f"line {number} cannot be read: {error}") from error
        return entries

    def knows(self, shot: str) -> bool:
        """Whether it stands in a segment that was put away before."""
        return self._names.holds(self._key.number(shot))

    def append(self, shot: str, pulse: Pulse, repeats: int = 1) -> None:
        """Write a shot down, of one pulse or so many; it is on disk when this returns.

        Raises PulseRefused. After a failed write nothing more is written: what the disk then
        holds is not known until the ledger has been read anew.
        """
        if not self._fault:
            self._fault = self._tampered()
        if self._fault:
            raise refused(self.path, f"{self._fault}. Nothing was fired; start skyctl again.")
        try:
            if len(self._live) >= SEGMENT:
                self._put_away()
            self.samples.keep(pulse)
            self._write(line_of(Entry(shot, pulse, repeats), time.time()))
            self._live.append(self._key.number(shot))
            self.spent = self.spent.and_(pulse, repeats)
            self._note_tip()
        except OSError as error:
            self._fault = f"cannot be written ({error})"
            raise refused(
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
        write_all(self._file, content)
        self._content.update(content)
        self._size += len(content)

    def _note_tip(self, *, sync: bool = False) -> None:
        tip = Tip(
            self._lines_before + len(self._live), self._chain, self.spent.shots,
            self.spent.dose_T2ps, self.spent.dose_A2s_per_m4,
        )  # fmt: skip
        self._key.note(tip, sync=sync)

    def _put_away(self) -> None:
        """Begin a new segment with a checkpoint of what was spent. Raises OSError."""
        names = self._names.add(self._live)
        self._note_tip(sync=True)
        lines = self._lines_before + len(self._live)
        number, closing = self._number + 1, self._file
        self._file, content, chain = new_segment(
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
                raise untrusted(
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
            raise untrusted(
                self.path,
                f"line {there + 1} cannot be read: {tip.lines} shots were booked, and the lines "
                f"here are {base + 1} to {there}",
            )
        known = {ends[tip.lines - base]} | ({self._after} if tip.lines == base else set())
        if tip.chain not in known:
            raise untrusted(
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
