"""A beamline to practise on: the simulated sample behind SCPI or EPICS, in a process of its own."""

import contextlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Literal

from skyctl.beamline.beamline import Beamline, assemble
from skyctl.devices.guard import Envelope
from skyctl.devices.instruments.camera import CameraTable, InstrumentCamera
from skyctl.devices.instruments.channel_access import ChannelAccess
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.sample import InstrumentSample
from skyctl.devices.instruments.scpi import Scpi
from skyctl.devices.instruments.table import DriverTable, load_table
from skyctl.devices.instruments.transport import Transport
from skyctl.errors import InstrumentError
from skyctl.inference.model import MovieClassifier
from skyctl.simulators.instrument.practice import READY
from skyctl.stream.sources.ntndarray import NtndArrayParser, PvaTransport
from skyctl.stream.sources.pixels import Scaling
from skyctl.stream.sources.scpi import ScpiTransport
from skyctl.stream.sources.source import Source
from skyctl.stream.sources.triggers import Triggers

Over = Literal["epics", "scpi"]
_STARTS_S = 60.0
_SETTLES_S = 120.0
_FIRST_LOOK_S = 10.0


class InstrumentServer:
    """`skyctl serve`, running until `close`. ``address`` is where it serves.

    arguments : more of `skyctl serve`'s

    Raises InstrumentError when it does not start.
    """

    def __init__(self, over: Over, *arguments: str) -> None:
        command = [sys.executable, "-m", "skyctl.cli", "serve", "ioc" if over == "epics" else over]
        self.process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = ""
        self._ready = threading.Event()
        told = threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True)
        told.start()
        if not self._ready.wait(_STARTS_S) or not self.address:
            self.close()
            raise InstrumentError(
                f"skyctl serve: not ready after {_STARTS_S:g} s. Try it by hand: "
                f"skyctl {' '.join(command[3:])}"
            )

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            if line.startswith(READY):
                self.address = line.removeprefix(READY).strip()
                self._ready.set()
        self._ready.set()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


class PracticeSample(InstrumentSample):
    """An InstrumentSample whose server is ended with it, and tells the truth for reports."""

    def __init__(
        self,
        server: InstrumentServer,
        pulser: PulseInstrument,
        camera: InstrumentCamera,
        truth: Transport,
        names: tuple[str, str],
        triggers: Triggers,
    ) -> None:
        facts = {"pixel_sites": 1.0, "simulator": "skyctl serve"}
        super().__init__(pulser, camera, facts, triggers)
        self.server, self._truth, self._names = server, truth, names

    def charge(self) -> float:
        """The film's true charge once it has settled: for reports, never for a decision."""
        measure, charge = self._names
        self._truth.put({measure: 1}, _SETTLES_S)
        return float(self._truth.get([charge], _SETTLES_S)[charge].value)

    def close(self) -> None:
        """Disarm, hang up, end the server."""
        super().close()
        self._truth.close()
        self.server.close()


def practice_beamline(
    over: Over,
    folder: Path | str,
    *,
    arguments: tuple[str, ...] = (),
    model: MovieClassifier | None = None,
    envelope: Envelope | None = None,
    ledger: Path | None = None,
    metrics_port: int | None = None,
    timeout_s: float = 60.0,
) -> Beamline[PracticeSample]:
    """Start a server and build a beamline on it: every set, trigger and frame goes over the wire.

    arguments : more of `skyctl serve`'s; the rest is as in `assemble`

    For "epics" the environment must name the ports before ophyd is imported
    (`skyctl.simulators.instrument.loopback`); the server inherits it.

    Raises InstrumentError, and whatever `assemble` raises.
    """
    server = InstrumentServer(over, *arguments)
    try:
        sample, source = _epics(server) if over == "epics" else _scpi(server)
    except BaseException:
        server.close()
        raise
    return assemble(
        sample,
        source,
        folder,
        model=model,
        envelope=envelope,
        ledger=ledger,
        metrics_port=metrics_port,
        timeout_s=timeout_s,
    )


def _scpi(server: InstrumentServer) -> tuple[PracticeSample, Source]:
    triggers = Triggers()
    camera = InstrumentCamera(Scpi(server.address), load_table(CameraTable, "scpi-camera"))
    pulser = PulseInstrument(Scpi(server.address), load_table(DriverTable, "scpi-pulser"))
    pulser.wait_asked(_FIRST_LOOK_S)
    sample = PracticeSample(
        server, pulser, camera, Scpi(server.address), ("SIM:MEAS", "SIM:CHAR"), triggers
    )
    return sample, Source(ScpiTransport(server.address), _parser(triggers))


def _epics(server: InstrumentServer) -> tuple[PracticeSample, Source]:
    prefix, triggers = f"{server.address}:", Triggers()
    camera = InstrumentCamera(
        ChannelAccess(prefix), load_table(CameraTable, "epics-camera"), timeout_s=10.0
    )
    pulser = PulseInstrument(ChannelAccess(prefix), load_table(DriverTable, "epics-pulser"))
    pulser.wait_asked(_FIRST_LOOK_S)
    sample = PracticeSample(
        server, pulser, camera, ChannelAccess(prefix), ("MEASURE", "CHARGE"), triggers
    )
    return sample, Source(PvaTransport(f"{prefix}CAM:IMAGE"), _parser(triggers))


def _parser(triggers: Triggers) -> NtndArrayParser:
    return NtndArrayParser(Scaling(offset=0.0, scale=1.0), run="practice", triggers=triggers)
