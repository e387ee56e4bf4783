"""Real senders in processes of their own, and a hub on what they send."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SENDERS = Path(__file__).with_name("senders.py")


class Sender:
    """A process that said ``hello`` and sends when told to ``go``."""

    def __init__(self, process):
        self.process = process
        self.hello = json.loads(process.stdout.readline())

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()


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
def attach(listen, events):
    """Connects a hub to a source; gives its events and itself."""

    def connect(source):
        return events, listen(source, events.take)

    return connect
