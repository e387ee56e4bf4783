"""Transports over ZeroMQ."""

import logging
import math
import time
from collections.abc import Callable
from typing import Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from skyctl.errors import StreamError, UndecodableMessage
from skyctl.stream import wire
from skyctl.stream.address import allow_ipv6

QUEUED_MESSAGES = 256
"""Messages that wait inside ZeroMQ (10 MB of 100 × 100 S_z frames)."""
MOST_PARTS = 16
"""No message of a known stream has more (Stream V1 with its appendices has 9)."""

_CUT_S = 1.0
_CONNECTION_EVENTS = zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_CONNECTED
_KINDS = {"pull": zmq.PULL, "sub": zmq.SUB}
_log = logging.getLogger(__name__)


class ZmqTransport:
    """A ZeroMQ socket that connects to a detector or publisher; a message is the list of its parts.

    A "pull" that is full holds the sender back and loses nothing. A "sub" cannot: the sender drops
    what does not fit, which shows as gaps in the numbers of the frames.

    address : where the source is bound, "tcp://HOST:PORT" or "ipc://PATH"
    kind : "pull" for a sender that pushes (DECTRIS, our own), "sub" for one that publishes
    max_message_bytes : a longer part is dropped by ZeroMQ, with the connection and what the sender
        had queued for it: one message is counted as undecodable, and of the shot that was cut the
        frames that then lack as missing
    queued_messages : that wait in ZeroMQ; times ``max_message_bytes`` is the most it allocates
    configure : called with the socket before it connects, for CURVE keys
    dropped : the sender's own count of frames it lost, where it has one (DECTRIS: the stream
        subsystem's status/dropped); read once a shot

    Raises StreamError for an address that is none.
    """

    def __init__(
        self,
        address: str,
        kind: Literal["pull", "sub"] = "pull",
        *,
        max_message_bytes: int = wire.DETECTOR_MESSAGE_BYTES,
        queued_messages: int = QUEUED_MESSAGES,
        configure: Callable[[zmq.Socket], None] = lambda socket: None,
        dropped: Callable[[], int] = lambda: 0,
    ) -> None:
        self.address = address
        self._dropped, self._most_bytes = dropped, max_message_bytes
        self._cut = math.inf
        self._socket = zmq.Context.instance().socket(_KINDS[kind])
        self._socket.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
        self._socket.setsockopt(zmq.RCVHWM, queued_messages)
        self._socket.setsockopt(zmq.LINGER, 0)
        if kind == "sub":
            self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._monitor = self._socket.get_monitor_socket(_CONNECTION_EVENTS)
        try:
            configure(self._socket)
            allow_ipv6(self._socket, address)
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise StreamError(
                f"frame stream {address!r}: {error}. Give an address like tcp://127.0.0.1:31001."
            ) from error

    @property
    def upstream_dropped(self) -> int:
        """The sender's own count of frames it lost."""
        return self._dropped()

    def receive(self, timeout_ms: int) -> list[memoryview] | None:
        """The parts of the next message; None when none came in time.

        Raises UndecodableMessage for a message of too many parts, and for one over the limit, which
        ZeroMQ drops with the connection: the connection is made again.
        """
        try:
            part = self._socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            if not timeout_ms:  # polling for nothing would keep those waiting who have a frame
                return None
            if not self._socket.poll(timeout_ms):
                self._mend()
                return None
            part = self._socket.recv(copy=False)
        parts = [part.buffer]
        surplus = 0
        while part.more:
            part = self._socket.recv(copy=False)
            if len(parts) < MOST_PARTS:
                parts.append(part.buffer)
            else:
                surplus += 1
        if surplus:
            raise UndecodableMessage(f"message of {MOST_PARTS + surplus} parts: over {MOST_PARTS}")
        return parts

    def _mend(self) -> None:
        """Connect again where ZeroMQ does not: to a peer whose message was over the limit."""
        while self._monitor.poll(0):
            cut = recv_monitor_message(self._monitor)["event"] == zmq.EVENT_DISCONNECTED
            self._cut = time.monotonic() if cut else math.inf
        if time.monotonic() - self._cut > _CUT_S:
            self._cut = math.inf
            self._socket.connect(self.address)
            raise UndecodableMessage(
                f"{self.address}: cut off after a message that was over {self._most_bytes} bytes "
                "(max_message_bytes), or broke ZeroMQ's rules"
            )

    def close(self) -> None:
        """Let go of the address; messages still queued are lost."""
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()
