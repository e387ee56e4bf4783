"""SCPI transport: compound lines over a plain TCP socket."""

import re
from collections.abc import Sequence

from skyctl.devices.instruments.transport import Puts, Reading
from skyctl.errors import InstrumentError
from skyctl.stream.sources.scpi import ScpiSocket

_ERROR = re.compile(r'(?P<code>[+-]?\d+)(?:,"?(?P<text>[^"]*)"?)?(?:;(?P<rest>.*))?$')
"""The answer to SYST:ERR?, with a text or without, and those after it."""


class Scpi:
    """Names are headers, like "PULS:AMPL"; a question mark is added to what is read.

    What is put goes in one line, with ``SYST:ERR?`` at its end: the answer says that it was done,
    or why not. ``name arguments`` is allowed where one reads, like "VOLT? MAX".

    address : "HOST:PORT"; error_query : what it answers with 0 where nothing is wrong
    compound : whether it takes several commands in a line, and answers in one; else each is a line
    """

    def __init__(
        self, address: str, error_query: str = "SYST:ERR?", *, compound: bool = True
    ) -> None:
        self._error_query, self._compound = error_query, compound
        self._socket = ScpiSocket(address)
        self.address = f"scpi://{address}"

    @property
    def connections(self) -> int:
        """How often it was connected."""
        return self._socket.connections

    def put(self, values: Puts, timeout_s: float, read: Sequence[str] = ()) -> dict[str, Reading]:
        """Put all in one line, and read in the same: the instrument does one after the other.

        Raises InstrumentSilent, or InstrumentError with its own words.
        """
        units = [name if value is None else f"{name} {value}" for name, value in values.items()]
        questions = list(map(_question, read)) if self._compound else []
        line = self._line([*units, self._error_query, *questions])
        answer = self._socket.ask(line, timeout_s)
        told = _ERROR.match(answer)
        if not told:
            self._socket.close()
            raise InstrumentError(f"{self.address}: {line!r} was answered by {answer[:60]!r}")
        if int(told["code"]):
            self._socket.ask(self._line(["*CLS", self._error_query]), timeout_s)
            raise InstrumentError(
                f"{self.address}: {line!r} was refused ({told['code']}, {told['text']}). See its "
                "manual."
            )
        if not self._compound:
            return self.get(read, timeout_s)
        return self._values(line, read, told["rest"] or "")

    def begin(self, values: Puts, timeout_s: float) -> None:
        """As `put`: here nothing is answered late."""
        self.put(values, timeout_s)

    def get(self, names: Sequence[str], timeout_s: float) -> dict[str, Reading]:
        """Ask for all in one line. Raises InstrumentSilent, InstrumentError for half an answer."""
        if not self._compound:
            told = {name: self._socket.ask(_question(name), timeout_s) for name in names}
            return {name: Reading(answer.strip('"')) for name, answer in told.items()}
        line = self._line(list(map(_question, names)))
        return self._values(line, names, self._socket.ask(line, timeout_s))

    def _values(self, line: str, names: Sequence[str], answer: str) -> dict[str, Reading]:
        values = answer.split(";") if answer else []
        if len(values) != len(names) or not all(values):
            self._socket.close()
            raise InstrumentError(
                f"{self.address}: {line!r} was answered by {answer[:60]!r}, which are not "
                f"{len(names)} values. See whether these headers are the instrument's."
            )
        return {
            name: Reading(value.strip().strip('"'))
            for name, value in zip(names, values, strict=True)
        }

    def _line(self, units: list[str]) -> str:
        """A compound line; common commands, which begin with a star, have no colon."""
        return ";:".join(units).replace(":*", "*") if self._compound else "\n".join(units)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _question(name: str) -> str:
    return name if "?" in name else f"{name}?"
