"""Benchmark of a detector's images to verdicts: areaDetector's NTNDArray beside our own stream.

The detector is another process either way, at a steady rate; hub, classifier and images are the
same. What differs is what they come by: counts by PV Access, or S_z by ZeroMQ; and what is done to
the counts. As in any run, there is a look before the movie.
"""

import functools
import os
import queue
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from skyctl.beamline.beamline import warm_up
from skyctl.bench.registration import calibrated
from skyctl.children import CHILDREN
from skyctl.frame import Frame, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.instrument.counting import CountingCamera
from skyctl.simulators.instrument.loopback import epics_on_loopback, free_ports
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.stream.sources.drifting import Drifting
from skyctl.stream.sources.ntndarray import NtndArrayParser, PvaTransport
from skyctl.stream.sources.own import own_source
from skyctl.stream.sources.pixels import Scaling, ToSz
from skyctl.stream.sources.source import Source
from skyctl.verdict import ShotResult, Verdict

SIDE = 512
_MIDDLE, _HALF = 2000.0, 600.0
"""Counts where S_z is 0, and counts of S_z = 1."""
_DISTINCT = 32
_PATIENCE_S = 60.0
_PV = "SIM:Image"
_DRIFT = (3.4, -2.7)


def detector_to_verdict(
    rate: float, images: int, model: MovieClassifier | None = None
) -> list[dict[str, Any]]:
    """A row for each way: images, how many are missing, ms from received and sent to verdict, and
    processor time of one that got its verdict (``cpu_ms``), all threads of this process.
    With scikit-image also of a sample that has drifted: each movie is registered.

    rate : images a second, of 512 × 512 pixels; images : of one movie

    Raises TimeoutError for a movie that does not end, StreamError without p4p.
    """
    model = model or MovieClassifier()
    warm_up(model, (SIDE, SIDE))  # as `assemble` does, for either way alike
    plain = partial(_areadetector, Scaling(offset=_MIDDLE, scale=1 / _HALF))
    ways: list[tuple[str, Callable[..., None], Callable[[Any], Source]]] = [
        ("NTNDArray, uint16 counts", partial(_send_ntndarray, _counts), plain),
        ("our own stream, float32 S_z", _send_own, own_source),
    ]
    if find_spec("skimage"):
        drifting = Drifting(calibrated(_camera()), farthest=2 * max(_DRIFT))
        send, connect = partial(_send_ntndarray, _drifted), partial(_areadetector, drifting)
        ways.insert(1, ("NTNDArray, uint16 counts, each movie registered", send, connect))
    return [
        {"by": by, "rate": rate, **_measured(send, connect, rate, images, model)}
        for by, send, connect in ways
    ]


def _areadetector(to_sz: ToSz, conf: dict[str, str]) -> Source:
    return Source(PvaTransport(_PV, conf=conf), NtndArrayParser(to_sz, "bench"))


def _measured(
    send: Callable[..., None],
    connect: Callable[[Any], Source],
    rate: float,
    images: int,
    model: MovieClassifier,
) -> dict[str, Any]:
    told, look, film = CHILDREN.Queue(), CHILDREN.Event(), CHILDREN.Event()
    detector = CHILDREN.Process(target=send, args=(told, look, film, rate, images), daemon=True)
    detector.start()
    source = connect(told.get(timeout=_PATIENCE_S))
    results: queue.Queue[ShotResult] = queue.Queue()

    def listen(news: Verdict | ShotResult) -> None:
        if isinstance(news, ShotResult) and news.shot in ("look", "movie"):
            results.put(news)

    streaming = StreamingClassifier(model)
    streaming.subscribe(listen)
    hub, consumer = Hub(source), Consumer("bench", streaming.handle)
    hub.subscribe(consumer)
    if isinstance(source.transport, PvaTransport):
        _wait_for_the_old_image(hub)
    try:
        source.parser.expect(_look())
        look.set()
        results.get(timeout=_PATIENCE_S)
        source.parser.expect(_start(images))
        began_s = time.process_time()
        film.set()
        result = results.get(timeout=_PATIENCE_S + 2 * images / rate)
        took_s = time.process_time() - began_s
    except queue.Empty:
        raise TimeoutError(f"{images} images at {rate:g} a second: the movie did not end") from None
    finally:
        hub.close()
        consumer.close()
        detector.terminate()
        detector.join()
    p50, p99 = np.percentile(result.latencies_ms, (50, 99))
    return {
        "images": images,
        "missing": result.counts.missing,
        "verdicts": len(result.latencies_ms),
        "received_p50_ms": float(p50),
        "received_p99_ms": float(p99),
        "sent_p50_ms": streaming.age.quantile(0.5),
        "sent_p99_ms": streaming.age.quantile(0.99),
        "cpu_ms": 1e3 * took_s / max(1, len(result.latencies_ms)),
        "load": os.getloadavg()[0],
    }


