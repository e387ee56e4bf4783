"""Film: frames of the stream as bytes for a page, the newest one live and movies to replay."""

import struct
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.monitor.newest import Newest

MISSING = 255
"""Byte of a pixel that is no number; S_z from −1 to +1 is 0 to 254."""
MOST_FRAMES = 64
"""Of a movie, kept to replay it; a longer one is thinned out evenly."""
_KEPT_BYTES = 48 * 2**20
_HEADER = struct.Struct("<4sHHHHIIdd")
_MAGIC = b"SKY1"
_LARGEST_SIDE = 1024
_FAST = (128, 0.9)
"""So many frames within so many seconds, and a source is fast."""
_PAUSE_S = 0.005


@dataclass(frozen=True)
class Picture:
    """One frame as bytes, (H, W) uint8; of a larger one every ``step``-th pixel."""

    image: np.ndarray
    index: int
    movie_time_ps: float
    step: int = 1

    def packed(self, shot: str, expected: int, age_s: float = 0.0) -> bytes:
        """As the page reads it: header, name of the shot, pixels row by row.

        age_s : since it left its source
        """
        rows, columns = self.image.shape
        name = shot.encode()
        header = _HEADER.pack(
            _MAGIC, rows, columns, self.step, len(name), self.index, expected,
            self.movie_time_ps, age_s,
        )  # fmt: skip
        return header + name + self.image.tobytes()

    def smaller(self, side: int) -> "Picture":
        """With no more than ``side`` pixels along each side, averaged over blocks."""
        block = -(-max(self.image.shape) // side)
        if block <= 1:
            return self
        rows, columns = (n // block for n in self.image.shape)
        cut = self.image[: rows * block, : columns * block].reshape(rows, block, columns, block)
        mean = cut.mean(axis=(1, 3), dtype=np.float32).round().astype(np.uint8)
        return Picture(mean, self.index, self.movie_time_ps, self.step * block)


def picture(data: np.ndarray, index: int, movie_time_ps: float) -> Picture:
    """A frame's S_z as bytes. data : S_z (H, W) or spins (3, H, W)"""
    sz = data if data.ndim == 2 else data[2]
    step = -(-max(sz.shape) // _LARGEST_SIDE)
    levels = sz[::step, ::step] * np.float32(127) + np.float32(127.5)
    np.clip(levels, 0, 254.5, out=levels)  # which keeps NaN
    holes = np.isnan(levels)
    if holes.any():
        levels[holes] = MISSING
    return Picture(levels.astype(np.uint8), index, movie_time_ps, step)


def _picture_of(frame: Frame) -> Picture:
    return picture(frame.data, frame.index, frame.movie_time_ps)


@dataclass
class Movie:
    """Frames of one shot that are kept: at most MOST_FRAMES, evenly spread."""

    start: ShotStart
    pictures: list[Picture] = field(default_factory=list)
    _stride: int = 1

    def add(self, frame: Frame) -> int:
        """Keep this frame, if it is one of those that are; by how many bytes it grew."""
        if frame.index % self._stride:
            return 0
        before = self.size
        self.pictures.append(_picture_of(frame))
        if len(self.pictures) > MOST_FRAMES:
            self._stride *= 2
            self.pictures = [kept for kept in self.pictures if not kept.index % self._stride]
        return self.size - before

    @property
    def size(self) -> int:
        """Bytes of the pictures."""
        return sum(kept.image.nbytes for kept in self.pictures)


def pack_movie(
    shot: str, pictures: Sequence[Picture], expected: int, frames: int, side: int
) -> bytes:
    """At most ``frames`` of the pictures, evenly spread, each at most ``side`` pixels wide."""
    if not pictures:
        return b""
    count = min(frames, len(pictures))
    chosen = np.linspace(0, len(pictures) - 1, count).round().astype(int)
    return b"".join(pictures[i].smaller(side).packed(shot, expected) for i in chosen)


class LiveFrame:
    """A frame of a movie under way."""

    def __init__(self, frame: Frame, movie: Movie) -> None:
        self.frame, self.movie = frame, movie
        self._picture: Picture | None = None

    def packed(self) -> bytes:
        """As the page reads it; its pixels are made once however many look at it."""
        self._picture = self._picture or _picture_of(self.frame)
        age_s = (time.monotonic_ns() - self.frame.left_source_ns) / 1e9
        expected = self.movie.start.expected_frames
        return self._picture.packed(self.frame.shot, expected, age_s)


class LiveFilm:
    """Takes the hub's events (`handle`, of a consumer that may skip) and keeps what a page shows.

    newest : the newest frame
    playing : the movie under way, None between movies
    """

    def __init__(self) -> None:
        self.newest: Newest[LiveFrame] = Newest()
        self.playing: Movie | None = None
        self._movies: OrderedDict[str, Movie] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._arrivals: deque[float] = deque(maxlen=_FAST[0])

    def handle(self, event: ShotStart | Frame | ShotEnd) -> None:
        """Take one event of the stream."""
        if isinstance(event, ShotStart):
            self._begin(event)
        elif isinstance(event, Frame):
            self._frame(event)
        elif self.playing and self.playing.start.shot == event.shot:
            self.playing = None

    def _begin(self, start: ShotStart) -> None:
        with self._lock:
            if again := self._movies.pop(start.shot, None):
                self._bytes -= again.size
            self.playing = self._movies[start.shot] = Movie(start)
            while self._bytes > _KEPT_BYTES and len(self._movies) > 1:
                self._bytes -= self._movies.popitem(last=False)[1].size

    def _frame(self, frame: Frame) -> None:
        movie = self.playing
        if movie is None or movie.start.shot != frame.shot:
            return
        with self._lock:
            self._bytes += movie.add(frame)
        self.newest.put(LiveFrame(frame, movie))
        self._spare_the_source()

    def _spare_the_source(self) -> None:
        """Pass over frames of a fast source: waking up for each takes its hub's time, and a page
        shows thirty a second."""
        now = time.monotonic()
        self._arrivals.append(now)
        if len(self._arrivals) == _FAST[0] and now - self._arrivals[0] < _FAST[1]:
            time.sleep(_PAUSE_S)

    def movie(self, shot: str) -> Movie | None:
        """A movie that is still kept."""
        with self._lock:
            return self._movies.get(shot)
