"""Instruments that answer as their makers' manuals say, written without the driver's tables: these
are tried against them, and can be found wrong.

Sources: Agilent 33500 Series Operating and Service Guide; Stanford Research Systems DG645 manual,
remote programming; Keysight 53220A, SENSe:TOTalize:DATA?.
"""

import contextlib
import re
import socket
import threading
from typing import Protocol


class Instrument(Protocol):
    """Whatever answers lines."""

    def line(self, text: str) -> bytes:
        """The answers to a line, with what ends them; b"" where it asks nothing."""
        ...


class LineServer:
    """Serves an instrument on a TCP port of 127.0.0.1, a line at a time."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more, and cut who is connected."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                if answer := self.instrument.line(line.decode("ascii", "replace").strip()):
                    connection.sendall(answer)


class _Refused(Exception):
    """An entry for the instrument's error queue."""


_LIMITS = {
    "VOLTage:HIGH": (-4.999, 5.0),
    "VOLTage:LOW": (-5.0, 4.999),
    "FUNCtion:PULSe:WIDTh": (16e-9, 1e6),
    "BURSt:NCYCles": (1, 1e8),
}
_WORDS = {
    "FUNCtion": ("SIN", "SQU", "RAMP", "PULS", "NOIS", "DC", "PRBS", "ARB"),
    "BURSt:MODE": ("TRIG", "GAT"),
    "TRIGger:SOURce": ("IMM", "EXT", "TIM", "BUS"),
}


class Waveform33500:
    """One channel. ``pulses`` : (low, high, width) of each pulse that left it, volts and seconds.

    With the output on and no trigger to wait for it pulses by itself, as the internal trigger does.
    """

    def __init__(self) -> None:
        self.numbers = {
            "VOLTage:HIGH": 0.05, "VOLTage:LOW": -0.05, "FUNCtion:PULSe:WIDTh": 1e-4,
            "BURSt:NCYCles": 1.0,
        }  # fmt: skip
        self.words = {"FUNCtion": "SIN", "BURSt:MODE": "TRIG", "TRIGger:SOURce": "IMM"}
        self.switches = {"BURSt:STATe": 0, "OUTPut": 0}
        self.pulses: list[tuple[float, ...]] = []
        self.errors: list[str] = []
        self.period_s = 1e-3

    @property
    def rests_at_v(self) -> float:
        """What the output puts out between bursts."""
        return self.numbers["VOLTage:LOW"] if self.switches["OUTPut"] else 0.0

    def line(self, text: str) -> bytes:
        """The answers to a compound line, in one."""
        answers = []
        for unit in text.split(";"):
            try:
                answers.append(self._unit(unit.strip()))
            except _Refused as error:
                self.errors.append(str(error))
        said = [answer for answer in answers if answer]
        return (";".join(said) + "\n").encode() if said else b""

    def _unit(self, unit: str) -> str:
        header, _, argument = unit.lstrip(":").partition(" ")
        if header.startswith("*"):
            return self._common(header.upper())
        if _is(header.rstrip("?"), "SYSTem:ERRor"):
            return self.errors.pop(0) if self.errors else '+0,"No error"'
        for name in (*self.numbers, *self.words, *self.switches):
            if _is(header.rstrip("?"), name):
                break
        else:
            raise _Refused('-113,"Undefined header"')
        return self._query(name, argument) if header.endswith("?") else self._set(name, argument)

    def _common(self, header: str) -> str:
        if header == "*IDN?":
            return "Agilent Technologies,33522B,MY00000000,1.00"
        if header == "*CLS":
            self.errors.clear()
        elif header == "*TRG":
            waits = self.switches["BURSt:STATe"] and self.words["TRIGger:SOURce"] == "BUS"
            if not waits:
                raise _Refused('-211,"Trigger ignored"')
            self._burst(int(self.numbers["BURSt:NCYCles"]))
        else:
            raise _Refused('-113,"Undefined header"')
        return ""

    def _query(self, name: str, argument: str) -> str:
        if name in self.numbers:
            low, high = _LIMITS[name]
            value = {"MIN": low, "MAX": high}.get(argument[:3].upper(), self.numbers[name])
            return f"{value:+.13E}"
        return self.words.get(name) or str(self.switches[name])

    def _set(self, name: str, argument: str) -> str:
        if name in self.words:
            if argument.upper() not in _WORDS[name]:
                raise _Refused('-224,"Illegal parameter value"')
            self.words[name] = argument.upper()
        elif name in self.switches:
            self.switches[name] = int(argument in ("1", "ON"))
        else:
            self._number(name, float(argument))
        runs_free = (
            self.words["TRIGger:SOURce"] in ("IMM", "TIM") or not self.switches["BURSt:STATe"]
        )
        if self.switches["OUTPut"] and runs_free:
            self._burst(1)
        return ""

    def _number(self, name: str, value: float) -> None:
        low, high = _LIMITS[name]
        if not low <= value <= high or (name == "FUNCtion:PULSe:WIDTh" and value > self.period_s):
            raise _Refused('-222,"Data out of range"')
        after = {**self.numbers, name: value}
        if after["VOLTage:HIGH"] - after["VOLTage:LOW"] < 1e-3:
            raise _Refused('-221,"Settings conflict"')
        self.numbers = after

    def _burst(self, count: int) -> None:
        if self.switches["OUTPut"]:
            told = [
                self.numbers[n] for n in ("VOLTage:LOW", "VOLTage:HIGH", "FUNCtion:PULSe:WIDTh")
            ]
            self.pulses += [tuple(told)] * count


class Totalizer53220:
    """Counts what leaves a generator."""

    def __init__(self, generator: Waveform33500) -> None:
        self.generator = generator

    def line(self, text: str) -> bytes:
        if _is(text.lstrip(":").rstrip("?"), "SENSe:TOTalize:DATA"):
            return f"{len(self.generator.pulses):+.14E}\n".encode()
        return b""


class Delay645:
    """Commands of four letters; no colons; an error by its number, the last; answers end in CR LF,
    each its own line. Delays are kept to 5 ps."""

    def __init__(self) -> None:
        self.delays_s = dict.fromkeys(range(10), 0.0)
        self.error = 0

    def line(self, text: str) -> bytes:
        answers = [self._command(unit.strip().upper()) for unit in text.split(";")]
        return b"".join(f"{answer}\r\n".encode() for answer in answers if answer)

    def _command(self, text: str) -> str:
        name, asked, rest = text[:4], text[4:5] == "?", text[4:].lstrip("?").replace(" ", "")
        if name == "*CLS":
            self.error = 0
        elif name == "LERR" and asked:
            code, self.error = self.error, 0
            return str(code)
        elif name == "DLAY" and asked and rest.isdigit():
            return f"0,{self.delays_s[int(rest)]:+.12f}"
        elif name == "DLAY":
            self._delay(rest.split(","))
        else:
            self.error = 111 if name.isalpha() else 110
        return ""

    def _delay(self, parts: list[str]) -> None:
        if len(parts) != 3:
            self.error = 116
            return
        seconds = float(parts[2])
        if not 0 <= seconds <= 2000:
            self.error = 10
            return
        self.delays_s[int(parts[0])] = round(seconds / 5e-12) * 5e-12


def _is(header: str, name: str) -> bool:
    """Whether a header is this one, in its long or its short form."""
    words = [f"(?:{word}|{re.sub('[a-z]', '', word)})" for word in name.split(":")]
    optional = ":".join(words).replace(":(?:STATe|STAT)", "(?::(?:STATe|STAT))?")
    return re.fullmatch(optional, header, re.IGNORECASE) is not None
