"""Hub and consumers over real sockets: what arrives, what is lost, and who is told."""

import queue
import subprocess
import sys
import threading
import time
from dataclasses import replace

import cbor2
import pytest

from skyctl.errors import StreamError
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.stream import wire
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.sources.source import Source

PATIENCE_S = 20
SENDS_UNTIL_KILLED = """
import sys
import numpy as np
from skyctl.frame import Frame, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream.publisher import Publisher

publisher = Publisher()
print(publisher.address, flush=True)
publisher.start(ShotStart("run", "s", None, FrameSchedule(), 8, (2, 2)))
for index in range(3):
    publisher.frame(Frame("run", "s", index, 0.0, 0, np.zeros((2, 2), np.float32)))
sys.stdin.read()
"""


def kinds(events):
    return [type(event).__name__ for event in events]


def test_a_movie_arrives_whole_and_in_order(publisher, listen, events, shots):
    hub = listen(publisher.address, events.take)
    shots.send(publisher, frames=5)
    (end,) = events.ends()
    assert kinds(events) == ["ShotStart", *["Frame"] * 5, "ShotEnd"]
    assert events[0] == shots.start(frames=5)
    assert end == ShotEnd("run", "s", 5, Counts(received=5))
    for index, frame in enumerate(events.of(Frame)):
        assert frame.index == index
        assert frame.data.tobytes() == shots.frame(index).data.tobytes()
    received = [frame.received_ns for frame in events.of(Frame)]
    assert received == sorted(received)
    assert received[0] > 0
    assert hub.totals["shots"] == 1
    assert hub.totals["received"] == 5


def test_every_subscriber_gets_every_event(publisher, listen, events, new_events, cleanup, shots):
    hub = listen(publisher.address, events.take)
    others = new_events()
    other = Consumer("other", others.take)
    cleanup.callback(other.close)
    hub.subscribe(other)
    shots.send(publisher, frames=4)
    events.ends()
    others.ends()
    assert list(map(id, events)) == list(map(id, others))


def test_who_unsubscribed_gets_no_more(publisher, listen, events, new_events, cleanup, shots):
    hub = listen(publisher.address, events.take)
    others = new_events()
    other = Consumer("other", others.take)
    cleanup.callback(other.close)
    hub.subscribe(other)
    shots.send(publisher, "a")
    others.ends()
    hub.unsubscribe(other)
    shots.send(publisher, "b")
    events.ends(2)
    assert [end.shot for end in others.ends()] == ["a"]


def test_a_late_hub_loses_nothing(publisher, listen, events, shots):
    sender = threading.Thread(target=shots.send, args=(publisher, "s", 50))
    sender.start()
    listen(publisher.address, events.take)
    (end,) = events.ends()
    sender.join()
    assert end.counts == Counts(received=50)


def test_what_is_sent_before_anybody_subscribed_waits_for_them(publisher, events, cleanup, shots):
    hub, consumer = Hub(publisher.address), Consumer("late", events.take)
    cleanup.callback(consumer.close)
    cleanup.callback(hub.close)
    shots.send(publisher, frames=50)
    hub.subscribe(consumer)
    (end,) = events.ends()
    assert end.counts == Counts(received=50)
    assert kinds(events) == ["ShotStart", *["Frame"] * 50, "ShotEnd"]


def test_a_hub_without_subscribers_can_be_closed(publisher):
    hub = Hub(publisher.address)
    hub.close()
    assert not hub.alive


def test_a_hub_that_takes_over_from_another_gets_the_next_movie_whole(
    publisher, events, new_events, listen, shots
):
    first = listen(publisher.address, events.take)
    shots.send(publisher, "a", 5)
    events.ends()
    first.close()
    # What is sent before the source sees the first one gone goes to nobody: a movie lost whole.
    due = time.monotonic() + 20
    while publisher.hubs:
        assert time.monotonic() < due
        publisher._watch()
        time.sleep(0.001)
    later = new_events()
    listen(publisher.address, later.take)
    shots.send(publisher, "b", 5)
    (end,) = later.ends()
    assert end == ShotEnd("run", "b", 5, Counts(received=5))


