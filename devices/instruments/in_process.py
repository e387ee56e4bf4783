"""In-process transport: an instrument's registers without any protocol, for tests and twins."""

from collections.abc import Sequence
from typing import Protocol

from skyctl.devices.instruments.transport import Puts, Reading
from skyctl.errors import InstrumentError, InstrumentSilent


class Registers(Protocol):
    """`skyctl.simulators.instrument.practice.PracticeInstrument` is one."""

    def put(self, name: str, value: float) -> None: ...

    def get(self, name: str) -> float: ...


class InProcess:
    """Names are registers. A TimeoutError is no answer, a ValueError a refusal."""

    connections = 1

    def __init__(self, registers: Registers, address: str = "in this process") -> None:
        self._registers, self.address = registers, address

    def put(self, values: Puts, timeout_s: float, read: Sequence[str] = ()) -> dict[str, Reading]:
        """Write all, then read. Raises InstrumentSilent or InstrumentError."""
        for name, value in values.items():
            try:
                self._registers.put(name, 1.0 if value is None else float(value))
            except KeyError as error:
                raise self._unknown(name) from error
            except ValueError as error:
                raise InstrumentError(f"{self.address}, {name}: refused ({error})") from error
            except TimeoutError as error:
                raise InstrumentSilent(
                    f"{self.address}, {name}: no answer within {timeout_s:g} s"
                ) from error
        return self.get(read, timeout_s)

    def begin(self, values: Puts, timeout_s: float) -> None:
        """As `put`: here nothing is answered late."""
        self.put(values, timeout_s)

    def get(self, names: Sequence[str], timeout_s: float) -> dict[str, Reading]:  # noqa: ARG002
        """Read all. Raises InstrumentError."""
        try:
            return {name: Reading(self._registers.get(name)) for name in names}
        except KeyError as error:
            raise self._unknown(error.args[0]) from error

    def close(self) -> None:
        """Nothing is held."""

    def _unknown(self, name: str) -> InstrumentError:
        return InstrumentError(f"{self.address}, {name}: there is no such register")
