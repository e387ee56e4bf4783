"""Publisher: what it does when the port is taken, when nobody listens, and when it goes."""

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from skyctl.errors import StreamError
from skyctl.frame import Frame, ShotEnd
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher

PATIENCE_S = 20
SENDS_AND_GOES = """
import sys
import numpy as np
from skyctl.frame import Frame, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.stream.publisher import Publisher

publisher = Publisher()
print(publisher.address, flush=True)
publisher.start(ShotStart("run", "s", None, FrameSchedule(), 900, (100, 100)))
for index in range(900):
    publisher.frame(Frame("run", "s", index, 0.0, 0, np.zeros((100, 100), np.float32)))
publisher.end("run", "s")
print("sent", flush=True)
publisher.close()
"""


def test_a_port_in_use_is_named_with_fault_and_remedy(publisher):
    with pytest.raises(StreamError) as caught:
        Publisher(publisher.address)
    message = str(caught.value)
    assert publisher.address in message
    assert "Address already in use" in message
    assert "Choose a free port" in message


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "ftp://127.0.0.1:1"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(StreamError, match=address):
        Publisher(address)


def test_a_closed_publisher_frees_its_port():
    first = Publisher()
    first.close()
    second = Publisher(first.address)
    assert second.address == first.address
    second.close()


def test_a_send_that_no_hub_takes_ends_in_an_error_that_says_so(shots):
    publisher = Publisher(timeout_s=0.05)
    with pytest.raises(StreamError) as caught:
        publisher.start(shots.start())
    publisher.close()
    assert publisher.address in str(caught.value)
    assert "no hub took a message for 0.05 s" in str(caught.value)
    assert "Start the hub" in str(caught.value)


def test_a_frame_that_is_larger_than_the_queue_was_made_for_is_told_once(
    shots, events, listen, cleanup, caplog
):
    """A start is not: there is one in a movie, and a sampled pulse may make it large."""
    publisher = Publisher(frame_bytes=200)
    cleanup.callback(publisher.close)
    listen(publisher.address, events.take)
    publisher.start(replace(shots.start(), run="r" * 1000))
    assert "frame_bytes" not in caplog.text
    for index in range(2):
        publisher.frame(shots.frame(index))
    assert caplog.text.count("more than frame_bytes") == 1


def test_a_source_that_exits_after_its_movie_leaves_nothing_behind(cleanup, events):
    source = subprocess.Popen(
        [sys.executable, "-c", SENDS_AND_GOES], stdout=subprocess.PIPE, text=True
    )
    with source:
        hub, consumer = Hub(source.stdout.readline().strip()), Consumer("late", events.take)
        cleanup.callback(consumer.close)
        cleanup.callback(hub.close)
        assert source.stdout.readline() == "sent\n"  # most of it is still on the source's side
        hub.subscribe(consumer)
        (end,) = events.ends()
    assert source.returncode == 0
    assert end.sent_frames == end.counts.received == 900
    assert [frame.index for frame in events.of(Frame)] == list(range(900))


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_source_that_goes_while_its_hub_is_held_back_loses_nothing(
    transport, tmp_path, listen, shots, new_events
):
    shots.shape = (100, 100)
    for frames in range(16, 52, 3):  # of some, the last are in the system's hands, read by nobody
        gate, events = threading.Event(), new_events()

        def slow(event, gate=gate, events=events):
            assert gate.wait(PATIENCE_S)
            events.take(event)

        address = f"ipc://{tmp_path}/{frames}" if transport == "ipc" else "tcp://127.0.0.1:*"
        publisher = Publisher(address, timeout_s=PATIENCE_S)
        listen(publisher.address, slow, stall_s=2, depth=1)
        shots.send(publisher, frames=frames)
        closing = threading.Thread(target=publisher.close)
        closing.start()
        closing.join(0.1)
        gate.set()
        (end,) = events.ends()
        closing.join()
        assert end.sent_frames == end.counts.received == frames


def test_an_image_that_every_hub_would_refuse_is_refused_at_once(publisher, shots):
    shots.shape = (4096, 4096)
    with pytest.raises(StreamError, match="hubs refuse messages over"):
        publisher.frame(shots.frame(0))


def test_memory_is_used_again_and_never_while_a_message_waits_in_it(tmp_path, listen, shots):
    seen, gate, done = [], threading.Event(), threading.Event()

    def handle(event):
        assert gate.wait(PATIENCE_S)
        if isinstance(event, Frame):
            seen.append((event.index, event.data.min(), event.data.max()))
        elif isinstance(event, ShotEnd):
            done.set()

    publisher = Publisher(f"ipc://{tmp_path}/s", timeout_s=PATIENCE_S)
    listen(publisher.address, handle)
    shots.shape = (200, 200)  # so large that ZeroMQ sends it without a copy of its own
    sender = threading.Thread(target=shots.send, args=(publisher, "s", 700))
    sender.start()  # more than all queues hold
    gate.set()
    assert done.wait(PATIENCE_S)
    sender.join()
    kept = len(publisher._memory._free) + len(publisher._memory._lent)
    publisher.close()
    assert kept < 700
    value = [np.float32(index / 1000) for index in range(700)]
    assert seen == [(index, value[index], value[index]) for index in range(700)]


def test_the_end_counts_the_frames_of_its_own_movie(publisher, listen, events, shots):
    listen(publisher.address, events.take)
    shots.send(publisher, "a", frames=5)
    shots.send(publisher, "b", frames=2)
    assert [end.sent_frames for end in events.ends(2)] == [5, 2]
