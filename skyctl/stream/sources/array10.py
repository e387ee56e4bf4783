"""PSI htypes array-1.0: a header in JSON and the image behind it, two parts of one message.

Source: paulscherrerinstitute/htypes, array-1.0.md. Its table says "endianness", its example
"endianess"; both are sent.
"""

import json
from typing import Any

import numpy as np

from skyctl.errors import ForeignMessage, UndecodableMessage
from skyctl.frame import ShotStart
from skyctl.stream import wire
from skyctl.stream.sources.pixels import ToSz, image_bytes
from skyctl.stream.sources.shots import NumberedFrames
from skyctl.stream.sources.source import Event

_LONGEST_HEADER = 64 * 2**10
_TYPES = {
    **{
        f"{sign}int{8 * size}": f"{sign or 'i'}{size}"
        for sign in ("", "u")
        for size in (1, 2, 4, 8)
    },
    **{f"float{8 * size}": f"f{size}" for size in (2, 4, 8)},
}
_ORDERS = {"little": "<", "big": ">"}


class Array10Parser:
    """Frames of an array-1.0 stream; its numbers start at 0. Compressed ones are refused.

    The stream says neither when a series begins nor when an image was taken: shots are told apart
    as NumberedFrames does, and the source time is 0, unknown. Publishers may send a part of the
    frames: what they leave out is missing.

    scaling : what counts mean; run : name of the source
    max_image_bytes : larger images are refused
    numbered : False where ``frame`` is not there or no number of the image: images are counted as
        they come; one that is lost shows only in a movie that never ends

    Whole numbers may come as text ("12"), as headers do that were put together from strings.
    """

    names_shots = False

    def __init__(
        self,
        scaling: ToSz,
        run: str = "array-1.0",
        max_image_bytes: int = wire.DETECTOR_IMAGE_BYTES,
        numbered: bool = True,
    ) -> None:
        self._numbered, self._came = numbered, 0
        self._limit = max_image_bytes
        self._frames = NumberedFrames(run, origin=0, to_sz=scaling)
        self._last = -1

    def expect(self, start: ShotStart) -> None:
        """The next frame is the first of this shot."""
        self._frames.expect(start)

    def parse(self, message: list[memoryview], received_ns: int) -> list[Event]:
        """The events of a message of two parts."""
        if len(message) != 2:
            raise UndecodableMessage(f"array-1.0: message of {len(message)} parts, not 2")
        header, blob = message
        fields = _header(header)
        number = _whole(fields.get("frame")) if self._numbered else self._came
        if number is None or not 0 <= number < 2**63:
            raise UndecodableMessage("array-1.0: no frame number")
        counts = self._array(fields, blob)
        anew = number == 0 < self._last
        self._last = number
        events = self._frames.take(number, counts, 0, received_ns, anew)
        self._came += 1
        return events

    def _array(self, fields: dict[str, Any], blob: memoryview) -> np.ndarray:
        encoding = fields.get("encoding") or ""
        if encoding != "":
            raise UndecodableMessage(
                f"array-1.0: encoding {str(encoding)[:32]!r} is not known; have it sent plain"
            )
        kind = fields.get("type")
        order = fields.get("endianness", fields.get("endianess", "little"))
        if not isinstance(kind, str) or kind not in _TYPES:
            raise UndecodableMessage(f"array-1.0: type {str(kind)[:32]!r}")
        if not isinstance(order, str) or order not in _ORDERS:
            raise UndecodableMessage(f"array-1.0: endianness {str(order)[:32]!r}")
        dtype = np.dtype(_ORDERS[order] + _TYPES[kind])
        shape = fields.get("shape")
        match [_whole(side) for side in shape] if isinstance(shape, list) else None:
            case [int(rows), int(columns)]:
                pass
            case _:
                raise UndecodableMessage("array-1.0: shape is not [rows, columns]")
        if image_bytes((rows, columns), dtype, self._limit) != len(blob):
            raise UndecodableMessage(
                f"array-1.0: {len(blob)} bytes for {rows} × {columns} of {dtype.itemsize}"
            )
        return np.frombuffer(blob, dtype).reshape(rows, columns)


def _whole(value: Any) -> int | None:
    """A whole number, also one of up to 20 digits as text; None for anything else."""
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdecimal():
        return int(value)
    return value if type(value) is int else None


def _header(part: memoryview) -> dict[str, Any]:
    if len(part) > _LONGEST_HEADER:
        raise UndecodableMessage(f"array-1.0: header of {len(part)} bytes")
    try:
        fields = json.loads(bytes(part))
    except (ValueError, RecursionError) as error:
        raise UndecodableMessage(
            f"array-1.0: header is not JSON ({type(error).__name__})"
        ) from error
    if not isinstance(fields, dict):
        raise UndecodableMessage("array-1.0: header is not an object")
    if fields.get("htype") != "array-1.0":
        raise ForeignMessage(f"htype {str(fields.get('htype'))[:32]!r}, not array-1.0")
    return fields
