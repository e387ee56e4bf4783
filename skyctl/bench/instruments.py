"""Instruments: what a proved shot costs beside bare puts, and shots while the instrument fails.

What the instrument itself wrote down (`Rig`) is the truth which the ledger and the driver's
outcomes are held against.
"""

import json
import math
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.instrument_rig import BACK_S, Rig, cut_lines, pulse_of_shot, pulser_at, wait_until
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.instruments.commands import Commands
from skyctl.devices.instruments.outcomes import Outcomes, outcomes_beside
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.pulser import Pulser
from skyctl.errors import FireUnknown, NotFired, PulseRefused
from skyctl.pulse import Pulse, settings_of

_WIDE = Envelope(rest_s=0.0, shots=10**6, budget_T2ps=1e12)
_FAULT_S = (0.0, 0.15)
_FROZEN_S = (0.2, 5.0)
_DEAF_S = 0.3
_STOPPED = 20
"""One shot in so many is armed, and stopped instead of fired."""
_JUST_NS = 10_000_000
"""A fault that ended so shortly before a notice has to do with it."""


@dataclass
class Latency:
    """Milliseconds a shot, p50 and p95: configured, armed, fired and proved; and bare puts of the
    same settings, arm and fire, nothing read. ``ratio`` is that of the medians.

    wire_p50_ms : of the same questions and answers as a proved shot's, with no guard, ledger,
        thread or status: what a proof costs on the wire
    """

    kind: str
    shots: int
    shot_p50_ms: float
    shot_p95_ms: float
    bare_p50_ms: float
    bare_p95_ms: float
    wire_p50_ms: float
    ratio: float
    load: float


def latency(kind: str, folder: Path, shots: int = 300) -> Latency:
    """Measure both in one run, taking turns."""
    rig = Rig.start(kind, folder)
    proved, bare, wire = [], [], []
    try:
        with pulser_at(rig, Guard(_WIDE)) as (pulser, driver):
            beside = Commands(rig.open(), rig.table, {}, None, 5.0)
            for number in range(1, shots + 1):
                began = time.perf_counter()
                pulser.set(pulse_of_shot(number), shot=f"s{number}").wait(10)
                pulser.trigger().wait(10)
                proved.append(time.perf_counter() - began)
            driver.close()
            for number in range(1, shots + 1):
                bare.append(_bare_puts(beside, pulse_of_shot(number)))
                wire.append(_proof(beside, pulse_of_shot(number)))
            beside.transport.close()
    finally:
        rig.close()
    p50, p95 = (1e3 * np.percentile(proved, q) for q in (50, 95))
    bare_p50, bare_p95 = (1e3 * np.percentile(bare, q) for q in (50, 95))
    wire_p50 = 1e3 * float(np.median(wire))
    ratio, load = p50 / bare_p50, os.getloadavg()[0]
    return Latency(kind, shots, p50, p95, bare_p50, bare_p95, wire_p50, ratio, load)


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


def _proof(commands: Commands, pulse: Pulse) -> float:
    began = time.perf_counter()
    commands.set_up(pulse, 1)
    commands.arm()
    commands.fire()
    return time.perf_counter() - began


@dataclass
class Broken:
    """Shots while the instrument fails, and how the accounts compare.

    booked : in the ledger; fired : by the instrument's own log; twice, unbooked : of those
    wrong : shots whose outcome is not what the log has; unknown : were, until the counter
        (``proved``) or a person (``said``) told
    stopped, stop_p50_ms, stop_ms : armed shots that were stopped instead, and how long until the
        instrument was told to switch off, by its own clock: median and longest
    unknown_off_ms : the same after a shot that became unknown, the longest by what was broken. One
        that is deaf lost nothing but the answer; a line that was cut must stand anew first; who is
        frozen cannot be told before it wakes, up to 5 s: its own watchdog must switch it off
    """

    kind: str
    shots: int
    seed: int
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
    stopped: int = 0
    stop_p50_ms: float = 0.0
    stop_ms: float = 0.0
    unknown_off_ms: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    load: float = 0.0
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
        "killed": rig.restart,
        "frozen": lambda: _freeze(rig, rng.uniform(*_FROZEN_S)),
        "cut": cut_lines,
        "deaf": lambda: rig.be_deaf(_DEAF_S),
    }
    account, notices = Broken(kind, shots, seed, dict.fromkeys(faults, 0)), _Notices()
    began = time.monotonic()
    try:
        with pulser_at(rig, guard) as (pulser, driver):
            number, fault = 0, None
            while guard.shots_fired < shots:
                number += 1
                if rng.random() < 1 / every and not (fault and fault.is_alive()):
                    name = rng.choice(list(faults))
                    account.faults[name] += 1
                    fault = notices.strike(name, faults[name], rng.uniform(*_FAULT_S))
                _shoot(pulser, number, account, notices, stopped=number % _STOPPED == 0)
                _carry_on(pulser, driver, rig, account)
            if fault:
                fault.join()
    finally:
        guard.close()
        rig.close()
    account.seconds, account.load = time.monotonic() - began, os.getloadavg()[0]
    _compare(account, rig.fired, ledger, guard)
    stops = notices.stops_ms(rig.switched_off_ns)
    account.stopped, account.stop_ms = len(stops), max(stops)
    account.stop_p50_ms = float(np.median(stops))
    account.unknown_off_ms = notices.unknown_ms(rig.switched_off_ns)
    return account