def test_a_source_killed_in_its_movie_leaves_it_incomplete(listen, events):
    source = subprocess.Popen(
        [sys.executable, "-c", SENDS_UNTIL_KILLED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with source:
        listen(source.stdout.readline().strip(), events.take, stall_s=0.3)
        events.wait(lambda events: len(events.of(Frame)) == 3)
        source.kill()
    (end,) = events.ends()
    assert end == ShotEnd("run", "s", None, Counts(received=3, missing=5))
    assert not end.counts.complete


def test_a_dead_movie_is_closed_though_strangers_go_on_sending(raw, listen, events, shots):
    socket, address = raw
    hub = listen(address, events.take, stall_s=0.2)
    socket.send(wire.encode_start(shots.start(frames=2)))
    while not events.of(ShotEnd):
        socket.send(b"noise")
        hub._thread.join(0.01)  # pace only: the hub is alive
    assert events.of(ShotEnd)[0].sent_frames is None


def test_a_slow_subscriber_is_no_stall_of_the_source(publisher, listen, events, shots):
    waits = iter([0.5])

    def slow(event):
        if isinstance(event, Frame):
            threading.Event().wait(next(waits, 0))
        events.take(event)

    listen(publisher.address, slow, stall_s=0.1, depth=1)
    shots.send(publisher, frames=6)
    (end,) = events.ends()
    assert end.counts == Counts(received=6)


def test_frames_after_a_stall_are_late(raw, listen, events, shots):
    socket, address = raw
    hub = listen(address, events.take, stall_s=0.1)
    socket.send(wire.encode_start(shots.start("late")))
    events.ends()
    socket.send(wire.encode_frame(shots.frame(0, "late")))
    socket.send(wire.encode_end("run", "late", 3))
    socket.send(wire.encode_start(shots.start("next")))
    events.wait(lambda events: len(events.of(ShotStart)) == 2)
    assert hub.totals["late"] == 1
    assert hub.totals["missing"] == 3
    assert not events.of(Frame)


def foreign():
    message = cbor2.loads(wire.encode_end("run", "s", 1))
    return cbor2.dumps({**message, "user_data": {"operator": "somebody"}})


def test_noise_is_counted_and_the_hub_lives(raw, listen, events, shots):
    socket, address = raw
    hub = listen(address, events.take)
    socket.send(b"before any movie")
    socket.send(wire.encode_start(shots.start()))
    socket.send_multipart([b"one part", b"", b"another"])
    socket.send(foreign())
    socket.send(wire.encode_frame(shots.frame(0, "not open")))
    for index in (0, 2, 1, 1):
        socket.send(wire.encode_frame(shots.frame(index)))
    socket.send(wire.encode_start(shots.start()))
    socket.send(wire.encode_end("run", "not open", 1))
    socket.send(wire.encode_end("run", "s", 3))
    (end,) = events.ends()
    assert end.counts == Counts(
        received=3, reordered=1, duplicates=2, stray=1, foreign=1, undecodable=1
    )
    assert hub.alive
    assert hub.totals == {
        **{"shots": 1, "received": 3, "missing": 0, "reordered": 1, "duplicates": 2},
        **{"stray": 1, "foreign": 1, "undecodable": 2},
        **{
            "upstream_dropped": 0,
            "unrecorded": 0,
            "clock_faults": 3,
        },  # of the tests' clock, in 1970
    }


def test_a_message_over_the_limit_does_not_make_the_hub_deaf(raw, listen, events, shots):
    socket, address = raw
    hub = listen(address, events.take)
    socket.send(wire.encode_end("run", "s", 1))
    socket.send(bytes(wire.MAX_MESSAGE_BYTES + 1))  # ZeroMQ drops it and the connection
    while not events:  # what goes into the connection that is cut is lost with it
        socket.send(wire.encode_start(shots.start()))  # raises when nobody connects again
        threading.Event().wait(0.02)
    assert hub.totals["undecodable"] == 1


def test_an_end_that_comes_twice_closes_once(raw, listen, events, shots):
    socket, address = raw
    listen(address, events.take)
    for shot in ("a", "b"):
        socket.send(wire.encode_start(shots.start(shot, frames=0)))
        socket.send(wire.encode_end("run", shot, 0))
        socket.send(wire.encode_end("run", shot, 0))
    assert [end.shot for end in events.ends(2)] == ["a", "b"]
    assert kinds(events) == ["ShotStart", "ShotEnd"] * 2


def test_a_start_without_the_end_of_the_last_movie_closes_that_one(raw, listen, events, shots):
    socket, address = raw
    listen(address, events.take)
    socket.send(wire.encode_start(shots.start("a", frames=2)))
    socket.send(wire.encode_frame(shots.frame(0, "a")))
    socket.send(wire.encode_start(shots.start("b", frames=2)))
    (end,) = events.ends()
    assert end == ShotEnd("run", "a", None, Counts(received=1, missing=1))
    events.wait(lambda events: events.of(ShotStart)[-1].shot == "b")


def test_closing_the_hub_closes_the_open_movie_as_incomplete(publisher, listen, events, shots):
    hub = listen(publisher.address, events.take)
    publisher.start(shots.start(frames=2))
    publisher.frame(shots.frame(0))
    events.wait(lambda events: events.of(Frame))
    hub.close()
    assert not hub.alive
    (end,) = events.ends()
    assert end == ShotEnd("run", "s", None, Counts(received=1, missing=1))


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "ftp://127.0.0.1:1"])
def test_an_address_that_is_none_is_refused_with_a_remedy(address):
    with pytest.raises(StreamError, match=f"{address}.*Give an address like"):
        Hub(address)


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ((1, 2, 3), 0),
        ((5, 6), 0),  # before 5 another hub was there
        ((1, 4, 5), 2),
        ((6, 1, 2), 0),  # the source began again
        ((6, 3), 2),
        ((0, 0, 7, 0, 9), 1),
        ((2, 2, 3), 0),
    ],
)
def test_a_movie_lost_whole_is_counted_by_its_number(raw, listen, events, shots, numbers, missing):
    socket, address = raw
    hub = listen(address, events.take)
    for place, number in enumerate(numbers):
        start = replace(shots.start(f"shot-{place}", frames=0), number=number)
        socket.send(wire.encode_start(start))
    events.wait(lambda events: len(events.of(ShotStart)) == len(numbers))
    assert hub.accounting()["missing_shots"] == missing


def test_a_publisher_numbers_its_movies(publisher, listen, events, shots):
    listen(publisher.address, events.take)
    for shot in ("a", "b", "c"):
        shots.send(publisher, shot, frames=0)
    events.ends(3)
    assert [start.number for start in events.of(ShotStart)] == [1, 2, 3]


def test_a_slow_lossless_subscriber_loses_nothing(publisher, listen, events, shots):
    gate = threading.Event()

    def slow(event):
        assert gate.wait(PATIENCE_S)
        events.take(event)

    listen(publisher.address, slow, depth=2)
    sender = threading.Thread(target=shots.send, args=(publisher, "s", 1500))
    sender.start()  # more than all queues hold: the source waits
    gate.set()
    (end,) = events.ends()
    sender.join()
    assert end.counts == Counts(received=1500)
    assert [frame.index for frame in events.of(Frame)] == list(range(1500))


def test_a_newest_subscriber_sees_the_newest_and_counts_what_it_skipped(
    publisher, listen, events, shots
):
    gate, monitored = threading.Event(), []

    def monitor(event):
        assert gate.wait(PATIENCE_S)
        monitored.append(event)

    hub = listen(publisher.address, events.take)
    newest = Consumer("monitor", monitor, policy="newest")
    hub.subscribe(newest)
    shots.send(publisher, frames=100)
    events.ends()
    assert hub.accounting()["stale"] == newest.skipped == 99
    hub.close()  # everything was handed on
    gate.set()
    newest.close()
    assert kinds(monitored) == ["ShotStart", "Frame", "ShotEnd"]
    assert monitored[1].index == 99
    assert monitored[-1].counts == Counts(received=100, stale=99)
    assert events.ends()[0].counts == Counts(received=100)


