"""Clock: how far the source's clock and ours differ, measured over the network.

The source answers a few bytes with its time; the hub asks several times. As in NTP (RFC 5905
section 8) the offset is the answer's time less the middle of asking and hearing, and half the way
there and back is how wrong it can be. The quickest exchanges count, their median is taken.
"""

import os
import statistics
import struct
import threading
import time
from dataclasses import dataclass

import zmq

from skyctl.errors import StreamError
from skyctl.stream.address import allow_ipv6
from skyctl.stream.keys import Keys, require_keys, secure_client, secure_server

EXCHANGES = 9
_TIMEOUT_MS = 500
_POLL_MS = 20
_NONCE_BYTES = 8
_MOST_BYTES = 4096
"""The handshake of CURVE needs some hundreds."""
_TIME = struct.Struct("<q")


@dataclass(frozen=True)
class ClockOffset:
    """The source's clock less ours, ns, and how far off that may be.

    how : "measured", "same machine" or "unknown"; ages count from the hub only where unknown
    """

    offset_ns: int = 0
    uncertainty_ns: int = 0
    how: str = "unknown"

    def __str__(self) -> str:
        if self.how != "measured":
            return f"{self.how}: taken as 0"
        return f"{self.offset_ns / 1e6:+.3f} ± {self.uncertainty_ns / 1e6:.3f} ms, measured"


SAME_MACHINE = ClockOffset(how="same machine")
UNKNOWN = ClockOffset()


class ClockServer:
    """Answers with this machine's time, in a thread; the source's end.

    context : the publisher's, whose allow-list holds here too; address : to bind
    Raises StreamError when the address is taken, or leaves this machine without keys.
    """

    def __init__(self, context: zmq.Context, address: str, keys: Keys | None = None) -> None:
        require_keys(address, keys)
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MOST_BYTES)
        self._socket.setsockopt(zmq.LINGER, 0)
        if keys:
            secure_server(self._socket, keys)
        try:
            allow_ipv6(self._socket, address)
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._socket.close()
            raise StreamError(f"clock {address}: {error}. Choose a free port.") from error
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skyctl-clock", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._socket.poll(_POLL_MS):
                nonce = self._socket.recv()
                self._socket.send(nonce[:_NONCE_BYTES] + _TIME.pack(time.time_ns()))
        self._socket.close()

    def close(self) -> None:
        """Stop answering."""
        self._stop.set()
        self._thread.join()


def measure_offset(
    address: str, keys: Keys | None = None, exchanges: int = EXCHANGES
) -> ClockOffset:
    """Ask the clock at ``address``. Raises StreamError when it does not answer in half a second."""
    require_keys(address, keys)
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, _MOST_BYTES)
        socket.setsockopt(zmq.RCVTIMEO, _TIMEOUT_MS)
        socket.setsockopt(zmq.SNDTIMEO, _TIMEOUT_MS)
        if keys:
            secure_client(socket, keys)
        try:
            allow_ipv6(socket, address)
            socket.connect(address)
            asked = sorted(_exchange(socket) for _ in range(exchanges))
        except zmq.ZMQError as error:
            raise StreamError(
                f"clock {address}: no answer ({error}). See whether the source runs and its "
                "clock's port is open."
            ) from error
    quickest = asked[: max(1, exchanges // 2)]
    offset = statistics.median_low(offset for _, offset in quickest)
    return ClockOffset(offset, quickest[-1][0] // 2, "measured")


def _exchange(socket: zmq.Socket) -> tuple[int, int]:
    """Time there and back, and the other clock less ours, ns."""
    nonce = os.urandom(_NONCE_BYTES)
    begun, asked = time.monotonic_ns(), time.time_ns()
    socket.send(nonce)
    answer = socket.recv()
    took = time.monotonic_ns() - begun
    return took, read_answer(nonce, answer) - (asked + took // 2)


def read_answer(nonce: bytes, answer: bytes) -> int:
    """The time in the answer to ``nonce``, UNIX ns. Raises StreamError when it is no answer."""
    if len(answer) != len(nonce) + _TIME.size or not answer.startswith(nonce):
        raise StreamError("clock: an answer that is none. Give the address of a publisher's clock.")
    return _TIME.unpack(answer[len(nonce) :])[0]
