"""What the benchmarks of the page stand on: a source, a page's server, and viewers, by process."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from skyctl.children import CHILDREN
from skyctl.errors import needs
from skyctl.frame import Frame, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.monitor import PageServer, People, Watch
from skyctl.monitor.controls import Controls
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.verdict import ShotResult, Verdict

with needs("bench"):
    import httpx

PATIENCE_S = 60.0
BITS = 16
"""Of the number that each coded frame shows, as 4 × 4 bright and dark squares."""
_FRAMES = 1000
_MOVIE = FrameSchedule(duration_ps=165.0, interval_ps=5.0)
_PULSED_FRAMES = len(_MOVIE.times_ps)


def coded(number: int, side: int) -> np.ndarray:
    """(side, side) S_z that shows a number: bit 0 in the lower left corner, row by row."""
    bits = (number >> np.arange(BITS)) & 1
    squares = np.where(bits, 1.0, -1.0).astype(np.float32).reshape(4, 4)
    return np.kron(squares, np.ones((side // 4, side // 4), np.float32))


def _disc(index: int, side: int) -> np.ndarray:
    """(side, side) S_z of a disc that breathes, for the classifier."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    radius = side * (0.06 + 0.1 * np.sin(np.pi * index / _PULSED_FRAMES))
    return np.tanh((radius - np.hypot(x, y)) / (0.02 * side)).astype(np.float32)


def send_film(told: Any, over: Any, rate: float, side: int, pulsed: bool) -> None:
    """Send movies until it is over; tells its address, then when each frame was sent (UNIX, s).

    pulsed : movies of a breathing disc after a pulse; else frames that show their number
    """
    publisher = Publisher("tcp://127.0.0.1:*", timeout_s=PATIENCE_S, frame_bytes=5 * side * side)
    told.put(publisher.address)
    images = [_disc(index, side) for index in range(_PULSED_FRAMES)]
    sent: list[float] = []
    frames = _PULSED_FRAMES if pulsed else _FRAMES
    pulse = Pulse(amplitude_T=2.0, width_ps=20.0) if pulsed else None
    shot, due = 0, time.monotonic()
    while not over.is_set():
        name = f"s{shot}"
        publisher.start(ShotStart("bench", name, pulse, _MOVIE, frames, (side, side)))
        for index in range(frames):
            image = images[index] if pulsed else coded(len(sent) % 2**BITS, side)
            due = max(due + 1 / rate, time.monotonic() - 0.1)  # what is late is not made up for
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)
            now = time.time_ns()
            publisher.frame(Frame("bench", name, index, 5.0 * index, now, image))
            sent.append(now / 1e9)
        publisher.end("bench", name)
        shot += 1
    publisher.close()
    told.put(sent)


@dataclass
class Stand:
    """A hub with its classifier, before a source that films until the stand is closed.

    latencies_ms : receive to verdict, of each frame since they were cleared
    """

    hub: Hub
    streaming: StreamingClassifier
    latencies_ms: list[float]
    sent: list[float]


@contextlib.contextmanager
def standing(rate: float, side: int, pulsed: bool) -> Iterator[Stand]:
    """A stand; ``sent`` is complete once it is closed.

    pulsed : as `send_film` has it; only then the classifier is asked, as of no frame without a
        pulse it says anything: it would but hold the source back
    """
    told, over = CHILDREN.Queue(), CHILDREN.Event()
    source = CHILDREN.Process(target=send_film, args=(told, over, rate, side, pulsed), daemon=True)
    source.start()
    hub = Hub(told.get(timeout=PATIENCE_S))
    streaming = StreamingClassifier(MovieClassifier())
    stand = Stand(hub, streaming, [], [])

    def timed(news: Verdict | ShotResult) -> None:
        if isinstance(news, Verdict):
            stand.latencies_ms.append(news.latency_ms)

    streaming.subscribe(timed)
    classifier = Consumer("classifier", streaming.handle)
    if pulsed:
        hub.subscribe(classifier)
    try:
        yield stand
    finally:
        over.set()
        with contextlib.suppress(Exception):
            stand.sent.extend(told.get(timeout=PATIENCE_S))
        hub.close()
        classifier.close()
        source.join(PATIENCE_S)


@contextlib.contextmanager
def page_of(stand: Stand, controls: Controls | None = None) -> Iterator[str]:
    """A link to the page of a stand, for as long as it is served."""
    watch = Watch(stand.hub, stand.streaming)
    watch.controls = controls
    server = PageServer(watch, People({"Bench": "operator"}))
    server.start()
    try:
        yield server.links["Bench"]
    finally:
        server.close()
        watch.close()


class Viewers:
    """So many pages in a process of their own, that draw in no time, or stand still.

    frames : how many each was sent so far
    """

    def __init__(self, link: str, count: int, *, still: bool = False) -> None:
        self._over = CHILDREN.Event()
        self._seen = CHILDREN.Array("q", count)
        self._process = CHILDREN.Process(
            target=_look, args=(link, count, still, self._seen, self._over), daemon=True
        )

    @property
    def frames(self) -> list[int]:
        """How many frames each was sent."""
        return self._seen[:]

    def __enter__(self) -> "Viewers":
        self._process.start()
        end = time.monotonic() + PATIENCE_S
        while not all(self.frames):
            if time.monotonic() > end:
                raise RuntimeError("a viewer of the page was sent no frame")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._process.join(PATIENCE_S)


def signed_in(link: str) -> tuple[str, str]:
    """(address, cookie) of a link."""
    address = link.partition("/?")[0]
    answer = httpx.get(link, trust_env=False)
    return address, answer.headers["set-cookie"].partition(";")[0]


def _look(link: str, count: int, still: bool, seen: Any, over: Any) -> None:
    async def one(number: int) -> None:
        address, cookie = signed_in(link)
        async with connect(
            address.replace("http", "ws") + "/ws",
            origin=address,  # type: ignore[arg-type]  # a str is one
            additional_headers={"Cookie": cookie},
            compression=None,
            proxy=None,
        ) as socket:
            async for said in socket:
                if isinstance(said, bytes):
                    seen[number] += 1
                if not still:
                    await socket.send("frame" if isinstance(said, bytes) else "state")

    async def all_of_them() -> None:
        looking = [asyncio.create_task(one(number)) for number in range(count)]
        await asyncio.to_thread(over.wait)
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    asyncio.run(all_of_them())


def wait(seconds: float) -> None:
    """Sleep, as the main thread of a benchmark."""
    threading.Event().wait(seconds)
