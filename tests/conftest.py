"""What tests of several folders need."""

import threading

import pytest

PATIENCE_S = 20


@pytest.fixture
def told_in_time(monkeypatch):
    """Has a beamline's sample told to end its movie while the frame of this index is on its way,
    neither sooner nor, on a busy machine, later."""

    def hold(line, index):
        due, told = threading.Event(), threading.Event()
        finish, send = line.sample.finish, line.publisher.frame

        def waiting(shot):
            assert due.wait(PATIENCE_S)
            finish(shot)
            told.set()

        def held(frame):
            if frame.index == index:
                due.set()
                assert told.wait(PATIENCE_S)
            send(frame)

        monkeypatch.setattr(line.sample, "finish", waiting)
        monkeypatch.setattr(line.publisher, "frame", held)

    return hold
