"""An instrument in a process of its own, which a benchmark kills, freezes, cuts off, and fires.

It is `skyctl serve … --no-film`, and writes down each pulse that it really fires, and when it was
told to switch off: the truth.
"""

import contextlib
import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyctl.beamline.practice import InstrumentServer
from skyctl.devices.guard import Guard
from skyctl.devices.instruments.channel_access import ChannelAccess
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.pv_access import PvAccess
from skyctl.devices.instruments.scpi import Scpi
from skyctl.devices.instruments.table import DriverTable, load_table
from skyctl.devices.instruments.transport import Transport
from skyctl.devices.pulser import Pulser
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.practice import MODES

_STEP_T = 1e-4
"""Each shot has an amplitude of its own, by which the instrument's log tells which one it was."""
BACK_S = 60.0
"""So long a benchmark waits for an instrument to come back."""


def cut_lines() -> None:
    """Shut down every TCP connection of this process to 127.0.0.1, whoever holds it, as a network
    that fails does: both ends see it broken, and may connect again."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(link.stat().st_mode):
                with socket.socket(fileno=os.dup(int(link.name))) as line:
                    if line.family == socket.AF_INET and line.getpeername()[0] == "127.0.0.1":
                        line.shutdown(socket.SHUT_RDWR)


@dataclass
class Rig:
    """One instrument, and how it is reached. ``log`` is what it really fired."""

    kind: str
    log: Path
    arguments: tuple[str, ...]
    server: InstrumentServer

    @classmethod
    def start(cls, kind: str, folder: Path) -> "Rig":
        """Start the instrument's process."""
        log = folder / f"{kind}-fired.jsonl"
        arguments = ["--no-film", "--log", str(log)]
        if kind == "scpi":
            with socket.create_server(("127.0.0.1", 0)) as free:
                arguments += ["--port", str(free.getsockname()[1])]
        server = InstrumentServer("scpi" if kind == "scpi" else "epics", *arguments)
        return cls(kind, log, tuple(arguments), server)

    def restart(self) -> None:
        """Kill it and start it again; it counts from 0."""
        self.server.close()
        self.server = InstrumentServer("scpi" if self.kind == "scpi" else "epics", *self.arguments)

    def open(self) -> Transport:
        """A transport to it."""
        if self.kind == "scpi":
            return Scpi(self.server.address)
        prefix = f"{self.server.address}:"
        return ChannelAccess(prefix) if self.kind == "ca" else PvAccess(prefix)

    def be_deaf(self, span_s: float) -> None:
        """Have it neither fire nor answer FIRE for so long; all else it does."""
        name = "SIM:MODE" if self.kind == "scpi" else "MODE"
        modes = list(MODES)
        with contextlib.closing(self.open()) as beside:
            for mode in ("deaf", "normal"):
                beside.put({name: mode if self.kind == "scpi" else modes.index(mode)}, BACK_S)
                time.sleep(span_s)

    @property
    def table(self) -> DriverTable:
        """Its driver table."""
        return load_table(DriverTable, "scpi-pulser" if self.kind == "scpi" else "epics-pulser")

    @property
    def fired(self) -> list[int]:
        """Numbers of the shots that it really fired, in order."""
        pulses = [told["pulse"] for told in self._told if "pulse" in told]
        return [round(pulse["amplitude_T"] / _STEP_T) for pulse in pulses]

    @property
    def switched_off_ns(self) -> list[int]:
        """When it was told to switch off, by the clock that all processes here have."""
        return [told["off_ns"] for told in self._told if "off_ns" in told]

    @property
    def _told(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            self.server.process.send_signal(signal.SIGCONT)
        self.server.close()


def pulse_of_shot(number: int) -> Pulse:
    return Pulse(amplitude_T=number * _STEP_T, width_ps=1.0)


@contextlib.contextmanager
def pulser_at(rig: Rig, guard: Guard) -> Iterator[tuple[Pulser, PulseInstrument]]:
    driver = PulseInstrument(rig.open(), rig.table)
    pulser = Pulser(name="pulser", driver=driver, guard=guard)
    driver.wait_asked(BACK_S)
    wait_until(lambda: not pulser.hold_reason(), BACK_S)
    try:
        yield pulser, driver
    finally:
        driver.close()


def wait_until(what: Callable[[], bool], patience_s: float) -> None:
    """Return when it is so. Raises TimeoutError."""
    due = time.monotonic() + patience_s
    while not what():
        if time.monotonic() > due:
            raise TimeoutError("the instrument did not come back")
        time.sleep(0.001)
