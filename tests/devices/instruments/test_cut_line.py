"""A line that was cut: what was in flight nobody knows, and the next command has a new line."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from skyctl.bench.instrument_rig import cut_lines
from skyctl.devices.instruments.pv_access import PvAccess
from skyctl.errors import InstrumentError, InstrumentSilent
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.loopback import epics_on_loopback, free_ports

from .conftest import PATIENCE_S, PREFIX, until

_SOON_S = 1.5
"""EPICS's own clients look for a lost channel up to ten seconds later."""


def test_an_instrument_is_found_again_at_once(bench):
    if bench.kind == "registers":
        pytest.skip("nothing to cut")
    bench.driver.close()  # pyepics has one channel for all who use a PV in a process
    off = bench.table.commands.disarm
    for _ in range(3):
        bench.transport.put(off, PATIENCE_S)
        cut_lines()
        with contextlib.suppress(InstrumentError):  # was in flight
            bench.transport.put(off, _SOON_S)
        bench.transport.put(off, _SOON_S, [bench.table.states.armed])


def test_an_armed_instrument_whose_line_was_cut_is_disarmed(bench):
    if bench.kind == "registers":
        pytest.skip("nothing to cut")
    bench.pulser.set(Pulse(width_ps=10.0), shot="a").wait(PATIENCE_S)
    cut_lines()
    bench.pulser.stop()
    armed = bench.table.states.armed

    def is_off():
        with contextlib.suppress(InstrumentError):  # was in flight
            return bench.driver.commands.read([armed])[armed] == 0

    until(is_off)
    for _ in range(2):  # the first was maybe asked before the cut, and finds it when we are armed
        bench.driver._asked.clear()
        bench.driver.wait_asked(PATIENCE_S)
    until(lambda: bench.pulser.hold_reason() == "")
    bench.pulser.set(Pulse(width_ps=10.0), shot="b").wait(PATIENCE_S)
    bench.pulser.trigger().wait(PATIENCE_S)


@pytest.mark.parametrize("bench", ["ca"], indirect=True)
@pytest.mark.parametrize("where", ["before pyepics", "in pyepics"])
def test_a_put_is_not_kept_for_a_line_that_was_cut_just_then(bench, where, monkeypatch):
    """pyepics waits five seconds for the line and then for ever, and would put: FIRE, say."""
    ca = pytest.importorskip("epics.ca")
    bench.driver.close()
    bench.transport.put({"WIDTH": 20.0}, PATIENCE_S)
    pv = bench.transport._signals["WIDTH"]._write_pv
    place = pv if where == "before pyepics" else ca
    put = place.put

    def put_late(*args, **options):
        cut_lines()
        until(lambda: not pv.connected)
        return put(*args, **options)

    monkeypatch.setattr(place, "put", put_late)
    with ThreadPoolExecutor() as thread:
        late = thread.submit(bench.transport.put, {"WIDTH": 30.0}, 0.5)
        with pytest.raises(InstrumentError, match=r"was lost while|timed out waiting"):
            late.result(timeout=3.0)
    monkeypatch.undo()
    assert bench.transport.get(["WIDTH"], PATIENCE_S)["WIDTH"].value == 20.0


@pytest.fixture
def counter():
    """Serves one PV by PV Access, again and again at one address, which comes with it."""
    server = pytest.importorskip("p4p.server")
    thread, nt = pytest.importorskip("p4p.server.thread"), pytest.importorskip("p4p.nt")
    conf = epics_on_loopback(free_ports())

    def serve():
        pvs = {f"{PREFIX}FIRED": thread.SharedPV(nt=nt.NTScalar("d"), initial=1.0)}
        return server.Server(providers=[pvs], conf=conf, useenv=False)

    return serve, conf


def test_pv_access_looks_at_once_for_a_server_that_was_away_again(counter):
    """p4p hurries once; of the second time it would hear six seconds later."""
    serve, conf = counter
    with contextlib.closing(PvAccess(PREFIX, conf=conf)) as transport:
        with serve():
            transport.get(["FIRED"], PATIENCE_S)
        for _ in range(2):
            with pytest.raises(InstrumentSilent):
                transport.get(["FIRED"], 0.2)
            with serve():
                assert transport.get(["FIRED"], 3.0)["FIRED"].value == 1.0


def test_pv_access_hears_of_every_cut_and_not_of_one_twice(counter):
    serve, conf = counter
    with serve(), contextlib.closing(PvAccess(PREFIX, conf=conf)) as transport:
        for cuts in range(3):
            transport.get(["FIRED"], PATIENCE_S)
            until(lambda: transport._connected)
            assert transport.connections == 1 + cuts
            cut_lines()
            until(lambda had=cuts: transport.connections == 2 + had)
