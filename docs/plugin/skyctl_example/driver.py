"""A driver: the transport of an instrument. This one is SCPI, and notes what it sent."""

from collections.abc import Sequence

from skyctl.devices.instruments.scpi import Scpi
from skyctl.devices.instruments.transport import Puts, Reading


class NotedScpi(Scpi):
    """``noted`` : names that were put, oldest first. An own protocol has put, get and close."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.noted: list[str] = []

    def put(self, values: Puts, timeout_s: float, read: Sequence[str] = ()) -> dict[str, Reading]:
        self.noted += values
        return super().put(values, timeout_s, read)