def _wait_for_the_old_image(hub: Hub) -> None:
    """A PV tells its present value first, which is of no movie."""
    due = time.monotonic() + _PATIENCE_S
    while not hub.totals["received"]:
        if time.monotonic() > due:
            raise TimeoutError(f"PV {_PV}: not heard of within {_PATIENCE_S:g} s")
        time.sleep(0.01)


def _look() -> ShotStart:
    return ShotStart("bench", "look", None, FrameSchedule(), 1, (SIDE, SIDE))


def _start(images: int) -> ShotStart:
    return ShotStart("bench", "movie", Pulse(width_ps=28), FrameSchedule(), images, (SIDE, SIDE))


@functools.cache
def _counts() -> np.ndarray:
    """Noise around a film magnetised up, another one each time."""
    noise = np.random.default_rng(0).normal(0, 0.1, (_DISTINCT, SIDE, SIDE))
    return (_MIDDLE + _HALF * (0.9 + noise)).astype(np.uint16)


def _camera() -> CountingCamera:
    """Of few enough photons for 16 bits, and contrast enough for those."""
    return CountingCamera(0, SIDE, contrast=0.2, photons=2e4)


@functools.cache
def _drifted() -> np.ndarray:
    """A film magnetised up, on a sample that has drifted since its camera was calibrated."""
    camera, up = _camera(), np.ones((SIDE, SIDE))
    return np.stack([camera.counts(up, _DRIFT) for _ in range(_DISTINCT)]).astype(np.uint16)


def _paced(rate: float, images: int) -> Iterator[int]:
    due = time.perf_counter()
    for number in range(images):
        yield number
        due += 1 / rate
        time.sleep(max(0.0, due - time.perf_counter()))


def _send_own(told: Any, look: Any, film: Any, rate: float, images: int) -> None:
    """The detector's process: S_z by our own stream."""
    movie = ((_counts() - _MIDDLE) / _HALF).astype(np.float32)
    publisher = Publisher(frame_bytes=movie[0].nbytes + 1000)
    told.put(publisher.address)
    look.wait()
    publisher.start(_look())
    publisher.frame(Frame("bench", "look", 0, 0.0, time.time_ns(), movie[0]))
    publisher.end("bench", "look")
    film.wait()
    publisher.start(_start(images))
    for number in _paced(rate, images):
        image = movie[number % _DISTINCT]
        publisher.frame(Frame("bench", "movie", number, 0.1 * number, time.time_ns(), image))
    publisher.end("bench", "movie")
    time.sleep(_PATIENCE_S)  # to be terminated: closing would drop what is still queued


def _send_ntndarray(
    movie: Callable[[], np.ndarray], told: Any, look: Any, film: Any, rate: float, images: int
) -> None:
    """The detector's process: counts, as areaDetector's PVA plugin serves them."""
    from p4p import Value
    from p4p.nt import NTNDArray
    from p4p.server import Server
    from p4p.server.thread import SharedPV

    kind = NTNDArray.buildType()
    size = {"offset": 0, "fullSize": SIDE, "binning": 1, "reverse": False, "size": SIDE}
    colour = {"name": "ColorMode", "value": 0, "descriptor": "", "source": ""}

    def value(number: int) -> Any:
        counts = movie()[number % _DISTINCT]
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        stamp = {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds, "userTag": 0}
        return Value(
            kind,
            {
                "value": ("ushortValue", counts.ravel()),
                "codec": {"name": "", "parameters": 6},
                "compressedSize": counts.nbytes,
                "uncompressedSize": counts.nbytes,
                "dimension": [size, size],
                "uniqueId": number,
                "dataTimeStamp": stamp,
                "attribute": [colour],
            },
        )

    image = SharedPV(initial=value(0))
    with Server(
        providers=[{_PV: image}], conf=epics_on_loopback(free_ports()), useenv=False
    ) as server:
        told.put(
            {key: setting for key, setting in server.conf().items() if isinstance(setting, str)}
        )
        look.wait()
        image.post(value(1))
        film.wait()
        for number in _paced(rate, images):
            image.post(value(number + 2))
        time.sleep(_PATIENCE_S)  # to be terminated
