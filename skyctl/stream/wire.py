"""The wire format: DECTRIS Stream V2 (CBOR start, image and end), our fields under ``user_data``.

Bytes in, events out, no socket: ``encode_*`` make a message, ``decode`` reads one. Bytes come from
strangers: every size is checked before an array is made, nothing is executed, and what is not ours
raises UndecodableMessage or ForeignMessage.

Source: DECTRIS stream_v2 specification; typed arrays are RFC 8746.
"""

import contextlib
import math
import re
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

import cbor2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyctl.errors import ForeignMessage, StreamError, UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import PRINTABLE, FrameSchedule, Pulse

MAX_MESSAGE_BYTES = 64 * 2**20
"""Of our own streams (4000 × 4000, 32 bits); a stranger cannot make us allocate more."""
DETECTOR_IMAGE_BYTES = 128 * 2**20
"""Of a detector's: a 16M image of 32 bits has 72 MB."""
DETECTOR_MESSAGE_BYTES = 4 * DETECTOR_IMAGE_BYTES
"""A start message may hold, for each of two channels, a flat field and a pixel mask of 32 bits."""
SCHEMA = "skyctl/1"
CHANNEL = "skyctl"

_MULTI_DIMENSIONAL_ARRAY = 40
_FLOAT32_LITTLE_ENDIAN = 85
_BYTES_OF_LENGTH = b"\x5a"
"""CBOR's byte string with four bytes of length."""
_ALIGNMENT = 8
"""Images begin at a multiple of so many bytes: those that do not are copied before compiled code
can take them."""
_MARKS = [b"\x80\0\0\0\0\0\0" + bytes((i,)) for i in range(1, 6)]
"""Stand for the numbers of an image message, eight bytes each; names are ASCII, sides smaller."""
_IMAGE = bytes((0xD8, _FLOAT32_LITTLE_ENDIAN)) + _BYTES_OF_LENGTH
_IMAGE_WITHIN = 4096
_LARGE_IMAGE = 16_384
_NANOSECONDS = 1_000_000_000
_END_OF_TIME_NS = 2**63
MOST_FRAMES = 10_000_000
LONGEST_SIDE = 65_536
_MOST_ITEMS = 100_000
_SMALL = 256 * 2**10
"""Bytes of a message that cannot have more items than take 20 MB."""
_LENGTH_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
_COSTLY_TAGS = (4, 5, 30, 35, 36, 260, 261)
"""Decimals, fractions, patterns, mail and addresses: no message of the stream has them, and a few
bytes of them can cost minutes of arithmetic."""

_Name = Annotated[str, Field(pattern=PRINTABLE, max_length=64)]
_Side = Annotated[int, Field(strict=True, ge=1, le=LONGEST_SIDE)]


