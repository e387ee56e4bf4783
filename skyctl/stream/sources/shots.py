"""Which shot a frame is of: a detector knows series and numbers, not runs and shots."""

from collections import deque

import numpy as np

from skyctl.errors import UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream import wire
from skyctl.stream.sources.pixels import Scaling, ToSz
from skyctl.stream.sources.source import Event

_AS_IT_IS = Scaling(offset=0.0, scale=1.0)


class Expected:
    """The shot that the camera will film next. The camera's thread puts it, the hub's takes it."""

    def __init__(self) -> None:
        self._next: deque[ShotStart] = deque(maxlen=1)

    def put(self, start: ShotStart) -> None:
        """Replace what was expected: a shot whose frames never came must not get those of the
        next."""
        self._next.append(start)

    def take(self, shape: tuple[int, ...]) -> ShotStart | None:
        """The expected shot, once; None when none is.

        Raises UndecodableMessage when its frames are not of ``shape``: it will get none.
        """
        try:
            start = self._next.pop()
        except IndexError:
            return None
        check_shape(start, shape)
        return start


def check_shape(start: ShotStart, shape: tuple[int, ...]) -> None:
    """Raise UndecodableMessage for a detector that sends other frames than the shot has."""
    if start.shape != shape:
        raise UndecodableMessage(
            f"shot {start.shot} expects frames of {start.shape}, the detector sends {shape}: "
            "give the camera the detector's shape"
        )


def frame(
    start: ShotStart,
    index: int,
    counts: np.ndarray,
    to_sz: ToSz,
    source_time_ns: int,
    received_ns: int,
) -> Frame:
    """A frame of ``start``, whose movie says when in the movie it is.

    Its counts go with it, where S_z can be computed of them again.
    """
    return Frame(
        run=start.run,
        shot=start.shot,
        index=index,
        movie_time_ps=start.movie.time_ps(index),
        source_time_ns=source_time_ns,
        data=to_sz.apply(counts),
        received_ns=received_ns,
        counts=counts if to_sz.keeps_counts else None,
        shift=to_sz.shift,
    )


class NumberedFrames:
    """Shots of a source that numbers its frames and tells neither start nor end of a series.

    A shot that is ``expect``-ed begins with the next frame and ends with the last that it expects.
    Other frames are of shots named after the number of their first frame, in a run named after the
    source; such a one ends when a shot is expected or the source numbers anew.

    run : name of the source; origin : the number of the first frame of all
    to_sz : what makes S_z of the counts of each movie; left out, they are S_z
    """

    def __init__(self, run: str, origin: int, to_sz: ToSz = _AS_IT_IS) -> None:
        self._run = run
        self._to_sz = self._movie = to_sz
        self._origin = origin
        self._expected = Expected()
        self._start: ShotStart | None = None
        self._over = False
        self._first = 0
        self._last = -1

    def expect(self, start: ShotStart) -> None:
        """The next frame is the first of this shot. Stop the source before: a frame still on its
        way would be taken for it."""
        self._expected.put(start)

    def pass_over(self, number: int) -> None:
        """A frame of this number was of no shot of ours: the next shot does not miss it."""
        self._last = max(self._last, number)
        if self._start is None:
            self._origin = number + 1

    def take(
        self,
        number: int,
        counts: np.ndarray,
        source_time_ns: int,
        received_ns: int,
        anew: bool,
    ) -> list[Event]:
        """The events of a frame.

        anew : the source has begun to number anew with this frame

        Raises UndecodableMessage for a frame that does not fit the expected shot.
        """
        shape = self._to_sz.shape_of(counts.shape)
        expected = self._expected.take(shape)
        anew = anew or bool(expected and number <= self._last)
        events: list[Event] = []
        start = self._start
        if start is None or expected or anew or start.shape != shape or self._new(number):
            events += self._end()
            self._first = self._first_number(number, anew, expected)
            self._last = self._first - 1
            start = expected or ShotStart(
                self._run, f"series-{number}", None, FrameSchedule(), expected_frames=0, shape=shape
            )
            self._start, self._over = start, False
            self._movie = self._to_sz.for_movie(counts)
            events.append(start)
        index = number - self._first
        if not 0 <= index < wire.MOST_FRAMES:
            raise UndecodableMessage(f"frame number {number}: the shot began with {self._first}")
        self._last = max(self._last, number)
        events.append(frame(start, index, counts, self._movie, source_time_ns, received_ns))
        if 0 < start.expected_frames <= index + 1:
            events += self._end()
        return events

    def _new(self, number: int) -> bool:
        """Whether this frame comes after a shot that is over."""
        return self._over and number > self._last

    def _first_number(self, number: int, anew: bool, expected: ShotStart | None) -> int:
        """The number that the shot begins with: not this frame's if those before it were lost."""
        first = self._origin if anew or self._start is None else self._last + 1
        lost = number - first
        return first if expected and 0 <= lost < expected.expected_frames else number

    def _end(self) -> list[ShotEnd]:
        if self._start is None or self._over:
            return []
        self._over = True
        # Nobody promised a number of frames for an unexpected shot: it has those that came.
        sent = self._last - self._first + 1
        if self._start.expected_frames:
            sent = self._start.expected_frames if sent >= self._start.expected_frames else None
        return [ShotEnd(self._start.run, self._start.shot, sent)]
