"""A practice instrument behind SCPI over a plain TCP socket (IEEE 488.2 and SCPI-99 syntax).

Short and long forms, compound lines, ``MIN`` and ``MAX`` queries, ``SYST:ERR?``, ``*IDN?``,
``*TRG``, and ``FRAMe?``: the next image as a definite-length block, or an empty one.
"""

import contextlib
import json
import re
import socket
import threading
from collections import deque

import numpy as np

from skyctl.simulators.instrument.practice import REGISTERS, Image, NoAnswer, PracticeInstrument

IDENTITY = "skyctl,practice instrument,0,1"
QUEUED_IMAGES = 4096
_NO_ERROR = '0,"No error"'
_LINE_BYTES = 4096


class ScpiServer:
    """Serves one instrument to any number of connections, each with a thread and errors of its own.

    port : on 127.0.0.1; 0 takes a free one (``address``)
    """

    def __init__(self, instrument: PracticeInstrument, port: int = 0) -> None:
        self.instrument = instrument
        self._images: deque[Image] = deque(maxlen=QUEUED_IMAGES)
        self._listening = socket.create_server(("127.0.0.1", port))
        self._connections: set[socket.socket] = set()
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, name="scpi", daemon=True)
        self._thread.start()

    def post(self, image: Image) -> None:
        """Have an image wait until it is asked for; of too many the oldest is lost."""
        self._images.append(image)

    def close(self) -> None:
        """Stop listening and cut all connections."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        errors: deque[str] = deque(maxlen=16)
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            while line := lines.readline(_LINE_BYTES):
                self.instrument.wait_thawed()
                answers = [self._carry_out(unit, errors) for unit in _units(line)]
                if any(answer is None for answer in answers):
                    continue
                said = [answer for answer in answers if answer]
                if said:
                    connection.sendall(b";".join(answer for answer in said if answer) + b"\n")
        self._connections.discard(connection)

    def _carry_out(self, unit: str, errors: deque[str]) -> bytes | None:
        """The answer to one command, b"" where it has none, None where nothing is said at all."""
        header, _, argument = unit.strip().lstrip(":").partition(" ")
        try:
            if header.upper() == "FRAM?" or header.upper() == "FRAME?":
                return self._frame()
            return self._answer(header, argument.strip(), errors).encode()
        except NoAnswer:
            return None
        except KeyError:
            errors.append(f'-113,"Undefined header;{header[:32]}"')
        except ValueError as error:
            errors.append(f'-222,"Data out of range;{error}"'.encode("ascii", "replace").decode())
        return b""

    def _answer(self, header: str, argument: str, errors: deque[str]) -> str:
        asked = header.endswith("?")
        match header.upper():
            case "*IDN?":
                return IDENTITY
            case "*CLS":
                errors.clear()
                return ""
            case "SYST:ERR?" | "SYSTEM:ERROR?":
                return errors.popleft() if errors else _NO_ERROR
            case "SIM:MODE" | "SIMULATOR:MODE":
                self.instrument.set_mode(argument.lower())
                return ""
        name = _register(header.rstrip("?"))
        if not asked:
            self.instrument.put(name, float(argument) if argument else 1.0)
            return ""
        if argument.upper()[:3] in ("MIN", "MAX"):
            register = REGISTERS[name]
            return repr(register.low if argument.upper()[:3] == "MIN" else register.high)
        return repr(self.instrument.get(name))

    def _frame(self) -> bytes:
        """A block of the next image: a line of JSON about it, then its pixels."""
        try:
            image = self._images.popleft()
        except IndexError:
            return b"#10"
        data = np.ascontiguousarray(image.frame.data, dtype="<f4")
        about = {
            "number": image.number,
            "trigger": image.trigger,
            "rows": data.shape[0],
            "columns": data.shape[1],
            "time_ns": image.frame.source_time_ns,
            "dtype": "<f4",
        }
        block = json.dumps(about).encode() + b"\n" + data.tobytes()
        length = str(len(block)).encode()
        return b"#" + str(len(length)).encode() + length + block


def _units(line: bytes) -> list[str]:
    return [unit for unit in line.decode("ascii", "replace").strip().split(";") if unit.strip()]


def _register(header: str) -> str:
    for name, pattern in _PATTERNS:
        if pattern.fullmatch(header):
            return name
    raise KeyError(header)


def _pattern(header: str) -> re.Pattern[str]:
    """Matches the long form and the short, which is its capitals."""
    words = []
    for word in header.split(":"):
        short = "".join(letter for letter in word if not letter.islower())
        words.append(f"(?:{re.escape(word)}|{re.escape(short)})")
    return re.compile(":".join(words), re.IGNORECASE)


_PATTERNS = [(name, _pattern(register.scpi)) for name, register in REGISTERS.items()]
