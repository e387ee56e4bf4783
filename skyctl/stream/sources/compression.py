"""Decompression of images from strangers: no size is taken from the data without a check first.

lz4 and blosc are their libraries' own. Bitshuffle is ours around lz4: the vendor's
dectris-compression would have to be compiled at installation, and the bitshuffle library reads
beyond the end of data that lie about their length.

Formats: DECTRIS cbor/dectris-compression-tag.md; bitshuffle's bshuf_h5filter.c; the HDF Group's
LZ4_HDF5_format.md; areaDetector's NDPluginCodec.
"""

import zlib
from collections.abc import Iterator

import lz4.block
import numpy as np

from skyctl.errors import UndecodableMessage, install
from skyctl.stream.sources.kernels_bitshuffle import unshuffle

_LZ4_MOST_BYTES = 255
"""That a compressed byte can stand for."""
_MOST_BLOCKS = 65_536
_ELEMENT_BYTES = (1, 2, 4, 8)
_HDF5_HEADER_BYTES = 12
_BLOSC_HEADER_BYTES = 16
_BITSHUFFLE_BLOCK_BYTES = 8192
_BITSHUFFLE_LEAST_ELEMENTS = 128


def lz4_block(data: memoryview, size: int) -> bytes:
    """One bare LZ4 block that becomes ``size`` bytes. Raises UndecodableMessage."""
    if size > _LZ4_MOST_BYTES * len(data):  # before memory is taken for them
        raise UndecodableMessage(f"lz4: {len(data)} bytes cannot become {size}")
    try:
        raw = lz4.block.decompress(data, uncompressed_size=size)
    except (lz4.block.LZ4BlockError, ValueError, OverflowError) as error:
        raise UndecodableMessage(f"lz4: {error}") from error
    if len(raw) != size:
        raise UndecodableMessage(f"lz4: {len(raw)} bytes where {size} are announced")
    return raw


def lz4_hdf5(data: memoryview, size: int) -> bytes:
    """LZ4 blocks behind a header of 12 bytes, as HDF5's filter writes them."""
    block_bytes, blocks = _hdf5_header(data, size)
    lengths = _lengths(size, block_bytes)
    parts = [
        bytes(block) if len(block) == length else lz4_block(block, length)
        for block, length in zip(_blocks(blocks, len(lengths)), lengths, strict=True)
    ]
    return b"".join(parts)


def bitshuffle_lz4_hdf5(data: memoryview, element_bytes: int, size: int) -> np.ndarray:
    """Bitshuffled LZ4 blocks behind a header of 12 bytes, as DECTRIS writes them."""
    block_bytes, blocks = _hdf5_header(data, size)
    return bitshuffle_lz4(blocks, element_bytes, size, block_bytes)


