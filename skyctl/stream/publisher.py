"""Publisher: the sending end of the frame stream (the camera's side)."""

import contextlib
import fcntl
import logging
import os
import struct
import termios
import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import replace

import zmq
from zmq.utils.monitor import recv_monitor_message

from skyctl.errors import StreamError
from skyctl.frame import Frame, ShotStart
from skyctl.stream import wire
from skyctl.stream.address import allow_ipv6
from skyctl.stream.clock import ClockServer
from skyctl.stream.keys import AllowList, Keys, require_keys, secure_server
from skyctl.stream.memory import keep_freed_memory

QUEUED_BYTES = 64 * 2**20
"""Frames that wait for a slow hub before `send` blocks."""
FRAME_BYTES = 2**16
"""A 100 × 100 S_z frame has 40 kB. Those of larger cameras say so."""

_CONNECTION_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_LOOK_EVERY_S = 0.002
_log = logging.getLogger(__name__)


class Publisher:
    """A ZeroMQ PUSH socket that a hub's PULL connects to.

    PUSH, as a DECTRIS detector: nothing is dropped while nobody listens, and a full queue blocks
    the sender instead of losing frames. Of two hubs each gets a part: ``hubs`` says how many there
    are, and a second one is warned of.

    address : "tcp://127.0.0.1:PORT" ("…:*" takes a free port) or "ipc://PATH"
    timeout_s : how long a send may wait for the hub
    keys : of this publisher, with the public keys of the hubs that may connect; an address that
        leaves this machine needs them
    clock : address where hubs on other machines can ask for this machine's time; None for none
    queue_bytes : what may wait for a hub, of messages of up to ``frame_bytes`` each; two always may

    Raises StreamError when an address is in use or off this machine without keys, or when the hub
    does not take messages in time.
    """

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:*",
        timeout_s: float = 10.0,
        *,
        keys: Keys | None = None,
        clock: str | None = None,
        queue_bytes: int = QUEUED_BYTES,
        frame_bytes: int = FRAME_BYTES,
    ) -> None:
        require_keys(address, keys)
        keep_freed_memory()
        self._context = zmq.Context()  # its own, so that `close` can wait for what is queued
        self._allow_list = AllowList(self._context, keys) if keys else None
        self._clock: ClockServer | None = None
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, max(2, queue_bytes // frame_bytes))
        self._socket.setsockopt(zmq.SNDTIMEO, int(timeout_s * 1000))
        self._socket.setsockopt(zmq.LINGER, int(timeout_s * 1000))
        self._monitor = self._socket.get_monitor_socket(_CONNECTION_EVENTS)
        self._timeout_s, self._frame_bytes = timeout_s, frame_bytes
        self.hubs = 0
        self._connections: set[int] = set()
        self.refused = 0
        try:
            if keys:
                secure_server(self._socket, keys)
            else:
                # With a domain ZeroMQ turns away peers of its first protocols. To those belongs
                # whoever sends anything at all: a port scanner would be given frames.
                self._socket.zap_domain = b"skyctl"
            allow_ipv6(self._socket, address)
            self._socket.bind(address)
            if clock:
                self._clock = ClockServer(self._context, clock, keys)
        except (zmq.ZMQError, StreamError) as error:
            self._release(linger=0)
            if isinstance(error, StreamError):
                raise
            raise StreamError(
                f"frame stream {address}: {error}. Choose a free port (or end in ':*' for any), "
                "or stop the program that has it."
            ) from error
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._shots = self._frames = self._sent = 0
        self._memory = _Memory()

    @property
    def clock_address(self) -> str | None:
        """Where this machine's time can be asked for."""
        return self._clock.address if self._clock else None

    @property
    def counts(self) -> dict[str, int]:
        """What was sent since it was made, how many hubs there are and were turned away, and how
        often each key was let in (`AllowList`)."""
        return {
            "shots": self._shots,
            "frames": self._frames,
            "hubs": self.hubs,
            "refused": self.refused,
            **(self._allow_list.let_in if self._allow_list else {}),
        }

    def start(self, start: ShotStart) -> None:
        """Open a movie. Movies are numbered, so that the hub sees when one is lost whole."""
        self._sent = 0
        self._shots += 1
        self._watch()
        self._send(wire.encode_start(replace(start, number=self._shots)))

    def frame(self, frame: Frame) -> None:
        """Send one frame of the open movie."""
        message = wire.encode_frame(frame, self._memory.take)
        if len(message) > self._frame_bytes:
            self._frame_bytes = len(message)
            _log.warning(
                "%s: frame of %d bytes, more than frame_bytes: more may wait than queue_bytes",
                self.address,
                len(message),
            )
        self._memory.lend(message, self._send(message))
        self._sent += 1
        self._frames += 1

    def end(
        self, run: str, shot: str, frames: int | None = None, *, ended_early: bool = False
    ) -> None:
        """Close the movie with the number of frames that were sent.

        frames : the true number, from a camera that knows of frames lost before they got here
        ended_early : the camera was told to expose no more; what it promised besides is not lost
        """
        sent = self._sent if frames is None else frames
        self._send(wire.encode_end(run, shot, sent, ended_early=ended_early))
        self._watch()

    def _watch(self) -> None:
        """Keep count of who is connected and who was turned away."""
        while self._monitor.poll(0):
            news = recv_monitor_message(self._monitor)
            event = news["event"]
            if event == zmq.EVENT_ACCEPTED:
                self._connections.add(news["value"])
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.hubs += 1
                if self.hubs > 1:
                    _log.warning(
                        "%s: %d hubs are connected and each gets a part of the frames; put a "
                        "splitter behind it, or stop the others",
                        self.address,
                        self.hubs,
                    )
            elif event == zmq.EVENT_DISCONNECTED:
                self._connections.discard(news["value"])
                self.hubs = max(0, self.hubs - 1)
            else:
                self.refused += 1
                _log.warning("%s: turned somebody away who may not, or cannot, talk", self.address)

    def _send(self, message: bytes | bytearray) -> zmq.MessageTracker:
        """Queue a message; it must not change before the tracker says done."""
        try:
            return self._socket.send(message, copy=False, track=True)
        except zmq.Again as error:
            raise StreamError(
                f"frame stream {self.address}: no hub took a message for {self._timeout_s:g} s. "
                "Start the hub, or see whether its recorder or model has stopped."
            ) from error

    def close(self) -> None:
        """Wait until the hub has what is queued, at most ``timeout_s``; then free the port."""
        self._watch()
        with _held_open(self._connections if self.address.startswith("ipc:") else ()) as files:
            self._release(linger=None)
            _wait_until_read(files, self._timeout_s)

    def _release(self, linger: int | None) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=linger)
        if self._clock:
            self._clock.close()
        if self._allow_list:
            self._allow_list.close()
        self._context.term()


