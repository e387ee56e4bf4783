"""What breaks a frame stream, done on purpose: what was sent, what arrived, what was accounted for.

Source and consumer are processes of their own on loopback. Each scenario gives a FaultRow; its
account is right when every frame that was sent is received, missing, or in the hands of a consumer
that was killed.
"""

import os
import queue
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import zmq

from skyctl.children import CHILDREN
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream import wire
from skyctl.stream.hub import Consumer, Event, Hub
from skyctl.stream.publisher import Publisher

RUN = "faults"
_SHAPE = (100, 100)
_PATIENCE_S = 60.0
_IMAGE = np.zeros(_SHAPE, np.float32)


@dataclass(frozen=True)
class FaultRow:
    """Frames of one scenario.

    sent : by the source, by its own count; received : by the hubs, each frame once for each movie
    lost : sent and never received; accounted : received, or missing by the hub's account
    right : whether the account is what really happened
    """

    fault: str
    sent: int
    received: int
    lost: int
    accounted: int
    right: bool
    totals: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Plain content."""
        return asdict(self)


def free_address() -> str:
    """A loopback address nobody has, for a source that will be started again at it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def message(kind: str, shot: str, number: int, clock_ns: int | None = None) -> bytes | bytearray:
    """A start of, or an end after, ``number`` frames; or frame ``number``."""
    if kind == "start":
        return wire.encode_start(ShotStart(RUN, shot, None, FrameSchedule(), number, _SHAPE))
    if kind == "end":
        return wire.encode_end(RUN, shot, number)
    now = time.time_ns() if clock_ns is None else clock_ns
    return wire.encode_frame(Frame(RUN, shot, number, 5.0 * number, now, _IMAGE))


def _publish(
    address: str, told: Any, shot: str, frames: int, rate: float, promised: int, jump_s: float
) -> None:
    """The source process: one movie, and word of each frame that ZeroMQ took."""
    publisher = Publisher(address, timeout_s=_PATIENCE_S)
    told.put(("bound", publisher.address))
    publisher.start(ShotStart(RUN, shot, None, FrameSchedule(), promised, _SHAPE))
    for index in range(frames):
        time.sleep(1 / rate)
        jump_ns = int(jump_s * 1e9) if index >= frames // 2 else 0
        publisher.frame(Frame(RUN, shot, index, 0.0, time.time_ns() + jump_ns, _IMAGE))
        told.put(("sent", index + 1))
    if promised == frames:
        publisher.end(RUN, shot)
    else:
        time.sleep(_PATIENCE_S)  # until it is killed, in the middle of its movie
    publisher.close()
    told.put(("closed", frames))


class Source:
    """A source process; ``sent`` is how many frames it says it sent."""

    def __init__(
        self,
        address: str,
        shot: str,
        frames: int,
        rate: float,
        promised: int = 0,
        jump_s: float = 0,
    ) -> None:
        self._told = CHILDREN.Queue()
        self.process = CHILDREN.Process(
            target=_publish,
            args=(address, self._told, shot, frames, rate, promised or frames, jump_s),
            daemon=True,
        )
        self.process.start()
        self.sent = 0
        self.wait("bound")

    def wait(self, what: str, number: int = 0) -> None:
        """Return when the source has said so."""
        while True:
            said, value = self._told.get(timeout=_PATIENCE_S)
            if said == "sent":
                self.sent = value
            if said == what and (what != "sent" or value >= number):
                return

    def kill(self) -> None:
        """SIGKILL: what is queued in the process dies with it."""
        self.process.kill()
        self.process.join()


def _consume(address: str, told: Any, stop: Any, stall_s: float) -> None:
    """The consumer process: counts frames, and says what each movie's end says."""

    def handle(event: Event) -> None:
        if isinstance(event, Frame):
            told.put(("frame", event.shot, event.index, event.transit_ns))
        elif isinstance(event, ShotEnd):
            told.put(("end", event.shot, asdict(event.counts), dict(hub.accounting())))

    hub = Hub(address, stall_s=stall_s)
    consumer = Consumer("faults", handle)
    hub.subscribe(consumer)
    told.put(("ready",))
    stop.wait()
    hub.close()
    consumer.close()
    told.put(("totals", dict(hub.accounting())))


