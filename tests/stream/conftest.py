"""A hub with a source on loopback, and a subscriber that can be waited for."""

import threading

import numpy as np
import pytest
import zmq

from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher

PATIENCE_S = 20


class Shots:
    """Makes the messages of shots."""

    run = "run"
    shape = (4, 5)

    def start(self, shot="s", frames=3, run=run):
        return ShotStart(run, shot, Pulse(width_ps=8), FrameSchedule(), frames, self.shape)

    def frame(self, index, shot="s", run=run):
        data = np.full(self.shape, index / 1000, np.float32)
        return Frame(run, shot, index, 5.0 * index, 1_000 + index, data)

    def send(self, publisher, shot="s", frames=3):
        publisher.start(self.start(shot, frames))
        for index in range(frames):
            publisher.frame(self.frame(index, shot))
        publisher.end(self.run, shot)


class Events(list):
    """What a subscriber was given; ``wait`` returns when a condition on it holds."""

    def __init__(self):
        super().__init__()
        self._changed = threading.Condition()

    def take(self, event):
        with self._changed:
            self.append(event)
            self._changed.notify_all()

    def wait(self, condition):
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), PATIENCE_S), list(self)

    def ends(self, count=1):
        self.wait(lambda events: len(events.of(ShotEnd)) >= count)
        return self.of(ShotEnd)

    def of(self, kind):
        return [event for event in self if isinstance(event, kind)]


@pytest.fixture
def shots():
    return Shots()


@pytest.fixture
def new_events():
    return Events


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def publisher(cleanup):
    publisher = Publisher(timeout_s=PATIENCE_S)
    cleanup.callback(publisher.close)
    return publisher


@pytest.fixture
def listen(cleanup):
    """Connects a hub, and one consumer that is called with its events."""

    def connect(address, handle, stall_s=PATIENCE_S, **options):
        hub = Hub(address, stall_s=stall_s)
        consumer = Consumer("test", handle, **options)
        hub.subscribe(consumer)
        cleanup.callback(consumer.close)
        cleanup.callback(hub.close)
        return hub

    return connect


@pytest.fixture
def raw(cleanup):
    """A plain PUSH socket, bound: a source that sends whatever it likes. (socket, address)"""
    context = cleanup.enter_context(zmq.Context())
    socket = cleanup.enter_context(context.socket(zmq.PUSH))
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDTIMEO, 1000 * PATIENCE_S)
    socket.bind("tcp://127.0.0.1:*")
    return socket, socket.getsockopt_string(zmq.LAST_ENDPOINT)
