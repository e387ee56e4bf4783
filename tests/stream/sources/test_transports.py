"""Transports by themselves: limits of a message, and what a detector says of itself."""

import http.server
import threading

import pytest

from skyctl.errors import UndecodableMessage
from skyctl.stream.sources.simplon import SimplonDropped
from skyctl.stream.sources.transports import MOST_PARTS, ZmqTransport

PATIENCE_MS = 20_000


def test_a_message_of_too_many_parts_is_refused_and_the_next_one_read(raw, cleanup):
    socket, address = raw
    transport = ZmqTransport(address)
    cleanup.callback(transport.close)
    socket.send_multipart([b"part"] * MOST_PARTS)
    socket.send_multipart([b"part"] * (MOST_PARTS + 1))
    socket.send(b"next")
    assert len(transport.receive(PATIENCE_MS)) == MOST_PARTS
    with pytest.raises(UndecodableMessage, match=f"{MOST_PARTS + 1} parts"):
        transport.receive(PATIENCE_MS)
    assert transport.receive(PATIENCE_MS) == [b"next"]
    assert transport.receive(1) is None


@pytest.fixture
def simplon(cleanup):
    """A server that answers as SIMPLON does; its answers can be changed."""
    answers = {"/stream/api/1.8.0/status/dropped": b'{"value": 7, "value_type": "uint"}'}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[self.path])

        def log_message(self, *_):
            pass

    server = cleanup.enter_context(http.server.HTTPServer(("127.0.0.1", 0), Handler))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cleanup.callback(server.shutdown)
    return f"127.0.0.1:{server.server_port}", answers


def test_a_detector_without_an_answer_has_dropped_what_it_had_dropped(simplon, caplog):
    host, answers = simplon
    dropped = SimplonDropped(host)
    assert dropped() == 7
    for nonsense in (b"", b"[]", b'{"value": null}', b'{"value": 1e999}', b"[" * 4096):
        answers["/stream/api/1.8.0/status/dropped"] = nonsense
        caplog.clear()
        assert dropped() == 7
        assert "no count of dropped images" in caplog.text


def test_a_detector_that_is_not_there_has_dropped_nothing_yet(caplog):
    assert SimplonDropped("127.0.0.1:9")() == 0
    assert "127.0.0.1:9" in caplog.text
