"""Instruments: what a proved shot costs beside bare puts, and shots while the instrument fails.

The instrument is `skyctl serve … --no-film` in a process of its own, which is killed, stopped, cut
off and started again. It writes down each pulse that it really fires: that is the truth which the
ledger and the driver's outcomes are held against.
"""

import contextlib
import json
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.beamline.practice import InstrumentServer
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.instruments.channel_access import ChannelAccess
from skyctl.devices.instruments.commands import Commands
from skyctl.devices.instruments.outcomes import Outcomes, outcomes_beside
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.pv_access import PvAccess
from skyctl.devices.instruments.scpi import Scpi
from skyctl.devices.instruments.table import DriverTable, load_table
from skyctl.devices.instruments.transport import Transport
from skyctl.devices.pulser import Pulser
from skyctl.errors import FireUnknown, NotFired, PulseRefused
from skyctl.pulse import Pulse, settings_of

_STEP_T = 1e-4
"""Each shot has an amplitude of its own, by which the instrument's log tells which one it was."""
_WIDE = Envelope(rest_s=0.0, shots=10**6, budget_T2ps=1e12)
_FAULT_S = (0.0, 0.15)
_FROZEN_S = (0.2, 5.0)
_BACK_S = 60.0


class Wire:
    """A TCP forwarder that can be cut: all connections over it break, new ones are let through."""

    def __init__(self, to: str) -> None:
        host, _, port = to.rpartition(":")
        self._to = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections."""
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forward no more."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._to, 1.0)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.settimeout(None)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError), source:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@dataclass
class Rig:
    """One instrument, and how it is reached. ``log`` is what it really fired."""

    kind: str
    log: Path
    arguments: tuple[str, ...]
    server: InstrumentServer
    wire: Wire | None = None

    @classmethod
    def start(cls, kind: str, folder: Path) -> "Rig":
        """Start the instrument's process."""
        log = folder / f"{kind}-fired.jsonl"
        arguments = ["--no-film", "--log", str(log)]
        if kind == "scpi":
            with socket.create_server(("127.0.0.1", 0)) as free:
                arguments += ["--port", str(free.getsockname()[1])]
        server = InstrumentServer("scpi" if kind == "scpi" else "epics", *arguments)
        wire = Wire(server.address) if kind == "scpi" else None
        return cls(kind, log, tuple(arguments), server, wire)

    def restart(self) -> None:
        """Kill it and start it again; it counts from 0."""
        self.server.close()
        self.server = InstrumentServer("scpi" if self.kind == "scpi" else "epics", *self.arguments)

    def open(self) -> Transport:
        """A transport to it."""
        if self.wire:
            return Scpi(self.wire.address)
        prefix = f"{self.server.address}:"
        return ChannelAccess(prefix) if self.kind == "ca" else PvAccess(prefix)

    @property
    def table(self) -> DriverTable:
        """Its driver table."""
        return load_table(DriverTable, "scpi-pulser" if self.kind == "scpi" else "epics-pulser")

    @property
    def fired(self) -> list[int]:
        """Numbers of the shots that it really fired, in order."""
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines()
        return [round(json.loads(line)["pulse"]["amplitude_T"] / _STEP_T) for line in lines]

    def close(self) -> None:
        """End it."""
        if self.wire:
            self.wire.close()
        with contextlib.suppress(ProcessLookupError):
            self.server.process.send_signal(signal.SIGCONT)
        self.server.close()


def _pulse(number: int) -> Pulse:
    return Pulse(amplitude_T=number * _STEP_T, width_ps=1.0)


@contextlib.contextmanager
def _pulser(rig: Rig, guard: Guard) -> Iterator[tuple[Pulser, PulseInstrument]]:
    driver = PulseInstrument(rig.open(), rig.table)
    pulser = Pulser(name="pulser", driver=driver, guard=guard)
    driver.wait_asked(_BACK_S)
    _wait(lambda: not pulser.hold_reason(), _BACK_S)
    try:
        yield pulser, driver
    finally:
        driver.close()


@dataclass
class Latency:
    """Milliseconds a shot, p50 and p95: configured, armed, fired and proved; and bare puts of the
    same settings, arm and fire, nothing read. ``ratio`` is that of the medians."""

    kind: str
    shots: int
    shot_p50_ms: float
    shot_p95_ms: float
    bare_p50_ms: float
    bare_p95_ms: float
    ratio: float


def latency(kind: str, folder: Path, shots: int = 300) -> Latency:
    """Measure both in one run, taking turns."""
    rig = Rig.start(kind, folder)
    proved, bare = [], []
    try:
        with _pulser(rig, Guard(_WIDE)) as (pulser, driver):
            beside = Commands(rig.open(), rig.table, {}, None, 5.0)
            for number in range(1, shots + 1):
                began = time.perf_counter()
                pulser.set(_pulse(number), shot=f"s{number}").wait(10)
                pulser.trigger().wait(10)
                proved.append(time.perf_counter() - began)
            driver.close()
            bare += [_bare_puts(beside, _pulse(number)) for number in range(1, shots + 1)]
            beside.transport.close()
    finally:
        rig.close()
    p50, p95 = (1e3 * np.percentile(proved, q) for q in (50, 95))
    bare_p50, bare_p95 = (1e3 * np.percentile(bare, q) for q in (50, 95))
    return Latency(kind, shots, p50, p95, bare_p50, bare_p95, p50 / bare_p50)


