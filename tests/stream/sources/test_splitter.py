"""The splitter behind a detector in another process: all clients get all frames, or are told."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request

import pytest
import zmq

from skyctl.errors import StreamError
from skyctl.frame import Counts
from skyctl.stream.sources.array10 import Array10Parser
from skyctl.stream.sources.dectris import DectrisParser
from skyctl.stream.sources.pixels import Scaling
from skyctl.stream.sources.source import Source
from skyctl.stream.sources.splitter import Output, Splitter, claim
from skyctl.stream.sources.transports import ZmqTransport

COUNTS = Scaling(offset=0, scale=1)
LOCAL = "tcp://127.0.0.1:*"


@pytest.fixture
def split(cleanup):
    def start(detector, *outputs):
        splitter = Splitter(detector, list(outputs))
        cleanup.callback(splitter.close)
        return splitter

    return start


def test_a_second_client_of_the_detector_itself_takes_half_of_the_frames(sender, attach, cleanup):
    """The fault that the splitter is for, and how it shows."""
    peer = sender("dectris", images=20)
    other = cleanup.enter_context(zmq.Context.instance().socket(zmq.PULL))
    other.connect(peer.hello)
    _, hub = attach(Source(ZmqTransport(peer.hello), DectrisParser(COUNTS)))
    time.sleep(1)  # until both are connected: before, all goes to the first
    peer.go()
    taken = 0
    while other.poll(1000):
        other.recv()
        taken += 1
    hub.close()
    assert taken == 11
    assert hub.totals["received"] + hub.totals["stray"] <= 10


def test_two_clients_of_a_splitter_get_every_frame(sender, attach, split, listen, new_events):
    peer = sender("dectris", images=50, compression="bslz4")
    splitter = split(peer.hello, Output(LOCAL), Output(LOCAL))
    first, second = splitter.addresses
    events, _ = attach(Source(ZmqTransport(first), DectrisParser(COUNTS)))
    others = new_events()
    listen(Source(ZmqTransport(second), DectrisParser(COUNTS)), others.take)
    peer.go()
    for shot in (events, others):
        assert shot.ends()[0].counts == Counts(received=50)
    assert splitter.counts == {"in": 52, first: 52, second: 52}


def test_a_message_of_several_parts_passes_whole(sender, attach, split, listen, new_events):
    peer = sender("array10", frames=5)
    splitter = split(peer.hello, Output(LOCAL))
    events, _ = attach(Source(ZmqTransport(splitter.addresses[0]), Array10Parser(COUNTS)))
    peer.go()
    events.wait(lambda events: len(events) == 6)
    assert splitter.counts["in"] == 5


def test_an_output_without_a_client_holds_the_detector_back_and_loses_nothing(
    sender, attach, split
):
    peer = sender("dectris", images=2000, shape=[4, 4])
    splitter = split(peer.hello, Output(LOCAL))
    peer.go()
    events, _ = attach(Source(ZmqTransport(splitter.addresses[0]), DectrisParser(COUNTS)))
    assert events.ends()[0].counts == Counts(received=2000)
    assert splitter.counts == {"in": 2002, splitter.addresses[0]: 2002}


def test_onlookers_that_do_not_look_lose_frames_which_are_counted(sender, attach, split, cleanup):
    peer = sender("dectris", images=3000, shape=[64, 64], dtype="<u4")
    splitter = split(peer.hello, Output(LOCAL), Output(LOCAL, "pub"))
    lossless, published = splitter.addresses
    onlooker = cleanup.enter_context(zmq.Context.instance().socket(zmq.SUB))
    onlooker.setsockopt(zmq.RCVHWM, 1)
    onlooker.setsockopt(zmq.SUBSCRIBE, b"")
    onlooker.connect(published)
    events, _ = attach(Source(ZmqTransport(lossless), DectrisParser(COUNTS)))
    peer.go()
    assert events.ends()[0].counts == Counts(received=3000)
    looked_at = 0
    while onlooker.poll(500):
        onlooker.recv()
        looked_at += 1
    counts = splitter.counts
    assert counts["in"] == counts[lossless] == 3002
    assert counts[published] == looked_at
    assert counts[f"{published} dropped"] == 3002 - looked_at > 0


def test_a_second_splitter_behind_one_detector_is_refused_until_the_first_is_gone(split):
    first = split("tcp://127.0.0.1:9", Output(LOCAL))
    with pytest.raises(StreamError, match=r"tcp://127.0.0.1:9.*half.*Connect to an output"):
        Splitter("tcp://127.0.0.1:9", [Output(LOCAL)])
    first.close()
    split("tcp://127.0.0.1:9", Output(LOCAL))


def test_a_splitter_in_another_process_counts_too():
    code = (
        "from skyctl.stream.sources.splitter import claim\n"
        "file = claim('tcp://127.0.0.1:10')\nprint(flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        other.stdout.readline()
        with pytest.raises(StreamError, match="takes its frames already"):
            claim("tcp://127.0.0.1:10")
        other.kill()
    claim("tcp://127.0.0.1:10").close()


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ([], "at least one"),
        ([Output("tcp://0.0.0.0:*")], "leaves this machine"),
        ([Output("nonsense")], "nonsense"),
    ],
)
def test_outputs_that_cannot_be_are_refused_and_leave_the_detector_free(outputs, complaint):
    with pytest.raises(StreamError, match=complaint):
        Splitter("tcp://127.0.0.1:11", outputs)
    claim("tcp://127.0.0.1:11").close()


def test_the_command_splits_until_it_is_interrupted(sender, attach, tmp_path):
    peer = sender("dectris", images=5)
    output = f"ipc://{tmp_path}/out"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "skyctl.cli", "split", "--from", peer.hello, "--to", output]
    command += ["--metrics", str(port)]
    process = subprocess.Popen(
        [*command, "--json", str(tmp_path / "counts.json")], stdout=subprocess.PIPE, text=True
    )
    with process:
        events, _ = attach(Source(ZmqTransport(output), DectrisParser(COUNTS)))
        peer.go()
        assert events.ends()[0].counts == Counts(received=5)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
            assert 'skyctl_split_total{what="in"} 7.0' in page.read().decode()
        os.kill(process.pid, signal.SIGINT)
        assert "in 7" in process.stdout.read()
    assert process.returncode == 0
    assert '"in": 7' in (tmp_path / "counts.json").read_text()


def test_the_lock_of_a_careful_user_is_no_lock_against_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.umask(0o077)
    try:
        claim("tcp://detector:9999").close()
    finally:
        os.umask(before)
    (lock,) = tmp_path.iterdir()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o644
    claim("tcp://detector:9999").close()


def test_a_lock_that_cannot_be_opened_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    claim("tcp://detector:9999").close()
    (lock,) = tmp_path.iterdir()
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StreamError, match="Have its owner remove it"):
        claim("tcp://detector:9999")