def test_a_newest_subscriber_is_spared_frames_that_are_too_old(shots):
    seen, gate = [], threading.Event()

    def handle(event):
        assert gate.wait(PATIENCE_S)
        seen.append(event)

    consumer = Consumer("steer", handle, policy="newest", max_age_s=3600)
    now = time.monotonic_ns()
    hour = 3600 * 10**9
    consumer.put(shots.start())
    consumer.put(replace(shots.frame(0), received_ns=now, transit_ns=2 * hour))
    consumer.put(shots.start("fresh"))
    consumer.put(replace(shots.frame(0, "fresh"), received_ns=now))
    consumer.put(ShotEnd("run", "s", 1))
    gate.set()
    consumer.close()
    assert [event.shot for event in seen if isinstance(event, Frame)] == ["fresh"]
    assert seen[-1].counts.stale == 1
    assert consumer.queued_bytes == 0


def test_a_queue_is_bounded_by_bytes(shots):
    gate, begun, done = threading.Event(), threading.Event(), []

    def handle(event):
        begun.set()
        assert gate.wait(PATIENCE_S)
        done.append(event)

    size = shots.frame(0).data.nbytes
    consumer = Consumer("small", handle, max_bytes=3 * size)
    consumer.put(shots.frame(0))
    assert begun.wait(PATIENCE_S)
    blocked = threading.Thread(target=lambda: [consumer.put(shots.frame(i)) for i in range(1, 9)])
    blocked.start()
    blocked.join(0.2)
    assert blocked.is_alive()
    assert consumer.queued_bytes == 3 * size
    gate.set()
    blocked.join(PATIENCE_S)
    consumer.close()
    assert [frame.index for frame in done] == list(range(9))


def test_a_frame_larger_than_the_queue_passes_alone(shots):
    done = []
    consumer = Consumer("tiny", done.append, max_bytes=1)
    for index in range(3):
        consumer.put(shots.frame(index))
    consumer.close()
    assert len(done) == 3


def test_a_hub_that_came_late_accounts_for_the_movie_whose_start_it_missed(raw, listen, shots):
    socket, address = raw
    hub = listen(address, lambda event: None)
    for index in (3, 4, 4):
        socket.send(wire.encode_frame(shots.frame(index)))
    socket.send(wire.encode_end("run", "s", 6))
    socket.send(wire.encode_end("run", "s", 6))
    socket.send(b"last")
    while not hub.totals["undecodable"]:
        hub._thread.join(0.01)
    assert (hub.totals["stray"], hub.totals["missing"]) == (2, 4)


@pytest.mark.parametrize("ahead_s", [3600, -200_000])
def test_a_clock_that_jumped_is_counted_and_its_frames_are_taken(
    raw, listen, events, shots, ahead_s
):
    socket, address = raw
    hub = listen(address, events.take)
    now = time.time_ns()
    socket.send(wire.encode_start(shots.start(frames=2)))
    good = replace(shots.frame(0), source_time_ns=now - 20_000_000)
    socket.send(wire.encode_frame(good))
    wrong = replace(shots.frame(1), source_time_ns=now + ahead_s * 10**9)
    socket.send(wire.encode_frame(wrong))
    socket.send(wire.encode_end("run", "s", 2))
    (end,) = events.ends()
    assert end.counts == Counts(received=2)
    assert hub.totals["clock_faults"] == 1
    first, second = events.of(Frame)
    assert 20_000_000 <= first.transit_ns < PATIENCE_S * 10**9
    assert first.left_source_ns == first.received_ns - first.transit_ns
    assert second.transit_ns == 0
    assert end.transit_ms[1] == pytest.approx(first.transit_ns / 1e6)
    assert hub.transit.total == 1


