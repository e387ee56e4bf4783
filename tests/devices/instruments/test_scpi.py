"""SCPI over a plain socket: faults of the wire, and of who answers."""

import socket
import threading
import time

import pytest

from skyctl.devices.instruments.scpi import Scpi
from skyctl.errors import InstrumentError, InstrumentSilent
from skyctl.simulators.instrument.practice import PracticeInstrument
from skyctl.simulators.instrument.scpi import ScpiServer


@pytest.fixture
def server(cleanup):
    server = ScpiServer(PracticeInstrument())
    cleanup.callback(server.close)
    return server


@pytest.fixture
def scpi(server, cleanup):
    transport = Scpi(server.address)
    cleanup.callback(transport.close)
    return transport


@pytest.fixture
def answering(cleanup):
    """A transport to something that answers each line with the next of these bytes."""

    def start(*answers):
        listening = socket.create_server(("127.0.0.1", 0))
        cleanup.callback(listening.close)

        def serve():
            left = list(answers)
            while left:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, connection.makefile("rb") as lines:
                    for _ in lines:
                        delay_s, answer = left.pop(0)
                        time.sleep(delay_s)
                        try:
                            connection.sendall(answer)
                        except OSError:
                            break
                        if not left:
                            break

        threading.Thread(target=serve, daemon=True).start()
        transport = Scpi(f"127.0.0.1:{listening.getsockname()[1]}")
        cleanup.callback(transport.close)
        return transport

    return start


def test_long_and_short_headers_and_limits(scpi):
    scpi.put({"PULSe:AMPLitude": 2.5, "puls:widt": 8}, 5)
    told = scpi.get(["PULS:AMPL", "PULSE:WIDTH", "PULS:AMPL? MAX", "*IDN?"], 5)
    assert [float(told[name].value) for name in list(told)[:3]] == [2.5, 8.0, 12.0]
    assert "practice" in told["*IDN?"].value


def test_numbers_keep_every_digit(scpi):
    value = 1.0 / 3.0
    scpi.put({"PULS:AMPL": value}, 5)
    assert float(scpi.get(["PULS:AMPL"], 5)["PULS:AMPL"].value) == value


def test_what_the_instrument_refuses_is_told_in_its_own_words(scpi):
    with pytest.raises(InstrumentError, match=r"PULS:AMPL 99.*-222"):
        scpi.put({"PULS:AMPL": 99}, 5)
    with pytest.raises(InstrumentError, match=r"-113.*NOSUCH"):
        scpi.put({"NOSUCH": 1}, 5)
    scpi.put({"PULS:AMPL": 1}, 5)  # and is forgotten


def test_a_dead_instrument_is_named_with_its_address(server, scpi):
    server.close()
    with pytest.raises(InstrumentSilent, match=rf"{server.address}: no answer"):
        scpi.get(["PULS:AMPL"], 1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"\xff\xfe\xfa\n", "is no text"),
        (b"1.0\n", "which are not 2 values"),
        (b"1.0;\n", "which are not 2 values"),
        (b"1.0;2.0", "no answer"),
        (b"", "no answer"),
        (b"1;2\n1;2\n", "more than one answer"),
        (b"1" * 70_000 + b"\n", "without end"),
    ],
)
def test_half_an_answer_or_too_much_is_none(answering, answer, error):
    transport = answering((0, answer))
    with pytest.raises(InstrumentError, match=error):
        transport.get(["A", "B"], 0.3)


def test_a_late_answer_never_answers_the_next_question(answering):
    transport = answering((0.4, b"111\n"), (0, b"222\n"))
    with pytest.raises(InstrumentSilent):
        transport.get(["A"], 0.1)
    assert transport.get(["B"], 5)["B"].value == "222"
    assert transport.connections == 2


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ValueError, match="HOST:PORT"):
        Scpi("somewhere")