def _bare_puts(commands: Commands, pulse: Pulse) -> float:
    began = time.perf_counter()
    values = settings_of(pulse)
    table = commands.table
    commands.transport.put({s.put: values[name] for name, s in table.settings.items()}, 5.0)
    if table.states.beat:
        commands.order({table.states.beat: 1})  # else its watchdog disarms it
    commands.order(table.commands.arm)
    commands.fire()
    return time.perf_counter() - began


@dataclass
class Broken:
    """Shots while the instrument fails, and how the accounts compare.

    booked : in the ledger; fired : by the instrument's own log; twice, unbooked : of those
    wrong : shots whose outcome is not what the log has; unknown : were, until the counter
        (``proved``) or a person (``said``) told; disarm_ms : longest from notice to disarmed
    """

    kind: str
    shots: int
    faults: dict[str, int]
    booked: int = 0
    fired: int = 0
    twice: int = 0
    unbooked: int = 0
    wrong: int = 0
    unknown: int = 0
    proved: int = 0
    said: int = 0
    not_fired: int = 0
    refused: int = 0
    disarm_ms: float = 0.0
    seconds: float = 0.0
    unexplained: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether nothing was fired twice or unbooked, and each shot's outcome is the truth."""
        return not (self.twice or self.unbooked or self.wrong or self.unexplained)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {**asdict(self), "right": self.right}


def broken(kind: str, folder: Path, shots: int = 2000, every: int = 40, seed: int = 0) -> Broken:
    """Fire so many shots; about one in ``every`` meets a fault at a random moment."""
    rng = random.Random(seed)
    rig = Rig.start(kind, folder)
    ledger = folder / f"{kind}-ledger.jsonl"
    guard = Guard(_WIDE, ledger)
    faults: dict[str, Callable[[], None]] = {
        "killed": rig.restart, "frozen": lambda: _freeze(rig, rng.uniform(*_FROZEN_S)),
    }  # fmt: skip
    if rig.wire:
        faults["cut"] = rig.wire.cut
    account = Broken(kind, shots, dict.fromkeys(faults, 0))
    began = time.monotonic()
    try:
        with _pulser(rig, guard) as (pulser, driver):
            number, fault = 0, None
            while guard.shots_fired < shots:
                number += 1
                if rng.random() < 1 / every and not (fault and fault.is_alive()):
                    name = rng.choice(list(faults))
                    account.faults[name] += 1
                    fault = _soon(faults[name], rng.uniform(*_FAULT_S))
                _shoot(pulser, number, account)
                _carry_on(pulser, driver, rig, account)
            if fault:
                fault.join()
    finally:
        guard.close()
        rig.close()
    account.seconds = time.monotonic() - began
    _compare(account, rig.fired, ledger, guard)
    return account


def _freeze(rig: Rig, span_s: float) -> None:
    rig.server.process.send_signal(signal.SIGSTOP)
    time.sleep(span_s)
    rig.server.process.send_signal(signal.SIGCONT)


def _soon(fault: Callable[[], None], after_s: float) -> threading.Thread:
    def strike() -> None:
        time.sleep(after_s)
        fault()

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


def _shoot(pulser: Pulser, number: int, account: Broken) -> None:
    try:
        pulser.set(_pulse(number), shot=str(number)).wait(_BACK_S)
        pulser.trigger().wait(_BACK_S)
    except NotFired:
        account.not_fired += 1
    except PulseRefused:
        account.refused += 1
    except FireUnknown:
        account.unknown += 1
        noticed = time.perf_counter()
        _wait(lambda: not pulser.armed.get(), _BACK_S)
        account.disarm_ms = max(account.disarm_ms, 1e3 * (time.perf_counter() - noticed))


def _carry_on(pulser: Pulser, driver: PulseInstrument, rig: Rig, account: Broken) -> None:
    """Wait until fire is no more held; of a shot that only a person can know, say what the log
    says, once the instrument is back."""
    due = time.monotonic() + _BACK_S
    while held := pulser.hold_reason():
        if time.monotonic() > due:
            account.unexplained.append(held)
            raise TimeoutError(f"held for {_BACK_S:g} s: {held}")
        is_open = driver.account.open
        if is_open and driver.answers:
            time.sleep(0.5)  # what it had still to do, it has done
            if driver.account.open is not is_open:
                continue
            became = "fired" if int(is_open.shot) in rig.fired else "not fired"
            driver.reconcile(became, "bench", "the instrument's own log")
            account.said += 1
            _wait(lambda shot=is_open: driver.account.open is not shot, _BACK_S)
        time.sleep(0.02)


def _compare(account: Broken, fired: list[int], ledger: Path, guard: Guard) -> None:
    outcomes = Outcomes(outcomes_beside(ledger))
    booked = {int(line) for line in _booked(ledger)}
    counts = Counter(fired)
    account.booked, account.fired = guard.shots_fired, len(fired)
    account.twice = sum(n > 1 for n in counts.values())
    account.unbooked = len(set(fired) - booked)
    for number in booked:
        became = outcomes.of(str(number)).became
        if (became == "fired") != (number in counts) or became not in ("fired", "not fired"):
            account.wrong += 1
            account.unexplained.append(f"shot {number}: {became}, logged {counts[number]} times")
    account.proved = account.unknown - account.said


def _booked(ledger: Path) -> Iterator[str]:
    for path in sorted(ledger.parent.glob(f"{ledger.name}*")):
        if path.suffix[1:].isdigit() or path == ledger:
            for line in path.read_text().splitlines():
                told = json.loads(line)
                if "shot" in told:
                    yield told["shot"]


def _wait(what: Callable[[], bool], patience_s: float) -> None:
    due = time.monotonic() + patience_s
    while not what():
        if time.monotonic() > due:
            raise TimeoutError("the instrument did not come back")
        time.sleep(0.001)
