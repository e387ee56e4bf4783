"""SCPI over a plain TCP socket: a line of questions, its answer, and images as blocks.

Source: IEEE 488.2 (definite-length blocks), SCPI-99 (``SYST:ERR?``).
"""

import json
import logging
import queue
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from skyctl.errors import InstrumentError, InstrumentSilent, StreamError
from skyctl.stream import wire

LONGEST_ANSWER = 65_536
"""Bytes of an answer that is no block."""
_BETWEEN_S = 0.002
_log = logging.getLogger(__name__)


class ScpiSocket:
    """One connection, which one caller at a time asks. Opened when first needed.

    After a time-out, or half an answer, it is closed: what comes late must not answer the next
    question. ``connections`` counts how often it was opened.

    address : "HOST:PORT"

    Raises ValueError for an address that is none.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"SCPI address {address!r}: give HOST:PORT, like 192.168.0.7:5025")
        self.address, self._where = address, (host, int(port))
        self.connections = 0
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._ahead = b""

    def ask(self, line: str, timeout_s: float) -> str:
        """The answer to a line that ends with a question.

        Raises InstrumentSilent where there is none, InstrumentError for one that is no text.
        """
        with self._lock:
            answer = self._exchange(line, timeout_s, self._read_line)
        try:
            return answer.decode("ascii").strip()
        except UnicodeDecodeError:
            self.close()
            raise InstrumentError(
                f"{self.address}: the answer to {line!r} is no text ({answer[:24]!r}). See whether "
                "this is the instrument's SCPI port."
            ) from None

    def ask_block(self, line: str, timeout_s: float) -> bytes:
        """The definite-length block that answers a line. Raises as `ask`."""
        with self._lock:
            return self._exchange(line, timeout_s, self._read_block)

    def close(self) -> None:
        """Hang up; the next question opens it again."""
        if self._socket:
            self._socket.close()
        self._socket, self._ahead = None, b""

    def _exchange(self, line: str, timeout_s: float, read: Any) -> bytes:
        due_s = time.monotonic() + timeout_s
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._where, timeout_s)
                # Nagle would hold a second write back for 40 ms.
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
            self._socket.sendall(line.encode("ascii") + b"\n")
            return read(self._socket, due_s)
        except (OSError, EOFError) as error:
            self.close()
            raise InstrumentSilent(
                f"{self.address}: no answer to {line!r} within {timeout_s:g} s ({error}). See "
                "whether the instrument is on, and reachable at this address."
            ) from error

    def _read_line(self, connection: socket.socket, due_s: float) -> bytes:
        while b"\n" not in self._ahead:
            self._more(connection, due_s)
            if len(self._ahead) > LONGEST_ANSWER:
                raise OSError("an answer without end")
        line, _, self._ahead = self._ahead.partition(b"\n")
        if self._ahead:
            raise OSError("more than one answer")
        return line

    def _read_block(self, connection: socket.socket, due_s: float) -> bytes:
        head = self._read_bytes(connection, due_s, 2)
        if head[:1] != b"#" or not head[1:].isdigit() or head[1:] == b"0":
            raise OSError(f"no block: it begins with {head!r}")
        length = self._read_bytes(connection, due_s, int(head[1:]))
        if not length.isdigit() or int(length) > wire.DETECTOR_IMAGE_BYTES:
            raise OSError(f"a block of {length!r} bytes")
        block = self._read_bytes(connection, due_s, int(length) + 1)
        return block[:-1]

    def _read_bytes(self, connection: socket.socket, due_s: float, count: int) -> bytes:
        while len(self._ahead) < count:
            self._more(connection, due_s)
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def _more(self, connection: socket.socket, due_s: float) -> None:
        left_s = due_s - time.monotonic()
        if left_s <= 0:
            raise OSError("timed out")
        connection.settimeout(left_s)
        received = connection.recv(2**20)
        if not received:
            raise EOFError("it hung up")
        self._ahead += received


class ScpiTransport:
    """Asks an instrument for its images; a message is a mapping as of an NTNDArray, so that
    NtndArrayParser takes it.

    address : "HOST:PORT"; question : what is answered with the next image, as a block of one line
        of JSON (number, trigger, rows, columns, dtype, time_ns) and the pixels, or an empty one
    """

    upstream_dropped = 0

    def __init__(self, address: str, question: str = "FRAM?", timeout_s: float = 5.0) -> None:
        self.address = f"scpi://{address}"
        self._socket, self._question, self._timeout_s = ScpiSocket(address), question, timeout_s
        self._images: queue.Queue[Mapping[str, Any]] = queue.Queue(256)
        self._closed, self._asked = threading.Event(), threading.Event()
        self._fault = "it was not asked yet"
        self._thread = threading.Thread(target=self._ask, name="skyctl-scpi", daemon=True)
        self._thread.start()

    def fault(self, timeout_s: float) -> str:
        """Why no image can come, once that is known; or ""."""
        self._asked.wait(timeout_s)
        return self._fault

    def receive(self, timeout_ms: int) -> Mapping[str, Any] | None:
        """The next image; None when none came in time."""
        try:
            return self._images.get(timeout=timeout_ms / 1000)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Hang up; images still queued are lost."""
        self._closed.set()
        self._thread.join()
        self._socket.close()

    def _ask(self) -> None:
        wait_s = _BETWEEN_S
        while not self._closed.wait(wait_s):
            try:
                block = self._socket.ask_block(self._question, self._timeout_s)
                message, self._fault = _message(block) if block else None, ""
            except (InstrumentError, StreamError) as error:
                if str(error) != self._fault:
                    _log.warning("%s", error)
                message, self._fault, wait_s = None, str(error), 0.1
                continue
            finally:
                self._asked.set()
            wait_s = 0.0 if message else _BETWEEN_S
            while message and not self._closed.is_set():
                try:
                    self._images.put(message, timeout=0.1)
                    break
                except queue.Full:
                    pass


def _message(block: bytes) -> Mapping[str, Any]:
    about, _, pixels = block.partition(b"\n")
    try:
        told = json.loads(about)
        value = np.frombuffer(pixels, np.dtype(told["dtype"]))
        seconds, nanoseconds = divmod(int(told["time_ns"]), 10**9)
        return {
            "uniqueId": told["number"],
            "dimension": [{"size": told["columns"]}, {"size": told["rows"]}],
            "value": value,
            "dataTimeStamp": {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds},
            "attribute": [{"name": "TriggerCount", "value": told["trigger"]}],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise StreamError(f"an image that is none ({error!r})") from error
