"""The guard and pulses that are no single Gaussian field: none by default, and those it is told."""

import json
import math

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.devices import ledger as ledger_module
from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.instruments.commands import Commands
from skyctl.devices.ledger_accept import accept, inspect
from skyctl.devices.pulser import Pulser
from skyctl.devices.rare_pulses import RarePulses
from skyctl.errors import PulseRefused
from skyctl.pulse import Pulse, Ring, SpinCurrent, Spot, Stripe
from skyctl.samples import brief_text
from skyctl.waveform import Burst, Sampled, Square

CURRENT = SpinCurrent(density_A_per_m2=1e12, field_like=0.2)
SAMPLED = Sampled(times_ps=(-8.0, 0.0, 9.0), values=(0.0, 1.0, -0.25))
RARE = {
    "square": Pulse(width_ps=8, waveform=Square(rise_ps=1)),
    "burst": Pulse(width_ps=8, waveform=Burst(frequency_THz=0.2)),
    "sampled": Pulse(width_ps=SAMPLED.width_ps, waveform=SAMPLED),
    "current": Pulse(width_ps=8, current=CURRENT),
    "second": Pulse(width_ps=8, second=Pulse(width_ps=3, peak_ps=60)),
    "stripe": Pulse(width_ps=8, spot=Spot(x=5, y=5, sigma=2, shape=Stripe())),
    "ring": Pulse(width_ps=8, spot=Spot(x=5, y=5, sigma=2, shape=Ring(radius=9))),
}
EVERY = RarePulses(
    waveforms=("square", "burst", "sampled"), footprints=("stripe", "ring"), pulses=2,
    density_A_per_m2=2e12, dose_A2s_per_m4=1e14, budget_A2s_per_m4=1e15,
)  # fmt: skip
WIDE = Envelope(rest_s=0, rare=EVERY)


class Sent:
    """A driver that keeps what it was told to send."""

    def __init__(self):
        self.pulses = []

    def fire(self, shot, pulse):
        self.pulses.append(pulse)

    def disarm(self):
        pass


@pytest.mark.parametrize("kind", RARE)
def test_by_default_none_is_fired(kind):
    with pytest.raises(PulseRefused, match=r"may not be fired|may be|outside"):
        Guard(Envelope()).check(RARE[kind])


@pytest.mark.parametrize("kind", RARE)
def test_where_it_may_be_it_is_fired_booked_and_known_after_a_restart(kind, tmp_path):
    pulse, driver = RARE[kind], Sent()
    guard = Guard(WIDE, tmp_path / "ledger")
    pulser = Pulser(name="pulser", driver=driver, guard=guard)
    pulser.set(pulse, shot="one")
    assert json.loads(pulser.rare.get()) == json.loads(brief_text(pulse))
    pulser.trigger()
    assert driver.pulses == [pulse]
    assert driver.pulses[0] is not pulse
    assert guard.booked("one") == pulse
    guard.close()
    again = Guard(WIDE, tmp_path / "ledger")
    assert again.booked("one") == pulse
    assert again.spent == guard.spent
    assert again.spent.dose_T2ps == pytest.approx(pulse.dose_T2ps)
    assert again.replays("one", pulse)
    assert not again.replays("one", pulse.plain)
    again.close()


@pytest.mark.parametrize(
    ("pulse", "limits", "kind"),
    [
        (RARE["current"], {"density_A_per_m2": 0.9e12}, "range"),
        (RARE["current"], {"dose_A2s_per_m4": 1e12 * 1e12 * 8e-12 * 1.7}, "dose"),
        (RARE["second"], {"pulses": 1}, "range"),
        (RARE["ring"], {"footprints": ("stripe",)}, "range"),
        (RARE["square"], {"waveforms": ("burst",)}, "range"),
        (Pulse(width_ps=8, second=Pulse(width_ps=3, amplitude_T=99)), {}, "range"),
        (Pulse(width_ps=8, second=Pulse(width_ps=61)), {}, "range"),
        (
            Pulse(width_ps=8, second=Pulse(width_ps=8, waveform=Square())),
            {"waveforms": ()},
            "range",
        ),
        (
            Pulse(width_ps=8, second=Pulse(width_ps=8, current=CURRENT)),
            {"density_A_per_m2": 0},
            "range",
        ),
    ],
)
def test_each_limit_holds_for_both_pulses(pulse, limits, kind):
    narrow = EVERY.model_copy(update=limits)
    with pytest.raises(PulseRefused) as refused:
        Guard(Envelope(rest_s=0, rare=narrow)).check(pulse)
    assert refused.value.kind == kind


