"""Benchmark of the loop: receive to verdict at a steady frame rate."""

import multiprocessing
import queue
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.frame import Frame, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import Movie, Pulse
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.verdict import ShotResult, Verdict

_MOVIE_FRAMES = 34
_TIMEOUT_S = 30.0


def loop_latency(rate: float, frames: int, model: Path | None, provider: str) -> dict[str, Any]:
    """Receive-to-verdict latency of 100 × 100 S_z frames at ``rate`` a second.

    The source is another process; the floor is the bare network step (features and ONNX Runtime, no
    stream, no threads) at the same rate in this one, because caches are cold between frames.
    """
    classifier = MovieClassifier(model, provider)
    publisher_ready: Any = multiprocessing.get_context("spawn").Queue()
    source = multiprocessing.get_context("spawn").Process(
        target=_send, args=(publisher_ready, rate, frames), daemon=True
    )
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
    floor = _bare_steps(classifier, rate, min(frames, 500))
    rows = [
        _latency_row("stream to verdict", rate, latencies, classifier.provider),
        _latency_row("bare network step", rate, floor, classifier.provider),
    ]
    lost = sum(count.missing for count in seen)
    return {"machine": machine(), "lost_frames": lost, "results": rows}


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


def _bare_steps(classifier: MovieClassifier, rate: float, frames: int) -> list[float]:
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, 100, 100)).astype(np.float32)
    classifier.reset(1.0)
    wait = threading.Event()
    elapsed = []
    for i in range(frames):
        wait.wait(1 / rate)
        start = time.perf_counter()
        classifier.step(images[i % len(images)])
        elapsed.append((time.perf_counter() - start) * 1e3)
    return elapsed


def _send(ready: Any, rate: float, frames: int) -> None:
    """The source process: movies of 34 frames at a steady rate."""
    publisher = Publisher()
    ready.put(publisher.address)
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (100, 100)).astype(np.float32)
    movie = Movie(duration_ps=165, interval_ps=5)
    due = time.perf_counter()
    for shot in range(-(-frames // _MOVIE_FRAMES)):
        name = f"bench-{shot}"
        publisher.start(
            ShotStart("bench", name, Pulse(width_ps=28), movie, _MOVIE_FRAMES, image.shape)
        )
        for index, time_ps in enumerate(movie.times_ps):
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            publisher.frame(Frame("bench", name, index, time_ps, time.time_ns(), image))
        publisher.end("bench", name)
    time.sleep(5)  # until everything queued has been taken
    publisher.close()
