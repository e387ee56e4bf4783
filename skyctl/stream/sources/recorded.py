"""Our own recordings as a source, without a network between file and hub."""

import dataclasses
import time
from collections.abc import Iterable, Iterator

from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.stream.sources.source import Event, Source

Shots = Iterable[tuple[ShotStart, Iterable[Frame], ShotEnd]]
"""What ``Recording.shots()`` gives: start, frames, and the end as its source told it."""


class RecordedTransport:
    """Plays shots as fast as the hub takes them; a message is the event itself.

    address : where they come from, for people
    """

    upstream_dropped = 0

    def __init__(self, shots: Shots, address: str) -> None:
        self.address = address
        self._events = _events(shots)

    def receive(self, timeout_ms: int) -> Event | None:
        """The next event; None, after the timeout, when all were played."""
        event = next(self._events, None)
        if event is None:
            time.sleep(timeout_ms / 1000)
        return event

    def close(self) -> None:
        """Play no more."""
        self._events = iter(())


class RecordedParser:
    """Passes events on; only when they were received is new."""

    names_shots = True

    def expect(self, start: ShotStart) -> None:
        """Nothing to do: each shot comes with its start."""

    def parse(self, message: Event, received_ns: int) -> tuple[Event]:
        """The event, a frame with its ``received_ns``."""
        if isinstance(message, Frame):
            return (dataclasses.replace(message, received_ns=received_ns),)
        return (message,)


def recorded_source(shots: Shots, address: str) -> Source:
    """Shots of a recording, as a hub's source."""
    return Source(RecordedTransport(shots, address), RecordedParser())


def _events(shots: Shots) -> Iterator[Event]:
    for start, frames, end in shots:
        yield start
        yield from frames
        yield end