@contextlib.contextmanager
def _held_open(connections: Collection[int]) -> Iterator[list[int]]:
    """Second handles of these files, so that the other end does not see ZeroMQ close them.

    A hub that is held back by its subscribers stops reading. A Unix socket that is closed then
    makes ZeroMQ forget what it has not read: the last frames, and the end.
    """
    files = []
    for connection in connections:
        with contextlib.suppress(OSError):  # it is closed already
            files.append(os.dup(connection))
    try:
        yield files
    finally:
        for file in files:
            os.close(file)


def _wait_until_read(files: list[int], timeout_s: float) -> None:
    """Return when the other ends have read all that was written, at most after ``timeout_s``."""
    until = time.monotonic() + timeout_s
    for file in files:
        while _unread_bytes(file) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)


def _unread_bytes(file: int) -> int:
    """What was written to a Unix socket and not read; 0 when the other end has closed it."""
    try:
        answer = fcntl.ioctl(file, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return struct.unpack("i", answer)[0]


class _Memory:
    """The memory of messages that have left, for those to come: fresh memory costs a fault for each
    page, several times the copy of an image into it. So much as waits for a hub is kept."""

    def __init__(self) -> None:
        self._lent: deque[tuple[bytearray, zmq.MessageTracker]] = deque()
        self._free: list[bytearray] = []

    def take(self, size: int) -> bytearray:
        """Memory for a message, with anything in it."""
        while self._lent and self._lent[0][1].done:
            self._free.append(self._lent.popleft()[0])
        if self._free and len(self._free[-1]) != size:
            self._free.clear()
        return self._free.pop() if self._free else bytearray(size)

    def lend(self, message: bytearray, tracker: zmq.MessageTracker) -> None:
        """Leave it to ZeroMQ until the tracker says done."""
        self._lent.append((message, tracker))
