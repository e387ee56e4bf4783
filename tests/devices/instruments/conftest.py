"""A practice instrument behind every transport there is, and a pulser in front of it."""

import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.instruments.channel_access import ChannelAccess
from skyctl.devices.instruments.in_process import InProcess
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.pv_access import PvAccess
from skyctl.devices.instruments.scpi import Scpi
from skyctl.devices.instruments.table import DriverTable, load_table
from skyctl.devices.pulser import Pulser
from skyctl.simulators.instrument.practice import LATE_S, MODES, READY, PracticeInstrument
from skyctl.simulators.instrument.scpi import ScpiServer

PATIENCE_S = 20.0
PREFIX = "TEST:"


def until(what, patience_s=PATIENCE_S):
    """Wait for something to be true."""
    due = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < due, "it never came"
        time.sleep(0.005)


@dataclass
class Bench:
    """An instrument under test: ``make`` opens another transport to it."""

    kind: str
    table: DriverTable
    make: object
    transport: object
    pulser: Pulser
    driver: PulseInstrument

    def tell(self, register, value):
        """Write a register of the instrument, past the driver."""
        if register == "MODE" and self.kind == "registers":
            self.transport._registers.set_mode(value)
        elif register == "MODE":
            name, value = ("SIM:MODE", value) if self.kind == "scpi" else ("MODE", _MODE[value])
            self.transport.put({name: value}, 5)
        else:
            self.transport.put({_SCPI[register] if self.kind == "scpi" else register: value}, 5)

    def ask(self, register):
        """Read a register, past the driver."""
        name = _SCPI.get(register, register) if self.kind == "scpi" else register
        return float(self.transport.get([name], 5)[name].value)

    def wait_late(self):
        """An EPICS record takes one put at a time: wait until FIRE, unanswered, is over."""
        if self.kind in ("ca", "pva"):
            time.sleep(LATE_S)

    def anew(self, guard=None, **options):
        """A pulser with a driver of its own at the same instrument."""
        driver = PulseInstrument(self.make(), self.table, **{**FAST, **options})
        return Pulser(name="pulser", driver=driver, guard=guard or Guard(WIDE)), driver


FAST = {"timeout_s": 1.5, "fire_s": 0.5, "beat_s": 0.05}
WIDE = Envelope(rest_s=0, repeats=10, amplitude_T=(0, 100), uniform_amplitude_T=100, dose_T2ps=1e6)
_MODE = {mode: index for index, mode in enumerate(MODES)}
_SCPI = {
    "FIRED": "TRIG:COUN", "ARMED": "OUTP:ARM", "AMP": "PULS:AMPL", "WIDTH": "PULS:WIDT",
    "INTERLOCK": "SYST:INT", "FAULT": "SYST:FAUL", "FIRE": "*TRG", "ARM": "OUTP",
}  # fmt: skip


@pytest.fixture(scope="session")
def ioc():
    """A practice IOC without a film, in a process of its own."""
    pytest.importorskip("softioc", reason="EPICS needs the extra 'epics'")
    pytest.importorskip("epics", reason="EPICS needs the extra 'epics'")
    command = [sys.executable, "-m", "skyctl.cli", "serve", "ioc", "--no-film"]
    process = subprocess.Popen(
        [*command, "--prefix", PREFIX.rstrip(":")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith(READY):
            break
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(params=["registers", "scpi", "ca", "pva"])
def bench(request, cleanup):
    """One instrument behind each transport."""
    kind = request.param
    if kind in ("ca", "pva"):
        request.getfixturevalue("ioc")
        table, kinds = "epics-pulser", {"ca": ChannelAccess, "pva": PvAccess}

        def make():
            return kinds[kind](PREFIX)
    else:
        instrument = PracticeInstrument()
        table = "registers"

        def make():
            return InProcess(instrument)

        if kind == "scpi":
            server = ScpiServer(instrument)
            cleanup.callback(server.close)
            table = "scpi-pulser"

            def make():
                return Scpi(server.address)

    made = Bench(kind, load_table(DriverTable, table), make, make(), None, None)
    cleanup.callback(made.transport.close)
    if kind in ("ca", "pva"):
        cleanup.callback(lambda: (made.tell("MODE", "normal"), made.tell("INTERLOCK", 1)))
    made.pulser, made.driver = made.anew()
    cleanup.callback(made.driver.close)
    until(lambda: made.pulser.hold_reason() == "")
    return made
