"""Pages that look without a browser: an HTTP client that is signed in, and a socket."""

import contextlib
import json
import threading
import time

import httpx
import pytest
from bluesky import RunEngine
from websockets.sync.client import connect

from skyctl.beamline import simulated_beamline
from skyctl.monitor import Monitor, People

CREW = {"Ada": "operator", "Eve": "operator", "Grace": "viewer"}
PATIENCE_S = 120
TILED = "http://127.0.0.1:1"


class Looker:
    """Somebody at a page: what a browser sends, said by hand."""

    def __init__(self, link):
        self.address, _, self.token = link.partition("/?token=")
        self.http = httpx.Client(base_url=self.address, trust_env=False)
        self.http.get(f"/?token={self.token}")
        self._open = contextlib.ExitStack()
        self.socket = None

    @property
    def cookie(self):
        ((name, value),) = self.http.cookies.items()
        return f"{name}={value}"

    def open(self, origin=None):
        """Open the socket; what the server said first."""
        self.socket = self._open.enter_context(
            connect(
                self.address.replace("http", "ws") + "/ws",
                origin=origin or self.address,
                additional_headers={"Cookie": self.cookie},
                compression=None,
                proxy=None,
            )
        )
        return json.loads(self.socket.recv(PATIENCE_S))

    def state(self, wanted=lambda state: True):
        """The next state that is wanted; frames are passed over, and acknowledged."""
        end, state = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < end:
            said = self.socket.recv(PATIENCE_S)
            self.socket.send("frame" if isinstance(said, bytes) else "state")
            if isinstance(said, str) and wanted(state := json.loads(said)):
                return state
        raise TimeoutError(f"no such state; the last is {state}")

    def post(self, action, headers=None, **said):
        return self.http.post(
            f"/api/{action}", json=said, headers={"Origin": self.address, **(headers or {})}
        )

    def answer(self, state, approved=True, comment=""):
        return self.post(
            "answer",
            shot=state["request"]["shot"],
            approved=approved,
            comment=comment,
            stamp=state["stamp"],
        )

    def close(self):
        self._open.close()
        self.http.close()


@pytest.fixture
def look(cleanup):
    """Makes a Looker of a link."""

    def made(link):
        looker = Looker(link)
        cleanup.callback(looker.close)
        return looker

    return made


@pytest.fixture
def beamline(tmp_path, monkeypatch):
    with simulated_beamline(tmp_path, ledger=tmp_path / "ledger.jsonl") as line:
        # On a busy machine a verdict may be late, and then fire is held.
        monkeypatch.setattr(line.classifier, "_max_delay_s", PATIENCE_S)
        yield line


@pytest.fixture
def monitor(beamline):
    with Monitor(beamline, people=People(CREW), tiled=TILED) as page:
        yield page


@pytest.fixture
def run(monitor):
    """Runs a plan in a thread, told to the page; what it came to, once it is over."""
    threads = []

    def begin(plan):
        came = []
        # Signals are for a main thread's engine.
        engine = RunEngine({}, call_returns_result=True, context_managers=[])
        engine.subscribe(monitor)
        thread = threading.Thread(target=lambda: came.append(engine(plan).plan_result))
        thread.start()
        threads.append(thread)

        def ended():
            thread.join(60)
            return came[0]

        return ended

    yield begin
    for thread in threads:
        thread.join(60)