class _UserData(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    skyctl: Literal["skyctl/1"] = Field(alias="schema")
    run: _Name
    shot: _Name


class _StartData(_UserData):
    pulse: Pulse | None
    movie: FrameSchedule
    expected_frames: int = Field(strict=True, ge=0, le=MOST_FRAMES)
    shape: tuple[_Side, _Side] | tuple[Literal[3], _Side, _Side]
    number: int = Field(default=0, strict=True, ge=0, lt=2**63)
    may_end_early: bool = Field(default=False, strict=True)


class _ImageData(_UserData):
    frame: int = Field(strict=True, ge=0, lt=MOST_FRAMES)
    movie_time_ps: float = Field(allow_inf_nan=False)
    source_time_ns: int = Field(strict=True, ge=0, lt=_END_OF_TIME_NS)


class _EndData(_UserData):
    frames: int = Field(strict=True, ge=0, le=MOST_FRAMES)
    ended_early: bool = Field(default=False, strict=True)


def describe_start(start: ShotStart) -> dict[str, Any]:
    """A shot as ``user_data``; as header_appendix of a DECTRIS detector it makes the series the
    shot."""
    return {
        "schema": SCHEMA,
        "run": start.run,
        "shot": start.shot,
        "pulse": start.pulse.model_dump() if start.pulse else None,
        "movie": start.movie.model_dump(),
        "expected_frames": start.expected_frames,
        "shape": list(start.shape),
        "number": start.number,
        "may_end_early": start.may_end_early,
    }


def read_start(user_data: Mapping[Any, Any]) -> ShotStart:
    """The shot that ``describe_start`` described. Raises pydantic.ValidationError."""
    start = _StartData.model_validate(dict(user_data))
    return ShotStart(
        run=start.run,
        shot=start.shot,
        pulse=start.pulse,
        movie=start.movie,
        expected_frames=start.expected_frames,
        shape=start.shape,
        number=start.number,
        may_end_early=start.may_end_early,
    )


def is_ours(user_data: Any) -> bool:
    """Whether this is ``user_data`` of ours, of this version."""
    return isinstance(user_data, dict | cbor2.frozendict) and user_data.get("schema") == SCHEMA


def encode_start(start: ShotStart) -> bytes:
    """The start message of a shot."""
    return _encode(
        "start",
        start.run,
        start.shot,
        describe_start(start),
        channels=[CHANNEL],
        detector_description="skyctl film camera",
        image_dtype="float32",
        image_size_x=start.shape[-1],
        image_size_y=start.shape[-2],
        number_of_images=start.expected_frames,
    )


def encode_frame(frame: Frame, allocate: Callable[[int], bytearray] = bytearray) -> bytearray:
    """The image message of a frame. The image is copied once, into the memory ``allocate`` gives.

    Raises StreamError for an image that every hub would refuse unread.
    """
    data = np.ascontiguousarray(frame.data, dtype="<f4")
    layout = image_layout(frame.run, frame.shot, data.shape)
    if layout is None:
        raise StreamError(
            f"frame of {data.nbytes} bytes: hubs refuse messages over {MAX_MESSAGE_BYTES}. "
            "Bin the camera's image, or send a part of it."
        )
    message = allocate(layout.size)
    layout.write(message, frame, data)
    return message


class ImageLayout:
    """The image messages of one shot, whose bytes are the same but for four numbers and the image.

    Writing one is filling these in. Reading one is comparing: what has the very bytes that we would
    have written needs no decoder, and can do no harm that ``decode`` would prevent.

    size : of a message, bytes
    """

    def __init__(self, run: str, shot: str, shape: tuple[int, ...]) -> None:
        self._run, self._shot, self._shape = run, shot, shape
        self._image_bytes = math.prod(shape) * 4
        head = self._head(fill="")
        if surplus := len(head) % _ALIGNMENT:
            head = self._head(fill="." * (_ALIGNMENT - surplus))
        self._constants = tuple(re.split(b"|".join(map(re.escape, _MARKS)), head))
        a, b, c, d, e, f = map(len, self._constants)
        self._numbers = struct.Struct(f">{a}sQ{b}sQ{c}sQ{d}sd{e}sQ{f}s")
        self.size = len(head) + self._image_bytes

    def _head(self, fill: str) -> bytes:
        """A message up to its image."""
        image_id, start_ns, index, source_ns = (
            int.from_bytes(_MARKS[i], "big") for i in (0, 1, 2, 4)
        )
        array = [list(self._shape), cbor2.CBORTag(_FLOAT32_LITTLE_ENDIAN, b"")]
        message = cbor2.dumps(
            {
                "type": "image",
                "series_id": 0,
                "series_unique_id": f"{self._run}/{self._shot}",
                "image_id": image_id,
                "start_time": [start_ns, _NANOSECONDS],
                "user_data": {
                    "schema": SCHEMA,
                    "run": self._run,
                    "shot": self._shot,
                    "frame": index,
                    "movie_time_ps": struct.unpack(">d", _MARKS[3])[0],
                    "source_time_ns": source_ns,
                    "fill": fill,
                },
                "data": {CHANNEL: cbor2.CBORTag(_MULTI_DIMENSIONAL_ARRAY, array)},
            }
        )
        return message[:-1] + _BYTES_OF_LENGTH + self._image_bytes.to_bytes(4, "big")

    def write(self, message: bytearray, frame: Frame, data: np.ndarray) -> None:
        """Fill ``message``, of ``size`` bytes, with a frame of this shot and its image ``data``."""
        a, b, c, d, e, f = self._constants
        i, ns = frame.index, frame.source_time_ns
        self._numbers.pack_into(message, 0, a, i, b, ns, c, i, d, frame.movie_time_ps, e, ns, f)
        np.frombuffer(message, "<f4", offset=self._numbers.size)[:] = data.reshape(-1)

    def read(self, message: memoryview, received_ns: int) -> Frame | None:
        """The frame of a message that is laid out so; None for any other, which ``decode`` reads.

        The frame's data are a view of the message, which must not change.
        """
        if len(message) != self.size:
            return None
        a, image_id, b, start_ns, c, index, d, time_ps, e, source_ns, f = self._numbers.unpack_from(
            message
        )
        if (a, b, c, d, e, f) != self._constants or image_id != index or start_ns != source_ns:
            return None
        if index >= MOST_FRAMES or source_ns >= _END_OF_TIME_NS or not math.isfinite(time_ps):
            return None
        array = np.frombuffer(message.toreadonly(), "<f4", offset=self._numbers.size)
        array = array.reshape(self._shape)
        if not array.flags.aligned:
            array = _aligned(array)
        return Frame(self._run, self._shot, index, time_ps, source_ns, array, received_ns)


@lru_cache(maxsize=32)
def image_layout(run: str, shot: str, shape: tuple[int, ...]) -> ImageLayout | None:
    """The layout of a shot's image messages; ``shape`` is (H, W) or (3, H, W).

    None for images so large that no hub takes their messages.
    """
    if math.prod(shape) * 4 + _IMAGE_WITHIN > MAX_MESSAGE_BYTES:
        return None
    return ImageLayout(run, shot, shape)


def encode_end(run: str, shot: str, sent_frames: int, *, ended_early: bool = False) -> bytes:
    """The end message of a shot; it carries the count, so that a lost tail shows.

    ended_early : on purpose; the count and not the promise of the start is then what is to come
    """
    return _encode("end", run, shot, {"frames": sent_frames, "ended_early": ended_early})


def _encode(kind: str, run: str, shot: str, user_data: dict[str, Any], **fields: Any) -> bytes:
    head = {"type": kind, "series_id": 0, "series_unique_id": f"{run}/{shot}"}
    tail = {"user_data": {"schema": SCHEMA, "run": run, "shot": shot, **user_data}}
    return cbor2.dumps({**head, **fields, **tail})


def _refuse(decoder: cbor2.CBORDecoder, immutable: bool) -> Any:  # noqa: ARG001 - cbor2 calls it
    raise ValueError("a type that no message of the stream has")


_REFUSED: dict[int, Any] = dict.fromkeys(_COSTLY_TAGS, _refuse)


def decode(message: bytes | memoryview, received_ns: int = 0) -> ShotStart | Frame | ShotEnd:
    """Read one message. The ShotEnd's counts are empty: counting is the hub's.

    Raises
    ------
    UndecodableMessage : not CBOR, not a Stream V2 message, or fields that contradict each other
    ForeignMessage : a Stream V2 message without this version's ``user_data``
    """
    if len(message) > MAX_MESSAGE_BYTES:
        raise UndecodableMessage(f"message of {len(message)} bytes: over {MAX_MESSAGE_BYTES}")
    if cut := _cut_image(message):
        with contextlib.suppress(UndecodableMessage):
            return _decode(*cut, received_ns)
    return _decode(message, None, received_ns)


def _cut_image(message: bytes | memoryview) -> tuple[bytes, memoryview] | None:
    """A message without its large image, and that image, which so need not be copied."""
    if len(message) < _LARGE_IMAGE:
        return None
    view = memoryview(message).toreadonly()
    start = bytes(view[:_IMAGE_WITHIN])
    image = start.find(_IMAGE) + len(_IMAGE)
    if image < len(_IMAGE):
        return None
    end = image + 4 + int.from_bytes(start[image : image + 4], "big")
    if not _LARGE_IMAGE // 2 < end - image <= len(view) - image:
        return None
    return start[: image - 1] + b"\x40" + bytes(view[end:]), view[image + 4 : end]


def load(
    message: bytes | memoryview, most_bytes: int = MAX_MESSAGE_BYTES
) -> tuple[str, Mapping[Any, Any]]:
    """Any Stream V2 message: its type ("start", "image" or "end") and its fields.

    Raises UndecodableMessage for what is over ``most_bytes``, not CBOR, or no Stream V2 message.
    """
    if len(message) > most_bytes:
        raise UndecodableMessage(f"message of {len(message)} bytes: over {most_bytes}")
    if len(message) > _SMALL:
        _count_items(memoryview(message))
    try:
        content = cbor2.loads(message, semantic_decoders=_REFUSED, strict_hashable_types=True)
    # cbor2 lets what a wrong byte provokes inside a decoder through beside its own error
    except (cbor2.CBORError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise UndecodableMessage(f"not CBOR: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise UndecodableMessage(f"not a message: {type(error).__name__} in decoding") from error
    if not isinstance(content, dict | cbor2.frozendict):
        raise UndecodableMessage(f"a {type(content).__name__}, not a map")
    kind = content.get("type")
    if kind not in ("start", "image", "end"):
        what = repr(kind[:32]) if isinstance(kind, str) else type(kind).__name__
        raise UndecodableMessage(f"message type {what}: start, image or end expected")
    return kind, content


def _count_items(message: memoryview) -> None:
    """Refuse a message of very many items: an empty list takes 70 times its byte once decoded."""
    at = 0
    for _ in range(_MOST_ITEMS):
        if at >= len(message):
            return
        major, low = message[at] >> 5, message[at] & 31
        length = _LENGTH_BYTES.get(low, 0)
        value = int.from_bytes(message[at + 1 : at + 1 + length], "big") if length else low
        at += 1 + length
        if major in (2, 3) and low != 31:  # strings; one of unknown length is a list of strings
            at += value
    raise UndecodableMessage(f"message of more than {_MOST_ITEMS} items")


def _decode(
    message: bytes | memoryview, image: memoryview | None, received_ns: int
) -> ShotStart | Frame | ShotEnd:
    """Read a message; ``image`` is what stood where its array is empty."""
    kind, content = load(message)
    user_data: Any = content.get("user_data")
    if not is_ours(user_data):
        raise ForeignMessage(f"{kind} message without {SCHEMA} user_data")
    try:
        if kind == "start":
            return read_start(user_data)
        if kind == "image":
            frame = _ImageData.model_validate(dict(user_data))
            return Frame(
                run=frame.run,
                shot=frame.shot,
                index=frame.frame,
                movie_time_ps=frame.movie_time_ps,
                source_time_ns=frame.source_time_ns,
                data=_array(content.get("data"), image),
                received_ns=received_ns,
            )
        end = _EndData.model_validate(dict(user_data))
        return ShotEnd(
            run=end.run, shot=end.shot, sent_frames=end.frames, ended_early=end.ended_early
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UndecodableMessage(f"{kind} message, field {field}: {first['msg']}") from error


def _array(channels: Any, image: memoryview | None) -> np.ndarray:
    """The one channel's (H, W) or (3, H, W) float32 array, a read-only view of the message."""
    try:
        (tag,) = channels.values()
        dimensions, typed = tag.value
        shape = tuple(dimensions)
        content = typed.value
        known = tag.tag == _MULTI_DIMENSIONAL_ARRAY and typed.tag == _FLOAT32_LITTLE_ENDIAN
    except (AttributeError, TypeError, ValueError) as error:
        raise UndecodableMessage("image message: no array in its data") from error
    if not known or not isinstance(content, bytes):
        raise UndecodableMessage("image message: data is not a float32 array (tags 40 and 85)")
    if image is not None:
        if content:
            raise UndecodableMessage("image message: two arrays in it")
        content = image
    sides = all(type(n) is int and 1 <= n <= LONGEST_SIDE for n in shape)
    if not sides or len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 3):
        raise UndecodableMessage("image message: shape is not (H, W) or (3, H, W)")
    if math.prod(shape) * 4 != len(content):
        raise UndecodableMessage(f"image message: shape {shape} does not fit {len(content)} bytes")
    array = np.frombuffer(content, dtype="<f4").reshape(shape)
    return array if array.flags.aligned else _aligned(array)


def _aligned(array: np.ndarray) -> np.ndarray:
    """A copy, read-only as well, that compiled code can take."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy
