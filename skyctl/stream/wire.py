"""The wire format: DECTRIS Stream V2 (CBOR start, image and end), our fields under ``user_data``.

Bytes in, events out, no socket: ``encode_*`` make a message, ``decode`` reads one. Bytes come from
strangers: every size is checked before an array is made, nothing is executed, and what is not ours
raises UndecodableMessage or ForeignMessage.

Source: DECTRIS stream_v2 specification; typed arrays are RFC 8746.
"""

import math
from typing import Annotated, Any, Literal

import cbor2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyctl.errors import ForeignMessage, UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import PRINTABLE, Movie, Pulse

MAX_MESSAGE_BYTES = 64 * 2**20
"""No frame we know is larger (4000 × 4000, 32 bits); a stranger cannot make us allocate more."""
SCHEMA = "skyctl/1"
CHANNEL = "skyctl"

_MULTI_DIMENSIONAL_ARRAY = 40
_FLOAT32_LITTLE_ENDIAN = 85
_NANOSECONDS = 1_000_000_000
_MOST_FRAMES = 10_000_000
_LONGEST_SIDE = 65_536
_COSTLY_TAGS = (4, 5, 30, 35, 36, 260, 261)
"""Decimals, fractions, patterns, mail and addresses: no message of the stream has them, and a few
bytes of them can cost minutes of arithmetic."""

_Name = Annotated[str, Field(pattern=PRINTABLE, max_length=64)]
_Side = Annotated[int, Field(strict=True, ge=1, le=_LONGEST_SIDE)]


class _UserData(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    skyctl: Literal["skyctl/1"] = Field(alias="schema")
    run: _Name
    shot: _Name


class _StartData(_UserData):
    pulse: Pulse | None
    movie: Movie
    expected_frames: int = Field(strict=True, ge=0, le=_MOST_FRAMES)
    shape: tuple[_Side, _Side] | tuple[Literal[3], _Side, _Side]


class _ImageData(_UserData):
    frame: int = Field(strict=True, ge=0, lt=_MOST_FRAMES)
    movie_time_ps: float = Field(allow_inf_nan=False)
    source_time_ns: int = Field(strict=True, ge=0, lt=2**63)


class _EndData(_UserData):
    frames: int = Field(strict=True, ge=0, le=_MOST_FRAMES)


def encode_start(start: ShotStart) -> bytes:
    """The start message of a shot."""
    return _encode(
        "start",
        start.run,
        start.shot,
        {
            "pulse": start.pulse.model_dump() if start.pulse else None,
            "movie": start.movie.model_dump(),
            "expected_frames": start.expected_frames,
            "shape": list(start.shape),
        },
        channels=[CHANNEL],
        detector_description="skyctl film camera",
        image_dtype="float32",
        image_size_x=start.shape[-1],
        image_size_y=start.shape[-2],
        number_of_images=start.expected_frames,
    )


def encode_frame(frame: Frame) -> bytes:
    """The image message of a frame."""
    data = np.ascontiguousarray(frame.data, dtype="<f4")
    typed = cbor2.CBORTag(_FLOAT32_LITTLE_ENDIAN, data.tobytes())
    return _encode(
        "image",
        frame.run,
        frame.shot,
        {
            "frame": frame.index,
            "movie_time_ps": frame.movie_time_ps,
            "source_time_ns": frame.source_time_ns,
        },
        image_id=frame.index,
        start_time=[frame.source_time_ns, _NANOSECONDS],
        data={CHANNEL: cbor2.CBORTag(_MULTI_DIMENSIONAL_ARRAY, [list(data.shape), typed])},
    )


def encode_end(run: str, shot: str, sent_frames: int) -> bytes:
    """The end message of a shot; it carries the count, so that a lost tail shows."""
    return _encode("end", run, shot, {"frames": sent_frames})


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
    try:
        content = cbor2.loads(message, semantic_decoders=_REFUSED, strict_hashable_types=True)
    # cbor2 lets what a wrong byte provokes inside a decoder through beside its own error
    except (cbor2.CBORError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise UndecodableMessage(f"not CBOR: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise UndecodableMessage(f"not a message: {type(error).__name__} in decoding") from error
    if not isinstance(content, dict | cbor2.frozendict):
        raise UndecodableMessage(f"a {type(content).__name__}, not a map")
    kind, user_data = content.get("type"), content.get("user_data")
    if kind not in ("start", "image", "end"):
        what = repr(kind[:32]) if isinstance(kind, str) else type(kind).__name__
        raise UndecodableMessage(f"message type {what}: start, image or end expected")
    if not isinstance(user_data, dict | cbor2.frozendict) or user_data.get("schema") != SCHEMA:
        raise ForeignMessage(f"{kind} message without {SCHEMA} user_data")
    try:
        if kind == "start":
            start = _StartData.model_validate(dict(user_data))
            return ShotStart(
                run=start.run,
                shot=start.shot,
                pulse=start.pulse,
                movie=start.movie,
                expected_frames=start.expected_frames,
                shape=start.shape,
            )
        if kind == "image":
            image = _ImageData.model_validate(dict(user_data))
            return Frame(
                run=image.run,
                shot=image.shot,
                index=image.frame,
                movie_time_ps=image.movie_time_ps,
                source_time_ns=image.source_time_ns,
                data=_array(content.get("data")),
                received_ns=received_ns,
            )
        end = _EndData.model_validate(dict(user_data))
        return ShotEnd(run=end.run, shot=end.shot, sent_frames=end.frames)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UndecodableMessage(f"{kind} message, field {field}: {first['msg']}") from error


def _array(channels: Any) -> np.ndarray:
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
    sides = all(type(n) is int and 1 <= n <= _LONGEST_SIDE for n in shape)
    if not sides or len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 3):
        raise UndecodableMessage("image message: shape is not (H, W) or (3, H, W)")
    if math.prod(shape) * 4 != len(content):
        raise UndecodableMessage(f"image message: shape {shape} does not fit {len(content)} bytes")
    return np.frombuffer(content, dtype="<f4").reshape(shape)
