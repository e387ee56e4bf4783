"""Waveforms: dose and duty in closed form, files that hold one, and pulses made of them."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from skyctl.pulse import Pulse, Ring, SpinCurrent, Spot, Stripe, pulse_of, settings_of
from skyctl.waveform import Burst, Sampled, Square, read_waveform

SAMPLED = Sampled(times_ps=(-5.0, -1.0, 2.0, 9.0), values=(0.0, 1.0, -0.5, 0.2))


@pytest.mark.parametrize(
    "waveform",
    [
        Square(),
        Square(rise_ps=3, fall_ps=9),
        Burst(frequency_THz=0.1),
        Burst(frequency_THz=0.03, chirp_THz_per_ps=0.01, phase_deg=70),
        SAMPLED,
    ],
)
def test_dose_and_duty_are_the_integrals(waveform):
    width = waveform.width_ps if waveform is SAMPLED else 8.0
    pulse = Pulse(amplitude_T=3, width_ps=width, waveform=waveform)
    times = np.linspace(-100, 180, 2_800_001)
    strength = pulse.at(times)
    assert np.abs(strength).max() <= 1
    assert pulse.dose_T2ps == pytest.approx(9 * (strength**2).sum() * 1e-4, rel=1e-5)
    assert pulse.on_ps >= np.abs(strength).sum() * 1e-4 * (1 - 1e-5)
    current = pulse.model_copy(update={"current": SpinCurrent(density_A_per_m2=2e12)})
    expected = 4e24 * (strength**2).sum() * 1e-4 * 1e-12
    assert current.dose_A2s_per_m4 == pytest.approx(expected, rel=1e-5)
    both = Pulse(width_ps=8, second=pulse)
    assert both.dose_T2ps == pytest.approx(Pulse(width_ps=8).dose_T2ps + pulse.dose_T2ps)
    assert Pulse.model_validate_json(current.model_dump_json()) == current


def test_a_gaussian_is_sampled_at_its_own_width():
    times = np.linspace(-40, 40, 801)
    sampled = Sampled(times_ps=tuple(times), values=tuple(np.exp(-((times / 8) ** 2) / 2)))
    assert sampled.width_ps == pytest.approx(8, rel=1e-3)


def test_a_plain_pulse_is_written_as_it_always_was_and_a_rare_one_has_no_settings():
    assert set(Pulse(width_ps=8).model_dump()) == set(settings_of(Pulse(width_ps=8))) - {
        "spot_x", "spot_y", "spot_sigma",
    } | {"spot"}  # fmt: skip
    spot = Spot(x=3, y=4, sigma=2, shape=Ring(radius=5))
    for rare in (
        Pulse(width_ps=8, waveform=Square()),
        Pulse(width_ps=8, current=SpinCurrent(density_A_per_m2=1e11)),
        Pulse(width_ps=8, second=Pulse(width_ps=3)),
        Pulse(width_ps=8, spot=spot),
    ):
        assert not rare.is_plain
        with pytest.raises(ValueError, match="no single Gaussian field"):
            settings_of(rare)
        assert rare.plain.is_plain
        assert pulse_of(settings_of(rare.plain)) == rare.plain


@pytest.mark.parametrize(
    ("pulse", "fault"),
    [
        ({"waveform": {"kind": "square", "rise_ps": 20, "fall_ps": 20}}, "flanks"),
        ({"waveform": {"kind": "square", "rise_ps": -1}}, "greater than"),
        ({"waveform": {"kind": "burst", "frequency_THz": float("nan")}}, "finite"),
        ({"waveform": {"kind": "sampled", "times_ps": (0, 1), "values": (0, 2)}}, "less than"),
        ({"waveform": {"kind": "sampled", "times_ps": (1, 0), "values": (0, 1)}}, "ascend"),
        ({"waveform": {"kind": "sampled", "times_ps": (0, 1), "values": (0, 1, 1)}}, "2 times"),
        ({"waveform": {"kind": "sampled", "times_ps": (0, 1), "values": (1, 1)}}, "width_ps"),
        ({"waveform": {"kind": "triangle"}}, "triangle"),
        ({"second": {"width_ps": 3, "second": {"width_ps": 3}}}, "three pulses"),
        ({"second": {"width_ps": 3, "spot": {"x": 1, "y": 1, "sigma": 1}}}, "different places"),
        ({"current": {"density_A_per_m2": 0}}, "greater than"),
    ],
)
def test_what_is_no_pulse_is_refused(pulse, fault):
    with pytest.raises(ValidationError, match=fault):
        Pulse(width_ps=8, **pulse)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.floats(-5, 5)), min_size=2, max_size=12).filter(
        lambda rows: any(abs(value) > 0.01 for _, value in rows)
    )
)
def test_a_waveform_comes_out_of_its_file(tmp_path_factory, rows):
    steps, values = np.array(rows).T
    times = np.cumsum(steps)
    folder = tmp_path_factory.mktemp("waves")
    lines = "\n".join(f"{t!r}, {v!r}" for t, v in zip(times.tolist(), values.tolist(), strict=True))
    (folder / "w.csv").write_text(f"# of the scope\ntime ps, field\n{lines}\n")
    np.save(folder / "w.npy", np.stack([times, values], axis=1))
    for name in ("w.csv", "w.npy"):
        found = read_waveform(folder / name)
        assert np.abs(found.values).max() == 1
        np.testing.assert_allclose(np.diff(found.times_ps), np.diff(times), atol=1e-12)
        np.testing.assert_allclose(found.values, values / np.abs(values).max())
        assert found.at(np.array([0.0]), 1.0)[0] == pytest.approx(
            np.sign(values[np.abs(values).argmax()])
        )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0,1\n1,nan\n", "NaN"),
        ("0,1\n2,1\n1,0\n", "ascend: 2 is followed by 1"),
        ("0,1\n", "rows of a time"),
        ("0,1,2\n1,2,3\n", "rows of a time"),
        ("0,0\n1,0\n", "nothing but 0"),
        ("0,x\n1,0\n", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_waveform_is_refused(tmp_path, text, fault):
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(ValueError, match=fault):
        read_waveform(tmp_path / "w.csv")


def test_a_line_and_a_circle_say_where_they_are():
    assert str(Pulse(width_ps=8, spot=Spot(x=1, y=2, sigma=3, shape=Stripe(angle_deg=30)))) == (
        "2 T 8 ps θ=40° spot σ=3 stripe"
    )
