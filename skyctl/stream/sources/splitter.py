"""Splitter: stands behind a detector that pushes, and gives its messages to several.

A PUSH socket deals its messages out: a second client takes half of the frames, and neither learns
of it. So one splitter connects, and everybody else connects to the splitter.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import zmq

from skyctl.errors import StreamError, UndecodableMessage
from skyctl.stream.address import allow_ipv6
from skyctl.stream.keys import AllowList, Keys, require_keys, secure_server
from skyctl.stream.sources.transports import ZmqTransport

QUEUED_MESSAGES = 256
"""Messages that wait for each output."""

_POLL_MS = 50
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """Where messages go.

    address : to bind, "tcp://127.0.0.1:PORT" ("…:*" takes a free port) or "ipc://PATH"
    kind : "push" is lossless: one client, for whom the detector is held back when it is slow or not
        there; "pub" is for any number of onlookers: what does not fit their queue is dropped, and
        counted
    """

    address: str
    kind: Literal["push", "pub"] = "push"


class Splitter:
    """Takes all messages of a detector and sends each, unread, to every output; in a thread.

    addresses : of the outputs, as bound
    keys : of this splitter, with the public keys of the clients that may connect to its outputs;
        an output that leaves this machine needs them, and with them all outputs do

    Raises StreamError for an address that is none, in use, or off this machine without keys, and
    when a splitter on this machine stands behind the detector already.
    """

    def __init__(self, detector: str, outputs: list[Output], keys: Keys | None = None) -> None:
        if not outputs:
            raise StreamError(f"splitter of {detector}: no outputs. Give at least one address.")
        self._claim = claim(detector)
        self._counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._context = zmq.Context()
        self._keys = keys
        self._allow_list = AllowList(self._context, keys) if keys else None
        self._outputs: list[tuple[Output, str, zmq.Socket]] = []
        try:
            for output in outputs:
                self._outputs.append(self._bind(output))
            self._transport = ZmqTransport(detector)
        except StreamError:
            self._release()
            raise
        self.addresses = [address for _, address, _ in self._outputs]
        self._thread = threading.Thread(target=self._run, name="skyctl-splitter", daemon=True)
        self._thread.start()

    def _bind(self, output: Output) -> tuple[Output, str, zmq.Socket]:
        require_keys(output.address, self._keys)
        socket = self._context.socket(zmq.PUSH if output.kind == "push" else zmq.XPUB)
        socket.setsockopt(zmq.SNDHWM, QUEUED_MESSAGES)
        socket.setsockopt(zmq.LINGER, 0)
        if output.kind == "pub":
            socket.setsockopt(zmq.XPUB_NODROP, 1)  # says so instead of dropping in silence
        if self._keys:
            secure_server(socket, self._keys)
        try:
            allow_ipv6(socket, output.address)
            socket.bind(output.address)
        except zmq.ZMQError as error:
            socket.close()
            raise StreamError(
                f"splitter output {output.address}: {error}. Choose a free port (or end in ':*')."
            ) from error
        return output, socket.getsockopt_string(zmq.LAST_ENDPOINT), socket

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    parts = self._transport.receive(_POLL_MS)
                except UndecodableMessage as error:
                    self._counts["undecodable"] += 1
                    _log.warning("splitter: %s", error)
                    continue
                if parts is not None:
                    self._counts["in"] += 1
                    for output, address, socket in self._outputs:
                        sent = self._send(output, socket, parts)
                        self._counts[address if sent else f"{address} dropped"] += 1
        finally:
            self._transport.close()

    def _send(self, output: Output, socket: zmq.Socket, parts: list[memoryview]) -> bool:
        while True:
            try:
                socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
                return True
            except zmq.Again:
                if output.kind == "pub" or self._stop.is_set():
                    return False
                socket.poll(_POLL_MS, zmq.POLLOUT)

    def _release(self) -> None:
        while self._outputs:
            self._outputs.pop()[2].close()
        if self._allow_list:
            self._allow_list.close()
        self._context.term()
        self._claim.close()

    @property
    def counts(self) -> Counter[str]:
        """What became of messages, by name.

        "in", "undecodable" (dropped by ZeroMQ's rules), for each output's address, as bound, what
        it was given, with " dropped" behind it what it was not; and how often each key was let in
        (`AllowList`).
        """
        return self._counts + (self._allow_list.let_in if self._allow_list else Counter())

    @property
    def alive(self) -> bool:
        """Whether messages are passed on."""
        return self._thread.is_alive()

    def close(self, timeout_s: float = 1.0) -> None:
        """Stop, once. What outputs still have queued is given ``timeout_s`` to leave."""
        self._stop.set()
        self._thread.join()
        for _, _, socket in self._outputs:
            socket.setsockopt(zmq.LINGER, int(timeout_s * 1000))
        self._release()


def claim(address: str) -> IO[bytes]:
    """Say that one consumer on this machine stands behind the detector at ``address``, until the
    file that is given back is closed or the process ends.

    Raises StreamError when another does. One on another machine cannot be seen from here: it shows
    as every second frame missing.
    """
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"skyctl-{name}.lock"
    file = os.fdopen(_open_lock(path, address), "rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise StreamError(
            f"detector {address}: a splitter on this machine takes its frames already; a second "
            "one would take half of them. Connect to an output of that splitter."
        ) from None
    return file


def _open_lock(path: Path, address: str) -> int:
    """A descriptor of the lock's file, made if need be. Read only: that of another user can be
    locked, but not written."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if path.exists():  # in a sticky folder Linux refuses to "make" another user's file
            return os.open(path, flags)
        descriptor = os.open(path, flags | os.O_CREAT, 0o644)
    except OSError as error:
        raise StreamError(
            f"detector {address}: the lock of its splitters, {path}, cannot be opened "
            f"({error.strerror}). Have its owner remove it, if no splitter of theirs runs."
        ) from error
    with contextlib.suppress(PermissionError):  # another user made it just now
        os.fchmod(descriptor, 0o644)  # whatever the umask says
    return descriptor
