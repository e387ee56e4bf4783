"""Damaged HDF5, made readable without touching it: what a kill or a cut copy left of a file.

HDF5 keeps the file's length, and whether somebody writes it, in its first 48 bytes. A file that was
cut short is refused for it or, opened as a growing one, waited for without end. Here it is shown
with zeros in place of what is missing, which the checksums of HDF5's metadata give away at once.

Source: HDF5 File Format Specification version 3.0, II.A (superblock version 3), and H5checksum.c.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

_SUPERBLOCK = struct.Struct("<8sBBBB4Q")  # and four bytes of checksum
_SUPERBLOCK_BYTES = _SUPERBLOCK.size + 4
_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Health:
    """How a file was left.

    being_written : a writer has it open, or had when it was killed
    missing_bytes : how much shorter it is than HDF5 left it
    """

    being_written: bool
    missing_bytes: int


def health(path: Path) -> Health:
    """What the superblock says. Raises OSError for a stump, for which HDF5 would wait."""
    with path.open("rb") as file:
        superblock = file.read(_SUPERBLOCK_BYTES)
    if len(superblock) < _SUPERBLOCK_BYTES:
        raise OSError(f"only {len(superblock)} bytes")
    _, version, _, _, flags, _, _, end, _ = _SUPERBLOCK.unpack_from(superblock)
    if version < 3:  # not ours; HDF5 says what it thinks of it
        return Health(being_written=False, missing_bytes=0)
    return Health(flags != 0, max(0, end - path.stat().st_size))


class Padded(io.RawIOBase):
    """A file as if it were whole and closed, zeros where it is not; for h5py to read from."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        superblock = self._file.read(_SUPERBLOCK_BYTES)
        size = path.stat().st_size
        signature, version, offsets, lengths, _, base, extension, end, root = (
            _SUPERBLOCK.unpack_from(superblock)
        )
        self._end = max(size, end)
        mended = _SUPERBLOCK.pack(
            signature, version, offsets, lengths, 0, base, extension, self._end, root
        )
        self._superblock = mended + struct.pack("<I", _lookup3(mended))
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill the buffer, with zeros behind the file's end."""
        view = memoryview(buffer).cast("B")
        self._file.seek(self._position)
        got = self._file.readinto(view)
        view[got:] = bytes(len(view) - got)
        overlap = max(0, min(len(self._superblock) - self._position, len(view)))
        view[:overlap] = self._superblock[self._position : self._position + overlap]
        self._position += len(view)
        return len(view)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 (2006) of a whole number of 32-bit words, as HDF5 checks metadata."""

    def rotated(x: int, k: int) -> int:
        return (x << k | x >> (32 - k)) & _MASK

    words = list(struct.unpack(f"<{len(data) // 4}I", data))
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    while len(words) > 3:
        a, b, c = ((x + words.pop(0)) & _MASK for x in (a, b, c))
        for k in (4, 6, 8, 16, 19, 4):
            a = (a - c) & _MASK ^ rotated(c, k)
            c = (c + b) & _MASK
            a, b, c = b, c, a
    a, b, c = ((x + word) & _MASK for x, word in zip((a, b, c), (*words, 0, 0, 0), strict=False))
    for k in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - rotated(b, k)) & _MASK
        a, b, c = b, c, a
    return b
