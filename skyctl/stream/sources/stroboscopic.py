"""Stroboscopic movies: images of one delay each, in whatever order, as one movie in time order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from skyctl.frame import ShotEnd, ShotStart
from skyctl.stream.sources.ntndarray import NtndArrayParser, attribute_of
from skyctl.stream.sources.pixels import ToSz
from skyctl.stream.sources.shots import check_shape, frame
from skyctl.stream.sources.source import Event
from skyctl.stream.sources.triggers import Triggers


class StroboscopicParser:
    """Frames of NTNDArrays, each of the delay and helicity that its trigger was for.

    The classifier follows time, so a movie is handed on in time order: once all of it is there, or
    when the next movie begins; what is then not there is missing, and its verdict says so. Delays
    that are taken in ascending order may be handed on as they come, and end early.

    scaling : counts to S_z; with two helicities those of a pair of images, (2, rows, columns)
    as_they_come : delays are taken in ascending order
    """

    names_shots = False

    def __init__(
        self,
        scaling: ToSz,
        triggers: Triggers,
        *,
        helicities: int = 1,
        as_they_come: bool = False,
        trigger_attribute: str = "TriggerCount",
    ) -> None:
        self._scaling, self._triggers = scaling, triggers
        self._helicities = helicities
        self._as_they_come, self._attribute = as_they_come, trigger_attribute
        self._images = NtndArrayParser(scaling)
        self._start: ShotStart | None = None
        self._sides: dict[tuple[int, int], np.ndarray] = {}
        self._frames: dict[int, Event] = {}
        self._begun, self._next = False, 0

    def expect(self, start: ShotStart) -> None:
        """The shot whose triggers come next."""
        self._triggers.expect(start)

    def parse(self, message: Mapping[str, Any], received_ns: int) -> list[Event]:
        """The events of an image: often none. Raises as NtndArrayParser."""
        trigger = attribute_of(message, self._attribute)
        counts, time_ns = self._images.counts_of(message)
        start, (index, side) = self._triggers.of(trigger)
        check_shape(start, self._scaling.shape_of(counts.shape))
        events = [] if start is self._start else [*self._rest(), *self._begin(start)]
        self._sides[index, side] = counts
        places = [(index, each) for each in range(self._helicities)]
        if all(place in self._sides for place in places):
            sides = [self._sides.pop(place) for place in places]
            counts = sides[0] if self._helicities == 1 else np.stack(sides)
            # An image takes as long as a movie elsewhere: each tells itself how far it has drifted.
            to_sz = self._scaling.for_movie(counts)
            self._frames[index] = frame(start, index, counts, to_sz, time_ns, received_ns)
        return events + self._ready()

    def _begin(self, start: ShotStart) -> list[Event]:
        self._start, self._begun, self._next = start, False, 0
        self._sides.clear()
        self._frames.clear()
        return []

    def _ready(self) -> list[Event]:
        """What can be handed on in time order."""
        start = self._start
        if start is None:
            return []
        whole = len(self._frames) + self._next >= start.expected_frames
        if not (whole or self._as_they_come):
            return []
        events: list[Event] = []
        while self._next in self._frames:
            events += self._hand_on(start, self._next)
            self._next += 1
        if self._next >= start.expected_frames:
            self._start = None
            events.append(ShotEnd(start.run, start.shot, start.expected_frames))
        return events

    def _rest(self) -> list[Event]:
        """What there is of a movie that was not completed."""
        start, self._start = self._start, None
        if start is None or not (self._frames or self._begun):
            return []
        events: list[Event] = []
        for index in sorted(self._frames):
            events += self._hand_on(start, index)
        return [*events, ShotEnd(start.run, start.shot, start.expected_frames)]

    def _hand_on(self, start: ShotStart, index: int) -> list[Event]:
        first = [] if self._begun else [start]
        self._begun = True
        return [*first, self._frames.pop(index)]
