"""Samples of the waveforms that a ledger's pulses have, a file each, named by their hash."""

import os
import re
from pathlib import Path

from skyctl.devices.chain import open_private, sync_folder
from skyctl.devices.ledger_files import beside
from skyctl.pulse import Pulse
from skyctl.samples import hash_of, samples_of
from skyctl.waveform import MOST_SAMPLES

_LONGEST = MOST_SAMPLES * 16


class SampleFiles:
    """Called with a hash it gives the samples, as skyctl.samples has it.

    folder : made where the first are kept; None keeps them in memory
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._in_memory: dict[str, bytes] = {}

    def __call__(self, digest: str) -> bytes:
        """Raises LookupError where there are none, or none that can be read."""
        if self._folder is None:
            return self._in_memory[digest]
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise LookupError(digest)
        try:
            with (self._folder / digest).open("rb") as file:
                return file.read(_LONGEST + 1)
        except OSError as error:
            raise LookupError(f"{digest}: {error}") from error

    def keep(self, pulse: Pulse) -> None:
        """Have the samples of a pulse, on disk when this returns. Raises OSError."""
        for digest, content in samples_of(pulse).items():
            if self._folder is None:
                self._in_memory[digest] = content
            elif not self._has(digest):
                self._folder.mkdir(mode=0o700, exist_ok=True)
                _write(self._folder / digest, content)

    def _has(self, digest: str) -> bool:
        try:
            return hash_of(self(digest)) == digest
        except LookupError:
            return False


def samples_beside(ledger: Path) -> SampleFiles:
    """Those of the ledger at this path."""
    return SampleFiles(beside(ledger, "samples"))


def _write(path: Path, content: bytes) -> None:
    """Under another name first: no crash leaves a part of it at its place."""
    new = path.with_name("new")
    new.unlink(missing_ok=True)
    with open(open_private(new), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    sync_folder(path.parent)
    sync_folder(path.parent.parent)
