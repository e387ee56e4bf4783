"""What tests of several folders need: things to close, and detectors in processes of their own."""

import contextlib
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from skyctl.simulators.instrument.loopback import epics_on_loopback, free_ports

# EPICS reads these once, when ophyd is imported: servers and clients of tests see each other alone.
SECOND_IOC = free_ports()
os.environ.update(epics_on_loopback(free_ports(), SECOND_IOC))

SENDERS = Path(__file__).parent / "stream" / "sources" / "senders.py"
PATIENCE_S = 20

# `nohup` and a shell's `&` start a process with Ctrl-C ignored, and so would be all that it starts:
# tests of interrupts would wait for ever.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Sender:
    """A process that said ``hello`` and sends when told to ``go``."""

    def __init__(self, process):
        self.process = process
        self.hello = json.loads(process.stdout.readline())

    def go(self, images=""):
        """Send the next series; ``images`` : how many, other than it was started with."""
        self.process.stdin.write(f"{images}\n")
        self.process.stdin.flush()


@pytest.fixture(autouse=True)
def levels():
    """A command quiets loggers for the rest of its process, which in a test goes on."""
    loggers = [logging.getLogger(name) for name in ("skyctl", "bluesky")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def second_ioc():
    """First port of an IOC beside the one that all tests share."""
    return SECOND_IOC


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def sender(cleanup):
    """Starts one of senders.py in a process of its own."""

    def start(which, /, **options):
        process = cleanup.enter_context(
            subprocess.Popen(
                [sys.executable, str(SENDERS), which, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        cleanup.callback(process.kill)
        return Sender(process)

    return start


@pytest.fixture(scope="session")
def senders():
    """What the senders send, to compare with."""
    spec = importlib.util.spec_from_file_location("senders", SENDERS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