class Sink:
    """A consumer process; what it says it got."""

    def __init__(self, address: str, stall_s: float = _PATIENCE_S) -> None:
        self._told, self._stop = CHILDREN.Queue(), CHILDREN.Event()
        self.process = CHILDREN.Process(
            target=_consume, args=(address, self._told, self._stop, stall_s), daemon=True
        )
        self.process.start()
        self.frames: Counter[str] = Counter()
        self.ends: list[dict[str, int]] = []
        self.totals: Counter[str] = Counter()
        self.longest_transit_s = 0.0
        self._read(lambda said: said[0] == "ready")

    def _read(self, until: Callable[[tuple[Any, ...]], bool]) -> None:
        while True:
            said = self._told.get(timeout=_PATIENCE_S)
            if said[0] == "frame":
                self.frames[said[1]] += 1
                self.longest_transit_s = max(self.longest_transit_s, said[3] / 1e9)
            elif said[0] == "end":
                self.ends.append(said[2])
                self.totals = Counter(said[3])
            elif said[0] == "totals":
                self.totals = Counter(said[1])
            if until(said):
                return

    def wait_frames(self, number: int) -> None:
        """Return when so many frames came in all."""
        self._read(lambda said: self.frames.total() >= number)

    def wait_ends(self, number: int = 1) -> None:
        """Return when so many movies are over."""
        self._read(lambda said: len(self.ends) >= number)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid or 0, number)

    def kill(self) -> None:
        """SIGKILL, then what it had said before."""
        self.process.kill()
        self.process.join()
        while True:
            try:
                said = self._told.get(timeout=0.5)
            except (queue.Empty, EOFError, OSError):
                return
            if said[0] == "frame":
                self.frames[said[1]] += 1

    def close(self) -> None:
        """Stop it and take its totals."""
        self._stop.set()
        self._read(lambda said: said[0] == "totals")
        self.process.join()


def _row(
    fault: str, sent: int, received: int, accounted: int, totals: Counter[str], right: bool
) -> FaultRow:
    return FaultRow(fault, sent, received, sent - received, accounted, right, dict(totals))


def _row_of_one(fault: str, source: Source, sink: Sink, right: bool) -> FaultRow:
    """The row of one source, one sink and one movie, closed."""
    (end,) = sink.ends
    accounted = end["received"] + end["missing"]
    return _row(fault, source.sent, sink.frames.total(), accounted, sink.totals, right)


