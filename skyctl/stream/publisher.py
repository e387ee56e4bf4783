"""Publisher: the sending end of the frame stream (the camera's side)."""

import zmq

from skyctl.errors import StreamError
from skyctl.frame import Frame, ShotStart
from skyctl.stream import wire

QUEUED_MESSAGES = 1000
"""Messages that wait for a slow hub before `send` blocks (40 MB of 100 × 100 S_z frames)."""


class Publisher:
    """A ZeroMQ PUSH socket that a hub's PULL connects to.

    PUSH, as a DECTRIS detector: nothing is dropped while nobody listens, and a full queue blocks
    the sender instead of losing frames.

    address : "tcp://127.0.0.1:PORT" ("…:*" takes a free port) or "ipc://PATH"
    timeout_s : how long a send may wait for the hub

    Raises StreamError when the address is in use or the hub does not take messages in time.
    """

    def __init__(self, address: str = "tcp://127.0.0.1:*", timeout_s: float = 10.0) -> None:
        self._context = zmq.Context()  # its own, so that `close` can wait for what is queued
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, QUEUED_MESSAGES)
        self._socket.setsockopt(zmq.SNDTIMEO, int(timeout_s * 1000))
        self._socket.setsockopt(zmq.LINGER, int(timeout_s * 1000))
        self._timeout_s = timeout_s
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise StreamError(
                f"frame stream {address}: {error}. Choose a free port (or end in ':*' for any), "
                "or stop the program that has it."
            ) from error
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._sent = 0

    def start(self, start: ShotStart) -> None:
        """Open a movie."""
        self._sent = 0
        self._send(wire.encode_start(start))

    def frame(self, frame: Frame) -> None:
        """Send one frame of the open movie."""
        self._send(wire.encode_frame(frame))
        self._sent += 1

    def end(self, run: str, shot: str, frames: int | None = None) -> None:
        """Close the movie with the number of frames that were sent.

        frames : the true number, from a camera that knows of frames lost before they got here
        """
        self._send(wire.encode_end(run, shot, self._sent if frames is None else frames))

    def _send(self, message: bytes) -> None:
        try:
            self._socket.send(message, copy=False)
        except zmq.Again as error:
            raise StreamError(
                f"frame stream {self.address}: no hub took a message for {self._timeout_s:g} s. "
                "Start the hub, or see whether its recorder or model has stopped."
            ) from error

    def close(self) -> None:
        """Wait until the hub has what is queued, at most ``timeout_s``; then free the port."""
        self._socket.close()
        self._context.term()
