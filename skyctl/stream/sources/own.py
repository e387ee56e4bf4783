"""Our own dialect as a source: what a Publisher sends."""

from skyctl.errors import UndecodableMessage
from skyctl.frame import ShotStart
from skyctl.stream import wire
from skyctl.stream.keys import Keys, require_keys, secure_client
from skyctl.stream.sources.source import Event, Source
from skyctl.stream.sources.transports import QUEUED_MESSAGES, ZmqTransport

_QUEUED_BYTES = 1 << 30


class OwnParser:
    """Stream V2 with our ``user_data``: a message names its run, shot and frame itself."""

    names_shots = True

    def __init__(self) -> None:
        self._layout: wire.ImageLayout | None = None

    def expect(self, start: ShotStart) -> None:
        """Nothing to do: each shot comes with its start."""

    def parse(self, message: list[memoryview], received_ns: int) -> tuple[Event]:
        """The one event of a message, as ``wire.decode``."""
        if len(message) != 1:
            raise UndecodableMessage(f"message of {len(message)} parts: one expected")
        if self._layout and (frame := self._layout.read(message[0], received_ns)):
            return (frame,)
        event = wire.decode(message[0], received_ns)
        if isinstance(event, ShotStart):
            self._layout = wire.image_layout(event.run, event.shot, event.shape)
        return (event,)


def own_source(
    address: str, keys: Keys | None = None, max_message_bytes: int = wire.MAX_MESSAGE_BYTES
) -> Source:
    """What a Publisher sends from ``address``.

    keys : this side's, with the publisher's public key; needed off this machine
    max_message_bytes : what is refused unread; so many may wait that _QUEUED_BYTES hold them

    Raises StreamError for an address that is none, or off this machine without keys.
    """
    require_keys(address, keys)
    if keys:
        _ = keys.publisher  # raises while there is no socket yet
    transport = ZmqTransport(
        address,
        max_message_bytes=max_message_bytes,
        queued_messages=max(2, min(_QUEUED_BYTES // max_message_bytes, QUEUED_MESSAGES)),
        configure=lambda socket: secure_client(socket, keys) if keys else None,
    )
    return Source(transport, OwnParser())
