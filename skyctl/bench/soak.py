"""Soak: the stream at a steady rate for minutes; nothing lost, memory flat, latency flat."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.children import CHILDREN
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream.accounting import LatencyHistogram
from skyctl.stream.hub import Consumer, Event, Hub
from skyctl.stream.publisher import Publisher

_MOVIE_FRAMES = 1000


def soak(
    minutes: float = 10.0,
    rate: float = 1000.0,
    side: int = 100,
    say: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Stream ``rate`` frames of side × side float32 a second to two lossless subscribers.

    Each minute (or tenth of a short run) has a row: frames, losses, memory of this process, latency
    from the source to a subscriber.
    """
    shots = max(1, round(minutes * 60 * rate / _MOVIE_FRAMES))
    told = CHILDREN.Queue()
    go = CHILDREN.Event()
    source = CHILDREN.Process(target=_send, args=(told, go, rate, side, shots), daemon=True)
    source.start()
    hub = Hub(told.get(timeout=60))
    listeners = [_Listener(hub, f"soak-{i}") for i in range(2)]
    go.set()
    rows = list(_watched(hub, listeners, shots, minutes, say))
    sent = told.get(timeout=60)
    hub.close()
    for listener in listeners:
        listener.consumer.close()
    source.join(60)
    totals = hub.accounting()
    return {
        "machine": machine(),
        "rate": rate,
        "bytes": side * side * 4,
        "minutes": minutes,
        "sent": sent,
        "received": totals["received"],
        "by_subscriber": [listener.frames for listener in listeners],
        "unaccounted": sent - totals["received"] - totals["missing"],
        "totals": dict(totals),
        "rows": rows,
    }


class _Listener:
    """A lossless subscriber that counts, and times what it gets."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.frames = self.shots = 0
        self.latency = LatencyHistogram()
        self.consumer = Consumer(name, self._take)
        hub.subscribe(self.consumer)

    def _take(self, event: Event) -> None:
        if isinstance(event, Frame):
            self.frames += 1
            self.latency.add((time.monotonic_ns() - event.left_source_ns) / 1e6)
        elif isinstance(event, ShotEnd):
            self.shots += 1


def _watched(
    hub: Hub,
    listeners: Sequence[_Listener],
    shots: int,
    minutes: float,
    say: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """A row each minute, or tenth of a short run, until all shots have ended; latency is that of
    the first listener."""
    timed = listeners[0]
    length_s = min(60.0, minutes * 6)
    begun, before = time.monotonic(), 0
    while (
        min(listener.shots for listener in listeners) < shots
        and time.monotonic() - begun < 2 * minutes * 60 + 60
    ):
        time.sleep(length_s)
        taken, timed.latency = timed.latency, LatencyHistogram()
        if not taken.total:
            continue
        row = {
            "elapsed_s": round(time.monotonic() - begun, 1),
            "frames": timed.frames - before,
            "missing": hub.totals["missing"],
            "memory_MB": round(memory_mb(), 1),
            "queued_kB": max(listener.consumer.queued_bytes for listener in listeners) / 1e3,
            "p50_ms": taken.quantile(0.5),
            "p99_ms": taken.quantile(0.99),
            "max_ms": taken.largest_ms,
        }
        before = timed.frames
        say(f"{row}")
        yield row


def memory_mb() -> float:
    """Resident memory of this process (Linux; NaN elsewhere)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * 4096 / 1e6


def _send(told: Any, go: Any, rate: float, side: int, shots: int) -> None:
    """The source process."""
    publisher = Publisher(timeout_s=60)
    told.put(publisher.address)
    go.wait()
    image = np.random.default_rng(0).uniform(-1, 1, (side, side)).astype(np.float32)
    due, sent = time.perf_counter(), 0
    for shot in range(shots):
        name = f"soak-{shot}"
        publisher.start(ShotStart("soak", name, None, FrameSchedule(), _MOVIE_FRAMES, image.shape))
        for index in range(_MOVIE_FRAMES):
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            publisher.frame(Frame("soak", name, index, 0.0, time.time_ns(), image))
            sent += 1
        publisher.end("soak", name)
    publisher.close()
    told.put(sent)
