"""The server on loopback: who is let in, what is refused, and that nobody slows another."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from skyctl.errors import MonitorError
from skyctl.frame import Frame, ShotStart
from skyctl.monitor import PageServer, People
from skyctl.monitor.film import LiveFilm
from skyctl.pulse import FrameSchedule, Pulse

SHAPE = (32, 32)


class Stub(LiveFilm):
    """A view that shows frames that it is given, and nothing to act on."""

    controls = None
    still = False

    def __init__(self):
        super().__init__()
        self.states = 0
        self.handle(ShotStart("r", "a", Pulse(width_ps=5.0), FrameSchedule(), 1000, SHAPE))
        self.kept, self.movie = self.movie, self._packed_movie

    def state(self):
        self.states += 1
        return {"kind": "live", "stamp": time.monotonic(), "number": self.states, "x": np.int64(3)}

    def _packed_movie(self, shot, frames, side):
        return b"".join([shot.encode(), b"!"]) if shot == "a" else None

    def curve(self, shot):
        return {"shot": shot} if shot == "a" else None

    def send(self, index):
        image = np.full(SHAPE, index / 1000, np.float32)
        self.handle(Frame("r", "a", index, float(index), 0, image, time.monotonic_ns()))


@pytest.fixture
def view():
    return Stub()


@pytest.fixture
def server(view):
    made = PageServer(view, People({"Ada": "operator", "Grace": "viewer"}))
    made.start()
    yield made
    made.close()


@pytest.fixture
def ada(server, look):
    return look(server.links["Ada"])


def test_a_token_is_traded_for_a_cookie_that_scripts_and_others_cannot_have(server):
    link = server.links["Ada"]
    answer = httpx.get(link, trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    port = link.split(":")[2].split("/")[0]
    assert cookie.startswith(f"skyctl_monitor_{port}=")  # cookies do not keep ports apart


@pytest.mark.parametrize("path", ["/", "/?token=no", "/page/main.js", "/film/a", "/shot/a"])
def test_without_a_token_nothing_is_shown(server, path):
    address = server.links["Ada"].partition("/?")[0]
    answer = httpx.get(address + path, trust_env=False)
    assert answer.status_code == 401
    assert "skyctl printed" in answer.text
    for action in ("stop", "release", "answer"):
        answer = httpx.post(
            f"{address}/api/{action}", json={}, headers={"Origin": address}, trust_env=False
        )
        assert answer.status_code == 401


def test_the_page_comes_whole_and_asks_nobody_else(ada):
    answer = ada.http.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    names = ["style.css", "icon.svg", "main.js", "film.js", "curves.js", "panels.js", "history.js"]
    for name in (*names, "diagram.js", "actions.js", "colours.js", "pictures.js"):
        file = ada.http.get(f"/page/{name}")
        assert file.status_code == 200
        assert "://" not in file.text.replace("http://www.w3.org/2000/svg", "").replace(
            '"wss" : "ws"}://', ""
        )
    for name in ("nothing.js", "..%2f__init__.py", "%2e%2e/app.py"):
        assert ada.http.get(f"/page/{name}").status_code == 404


def test_a_name_that_is_not_ours_is_not_answered(ada):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2"):
        assert ada.http.get("/", headers={"Host": host}).status_code in (400, 421)
    port = ada.address.rpartition(":")[2]
    for host in (f"localhost:{port}", "localhost:8010", f"[::1]:{port}"):  # an SSH tunnel's too
        assert ada.http.get("/", headers={"Host": host}).status_code == 200


def test_another_page_can_neither_listen_nor_act(ada, server):
    for origin in ("http://evil.example", "null", ada.address + "0", "https" + ada.address[4:]):
        with pytest.raises(InvalidStatus):
            ada.open(origin=origin)
        for action in ("stop", "release", "answer"):
            answer = ada.post(action, headers={"Origin": origin})
            assert (answer.status_code, answer.json()["done"]) == (403, False)
    ada.http.cookies.clear()
    ada.http.cookies.set("skyctl_monitor_1", "x")
    with pytest.raises(InvalidStatus):
        ada.open()


def test_a_request_that_is_no_json_is_none(ada):
    plain = {"Origin": ada.address, "content-type": "text/plain"}
    answer = ada.http.post("/api/stop", content=b"{}", headers=plain)
    assert answer.status_code == 415
    assert ada.post("stop").status_code == 409  # a view that has nothing to act on
    assert ada.http.get("/api/stop").status_code == 405


def test_movies_and_verdicts_of_shots_that_are_known(ada):
    assert ada.http.get("/film/a?frames=6&side=48").content == b"a!"
    assert ada.http.get("/film/a?frames=x&side=-1").content == b"a!"
    assert ada.http.get("/film/b").status_code == 404
    assert ada.http.get("/shot/a").json() == {"shot": "a"}
    assert ada.http.get("/shot/b").status_code == 404


def test_the_socket_says_who_one_is_then_states(ada, view):
    assert ada.open() == {"you": {"name": "Ada", "role": "operator"}}
    state = ada.state()
    assert (state["kind"], state["x"], state["over"], state["watching"]) == ("live", 3, False, 1)


def test_nothing_is_made_while_nobody_looks(view, server):
    time.sleep(0.6)
    assert view.states == 0


def test_one_that_draws_nothing_gets_one_frame_and_one_state_then_the_newest(ada, view):
    ada.open()
    first = [ada.socket.recv(5)]
    for index in range(50):
        view.send(index)
        time.sleep(0.002)
    first.append(ada.socket.recv(5))
    assert {type(one) for one in first} == {str, bytes}
    with pytest.raises(TimeoutError):
        ada.socket.recv(0.7)  # no state, though two were due, and no frame
    ada.socket.send("frame")
    newest = ada.socket.recv(5)
    assert int.from_bytes(newest[12:16], "little") == 49


def test_a_page_that_says_what_no_page_says_is_left(ada):
    ada.open()
    ada.socket.send("rm -rf")
    with pytest.raises(ConnectionClosed):
        list(ada.socket)


def test_viewers_that_stand_still_slow_nobody(server, view, look):
    lookers = [look(server.links["Grace"]) for _ in range(10)]
    for looker in lookers:
        looker.open()  # and never acknowledge anything
    ada = look(server.links["Ada"])
    ada.open()
    over = threading.Event()

    def film():
        index = 0
        while not over.wait(0.005):
            view.send(index)
            index += 1

    source = threading.Thread(target=film)
    source.start()
    try:
        seen = set()
        while len(seen) < 20:
            said = ada.socket.recv(5)
            if isinstance(said, bytes):
                seen.add(said[12:16])
            ada.socket.send("frame" if isinstance(said, bytes) else "state")
        assert ada.state()["watching"] == 11
    finally:
        over.set()
        source.join()


def test_a_browser_that_is_gone_is_forgotten(server, view, look, ada):
    other = look(server.links["Grace"])
    other.open()
    ada.open()
    assert ada.state(lambda state: state["watching"] == 2)
    other.socket.close()
    assert ada.state(lambda state: state["watching"] == 1)


def test_the_end_is_said_before_the_server_goes(view, look):
    server = PageServer(view, People({"Ada": "operator"}))
    server.start()
    ada = look(server.links["Ada"])
    ada.open()
    ada.state()
    closing = threading.Thread(target=server.close)
    closing.start()
    assert ada.state(lambda state: state["over"])
    closing.join(10)
    assert not closing.is_alive()
    with pytest.raises(httpx.ConnectError):
        ada.http.get("/")


def test_a_state_that_cannot_be_made_is_not_told(ada, view, monkeypatch):
    ada.open()
    before = ada.state()["number"]
    monkeypatch.setattr(view, "state", lambda: {"bad": object()})
    time.sleep(0.3)
    monkeypatch.undo()
    assert ada.state()["number"] > before


def test_a_port_that_is_taken_is_said_before_anything_runs(view):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MonitorError, match=f"127.0.0.1:{port}: Address already in use"):
            PageServer(view, People.only_me(), port)
    with pytest.raises(MonitorError, match="no such port"):
        PageServer(view, People.only_me(), 99999)


def test_tokens_do_not_leave_this_machine_in_the_clear(view):
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(MonitorError, match="in the clear"):
            PageServer(view, People.only_me(), host=host)


def test_too_long_or_deep_a_request_is_refused(ada, view):
    view.controls = object()
    for body in (b"x" * 5000, b"[" * 3000, b"[]", b"\xff"):
        answer = ada.http.post(
            "/api/answer",
            content=body,
            headers={"Origin": ada.address, "content-type": "application/json"},
        )
        assert answer.status_code in (400, 413)
    for said in (
        {},
        {"shot": 1, "approved": True, "comment": "", "stamp": 0},
        {"shot": "a", "approved": 1, "comment": "", "stamp": 0},
        {"shot": "a", "approved": "yes", "comment": "", "stamp": 0},
        {"shot": "a", "approved": True, "comment": "", "stamp": "now"},
        {"shot": "a", "approved": True, "comment": "", "stamp": True},
    ):
        assert ada.post("answer", **said).status_code == 400, json.dumps(said)


def test_with_tls_it_may_be_called_by_another_name(view, tmp_path, cleanup):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=hutch.example", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = PageServer(
        view,
        People({"Ada": "operator"}),
        tls=(certificate, key),
        names=("hutch.example",),
    )
    server.start()
    cleanup.callback(server.close)
    address, _, token = server.links["Ada"].partition("/?token=")
    assert address.startswith("https://hutch.example:")
    port = address.rpartition(":")[2]
    trusted = ssl.create_default_context(cafile=str(certificate))
    trusted.check_hostname = False
    with httpx.Client(verify=trusted, trust_env=False, headers={"Host": address[8:]}) as http:
        answer = http.get(f"https://127.0.0.1:{port}/?token={token}")
        cookie = answer.headers["set-cookie"]
        assert "secure" in cookie.lower()
        said = {"Cookie": cookie.partition(";")[0], "content-type": "application/json"}
        for origin, status in ((address, 409), (address.replace("https", "http"), 403)):
            answer = http.post(
                f"https://127.0.0.1:{port}/api/stop", headers={**said, "Origin": origin}
            )
            assert answer.status_code == status  # 409: this view has nothing to stop


def test_what_never_changes_is_told_once_to_each(view, ada, look, server):
    view.still = True
    ada.open()
    assert ada.state()["number"] == 1
    grace = look(server.links["Grace"])
    grace.open()
    assert grace.state()["number"] == 1
    with pytest.raises(TimeoutError):
        ada.socket.recv(0.6)
    assert view.states == 1
