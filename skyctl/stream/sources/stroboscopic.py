"""Stroboscopic movies: images of one delay each, in whatever order, as one movie in time order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from skyctl.frame import ShotEnd, ShotStart
from skyctl.stream.sources.contrast import asymmetry
from skyctl.stream.sources.ntndarray import NtndArrayParser, attribute_of
from skyctl.stream.sources.pixels import Scaling, ToSz
from skyctl.stream.sources.shots import check_shape, frame
from skyctl.stream.sources.source import Event
from skyctl.stream.sources.triggers import Triggers

_IS_SZ = Scaling(offset=0.0, scale=1.0)


class StroboscopicParser:
    """Frames of NTNDArrays, each of the delay and helicity that its trigger was for.

    The classifier follows time, so a movie is handed on in time order: once all of it is there, or
    when the next movie begins; what is then not there is missing, and its verdict says so. Delays
    that are taken in ascending order may be handed on as they come, and end early.

    scaling : counts to S_z. With two helicities it is what is done to each image (dark, flat,
        mask), and ``saturated`` the asymmetry of the saturated film, which S_z is divided by
    as_they_come : delays are taken in ascending order
    """

    names_shots = False

    def __init__(
        self,
        scaling: ToSz,
        triggers: Triggers,
        *,
        helicities: int = 1,
        saturated: float = 1.0,
        as_they_come: bool = False,
        trigger_attribute: str = "TriggerCount",
    ) -> None:
        self._scaling, self._triggers = scaling, triggers
        self._helicities, self._saturated = helicities, saturated
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
        # An image takes as long as a movie elsewhere: each tells itself how far it has drifted.
        to_sz = self._scaling.for_movie(counts)
        events = [] if start is self._start else [*self._rest(), *self._begin(start)]
        if self._helicities == 1:
            self._frames[index] = frame(start, index, counts, to_sz, time_ns, received_ns)
        else:
            self._sides[index, side] = to_sz.apply(counts)
            if (index, 0) in self._sides and (index, 1) in self._sides:
                sz = self._sz(index)
                self._frames[index] = frame(start, index, sz, _IS_SZ, time_ns, received_ns)
        events += self._ready()
        return events

    def _begin(self, start: ShotStart) -> list[Event]:
        self._start, self._begun, self._next = start, False, 0
        self._sides.clear()
        self._frames.clear()
        return []

    def _sz(self, index: int) -> np.ndarray:
        sz = asymmetry(self._sides[index, 0], self._sides[index, 1]) / self._saturated
        return np.where(np.isfinite(sz), sz, 0).astype(np.float32)

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