def bitshuffle_lz4(
    data: memoryview, element_bytes: int, size: int, block_bytes: int | None = None
) -> np.ndarray:
    """Bitshuffled LZ4 blocks without a header, as areaDetector writes them; uint8 (size,).

    element_bytes : size of the numbers whose bits were shuffled; size : bytes that come out
    block_bytes : before compression; left out, bitshuffle's own choice

    Raises UndecodableMessage; needs three times ``size`` while it works.
    """
    if element_bytes not in _ELEMENT_BYTES or size % element_bytes:
        raise UndecodableMessage(f"bslz4: {size} bytes are no numbers of {element_bytes} bytes")
    group = 8 * element_bytes
    if block_bytes is None:
        elements = max(_BITSHUFFLE_BLOCK_BYTES // group * 8, _BITSHUFFLE_LEAST_ELEMENTS)
        block_bytes = elements * element_bytes
    if block_bytes % group:
        raise UndecodableMessage(f"bslz4: blocks of {block_bytes} bytes, no multiple of {group}")
    left_over = size % group  # too few numbers to shuffle: they are there as they are
    lengths = _lengths(size - left_over, block_bytes)
    end = len(data) - left_over
    if end < 0:
        raise UndecodableMessage("bslz4: the data end too early")
    blocks = _blocks(data[:end], len(lengths))
    shuffled = b"".join(
        lz4_block(block, length) for block, length in zip(blocks, lengths, strict=True)
    )
    out = np.empty(size, np.uint8)
    whole = (size - left_over) // block_bytes * block_bytes
    _unshuffle(shuffled, out, 0, whole, block_bytes, element_bytes)
    _unshuffle(shuffled, out, whole, size - left_over, size - left_over - whole, element_bytes)
    out[size - left_over :] = np.frombuffer(data[end:], np.uint8)
    return out


def blosc(data: memoryview, size: int) -> bytes:
    """A Blosc buffer that becomes ``size`` bytes.

    Raises UndecodableMessage, also where the library is not installed.
    """
    try:
        from numcodecs.blosc import decompress
    except ImportError as error:
        raise UndecodableMessage(f"blosc: numcodecs is not there: {install('epics')}") from error
    if len(data) < _BLOSC_HEADER_BYTES:
        raise UndecodableMessage("blosc: no header")
    announced = int.from_bytes(data[4:8], "little")
    compressed = int.from_bytes(data[12:16], "little")
    if announced != size or compressed != len(data):
        raise UndecodableMessage(
            f"blosc: {compressed} bytes for {announced}, where {len(data)} for {size} are expected"
        )
    try:
        return decompress(bytes(data))
    except (RuntimeError, ValueError) as error:
        raise UndecodableMessage(f"blosc: {error}") from error


def deflated(data: memoryview, size: int) -> bytes:
    """A zlib stream that becomes ``size`` bytes. Raises UndecodableMessage."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, size)
        complete = stream.eof or not stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise UndecodableMessage(f"zlib: {error}") from error
    if len(raw) != size or not complete or not stream.eof:
        raise UndecodableMessage(f"zlib: not the {size} bytes that are announced")
    return raw


def warm_up() -> None:
    """Compile what decompression needs, or load it: a second that the first image would wait."""
    for element_bytes in (1, 2, 4):
        _unshuffle(bytes(8 * element_bytes), np.empty(8 * element_bytes, np.uint8), 0,
                   8 * element_bytes, 8 * element_bytes, element_bytes)  # fmt: skip


def _hdf5_header(data: memoryview, size: int) -> tuple[int, memoryview]:
    """Bytes of a block, and the blocks."""
    announced = int.from_bytes(data[:8], "big")
    if len(data) < _HDF5_HEADER_BYTES or announced != size:
        raise UndecodableMessage(f"compressed image of {announced} bytes where {size} are expected")
    return int.from_bytes(data[8:_HDF5_HEADER_BYTES], "big"), data[_HDF5_HEADER_BYTES:]


def _lengths(size: int, block_bytes: int) -> list[int]:
    """Bytes of each block before compression."""
    if not block_bytes or size // block_bytes > _MOST_BLOCKS:
        raise UndecodableMessage(f"{size} bytes in blocks of {block_bytes}: too many blocks")
    whole, rest = divmod(size, block_bytes)
    return [block_bytes] * whole + ([rest] if rest else [])


def _blocks(data: memoryview, count: int) -> Iterator[memoryview]:
    """The compressed blocks, each behind its length in four bytes; nothing may follow them."""
    at = 0
    for _ in range(count):
        start = at + 4
        end = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or end > len(data):
            raise UndecodableMessage("compressed image: the data end too early")
        yield data[start:end]
        at = end
    if at != len(data):
        raise UndecodableMessage("compressed image: the data go on after the last block")


def _unshuffle(
    shuffled: bytes, out: np.ndarray, start: int, end: int, block_bytes: int, element_bytes: int
) -> None:
    if end == start:
        return
    n = block_bytes // element_bytes // 8
    rows = np.frombuffer(shuffled, np.uint8, end - start, start).reshape(-1, element_bytes, 8, n)
    planes = np.empty((element_bytes, n), np.uint64)
    unshuffle(rows, planes, out[start:end].view(f"u{element_bytes}").reshape(-1, 8 * n))
