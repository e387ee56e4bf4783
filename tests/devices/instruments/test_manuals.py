"""Tables of instruments that nobody has here, tried against what their manuals say."""

import math
import time

import pytest

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.instruments.commands import Commands
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.scpi import Scpi
from skyctl.devices.instruments.stroboscope import DelayTable
from skyctl.devices.instruments.table import (
    DriverTable,
    FieldCalibration,
    calibrated,
    load_table,
)
from skyctl.devices.pulser import Pulser
from skyctl.errors import InstrumentError, NotFired, PulseRefused
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.manuals import (
    Delay645,
    LineServer,
    Totalizer53220,
    Waveform33500,
)

TESLA_PER_VOLT = 0.01
WIDE = Envelope(
    rest_s=0, repeats=10, amplitude_T=(0.0, 0.05), width_ps=(1e4, 1e6), dose_T2ps=1e9,
    budget_T2ps=1e12, peak_ps=(0, 0), theta_deg=(90, 90),
)  # fmt: skip
PULSE = Pulse(amplitude_T=0.02, width_ps=5e4, theta_deg=90.0, peak_ps=0.0)


@pytest.fixture
def generator():
    return Waveform33500()


@pytest.fixture
def pulser(generator, cleanup):
    """The shipped table behind a pulser; a totalizer counts."""
    servers = [LineServer(generator), LineServer(Totalizer53220(generator))]
    for server in servers:
        cleanup.callback(server.close)
    totalizer = Scpi(servers[1].address)
    cleanup.callback(totalizer.close)
    table = calibrated(
        load_table(DriverTable, "keysight-33500"),
        FieldCalibration(
            tesla_per_unit=TESLA_PER_VOLT, unit="V", measured="2026-01-02", author="Ada"
        ),
    )

    def count(timeout_s):
        name = "SENS:TOT:DATA"
        return int(float(totalizer.get([name], timeout_s)[name].value))

    driver = PulseInstrument(
        Scpi(servers[0].address),
        table,
        counter=count,
        beat_s=0.02,
        fire_s=0.3,
        envelope=WIDE,
        fixed={"theta_deg": 90.0},
    )
    cleanup.callback(driver.close)
    made = Pulser(name="pulser", driver=driver, guard=Guard(WIDE))
    driver.wait_asked(5)
    assert made.hold_reason() == ""
    return made


def until_off(generator):
    due = time.monotonic() + 5
    while generator.switches["OUTPut"]:
        assert time.monotonic() < due, "the output stays on"
        time.sleep(0.005)


def shot(pulser, name, repeats=1, pulse=PULSE):
    pulser.set(pulse, shot=name, repeats=repeats).wait(5)
    pulser.trigger().wait(5)


def test_a_generator_pulses_from_rest_as_often_as_asked_and_is_off_again(generator, pulser):
    shot(pulser, "a", repeats=3)
    low, high, width_s = generator.pulses[0]
    assert len(generator.pulses) == 3
    assert low == generator.rests_at_v == 0.0
    assert high * TESLA_PER_VOLT == pytest.approx(PULSE.amplitude_T)
    dose = (high * TESLA_PER_VOLT) ** 2 * width_s * 1e12  # of a rectangle
    assert dose == pytest.approx(PULSE.dose_T2ps, rel=1e-4)
    until_off(generator)
    shot(pulser, "b")
    assert len(generator.pulses) == 4
    assert not generator.errors


def test_a_stop_switches_an_armed_generator_off_and_nothing_leaves_it(generator, pulser):
    pulser.set(PULSE, shot="a").wait(5)
    assert generator.switches["OUTPut"] == 1
    pulser.stop()
    until_off(generator)
    assert generator.pulses == []


def test_what_a_generator_refuses_is_told_in_its_words_and_leaves_it_off(generator, pulser):
    generator.period_s = 1e-8
    with pytest.raises(PulseRefused, match="-222, Data out of range"):
        pulser.set(PULSE, shot="a").wait(5)
    until_off(generator)
    assert generator.pulses == []


def test_a_generator_that_somebody_set_to_another_trigger_does_not_fire_unseen(generator, pulser):
    pulser.set(PULSE, shot="a").wait(5)
    generator.words["TRIGger:SOURce"] = "EXT"  # at its front panel
    with pytest.raises(NotFired, match="-211, Trigger ignored"):
        pulser.trigger().wait(5)
    until_off(generator)
    assert pulser.guard.shots_fired == 1  # booked, and spent


def test_a_width_that_is_read_back_otherwise_is_refused(generator, pulser):
    take = generator._number
    generator._number = lambda name, value: "WIDTh" in name or take(name, value)  # and says nothing
    with pytest.raises(PulseRefused, match=r"WIDT: 0\.0001 is read back where 8\.86"):
        pulser.set(PULSE, shot="a").wait(5)


def test_envelopes_wider_than_the_generator_hold_fire(pulser):
    wide = WIDE.model_copy(update={"width_ps": (1.0, 1e6), "amplitude_T": (0.0, 1.0)})
    faults = pulser._instrument.commands.faults_of_limits(wide)
    assert [fault.split(":")[0] for fault in faults] == ["amplitude_T", "width_ps"]


@pytest.fixture
def delays(cleanup):
    """The shipped table of delays, and the instrument."""
    instrument = Delay645()
    server = LineServer(instrument)
    cleanup.callback(server.close)
    transport = Scpi(server.address, "LERR?", compound=False)
    cleanup.callback(transport.close)
    table = load_table(DelayTable, "srs-dg645")
    return instrument, transport, table


def test_a_delay_generator_takes_a_delay_and_says_it_back(delays):
    instrument, transport, table = delays
    commands = Commands(transport, load_table(DriverTable, "scpi-pulser"), {}, None, 1.0)
    for delay_ps in (0.0, 20.0, 12_345.0):
        wanted = delay_ps * table.delay.scale
        told = commands.order({table.delay.put: wanted}, [table.delay.readback])
        assert instrument.delays_s[2] == pytest.approx(delay_ps * 1e-12, abs=1e-15)
        assert table.delay.agrees(told[table.delay.readback], wanted)
    told = commands.order({table.delay.put: 22e-12}, [table.delay.readback])
    assert not table.delay.agrees(told[table.delay.readback], 22e-12)  # its steps are 5 ps


def test_what_a_delay_generator_refuses_is_told_by_its_number(delays):
    _, transport, table = delays
    with pytest.raises(InstrumentError, match=r"refused \(10,"):
        transport.put({table.delay.put: 9999.0}, 1.0)
    with pytest.raises(InstrumentError, match=r"refused \(11[01],"):
        transport.put({"NOPE": 1.0}, 1.0)
    transport.put({table.delay.put: 1e-9}, 1.0)
    assert math.isclose(float(transport.get(["DLAY?2"], 1.0)["DLAY?2"].value.split(",")[1]), 1e-9)