class _Notices:
    """When something was noticed that must switch the output off, and what was broken meanwhile."""

    def __init__(self) -> None:
        self._faults: list[tuple[str, int, int]] = []
        self._noticed: list[tuple[str, int, int]] = []

    def now(self, kind: str, since_ns: int | None = None) -> None:
        """Something was noticed: "stop" or "unknown". The driver may have told the instrument
        before whoever waits for it knew, though not before ``since_ns``."""
        now_ns = time.monotonic_ns()
        self._noticed.append((kind, now_ns, now_ns if since_ns is None else since_ns))

    def strike(self, name: str, fault: Callable[[], None], after_s: float) -> threading.Thread:
        """Break it, from a thread."""

        def run() -> None:
            time.sleep(after_s)
            began_ns = time.monotonic_ns()
            fault()
            self._faults.append((name, began_ns, time.monotonic_ns()))

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def stops_ms(self, off_ns: list[int]) -> list[float]:
        """How long stops waited for the instrument to be told, those with nothing broken then."""
        waited = []
        for noticed, off in self._told("stop", off_ns):
            if not any(f[1] <= off and f[2] >= noticed - _JUST_NS for f in self._faults):
                waited.append((off - noticed) / 1e6)
        return waited

    def unknown_ms(self, off_ns: list[int]) -> dict[str, float]:
        """The longest wait after an unknown shot, by what was broken last before; not by a kill."""
        longest: dict[str, float] = {}
        for noticed, off in self._told("unknown", off_ns):
            name = max((f for f in self._faults if f[1] <= noticed), key=lambda f: f[1])[0]
            if name != "killed":
                longest[name] = max(longest.get(name, 0.0), (off - noticed) / 1e6)
        return longest

    def _told(self, kind: str, off_ns: list[int]) -> Iterator[tuple[int, float]]:
        """When each of a kind was noticed, and when the instrument was told to switch off."""
        for _, noticed, since in (one for one in self._noticed if one[0] == kind):
            off = min((time for time in off_ns if time >= since), default=math.inf)
            yield noticed, max(off, noticed)


def _freeze(rig: Rig, span_s: float) -> None:
    rig.server.process.send_signal(signal.SIGSTOP)
    time.sleep(span_s)
    rig.server.process.send_signal(signal.SIGCONT)


def _shoot(
    pulser: Pulser, number: int, account: Broken, notices: _Notices, *, stopped: bool
) -> None:
    began_ns = time.monotonic_ns()
    try:
        pulser.set(pulse_of_shot(number), shot=str(number)).wait(BACK_S)
        if stopped:
            notices.now("stop")
            pulser.stop()
            return
        began_ns = time.monotonic_ns()
        pulser.trigger().wait(BACK_S)
    except NotFired:
        account.not_fired += 1
    except PulseRefused:
        account.refused += 1
    except FireUnknown:
        notices.now("unknown", began_ns)
        account.unknown += 1


def _carry_on(pulser: Pulser, driver: PulseInstrument, rig: Rig, account: Broken) -> None:
    """Wait until fire is no more held; of a shot that only a person can know, say what the log
    says, once the instrument is back."""
    due = time.monotonic() + BACK_S
    while held := pulser.hold_reason():
        if time.monotonic() > due:
            account.unexplained.append(held)
            raise TimeoutError(f"held for {BACK_S:g} s: {held}")
        is_open = driver.account.open
        if is_open and driver.answers:
            time.sleep(0.5)  # what it had still to do, it has done
            if driver.account.open is not is_open:
                continue
            became = "fired" if int(is_open.shot) in rig.fired else "not fired"
            driver.reconcile(became, "bench", "the instrument's own log")
            account.said += 1
            wait_until(lambda shot=is_open: driver.account.open is not shot, BACK_S)
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