def publisher_restarted(frames: int = 200, rate: float = 1000.0) -> FaultRow:
    """The source is killed in its movie and another starts at the same address."""
    address = free_address()
    sink = Sink(address)
    first = Source(address, "cut", frames // 2, rate, promised=frames)
    first.wait("sent", frames // 2)
    sink.wait_frames(1)
    first.kill()
    second = Source(address, "whole", frames, rate)
    second.wait("closed")
    sink.wait_ends(2)
    sink.close()
    cut, whole = sink.ends
    accounted = sum(end["received"] + end["missing"] for end in sink.ends)
    right = (
        cut["received"] + cut["missing"] == frames  # what it promised
        and cut["received"] <= first.sent
        and (whole["received"], whole["missing"]) == (frames, 0)
        and sink.totals["received"] == sink.frames.total()
    )
    fault, sent = "publisher killed in its movie, restarted", first.sent + second.sent
    return _row(fault, sent, sink.frames.total(), accounted, sink.totals, right)


def consumer_stopped(seconds: float = 10.0, rate: float = 500.0) -> FaultRow:
    """The consumer is stopped (SIGSTOP) for a while and continued."""
    address = free_address()
    sink = Sink(address)
    frames = int(rate * (seconds + 2))
    source = Source(address, "s", frames, rate)
    source.wait("sent", 50)
    sink.signal(signal.SIGSTOP)
    time.sleep(seconds)
    sink.signal(signal.SIGCONT)
    source.wait("closed")
    sink.wait_ends()
    sink.close()
    (end,) = sink.ends
    right = end["received"] == frames == source.sent and not end["missing"]
    # That it was late shows too: in how long the frames were on their way.
    right = right and sink.longest_transit_s > 0.9 * seconds
    return _row_of_one(f"consumer stopped for {seconds:g} s", source, sink, right)


def consumer_killed(frames: int = 600, rate: float = 500.0) -> FaultRow:
    """The consumer is killed in a movie; another takes over."""
    address = free_address()
    source = Source(address, "s", frames, rate)
    first = Sink(address)
    first.wait_frames(frames // 4)
    first.kill()
    second = Sink(address)
    source.wait("closed")
    # The second never saw a start: its movie has no end to tell of, but its totals have.
    time.sleep(1.0)
    second.close()
    stray, missing = second.totals["stray"], second.totals["missing"]
    received = first.frames["s"] + stray
    right = stray + missing == source.sent == frames and first.frames["s"] <= missing
    fault = "consumer killed, another takes over"
    return _row(fault, source.sent, received, stray + missing, second.totals, right)


def second_consumer(frames: int = 400, rate: float = 500.0) -> FaultRow:
    """A second consumer is attached to the same source by mistake."""
    address = free_address()
    sinks = [Sink(address, stall_s=2.0)]
    source = Source(address, "s", frames, rate)
    sinks[0].wait_frames(50)
    sinks.append(Sink(address, stall_s=2.0))
    source.wait("closed")
    time.sleep(3.0)
    for sink in sinks:
        sink.close()
    received = sinks[0].totals["received"] + sinks[1].totals["stray"]
    missing = sinks[0].totals["missing"]
    right = received == source.sent == frames and missing == frames - sinks[0].frames["s"] > 0
    accounted = sinks[0].totals["received"] + missing
    totals = sinks[0].totals + sinks[1].totals
    fault = "second consumer attached by mistake"
    return _row(fault, source.sent, received, accounted, totals, right)


def messages_lost(fault: str) -> FaultRow:
    """The source loses, repeats or disorders messages: see SCRIPTS."""
    script, expected = SCRIPTS[fault]
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.setsockopt(zmq.LINGER, int(_PATIENCE_S * 1000))
        sender.setsockopt(zmq.SNDTIMEO, int(_PATIENCE_S * 1000))
        sender.bind("tcp://127.0.0.1:*")
        sink = Sink(sender.getsockopt_string(zmq.LAST_ENDPOINT), stall_s=0.5)
        for kind, number in script:
            sender.send(message(kind, "s", number))
        sink.wait_ends()
        sink.close()
    sent = len({number for kind, number in script if kind == "frame"})
    (end,) = sink.ends
    got = {name: end[name] for name in expected}
    accounted = end["received"] + end["missing"]
    return _row(fault, sent, end["received"], accounted, sink.totals, got == expected)


_WHOLE = [("start", 20), *(("frame", i) for i in range(20)), ("end", 20)]
SCRIPTS: dict[str, tuple[list[tuple[str, int]], dict[str, int]]] = {
    "tail and end lost": (_WHOLE[:16], {"received": 15, "missing": 5}),
    "tail lost": (_WHOLE[:16] + _WHOLE[-1:], {"received": 15, "missing": 5}),
    "end lost": (_WHOLE[:-1], {"received": 20, "missing": 0}),
    "end twice": ([*_WHOLE, ("end", 20)], {"received": 20, "missing": 0}),
    "end overtakes the last frame": (
        [*_WHOLE[:-2], ("end", 20), ("frame", 19)],
        {"received": 19, "missing": 1},
    ),
    "frame twice": ([*_WHOLE[:9], _WHOLE[8], *_WHOLE[9:]], {"received": 20, "duplicates": 1}),
}


def clock_jump(jump_s: float, frames: int = 200, rate: float = 1000.0) -> FaultRow:
    """The source's clock jumps in the middle of its movie."""
    address = free_address()
    sink = Sink(address)
    source = Source(address, "s", frames, rate, jump_s=jump_s)
    source.wait("closed")
    sink.wait_ends()
    sink.close()
    (end,) = sink.ends
    right = (end["received"], end["missing"]) == (frames, 0) and source.sent == frames
    # Ahead it is a fault of the clock; behind it cannot be told from frames that are that old,
    # which is what they are taken for: a result so old holds fire.
    if jump_s > 0:
        right = right and sink.totals["clock_faults"] == frames // 2
    else:
        right = right and sink.longest_transit_s > -jump_s - 1
    return _row_of_one(f"source's clock jumps {jump_s:+g} s", source, sink, right)


def port_scanner(frames: int = 400, rate: float = 500.0) -> FaultRow:
    """Somebody connects to the source's port again and again, with nothing or with nonsense."""
    address = free_address()
    sink = Sink(address, stall_s=5.0)
    source = Source(address, "s", frames, rate)
    port = int(address.rsplit(":", 1)[1])
    noise = np.random.default_rng(0)
    for probe in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\xff" + bytes(8) + b"\x7f", bytes(64)) * 5:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as scanner:
            scanner.sendall(probe + noise.bytes(32) if probe else b"")
    source.wait("closed")
    sink.wait_ends()
    sink.close()
    (end,) = sink.ends
    right = (end["received"], end["missing"]) == (frames, 0) and source.sent == frames
    return _row_of_one("port scanner at the source", source, sink, right)


def all_faults(stop_s: float = 10.0) -> list[FaultRow]:
    """Every scenario, with consumers stopped for ``stop_s``."""
    return [
        publisher_restarted(),
        consumer_stopped(stop_s),
        consumer_killed(),
        second_consumer(),
        *(messages_lost(fault) for fault in SCRIPTS),
        clock_jump(3600.0),
        clock_jump(-3600.0),
        port_scanner(),
    ]
