"""`skyctl monitor`, `people` and `--monitor`, used as a person would."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading

import httpx
import pytest
from bluesky import RunEngine
from typer.testing import CliRunner

from skyctl.beamline import simulated_beamline
from skyctl.cli import app
from skyctl.plans import classify_shot
from skyctl.pulse import Pulse

LINK = re.compile(r"page for (.+): (http://127\.0\.0\.1:\d+)/\?token=(\S+)")
PATIENCE_S = 60


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "120"})


@contextlib.contextmanager
def started(*arguments):
    """A command in a process of its own, and (address, token) of the page that it serves."""
    with subprocess.Popen(
        [sys.executable, "-m", "skyctl.cli", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        env={**os.environ, "NO_COLOR": "1"},
    ) as process:  # fmt: skip
        killer = threading.Timer(PATIENCE_S, process.kill)
        killer.start()
        try:
            said = ""
            for line in process.stdout:
                said += line
                if found := LINK.search(line):
                    break
            else:
                raise AssertionError(said)
            yield process, found.group(2), found.group(3)
        finally:
            killer.cancel()
            process.kill()


@pytest.fixture
def recording(tmp_path):
    with simulated_beamline(tmp_path) as line:
        line.camera.duration_ps.put(20.0)
        RunEngine({})(classify_shot(line, Pulse(amplitude_T=2.0, width_ps=4.0)))
        return line.camera.recording


def test_a_recording_is_served_until_ctrl_c(recording):
    with started("monitor", recording) as (process, address, token):
        assert httpx.get(address, trust_env=False).status_code == 401
        page = httpx.get(f"{address}/?token={token}", trust_env=False, follow_redirects=True)
        assert "Process diagram" in page.text
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


def test_a_run_asks_on_its_page_and_not_at_the_terminal(tmp_path):
    options = ("--monitor", 0, "--out", tmp_path, "--json", tmp_path / "r.json")
    with started("run", "write", *options) as (process, address, token):
        ours = {"Origin": address}
        with httpx.Client(base_url=address, trust_env=False, headers=ours) as http:
            http.get(f"/?token={token}")
            tick = threading.Event()
            asked = None
            while asked is None:
                assert process.poll() is None
                tick.wait(0.05)
                asked = pending(http, address)
            tick.wait(0.6)  # what has just changed is not answered
            said = {"shot": asked["request"]["shot"], "approved": True, "comment": "seen"}
            answer = http.post("/api/answer", json={**said, "stamp": asked["stamp"]})
        assert answer.json() == {"done": True, "why": ""}
        assert process.wait(PATIENCE_S) == 0
    told = json.loads((tmp_path / "r.json").read_text())
    assert (told["reached"], told["shots_booked"]) == (True, 1)
    (line,) = (tmp_path / "monitor.jsonl").read_text().splitlines()
    assert json.loads(line)["comment"] == "seen"
    documents = (tmp_path / "documents.jsonl").read_text()
    assert ": seen" in documents


def pending(http, address):
    """The state, where something is asked."""
    from websockets.sync.client import connect

    cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    with connect(
        address.replace("http", "ws") + "/ws",
        origin=address,
        additional_headers={"Cookie": cookie},
        proxy=None,
    ) as page:
        for said in page:
            if isinstance(said, str) and "stamp" in (state := json.loads(said)):
                return state if state["request"] else None
    return None


def test_a_replay_is_shown_while_it_runs(recording):
    done = invoke("replay", recording, "--monitor", 0, "--max")
    assert done.exit_code == 0, done.output
    assert LINK.search(done.output)
    assert "every verdict" in done.output or "bit for bit" in done.output


def test_people_are_invited_into_a_file_of_one_s_own(tmp_path):
    file = tmp_path / "people.json"
    for arguments in (("Ada", "--role", "operator"), ("Grace",)):
        assert invoke("people", *arguments, "--file", file).exit_code == 0
    assert {name: one["role"] for name, one in json.loads(file.read_text()).items()} == {
        "Ada": "operator", "Grace": "viewer",
    }  # fmt: skip
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert invoke("people", "", "--file", file).exit_code == 2


def test_what_cannot_be_served_is_said_before_anything_is_fired(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = invoke("run", "write", "--mode", "autonomous", "--monitor", port, "--out", tmp_path)
    assert done.exit_code == 1
    assert "Address already in use" in done.output
    assert (tmp_path / "ledger.jsonl").read_text() == ""
    assert invoke("run", "write", "--people", "x", "--out", tmp_path).exit_code == 2
    done = invoke("run", "write", "--monitor", 0, "--people", tmp_path / "x", "--out", tmp_path)
    assert done.exit_code == 1
    assert "skyctl people" in done.output
    assert invoke("replay", "x.h5", "--monitor", 0, "--documents", "x").exit_code == 2
    done = invoke("monitor", tmp_path / "nothing.h5")
    assert done.exit_code == 1
    assert "no such file" in done.output
