"""Transport: puts and gets an instrument's numbers by name, whatever the protocol."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from skyctl.errors import InstrumentError

Value = float | int | str
Puts = Mapping[str, Value | None]
"""What is put, side by side; None is a command without a number, where the protocol has such."""


class Reading(NamedTuple):
    """A value that the instrument told just now; ``alarm`` says what it warns of, or ""."""

    value: Value
    alarm: str = ""


class Transport(Protocol):
    """One instrument at one address. From any thread; a call waits, so never the RunEngine's.

    Every name is put once, and nothing is put again after a fault: the instrument may have done it.
    Each raises InstrumentSilent when it was not answered in time, then nobody knows
    whether it was done; InstrumentError where the instrument refuses, or there is no such name.

    address : for people
    connections : rises with each new connection: what was asked over the last one is not answered
        any more
    """

    address: str

    @property
    def connections(self) -> int: ...

    def put(self, values: Puts, timeout_s: float, read: Sequence[str] = ()) -> dict[str, Reading]:
        """Put all, and when the instrument has answered that it did, read these afresh."""
        ...

    def begin(self, values: Puts, timeout_s: float) -> None:
        """Put what is done only when all is over, and do not wait for that."""
        ...

    def get(self, names: Sequence[str], timeout_s: float) -> dict[str, Reading]:
        """Read all afresh from the instrument, never from a cache."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


def number(address: str, name: str, reading: Reading) -> float:
    """The number of a reading; of an answer with commas the last.

    Raises InstrumentError for an alarm INVALID or for no number.
    """
    if reading.alarm == "INVALID":
        raise InstrumentError(
            f"{address}, {name}: its alarm severity is INVALID, so {reading.value!r} says nothing. "
            "See the instrument's own screen."
        )
    try:
        value = reading.value
        return float(value.rpartition(",")[2] if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise InstrumentError(
            f"{address}, {name}: {reading.value!r} is no number. See whether the name is right."
        ) from None