def test_a_subscriber_that_raises_is_told_of_and_blocks_nobody(
    publisher, listen, events, cleanup, shots, caplog
):
    told = []

    def broken(_):
        raise OSError("no space left")

    hub = listen(publisher.address, events.take)
    consumer = Consumer("broken", broken, on_error=told.append, depth=2)
    cleanup.callback(consumer.close)
    hub.subscribe(consumer)
    shots.send(publisher, frames=20)
    assert events.ends()[0].counts == Counts(received=20)
    hub.close()
    consumer.close()
    assert [str(error) for error in told] == ["no space left"]
    assert consumer.error is told[0]
    assert "broken stopped" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_subscriber_whose_thread_dies_blocks_nobody(publisher, listen, events, cleanup, shots):
    def broken(_):
        raise OSError("no space left")

    def tell(error):
        raise RuntimeError("nobody to tell") from error

    hub = listen(publisher.address, events.take)
    consumer = Consumer("broken", broken, on_error=tell, depth=1)
    cleanup.callback(consumer.close)
    hub.subscribe(consumer)
    shots.send(publisher, frames=20)
    assert events.ends()[0].counts == Counts(received=20)


def test_a_closing_consumer_works_off_its_queue():
    gate, done = threading.Event(), []

    def handle(event):
        assert gate.wait(PATIENCE_S)
        done.append(event)

    consumer = Consumer("late", handle)
    for event in range(100):
        consumer.put(event)
    gate.set()
    consumer.close()
    assert done == list(range(100))


def test_a_closed_consumer_takes_no_more_and_lets_go():
    done = []
    consumer = Consumer("gone", done.append, depth=1)
    consumer.close()
    for event in range(3):
        consumer.put(event)
    assert done == []


def test_closing_a_consumer_releases_whoever_waits_for_its_full_queue():
    gate, begun, done = threading.Event(), threading.Event(), []

    def handle(event):
        begun.set()
        assert gate.wait(PATIENCE_S)
        done.append(event)

    consumer = Consumer("full", handle, depth=1)
    consumer.put("handled")
    assert begun.wait(PATIENCE_S)
    consumer.put("queued")
    blocked = threading.Thread(target=consumer.put, args=("too late",))
    blocked.start()
    closing = threading.Thread(target=consumer.close)
    closing.start()
    blocked.join(PATIENCE_S)
    assert not blocked.is_alive()
    gate.set()
    closing.join(PATIENCE_S)
    assert done == ["handled", "queued"]


def test_a_consumer_with_nothing_to_do_is_called_idle():
    called = threading.Event()
    consumer = Consumer("idle", print, idle=called.set)
    assert called.wait(PATIENCE_S)
    consumer.close()
    assert consumer.error is None


def test_a_movie_that_its_camera_ended_early_misses_nothing(publisher, listen, events, shots):
    hub = listen(publisher.address, events.take)
    publisher.start(shots.start(frames=34))
    for index in range(16):
        publisher.frame(shots.frame(index))
    publisher.end("run", "s", ended_early=True)
    shots.send(publisher, "next")
    first, second = events.ends(2)
    assert first == ShotEnd("run", "s", 16, Counts(received=16), ended_early=True)
    assert second == ShotEnd("run", "next", 3, Counts(received=3))
    assert hub.totals["missing"] == 0


