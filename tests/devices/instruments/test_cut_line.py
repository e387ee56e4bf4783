"""A line that was cut: what was in flight nobody knows, and the next command has a new line."""

import contextlib

import pytest

from skyctl.bench.instrument_rig import cut_lines
from skyctl.errors import InstrumentError
from skyctl.pulse import Pulse

from .conftest import PATIENCE_S, until

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
    until(lambda: bench.pulser.hold_reason() == "")
    bench.pulser.set(Pulse(width_ps=10.0), shot="b").wait(PATIENCE_S)
    bench.pulser.trigger().wait(PATIENCE_S)
