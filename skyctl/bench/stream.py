"""Benchmark of the frame stream: throughput beside bare ZeroMQ, and what it adds to the network.

Source and hub are two processes on one machine. Each ratio is of two measurements that take turns
in one run, the median of several: whatever else the machine does disturbs both.
"""

import queue
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zmq

from skyctl.bench.loop import loop_latency
from skyctl.bench.machine import ROUNDS, machine
from skyctl.children import CHILDREN
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream.hub import Consumer, Event, Hub
from skyctl.stream.publisher import QUEUED_BYTES, Publisher
from skyctl.stream.sources.transports import QUEUED_MESSAGES

SIDES = {40_000: 100, 119_716: 173, 524_176: 362}
"""Bytes of a square float32 image, and its side in pixels: 40, 120 and 524 kB."""
TRANSPORTS: tuple[Literal["ipc", "tcp"], ...] = ("ipc", "tcp")
RATES = (100.0, 1000.0)

_DISTINCT = 32
_BYTES_A_ROUND = 400_000_000
"""Several times what may wait: the memory that a stream goes on with is made at its begin."""
_PATIENCE_S = 120.0


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
    """Frames a second through publisher, hub and one subscriber, over those of bare PUSH/PULL.

    Both are two fresh processes, with the same bytes, queues and 32 images in turn. Neither end of
    the bare one copies or looks at a message. Ours makes each from an image; its other end counts
    and checks it and hands it to a subscriber in a thread of its own, who counts it again.
    """
    frames = _BYTES_A_ROUND // size
    ours, bare = [], []
    for _ in range(ROUNDS):
        bare.append(_rate(_send_bare, _receive_bare, transport, SIDES[size], frames))
        ours.append(_rate(_send_stream, _receive_stream, transport, SIDES[size], frames))
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    return {
        "bytes": size,
        "transport": transport,
        "ratio": ratio,
        "frames_per_s": statistics.median(ours),
        "bare_frames_per_s": statistics.median(bare),
        "lost": 0,  # a lost frame raises
    }


def _rate(
    send: Callable[..., None], receive: Callable[..., None], transport: str, side: int, frames: int
) -> float:
    """Frames a second from a process that sends to one that receives."""
    with tempfile.TemporaryDirectory(prefix="skyctl-") as folder:
        address = f"ipc://{folder}/bench" if transport == "ipc" else "tcp://127.0.0.1:*"
        bound, rate, go = CHILDREN.Queue(), CHILDREN.Queue(), CHILDREN.Event()
        source = CHILDREN.Process(target=send, args=(bound, go, address, side, frames), daemon=True)
        source.start()
        address = bound.get(timeout=_PATIENCE_S)
        sink = CHILDREN.Process(target=receive, args=(rate, go, address, frames), daemon=True)
        sink.start()
        try:
            return rate.get(timeout=_PATIENCE_S)
        except queue.Empty:
            raise RuntimeError(f"{side} x {side} over {transport}: frames were lost") from None
        finally:
            for process in (sink, source):
                process.terminate()
                process.join()


def _send_bare(bound: Any, go: Any, address: str, side: int, frames: int) -> None:
    """As a camera does, another image each time: not one that the cache has."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.setsockopt(zmq.SNDHWM, QUEUED_BYTES // _frame_bytes(side))
        socket.bind(address)
        bound.put(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        go.wait()
        messages = [bytes([i]) * (side * side * 4) for i in range(_DISTINCT)]
        for i in range(frames):
            socket.send(messages[i % _DISTINCT], copy=False)


def _receive_bare(rate: Any, go: Any, address: str, frames: int) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVHWM, QUEUED_MESSAGES)
        socket.connect(address)
        go.set()
        socket.recv(copy=False)
        begun = time.perf_counter()
        for _ in range(frames - 1):
            socket.recv(copy=False)
        rate.put((frames - 1) / (time.perf_counter() - begun))


def _send_stream(bound: Any, go: Any, address: str, side: int, frames: int) -> None:
    publisher = Publisher(address, timeout_s=_PATIENCE_S, frame_bytes=_frame_bytes(side))
    bound.put(publisher.address)
    go.wait()
    images = np.random.default_rng(0).uniform(-1, 1, (_DISTINCT, side, side)).astype(np.float32)
    publisher.start(ShotStart("bench", "s", None, FrameSchedule(), frames, (side, side)))
    for index in range(frames):
        image = images[index % _DISTINCT]
        publisher.frame(Frame("bench", "s", index, 5.0 * index, time.time_ns(), image))
    publisher.end("bench", "s")
    publisher.close()


def _receive_stream(rate: Any, go: Any, address: str, frames: int) -> None:
    seen = 0
    begun = 0.0

    def handle(event: Event) -> None:
        nonlocal seen, begun
        if isinstance(event, Frame):
            seen += 1
            begun = begun or time.perf_counter()
        elif (
            isinstance(event, ShotEnd) and event.counts == Counts(received=seen) and seen == frames
        ):
            rate.put((frames - 1) / (time.perf_counter() - begun))

    hub, consumer = Hub(address), Consumer("bench", handle)
    hub.subscribe(consumer)
    go.set()
    threading.Event().wait()  # to be terminated


def _frame_bytes(side: int) -> int:
    """Of a message, its head included."""
    return side * side * 4 + 1000
