"""DECTRIS detectors (EIGER2, PILATUS4 …) by Stream V2, as they stand.

Source: DECTRIS stream_v2/README.md and cbor/dectris-compression-tag.md; RFC 8746 (typed arrays).
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import cbor2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyctl.errors import UndecodableMessage
from skyctl.frame import ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream import wire
from skyctl.stream.sources import compression
from skyctl.stream.sources.pixels import ToSz, image_bytes
from skyctl.stream.sources.shots import Expected, check_shape, frame
from skyctl.stream.sources.source import Event

_MULTI_DIMENSIONAL_ARRAY = 40
_COMPRESSED = 56500
_TYPED_ARRAYS = {
    **{64: "u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "u1", 69: "<u2", 70: "<u4", 71: "<u8"},
    **{72: "i1", 73: ">i2", 74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8"},
    **{80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4", 86: "<f8"},
}
"""Every number of 8 to 64 bits; float128 (83, 87) is no pixel's."""

_JSON = b"{"
_PS_PER_S = 1e12
_Count = Annotated[int, Field(strict=True, ge=0, le=wire.MOST_FRAMES)]
_Side = Annotated[int, Field(strict=True, ge=1, le=wire.LONGEST_SIDE)]


class _Series(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    series_id: int = Field(strict=True, ge=0, lt=2**63)
    series_unique_id: str = Field(default="", max_length=256)


class _Start(_Series):
    number_of_images: _Count
    image_size_x: _Side
    image_size_y: _Side
    channels: tuple[str, ...] = Field(max_length=64)
    frame_time: float | None = None


class _Image(_Series):
    image_id: int = Field(strict=True, ge=0, lt=wire.MOST_FRAMES)


@dataclass
class _Open:
    series: _Series
    start: ShotStart
    to_sz: ToSz | None = None


class DectrisParser:
    """Frames of a DECTRIS detector.

    A series is the shot that its start message names (``wire.describe_start`` as header_appendix of
    the detector), else the one that the camera side ``expect``-ed before it armed the detector,
    else a shot ``series-ID`` in a run named ``run``, with frames ``frame_time`` apart.

    Images are numbered by the detector, so what is lost on the way is missing. The end of a series
    tells no count; it closes the shot with the number of images that its start promised.

    scaling : what counts mean
    channel : which of several thresholds ("threshold_1", "threshold_2" or their "difference") is
        the image; None where the detector sends only one
    run : name of the source
    max_image_bytes : larger images are refused before they are decompressed, and messages of four
        times as much unread: a start message may hold flat fields and pixel masks
    """

    names_shots = False

    def __init__(
        self,
        scaling: ToSz,
        channel: str | None = None,
        run: str = "dectris",
        max_image_bytes: int = wire.DETECTOR_IMAGE_BYTES,
    ) -> None:
        self._scaling = scaling
        self._channel = channel
        self._run = run
        self._limit = max_image_bytes
        self._expected = Expected()
        self._open: _Open | None = None
        compression.warm_up()

    def expect(self, start: ShotStart) -> None:
        """The next series is this shot. Call it before the detector is armed."""
        self._expected.put(start)

    def parse(self, message: list[memoryview], received_ns: int) -> list[Event]:
        """The events of a message. A detector sends it in one part; the simulator tickit-devices
        sends what happens at one time as the parts of one message, each a message by itself."""
        if bytes(message[0][:1]) == _JSON:
            raise UndecodableMessage(
                "Stream V1 (JSON): set the detector's stream to format cbor, which is Stream V2"
            )
        return [self._event(part, received_ns) for part in message]

    def _event(self, part: memoryview, received_ns: int) -> Event:
        kind, fields = wire.load(part, 4 * self._limit)
        try:
            if kind == "start":
                return self._start(_Start.model_validate(dict(fields)), fields.get("user_data"))
            if kind == "image":
                return self._image(_Image.model_validate(dict(fields)), fields, received_ns)
            return self._end(_Series.model_validate(dict(fields)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UndecodableMessage(f"{kind} message, field {where}: {first['msg']}") from error

    def _start(self, series: _Start, user_data: Any) -> ShotStart:
        if self._open and _same(self._open.series, series):
            return self._open.start  # sent twice
        self._open = None
        shape = (series.image_size_y, series.image_size_x)
        start = self._expected.take(shape)
        if wire.is_ours(user_data):
            start = wire.read_start(user_data)
            check_shape(start, shape)
        if start and start.expected_frames != series.number_of_images:
            raise UndecodableMessage(
                f"shot {start.shot} expects {start.expected_frames} frames, series "
                f"{series.series_id} has {series.number_of_images}: arm the detector for the movie"
            )
        if self._channel is not None and self._channel not in series.channels:
            raise UndecodableMessage(
                f"series {series.series_id}: no channel {self._channel}, but "
                f"{', '.join(series.channels)[:80]}"
            )
        start = start or self._unexpected(series, shape, series.number_of_images, series.frame_time)
        self._open = _Open(series, start)
        return start

    def _image(self, image: _Image, fields: Mapping[Any, Any], received_ns: int) -> Event:
        counts = self._counts(fields.get("data"))
        series = self._open if self._open and _same(self._open.series, image) else None
        # A stray, whose start was lost, the hub only counts.
        start = series.start if series else self._unexpected(image, counts.shape, 0, None)
        if counts.shape != start.shape:
            raise UndecodableMessage(f"image of {counts.shape} in a series of {start.shape}")
        self._scaling.shape_of(counts.shape)
        to_sz = (series and series.to_sz) or self._scaling.for_movie(counts)
        if series:
            series.to_sz = to_sz
        return frame(start, image.image_id, counts, to_sz, _source_time_ns(fields), received_ns)

    def _end(self, series: _Series) -> ShotEnd:
        if not (self._open and _same(self._open.series, series)):
            return ShotEnd(self._run, f"series-{series.series_id}", None)  # a second one
        start = self._open.start
        return ShotEnd(start.run, start.shot, start.expected_frames)

    def _unexpected(
        self, series: _Series, shape: tuple[int, ...], images: int, frame_time_s: float | None
    ) -> ShotStart:
        movie = FrameSchedule()
        if frame_time_s and 0 < frame_time_s < 1e6:
            interval_ps = frame_time_s * _PS_PER_S
            movie = FrameSchedule(
                duration_ps=interval_ps * max(images - 1, 0), interval_ps=interval_ps
            )
        return ShotStart(self._run, f"series-{series.series_id}", None, movie, images, shape)

    def _counts(self, channels: Any) -> np.ndarray:
        """The image of the chosen channel, (rows, columns)."""
        if not isinstance(channels, dict | cbor2.frozendict) or not channels:
            raise UndecodableMessage("image message: no channels in its data")
        channel = self._channel
        if channel is None:
            if len(channels) > 1:
                names = ", ".join(str(name) for name in channels)[:80]
                raise UndecodableMessage(
                    f"image message of the channels {names}: say which one is the image"
                )
            (channel,) = channels
        if channel not in channels:
            raise UndecodableMessage(f"image message without channel {channel}")
        return _array(channels[channel], self._limit)


def _same(a: _Series, b: _Series) -> bool:
    return (a.series_id, a.series_unique_id) == (b.series_id, b.series_unique_id)


def _array(item: Any, limit: int) -> np.ndarray:
    """A multi-dimensional typed array of two dimensions, decompressed."""
    try:
        dimensions, typed = item.value
        rows, columns = dimensions
        code, content = typed.tag, typed.value
        known = item.tag == _MULTI_DIMENSIONAL_ARRAY and code in _TYPED_ARRAYS
    except (AttributeError, TypeError, ValueError) as error:
        raise UndecodableMessage("image message: no array of two dimensions") from error
    if not known or type(rows) is not int or type(columns) is not int:
        raise UndecodableMessage("image message: no typed array of two dimensions (tags 40, 64–86)")
    dtype = np.dtype(_TYPED_ARRAYS[code])
    size = image_bytes((rows, columns), dtype, limit)
    raw = _decompressed(content, size) if isinstance(content, cbor2.CBORTag) else content
    if not isinstance(raw, bytes | np.ndarray) or len(raw) != size:
        raise UndecodableMessage(
            f"image message: not the {size} bytes of {rows} × {columns} pixels"
        )
    return np.frombuffer(raw, dtype).reshape(rows, columns)


def _decompressed(tag: cbor2.CBORTag, size: int) -> bytes | np.ndarray:
    try:
        algorithm, element_bytes, data = tag.value
    except (TypeError, ValueError) as error:
        raise UndecodableMessage("image message: damaged compression tag") from error
    if tag.tag != _COMPRESSED or not isinstance(data, bytes) or type(element_bytes) is not int:
        raise UndecodableMessage("image message: pixels are neither bytes nor compressed bytes")
    if algorithm == "bslz4":
        return compression.bitshuffle_lz4_hdf5(memoryview(data), element_bytes, size)
    if algorithm == "lz4":
        return compression.lz4_hdf5(memoryview(data), size)
    raise UndecodableMessage(
        f"image message: compression {str(algorithm)[:32]!r} is not known; set the detector to "
        "bslz4, lz4 or none"
    )


def _source_time_ns(fields: Mapping[Any, Any]) -> int:
    """When the exposure ended by the detector's clock (UNIX time); 0 where it does not say."""
    began, ended = fields.get("series_date"), fields.get("stop_time")
    if not isinstance(began, datetime.datetime) or began.tzinfo is None:
        return 0
    if not isinstance(ended, list | tuple) or [type(n) for n in ended] != [int, int]:
        return 0
    ticks, per_second = ended
    if not (0 <= ticks < 2**64 and 0 < per_second < 2**64):
        return 0
    since = began - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    time_ns = since // datetime.timedelta(microseconds=1) * 1000 + ticks * 10**9 // per_second
    return time_ns if 0 <= time_ns < 2**63 else 0
