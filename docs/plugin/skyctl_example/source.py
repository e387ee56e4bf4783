"""A source: a camera that sends plain images over ZeroMQ, with a header of text and no numbers.

A message has two parts: "ROWS COLUMNS TYPE", like b"100 100 uint16", and the pixels.
"""

import numpy as np

from skyctl.errors import UndecodableMessage
from skyctl.frame import ShotStart
from skyctl.stream.sources.pixels import ToSz
from skyctl.stream.sources.shots import NumberedFrames
from skyctl.stream.sources.source import Event, Source
from skyctl.stream.sources.transports import ZmqTransport
from skyctl.stream.sources.triggers import Triggers


class PlainParser:
    """Bytes in, events out; no socket here. A lost image cannot be told: the camera numbers none,
    and a shot then never ends, which the camera's timeout says.
    """

    names_shots = False

    def __init__(self, scaling: ToSz) -> None:
        self._frames = NumberedFrames("plain", origin=0, to_sz=scaling)
        self._came = 0

    def expect(self, start: ShotStart) -> None:
        """The next image is the first of this shot."""
        self._frames.expect(start)

    def parse(self, message: list[memoryview], received_ns: int) -> list[Event]:
        """The events of one message. Raises UndecodableMessage, and has then changed nothing."""
        try:
            header, pixels = message
            rows, columns, kind = bytes(header).decode("ascii").split()
            counts = np.frombuffer(pixels, np.dtype(kind)).reshape(int(rows), int(columns))
        except (ValueError, TypeError) as error:
            raise UndecodableMessage(f"plain: {error}") from error
        events = self._frames.take(self._came, counts, 0, received_ns, False)
        self._came += 1
        return events


def plain_source(address: str, scaling: ToSz, triggers: Triggers | None) -> Source:
    """address : like "tcp://127.0.0.1:31001"; triggers : None, as an image does not tell its own"""
    return Source(ZmqTransport(address), PlainParser(scaling))
