"""Ctrl-C over and over, while pulses are fired and the machine is busy: is one ever lost?"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.errors import PulseRefused
from skyctl.interrupts import DisarmOnSignal
from skyctl.plans.stubs import Plan, fire
from skyctl.pulse import Pulse

_PULSE = Pulse(amplitude_T=1.0, width_ps=5.0)
_LATEST_S = 0.02
"""After the first shot, at most, the signal is sent."""
_LOST_S = 5.0
_SPIN = "while True: pass"


@dataclass
class _Driver:
    """Notes when it fired last."""

    shots: int = 0
    fired_s: float = 0.0
    first: threading.Event = field(default_factory=threading.Event)

    def fire(self, shot: str, pulse: Pulse) -> None:  # noqa: ARG002
        self.fired_s = time.monotonic()
        self.shots += 1
        self.first.set()


class _Noting(Pulser):
    """Notes when it was disarmed for a signal."""

    def __init__(self, driver: _Driver) -> None:
        envelope = Envelope(rest_s=0, shots=10**9, budget_T2ps=1e15)
        super().__init__(name="pulser", driver=driver, guard=Guard(envelope))
        self.disarmed_s = 0.0
        self.told = threading.Event()

    def hold(self, reason: str) -> None:
        """Disarm and hold, and note when that was done."""
        super().hold(reason)
        self.disarmed_s = time.monotonic()
        self.told.set()


def interrupt(interrupts: int, *, seed: int = 0, processes: int = 0, threads: int = 0) -> Any:
    """Interrupt a firing plan so often, from a thread of this process; for its main thread.

    processes, threads : that do nothing but keep the machine, and this interpreter, busy

    Returns ``interrupts``, how many were ``lost`` (nothing disarmed within 5 s), the shots
    ``fired_after`` the pulser was disarmed, and the time to that, ms: p50, p99, longest.
    """
    rng = random.Random(seed)
    taken_ms: list[float] = []
    lost = fired_after = 0
    pulser = _Noting(_Driver())
    engine = RunEngine({}, context_managers=[lambda engine: DisarmOnSignal(engine, pulser)])
    with _busy(processes, threads):
        for _ in range(interrupts):
            driver = _Driver()
            pulser = _Noting(driver)
            sent_s = _interrupted(engine, pulser, driver, rng.uniform(0, _LATEST_S))
            if not pulser.told.is_set():
                lost += 1
                continue
            taken_ms.append((pulser.disarmed_s - sent_s) * 1e3)
            fired_after += driver.fired_s > pulser.disarmed_s
    p50, p99 = np.percentile(taken_ms, [50, 99]) if taken_ms else (np.nan, np.nan)
    return {
        "interrupts": interrupts,
        "lost": lost,
        "fired_after": fired_after,
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "longest_ms": round(max(taken_ms, default=np.nan), 2),
        "load": round(os.getloadavg()[0], 1),
    }


def _interrupted(engine: RunEngine, pulser: _Noting, driver: _Driver, after_s: float) -> float:
    """Run a plan that fires on and on until it is interrupted; when the signal was sent, s."""
    sent: list[float] = []
    over = threading.Event()

    def send() -> None:
        driver.first.wait()
        time.sleep(after_s)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
        if not pulser.told.wait(_LOST_S):
            over.set()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        engine(_firing(pulser, over))
    except RunEngineInterrupted:
        engine.abort()
    except (PulseRefused, KeyboardInterrupt):
        pass  # the plan ended by itself: its shot was disarmed, or nothing fired any more
    sender.join()
    return sent[0]


def _firing(pulser: Pulser, over: threading.Event) -> Plan[None]:
    camera = SimpleNamespace(pulses_per_shot=1)
    beamline: Any = SimpleNamespace(pulser=pulser, camera=camera, is_open=True)
    while not over.is_set():
        yield from fire(beamline, _PULSE)


@contextlib.contextmanager
def _busy(processes: int, threads: int) -> Iterator[None]:
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            pass

    children = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(processes)]
    for _ in range(threads):
        threading.Thread(target=spin, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        for child in children:
            child.kill()
            child.wait()
