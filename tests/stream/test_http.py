"""A site's proxy stands between nobody inside a beamline."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from skyctl.doctor import check_up
from skyctl.stream.metrics import CountsCollector, MetricsServer
from skyctl.stream.sources.simplon import SimplonDropped


class Simplon(BaseHTTPRequestHandler):
    """A detector control unit that dropped 17 images."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"value": 17}).encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(autouse=True)
def proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a closed port
    monkeypatch.setenv("no_proxy", "localhost,.example.org")


def test_a_detector_is_asked_directly(cleanup):
    detector = HTTPServer(("127.0.0.1", 0), Simplon)
    cleanup.callback(detector.server_close)
    cleanup.callback(detector.shutdown)
    threading.Thread(target=detector.serve_forever, daemon=True).start()
    assert SimplonDropped(f"127.0.0.1:{detector.server_port}")() == 17


def test_a_running_beamline_is_asked_directly():
    counted = CountsCollector("skyctl_split", "x", lambda: {"in": 5})
    with MetricsServer(counted, port=0) as served:
        assert check_up(served.url).accounting["running"] == {"in": 5}
