"""Source: where frames come from.

A *parser* turns messages into events and knows no socket; a
*transport* receives messages and knows not what is in them. The hub joins the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from skyctl.frame import Frame, ShotEnd, ShotStart

Event = ShotStart | Frame | ShotEnd


class Transport(Protocol):
    """Receives messages from one address. The hub's thread alone calls ``receive`` and ``close``.

    address : where the messages come from, for people
    upstream_dropped : frames that the other side says it lost itself, since the start
    """

    address: str

    @property
    def upstream_dropped(self) -> int: ...

    def receive(self, timeout_ms: int) -> Any:
        """The next message, in the form its parser takes; None when none came in time.

        Raises UndecodableMessage when the transport itself had to drop one.
        """
        ...

    def close(self) -> None:
        """Let go of the address."""
        ...


@runtime_checkable
class Reachable(Protocol):
    """A Transport that knows whether anybody is at its address. To ZeroMQ a peer that is not there
    yet is no fault."""

    def fault(self, timeout_s: float) -> str:
        """Why no message can come, once that is known; or ""."""
        ...


class Parser(Protocol):
    """Turns one message into events, in order. No sockets, no threads, no clocks.

    names_shots : whether the messages say themselves which shot a frame is of, and whether that was
        ended early on purpose; of other sources the hub is told (``Hub.finish``)
    """

    names_shots: bool

    def expect(self, start: ShotStart) -> None:
        """The shot that comes next; called before the source begins to send it."""
        ...

    def parse(self, message: Any, received_ns: int) -> Sequence[Event]:
        """The events of a message. The counts of a ShotEnd are empty: counting is the hub's.

        A message that raises has changed nothing.

        Raises
        ------
        UndecodableMessage : bytes that are no message, or fields that contradict each other
        ForeignMessage : a sound message of somebody else's
        """
        ...


@dataclass(frozen=True)
class Source:
    """A transport, and the parser of what it receives."""

    transport: Transport
    parser: Parser