def test_a_tail_lost_of_a_movie_that_was_ended_early_is_missing(publisher, listen, events, shots):
    hub = listen(publisher.address, events.take)
    publisher.start(shots.start(frames=34))
    for index in range(15):
        publisher.frame(shots.frame(index))
    publisher.end("run", "s", 16, ended_early=True)
    (end,) = events.ends()
    assert end.counts == Counts(received=15, missing=1)
    assert end.ended_early
    assert hub.totals["missing"] == 1


@pytest.mark.parametrize("told", [True, False])
def test_a_source_that_says_its_ends_itself_is_held_to_what_it_says(
    publisher, listen, events, shots, told
):
    hub = listen(publisher.address, events.take)
    publisher.start(shots.start(frames=8))
    publisher.frame(shots.frame(0))
    events.wait(lambda events: events.of(Frame))
    if told:
        hub.finish("s")
    publisher.end("run", "s")
    (end,) = events.ends()
    assert end == ShotEnd("run", "s", 1, Counts(received=1, missing=7))


class Detector:
    """A transport whose messages are events; it numbers its frames and counts none, as detectors
    do."""

    address, upstream_dropped, names_shots = "detector", 0, False

    def __init__(self):
        self._events = queue.Queue()
        self.send = self._events.put

    def receive(self, timeout_ms):
        try:
            return self._events.get(timeout=timeout_ms / 1000)
        except queue.Empty:
            return None

    def close(self):
        pass

    def parse(self, message, _received_ns):
        return (message,)


@pytest.fixture
def detector():
    return Detector()


@pytest.fixture
def filmed(detector, listen, events, shots):
    """A hub that has two of eight frames from a detector."""
    hub = listen(Source(detector, detector), events.take)
    detector.send(shots.start(frames=8))
    for index in range(2):
        detector.send(shots.frame(index))
    events.wait(lambda events: len(events.of(Frame)) == 2)
    return hub


EARLY = ShotEnd("run", "s", None, Counts(received=2), ended_early=True)


def test_a_detector_that_was_told_to_end_misses_what_it_did_not_expose(detector, filmed, events):
    filmed.finish("s")
    detector.send(ShotEnd("run", "s", 8))  # a detector repeats the promise, whatever it sent
    assert events.ends() == [EARLY]


def test_a_detector_that_sends_no_end_has_ended_when_nothing_more_comes(
    detector, filmed, events, shots, monkeypatch
):
    monkeypatch.setattr("skyctl.stream.hub._LAST_FRAME_S", 0.2)
    filmed.finish("s")
    detector.send(shots.frame(2))  # it was on its way
    assert events.ends() == [replace(EARLY, counts=Counts(received=3))]


def test_a_gap_before_the_end_of_a_detector_that_was_told_shows(detector, filmed, events, shots):
    filmed.finish("s")
    detector.send(shots.frame(4))
    detector.send(ShotEnd("run", "s", 8))
    assert events.ends() == [replace(EARLY, counts=Counts(received=3, missing=2))]


def test_a_detector_that_was_told_when_its_movie_was_over_has_ended_nothing_early(
    detector, filmed, events, shots
):
    filmed.finish("another")
    detector.send(ShotEnd("run", "s", 8))
    assert events.ends() == [ShotEnd("run", "s", 8, Counts(received=2, missing=6))]
    filmed.finish("s")
    detector.send(shots.start("next", frames=2))
    detector.send(shots.frame(0, "next"))
    detector.send(ShotEnd("run", "next", 2))
    assert events.ends(2)[1] == ShotEnd("run", "next", 2, Counts(received=1, missing=1))


def test_a_detector_told_while_its_last_frame_was_on_its_way_sent_a_whole_movie(
    detector, filmed, events, shots
):
    filmed.finish("s")
    for index in range(2, 8):
        detector.send(shots.frame(index))
    detector.send(ShotEnd("run", "s", 8))
    assert events.ends() == [ShotEnd("run", "s", None, Counts(received=8))]
