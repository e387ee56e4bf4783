"""Benchmark of the page: what it costs the classifier, how fast STOP is, and who slows whom."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import ROUNDS, machine
from skyctl.bench.monitor_browser import painted
from skyctl.bench.monitor_stand import Viewers, page_of, signed_in, standing, wait
from skyctl.bench.soak import memory_mb
from skyctl.children import CHILDREN
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.errors import needs
from skyctl.monitor.action_log import ActionLog
from skyctl.monitor.controls import Controls
from skyctl.monitor.latch import Latch
from skyctl.plans.modes import ApprovalDesk
from skyctl.pulse import Pulse

with needs("bench"):
    import httpx

_ROUND_S = 5.0
_SETTLE_S = 1.0
_STOPS = 50
Say = Callable[[str], None]


def monitor_speed(
    minutes: float = 1.0, browser: bool = True, say: Say = lambda what: None
) -> dict[str, Any]:
    """Everything; ``minutes`` of the memory's, ``browser`` : also what Chromium paints."""
    say("classifier latency, with and without a page")
    result: dict[str, Any] = {"machine": machine(), "classifier": classifier_latency(say)}
    say("STOP")
    result["stop"] = stop_latency()
    say("ten viewers that stand still")
    result["viewers"] = still_viewers()
    if browser:
        result["browser"] = painted(say)
    say(f"memory, {minutes:g} minutes")
    result["memory"] = memory(minutes, say)
    return result


def classifier_latency(say: Say, rate: float = 100.0, side: int = 100) -> dict[str, Any]:
    """Receive to verdict without a page, with one that nobody looks at, and with two viewers; they
    take turns. The ratio is the median of the rounds' own."""
    rounds: dict[str, list[tuple[float, float]]] = {"none": [], "served": [], "two": []}
    with standing(rate, side, pulsed=True) as stand:

        def measure(what: str) -> None:
            wait(_SETTLE_S)
            stand.latencies_ms.clear()
            wait(_ROUND_S)
            p50, p99 = np.percentile(stand.latencies_ms, (50, 99))
            rounds[what].append((float(p50), float(p99)))

        for number in range(ROUNDS):
            say(f"classifier latency, round {number + 1} of {ROUNDS}")
            measure("none")
            with page_of(stand) as link:
                measure("served")
                with Viewers(link, 2):
                    measure("two")
    return {
        "rate": rate,
        "side": side,
        **{what: _medians(of) for what, of in rounds.items()},
        "two_over_served": _ratio(rounds["two"], rounds["served"]),
        "two_over_none": _ratio(rounds["two"], rounds["none"]),
    }


def _medians(rounds: list[tuple[float, float]]) -> dict[str, float]:
    p50, p99 = (statistics.median(each) for each in zip(*rounds, strict=True))
    return {"p50_ms": p50, "p99_ms": p99}


def _ratio(these: list[tuple[float, float]], those: list[tuple[float, float]]) -> dict[str, float]:
    return {
        name: statistics.median(a[k] / b[k] for a, b in zip(these, those, strict=True))
        for k, name in enumerate(("p50", "p99"))
    }


class _Nothing:
    """Sends no pulse."""

    def fire(self, shot: str, pulse: Pulse) -> None:
        """Nobody is pulsed."""


def stop_latency(rate: float = 1000.0, side: int = 100) -> dict[str, Any]:
    """From the request's being sent to the pulser's being disarmed, while two pages are fed."""
    pulser = Pulser(name="pulser", driver=_Nothing(), guard=Guard(Envelope()))
    disarmed: list[float] = []
    disarm = pulser.disarm

    def noting(reason: str = "asked to") -> int:
        times = disarm(reason)
        if reason.startswith("stopped"):
            disarmed.append(time.monotonic())
        return times

    pulser.disarm = noting
    with tempfile.TemporaryDirectory() as folder, standing(rate, side, pulsed=False) as stand:
        log = ActionLog(Path(folder) / "monitor.jsonl")
        controls = Controls(pulser, ApprovalDesk(), log)
        with page_of(stand, controls) as link, Viewers(link, 2):
            asked, pressed = CHILDREN.Queue(), CHILDREN.Queue()
            presser = CHILDREN.Process(target=_press, args=(link, asked, pressed), daemon=True)
            presser.start()
            took = [_one_stop(pulser, controls, asked, pressed, disarmed) for _ in range(_STOPS)]
            asked.put(False)
            presser.join()
        log.close()
    p50, p99 = np.percentile(took, (50, 99))
    return {"stops": _STOPS, "p50_ms": float(p50), "p99_ms": float(p99), "most_ms": max(took)}


def _one_stop(
    pulser: Pulser, controls: Controls, asked: Any, pressed: Any, disarmed: list[float]
) -> float:
    """How long one took, ms."""
    pulser.set(Pulse(amplitude_T=1.0, width_ps=2.0), shot=f"s{len(disarmed)}")
    asked.put(True)
    sent = pressed.get(timeout=60)
    stopped = controls.stopped
    if stopped is None or pulser.armed.get():
        raise RuntimeError("a STOP did not stop")
    Latch.of(pulser).release(stopped.number)
    return 1e3 * (disarmed[-1] - sent)


def _press(link: str, asked: Any, pressed: Any) -> None:
    address, cookie = signed_in(link)
    headers = {"Origin": address, "Cookie": cookie}
    with httpx.Client(base_url=address, trust_env=False, headers=headers) as http:
        http.get("/")
        while asked.get():
            sent = time.monotonic()
            http.post("/api/stop", json={}).raise_for_status()
            pressed.put(sent)


def still_viewers(rate: float = 100.0, side: int = 100) -> dict[str, Any]:
    """Frames a second of one viewer alone, and beside ten that never draw; they take turns."""
    alone, beside = [], []
    with (
        standing(rate, side, pulsed=False) as stand,
        page_of(stand) as link,
        Viewers(link, 1) as us,
    ):

        def measure(into: list[float]) -> None:
            wait(_SETTLE_S)
            before, begun = us.frames[0], time.monotonic()
            wait(_ROUND_S)
            into.append((us.frames[0] - before) / (time.monotonic() - begun))

        for _ in range(3):
            measure(alone)
            with Viewers(link, 10, still=True):
                measure(beside)
    return {
        "alone_per_s": statistics.median(alone),
        "beside_ten_per_s": statistics.median(beside),
        "ratio": statistics.median(b / a for a, b in zip(alone, beside, strict=True)),
    }


def memory(minutes: float, say: Say, rate: float = 100.0, side: int = 100) -> dict[str, Any]:
    """Memory of the server's process by the minute, hub and classifier in it, two viewers fed."""
    rows: list[dict[str, float]] = []
    steps = max(4, round(minutes))
    with standing(rate, side, pulsed=True) as stand, page_of(stand) as link, Viewers(link, 2) as us:
        for step in range(steps + 1):
            rows.append(
                {"minute": step * minutes / steps, "MB": memory_mb(), "frames": min(us.frames)}
            )
            say(f"memory: {rows[-1]['MB']:.0f} MB after {rows[-1]['minute']:.1f} minutes")
            if step < steps:
                wait(60 * minutes / steps)
            stand.latencies_ms.clear()
    later = rows[len(rows) // 4 :]
    return {
        "minutes": minutes,
        "grew_MB": later[-1]["MB"] - later[0]["MB"],
        "rows": rows,
    }