def test_dose_and_rest_are_those_of_the_waveform_and_of_both_pulses():
    now = [0.0]
    square = Pulse(width_ps=50, amplitude_T=3, waveform=Square())
    assert Pulse(width_ps=50, amplitude_T=3).dose_T2ps < 850 < square.dose_T2ps
    with pytest.raises(PulseRefused, match="dose"):
        Guard(WIDE.model_copy(update={"dose_T2ps": 850.0})).check(square)
    slow = WIDE.model_copy(update={"duty": 1e-9})
    both = square.model_copy(update={"second": square})
    guard = Guard(slow, clock=lambda: now[0])
    guard.book("one", both)
    assert guard.rest_left_s == pytest.approx(2 * 100e-12 / 1e-9)
    with pytest.raises(PulseRefused, match="budget"):
        Guard(WIDE.model_copy(update={"budget_T2ps": 1700.0})).allow("one", both)


class Lying(Square):
    """A square that says it has no dose."""

    def square_ps(self, width_ps):
        return 0.0


class Smaller(float):
    """A number that is below everything."""

    def __le__(self, other):
        return True


def forged(pulse, **parts):
    """A pulse whose parts nobody validated."""
    return pulse.model_copy(update=parts)


@pytest.mark.parametrize(
    "pulse",
    [
        forged(RARE["square"], waveform=Lying()),
        forged(RARE["square"], waveform={"kind": "square"}),
        forged(RARE["square"], waveform=Square.model_construct(rise_ps=Smaller(1), fall_ps=0.0)),
        forged(RARE["square"], waveform=Square.model_construct(rise_ps=-1e9, fall_ps=0.0)),
        forged(RARE["burst"], waveform=Burst.model_construct(frequency_THz=float("nan"))),
        forged(RARE["sampled"], waveform=SAMPLED.model_copy(update={"values": (0.0, 50.0, 0.0)})),
        forged(RARE["sampled"], waveform=SAMPLED.model_copy(update={"values": [0.0, 1.0, 0.0]})),
        forged(RARE["sampled"], width_ps=2.0),
        forged(RARE["current"], current=CURRENT.model_copy(update={"density_A_per_m2": -1.0})),
        forged(RARE["second"], second=RARE["second"]),
        forged(RARE["second"], second="another"),
        forged(RARE["second"], second=forged(Pulse(width_ps=3), amplitude_T=Smaller(99))),
        forged(RARE["second"], second=forged(Pulse(width_ps=3), spot=Spot(x=1, y=1, sigma=1))),
        forged(RARE["ring"], spot=RARE["ring"].spot.model_copy(update={"shape": "ring"})),
        forged(RARE["ring"], waveform=RARE["ring"].spot.shape),
    ],
)
def test_what_is_not_exactly_a_pulse_is_refused(pulse):
    with pytest.raises(PulseRefused):
        Guard(WIDE).check(pulse)


def long_waveform(count=5000):
    """A pulse of that many samples, 0.01 ps apart."""
    wave = Sampled(
        times_ps=tuple(0.01 * n for n in range(count)),
        values=tuple(math.sin(0.01 * n) for n in range(count)),
    )
    return Pulse(amplitude_T=1.5, width_ps=wave.width_ps, waveform=wave)


def test_thousands_of_samples_are_booked_once_and_known_after_a_restart(tmp_path):
    pulse, driver = long_waveform(), Sent()
    guard = Guard(WIDE, tmp_path / "ledger")
    pulser = Pulser(name="pulser", driver=driver, guard=guard)
    for shot in ("one", "two"):
        pulser.set(pulse, shot=shot)
        pulser.trigger()
    assert driver.pulses == [pulse, pulse]
    assert max(map(len, (tmp_path / "ledger").read_text().splitlines())) < 1000
    assert len(list((tmp_path / "ledger.samples").iterdir())) == 1
    guard.close()
    again = Guard(WIDE, tmp_path / "ledger")
    assert again.fired == (pulse, pulse)
    assert again.spent.dose_T2ps == pytest.approx(2 * pulse.dose_T2ps)
    assert again.replays("two", pulse)
    assert not again.replays("two", long_waveform(4999))
    again.close()


def test_the_guard_works_on_the_samples_themselves():
    pulse = long_waveform()
    with pytest.raises(PulseRefused, match="dose"):
        Guard(WIDE.model_copy(update={"dose_T2ps": 0.99 * pulse.dose_T2ps})).check(pulse)
    unlike = pulse.waveform.model_copy(update={"values": (*pulse.waveform.values[:-1], 40.0)})
    with pytest.raises(PulseRefused, match="less than or equal to 1"):
        Guard(WIDE).check(forged(pulse, waveform=unlike))


