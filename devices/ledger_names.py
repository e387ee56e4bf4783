"""Names of the shots in a ledger's segments that were put away."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.devices.chain import Key, open_private
from skyctl.devices.ledger_files import beside, untrusted
from skyctl.devices.ledger_lines import NOTHING_BEFORE

_NAME_TYPE = np.dtype("<u8")


class Names:
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
            raise untrusted(path, "it is not as it was written")
        self._sorted = np.sort(np.frombuffer(content, _NAME_TYPE))

    @classmethod
    def anew(cls, path: Path, key: Key, shots: Iterable[str]) -> dict[str, Any]:
        """Write the names of these shots of the ledger at ``path``; as `add`."""
        place = beside(path, "names")
        place.unlink(missing_ok=True)
        return cls(place, key, NOTHING_BEFORE["names"]).add([key.number(shot) for shot in shots])

    def holds(self, number: int) -> bool:
        """Whether a name with this hash is among them."""
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
