"""Benchmark of the loop: receive to verdict at a steady frame rate."""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.children import CHILDREN
from skyctl.frame import Frame, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.verdict import ShotResult, Verdict

_MOVIE_FRAMES = 34
_TIMEOUT_S = 30.0
_SHOWN = ("p50", "p99")


def loop_latency(rate: float, frames: int, model: Path | None, provider: str) -> dict[str, Any]:
    """Receive-to-verdict latency of 100 × 100 S_z frames at ``rate`` a second.

    The source is another process; the floors are the network step (features and ONNX Runtime, no
    stream, no threads) and ONNX Runtime's call alone, at the same rate in this one, because caches
    are cold between frames. ``overhead_ms`` is what all the rest adds to that call.
    """
    classifier = MovieClassifier(model, provider)
    publisher_ready: Any = CHILDREN.Queue()
    source = CHILDREN.Process(target=_send, args=(publisher_ready, rate, frames), daemon=True)
    source.start()
    hub = Hub(publisher_ready.get(timeout=_TIMEOUT_S))
    latencies: list[float] = []
    counts: queue.Queue[Any] = queue.Queue()

    def listen(news: Verdict | ShotResult) -> None:
        if isinstance(news, ShotResult):
            latencies.extend(news.latencies_ms)
            counts.put(news.counts)

    streaming = StreamingClassifier(classifier)
    streaming.subscribe(listen)
    consumer = Consumer("bench", streaming.handle)
    hub.subscribe(consumer)
    try:
        shots = -(-frames // _MOVIE_FRAMES)
        seen = [counts.get(timeout=_TIMEOUT_S + 2 * frames / rate) for _ in range(shots)]
    finally:
        hub.close()
        consumer.close()
        source.terminate()
        source.join()
    floors = {
        "network step": lambda image: classifier.step(image),
        "ONNX Runtime's call": _bare_call(classifier),
    }
    timed = {"stream to verdict": latencies}
    for what, call in floors.items():
        timed[what] = _at_rate(call, rate, min(frames, 1000))
    rows = [_latency_row(what, rate, ms, classifier.provider) for what, ms in timed.items()]
    return {
        "machine": machine(),
        "lost_frames": sum(count.missing for count in seen),
        "results": rows,
        "overhead_ms": {name: rows[0][f"{name}_ms"] - rows[-1][f"{name}_ms"] for name in _SHOWN},
    }


def _latency_row(what: str, rate: float, values_ms: list[float], provider: str) -> dict[str, Any]:
    p50, p99 = np.percentile(values_ms, (50, 99))
    return {
        "what": what,
        "frames_per_s": rate,
        "frames": len(values_ms),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(max(values_ms)),
        "provider": provider,
    }


def _bare_call(classifier: MovieClassifier) -> Callable[[np.ndarray], object]:
    """ONNX Runtime's call for one frame whose features are there already."""
    card, session = classifier.card, classifier.session
    inputs = {
        "features": np.zeros((1, card.features), np.float32),
        "hidden": np.zeros((1, card.hidden), np.float32),
    }
    return lambda image: session.run(["probabilities", "next_hidden"], inputs)


def _at_rate(call: Callable[[np.ndarray], object], rate: float, frames: int) -> list[float]:
    """How long each call takes, ms."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, 100, 100)).astype(np.float32)
    wait = threading.Event()
    elapsed = []
    for i in range(frames):
        wait.wait(1 / rate)
        start = time.perf_counter()
        call(images[i % len(images)])
        elapsed.append((time.perf_counter() - start) * 1e3)
    return elapsed


def _send(ready: Any, rate: float, frames: int) -> None:
    """The source process: movies of 34 frames at a steady rate."""
    publisher = Publisher()
    ready.put(publisher.address)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (_MOVIE_FRAMES, 100, 100)).astype(np.float32)
    movie = FrameSchedule(duration_ps=165, interval_ps=5)
    due = time.perf_counter()
    for shot in range(-(-frames // _MOVIE_FRAMES)):
        name = f"bench-{shot}"
        publisher.start(
            ShotStart("bench", name, Pulse(width_ps=28), movie, _MOVIE_FRAMES, images.shape[1:])
        )
        for index, time_ps in enumerate(movie.times_ps):
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            publisher.frame(Frame("bench", name, index, time_ps, time.time_ns(), images[index]))
        publisher.end("bench", name)
    time.sleep(5)  # until everything queued has been taken
    publisher.close()
