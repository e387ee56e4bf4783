"""Our own dialect as a source: what a Publisher sends."""

from skyctl.errors import UndecodableMessage
from skyctl.stream import wire
from skyctl.stream.sources.source import Event, Source
from skyctl.stream.sources.transports import ZmqTransport


class OwnParser:
    """Stream V2 with our ``user_data``: a message names its run, shot and frame itself."""

    def parse(self, message: list[memoryview], received_ns: int) -> tuple[Event]:
        """The one event of a message, as ``wire.decode``."""
        if len(message) != 1:
            raise UndecodableMessage(f"message of {len(message)} parts: one expected")
        return (wire.decode(message[0], received_ns),)


def own_source(address: str) -> Source:
    """What a Publisher sends from ``address``. Raises StreamError for an address that is none."""
    return Source(ZmqTransport(address), OwnParser())