@pytest.mark.parametrize("fault", ["gone", "changed"])
def test_without_its_very_samples_a_booked_pulse_is_neither_sent_nor_forgotten(fault, tmp_path):
    """Whatever happens to the file between the booking and the sending, and before a restart."""
    ledger, driver = tmp_path / "ledger", Sent()
    guard = Guard(WIDE, ledger)
    pulser = Pulser(name="pulser", driver=driver, guard=guard)
    append = guard._ledger.append

    def spoil(*entry):
        append(*entry)
        (samples,) = (tmp_path / "ledger.samples").iterdir()
        if fault == "gone":
            samples.unlink()
        else:
            samples.write_bytes(samples.read_bytes()[::-1])

    guard._ledger.append = spoil
    pulser.set(long_waveform(), shot="one")
    with pytest.raises(PulseRefused, match=r"samples .* of its waveform are .* Nothing was fired"):
        pulser.trigger()
    assert driver.pulses == []
    assert guard.shots_fired == 1  # booked, and spent
    guard.close()
    with pytest.raises(PulseRefused, match="line 1 cannot be read: the samples"):
        Guard(WIDE, ledger)
    with pytest.raises(ValueError, match="Give the dose in all"):
        accept(ledger, "me", "its samples are lost")
    accept(ledger, "me", "its samples are lost", dose_T2ps=40.0)
    after = Guard(WIDE, ledger)
    assert after.has_fired("one")
    assert after.spent.shots == 1
    after.close()


def test_the_budget_of_currents_outlives_restarts_and_segments(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_module, "SEGMENT", 2)
    pulse, path = RARE["current"], tmp_path / "ledger"
    each = pulse.dose_A2s_per_m4
    assert each == pytest.approx(1e24 * 8e-12 * math.sqrt(math.pi))
    budget = EVERY.model_copy(update={"budget_A2s_per_m4": 5.5 * each})
    for shot in range(5):
        guard = Guard(Envelope(rest_s=0, rare=budget), path)
        guard.book(f"s{shot}", pulse)
        assert guard.spent.dose_A2s_per_m4 == pytest.approx((shot + 1) * each)
        guard.close()
    guard = Guard(Envelope(rest_s=0, rare=budget), path)
    with pytest.raises(PulseRefused, match="current budget of") as refused:
        guard.allow("s5", pulse)
    assert refused.value.kind == "budget"
    guard.book("s5", Pulse(width_ps=8))  # a field is no current
    guard.close()
    assert inspect(path).spent.dose_A2s_per_m4 == pytest.approx(5 * each)


def test_currents_without_a_budget_are_refused():
    none = EVERY.model_copy(update={"budget_A2s_per_m4": 0.0})
    with pytest.raises(PulseRefused, match="current budget of 0"):
        Guard(Envelope(rare=none)).allow("one", RARE["current"])


def test_where_a_line_of_currents_is_lost_a_person_says_their_dose(tmp_path):
    path = tmp_path / "ledger"
    guard = Guard(WIDE, path)
    for shot in "abc":
        guard.book(shot, RARE["current"])
    guard.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"lost\n", lines[2]]))
    with pytest.raises(ValueError, match="currents were fired"):
        accept(path, "me", "why", dose_T2ps=100.0)
    accept(path, "me", "why", dose_T2ps=100.0, dose_A2s_per_m4=7e13)
    after = Guard(WIDE, path)
    assert after.spent.dose_A2s_per_m4 == 7e13
    after.close()


def test_the_ledgers_command_and_the_readings_show_currents(tmp_path):
    guard = Guard(WIDE, tmp_path / "ledger")
    pulser = Pulser(name="pulser", driver=Sent(), guard=guard)
    for shot in "ab":
        pulser.set(RARE["current"], shot=shot)
        pulser.trigger()
    each = RARE["current"].dose_A2s_per_m4
    assert pulser.read()["pulser_dose_fired_A2s_per_m4"]["value"] == pytest.approx(2 * each)
    assert pulser.dose_A2s_per_m4.get() == pytest.approx(each)
    guard.close()
    shown = CliRunner().invoke(app, ["ledger", "check", str(tmp_path / "ledger")])
    assert f"2 shots, 113 T²ps, {2 * each:.3g} A²s/m⁴" in shown.output


def test_an_instrument_that_knows_settings_alone_refuses_them():
    commands = Commands.__new__(Commands)  # it asks before it looks at anything of its own
    for pulse in RARE.values():
        with pytest.raises(PulseRefused, match="sends single Gaussian fields"):
            commands._wanted(pulse, 1)
