"""SIMPLON: the detector's REST interface, against a server that answers as one does."""

import http.server
import json
import threading

import pytest

from skyctl.devices.instruments.camera import CameraTable, InstrumentCamera
from skyctl.devices.instruments.simplon import Simplon
from skyctl.devices.instruments.table import load_table
from skyctl.errors import InstrumentError, InstrumentSilent
from skyctl.pulse import FrameSchedule

ROOT = "/detector/api/1.8.0/"


class Detector(http.server.BaseHTTPRequestHandler):
    """Keeps what is put; commands are noted."""

    def do_GET(self):
        known = self.server.config
        name = self.path.removeprefix(ROOT)
        if name in known:
            self.answer(200, {"value": known[name], "value_type": "uint"})
        else:
            self.answer(404, {})

    def do_PUT(self):
        name = self.path.removeprefix(ROOT)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if name.startswith("command/"):
            self.server.done.append(name)
            self.answer(200, {"sequence id": 1})
        elif name in self.server.config:
            self.server.config[name] = json.loads(body)["value"]
            self.answer(200, [name])
        else:
            self.answer(404, {})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(cleanup):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Detector)
    server.config = {
        "config/y_pixels_in_detector": 512, "config/x_pixels_in_detector": 1030,
        "config/nimages": 1, "config/ntrigger": 1, "config/trigger_mode": "ints",
        "config/frame_time": 1.0,
    }  # fmt: skip
    server.done = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cleanup.callback(server.server_close)
    cleanup.callback(server.shutdown)
    return server


@pytest.fixture
def address(server):
    return f"127.0.0.1:{server.server_address[1]}"


def test_a_movie_is_armed_for_the_pulse_s_trigger_and_a_look_is_triggered(server, address):
    camera = InstrumentCamera(Simplon(address), load_table(CameraTable, "dectris-simplon"))
    assert camera.shape == (512, 1030)
    movie = FrameSchedule(duration_ps=4e9, interval_ps=1e9)  # ms: of real time
    camera.start(movie, pulsed=True)
    assert server.done == ["command/arm"]
    assert server.config["config/trigger_mode"] == "exts"
    assert server.config["config/nimages"] == 5
    assert server.config["config/frame_time"] == pytest.approx(1e-3)
    camera.stop()
    camera.start(movie, pulsed=False)
    assert server.done[1:] == ["command/disarm", "command/arm", "command/trigger"]
    assert (server.config["config/trigger_mode"], server.config["config/nimages"]) == ("ints", 1)


def test_what_it_does_not_know_is_named(address):
    with pytest.raises(InstrumentError, match=r"config/nosuch: refused with status 404"):
        Simplon(address).put({"config/nosuch": 1}, 2)


def test_a_detector_that_is_off_is_named():
    with pytest.raises(InstrumentSilent, match=r"127.0.0.1:1, config/nimages: no answer"):
        Simplon("127.0.0.1:1").get(["config/nimages"], 1)


def test_a_camera_of_another_size_is_told(address):
    table = load_table(CameraTable, "dectris-simplon")
    camera = InstrumentCamera(Simplon(address), table, shape=(512, 512))
    with pytest.raises(InstrumentError, match="512 × 1030"):
        camera.confirm()
