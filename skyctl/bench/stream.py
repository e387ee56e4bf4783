"""Benchmark of the frame stream: throughput beside bare ZeroMQ, and what it adds to the network.

Source and hub are two processes on one machine. Each ratio is of two measurements that take turns
in one run, the median of several: whatever else the machine does disturbs both.
"""

import gc
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zmq

from skyctl.bench.loop import loop_latency
from skyctl.bench.machine import ROUNDS, machine
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import Movie
from skyctl.stream.hub import Consumer, Event, Hub
from skyctl.stream.publisher import Publisher

SIDES = {40_000: 100, 119_716: 173, 524_176: 362}
"""Bytes of a square float32 image, and its side in pixels: 40, 120 and 524 kB."""
TRANSPORTS: tuple[Literal["ipc", "tcp"], ...] = ("ipc", "tcp")
RATES = (100.0, 1000.0)

_DISTINCT = 32
_BYTES_A_ROUND = 400_000_000
_PATIENCE_S = 120.0
_SPAWN = multiprocessing.get_context("spawn")


def stream_speed(
    model: Path | None = None, say: Callable[[str], None] = lambda what: None
) -> dict[str, Any]:
    """Throughput of each frame size and transport, and the overhead at each rate."""
    throughput = []
    for size in SIDES:
        for transport in TRANSPORTS:
            say(f"throughput: {size // 1000} kB over {transport}")
            throughput.append(throughput_ratio(size, transport))
    overhead = []
    for rate in RATES:
        say(f"overhead at {rate:g} frames/s")
        result = loop_latency(rate, int(min(15 * rate, 6000)), model, "cpu")
        overhead.append({"rate": rate, **result["overhead_ms"], "lost": result["lost_frames"]})
    return {"machine": machine(), "throughput": throughput, "overhead_ms": overhead}


def throughput_ratio(size: int, transport: Literal["ipc", "tcp"]) -> dict[str, Any]:
    """Frames a second through publisher, hub and one subscriber, over those of bare PUSH/PULL."""
    frames = max(200, _BYTES_A_ROUND // size // ROUNDS)
    ours, bare = [], []
    for _ in range(ROUNDS):
        bare.append(_bare(size, transport, frames))
        ours.append(_streamed(SIDES[size], transport, frames))
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    return {
        "bytes": size,
        "transport": transport,
        "ratio": ratio,
        "frames_per_s": statistics.median(ours),
        "bare_frames_per_s": statistics.median(bare),
        "lost": 0,  # a lost frame raises
    }


@contextmanager
def _source(
    send: Callable[..., None], transport: str, *arguments: Any
) -> Iterator[tuple[str, Any]]:
    """A sending process; the address it is bound to, and an event that starts it."""
    with tempfile.TemporaryDirectory(prefix="skyctl-") as folder:
        address = f"ipc://{folder}/bench" if transport == "ipc" else "tcp://127.0.0.1:*"
        bound, go = _SPAWN.Queue(), _SPAWN.Event()
        process = _SPAWN.Process(target=send, args=(bound, go, address, *arguments), daemon=True)
        process.start()
        try:
            yield bound.get(timeout=_PATIENCE_S), go
        finally:
            go.set()
            process.join(_PATIENCE_S)
            bound.close()


def _send_bare(bound: Any, go: Any, address: str, size: int, frames: int) -> None:
    """As a camera does, another message each time: not one that the cache has."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.bind(address)
        bound.put(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        go.wait()
        messages = [bytes([i]) * size for i in range(_DISTINCT)]
        for i in range(frames + 1):
            socket.send(messages[i % _DISTINCT], copy=False)


def _bare(size: int, transport: str, frames: int) -> float:
    with (
        _source(_send_bare, transport, size, frames) as (address, go),
        zmq.Context() as context,
        context.socket(zmq.PULL) as socket,
    ):
        socket.connect(address)
        go.set()
        socket.recv(copy=False)
        begun = time.perf_counter()
        for _ in range(frames):
            socket.recv(copy=False)
        return frames / (time.perf_counter() - begun)


def _send_stream(bound: Any, go: Any, address: str, side: int, frames: int) -> None:
    frame_bytes = side * side * 4 + 1000
    publisher = Publisher(address, timeout_s=_PATIENCE_S, frame_bytes=frame_bytes)
    bound.put(publisher.address)
    go.wait()
    image = np.random.default_rng(0).uniform(-1, 1, (side, side)).astype(np.float32)
    publisher.start(ShotStart("bench", "s", None, Movie(), frames, image.shape))
    gc.disable()
    for index in range(frames):
        publisher.frame(Frame("bench", "s", index, 5.0 * index, time.time_ns(), image))
    publisher.end("bench", "s")
    publisher.close()


def _streamed(side: int, transport: str, frames: int) -> float:
    done, times = threading.Event(), []
    lost = []

    def handle(event: Event) -> None:
        if isinstance(event, ShotEnd):
            lost.append(event.counts.missing)
            done.set()
        times.append(time.perf_counter())

    with _source(_send_stream, transport, side, frames) as (address, go):
        hub, consumer = Hub(address), Consumer("bench", handle)
        hub.subscribe(consumer)
        go.set()
        arrived = done.wait(_PATIENCE_S)
        hub.close()
        consumer.close()
    if not arrived or lost != [0]:
        raise RuntimeError(f"throughput of {side} x {side} over {transport}: lost {lost} frames")
    return frames / (times[-2] - times[0])
