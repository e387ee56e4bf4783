"""The thin film on the beamline: filmed in each component, driven by sequences of fields."""

import numpy as np
import pytest
from bluesky import RunEngine

from skyctl.beamline import replayed_beamline, simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.devices.rare_pulses import RarePulses
from skyctl.errors import PulseRefused
from skyctl.plans import classify_shot
from skyctl.pulse import FrameSchedule, Pulse, Spot
from skyctl.recording.reader import Recording
from skyctl.recording.replay import replay
from skyctl.simulators.thin.film import ThinFilmParameters
from skyctl.simulators.thin.pulsed import PulsedThinFilm
from skyctl.waveform import Square

FILM = ThinFilmParameters(rows=16, columns=60, cell_nm=(8.0, 8.0, 3.0))
SEQUENCE = Pulse(
    amplitude_T=0.05, width_ps=100, peak_ps=100, theta_deg=90, phi_deg=170, waveform=Square(),
    second=Pulse(
        amplitude_T=0.02, width_ps=50, peak_ps=250, theta_deg=90, phi_deg=-60, waveform=Square()
    ),
)  # fmt: skip
ENVELOPE = Envelope(
    uniform_amplitude_T=0.1,
    width_ps=(1.0, 1000.0),
    peak_ps=(0.0, 2000.0),
    rare=RarePulses(waveforms=("square",), pulses=2),
)
MOVIE = FrameSchedule(duration_ps=320.0, interval_ps=20.0)


def opened(folder, component):
    line = simulated_beamline(
        folder, film=PulsedThinFilm(FILM), component=component, envelope=ENVELOPE,
        ledger=folder / "ledger.jsonl",
    )  # fmt: skip
    line.camera.film_like(MOVIE)
    return line


def fire(line, pulse):
    return RunEngine(call_returns_result=True)(classify_shot(line, pulse)).plan_result


@pytest.mark.parametrize(("component", "row"), [("sx", 0), ("sy", 1), ("spins", slice(None))])
def test_a_sequence_of_fields_is_filmed_booked_and_left_unnamed(tmp_path, component, row):
    with opened(tmp_path, component) as line:
        first = fire(line, SEQUENCE)
        recording = line.camera.recording
        second = fire(line, SEQUENCE.scaled(0.5))
        assert line.pulser.guard.fired == (SEQUENCE, SEQUENCE.scaled(0.5))
    assert first.verdict.label is second.verdict.label is None
    assert first.problem == second.problem == ""
    if component != "spins":
        assert f"frames show {component}" in first.verdict.outside
        assert first.state is None
    alone = PulsedThinFilm(FILM)
    expected = list(alone.frames(SEQUENCE, MOVIE.times_ps))
    with Recording(recording) as recorded:
        assert recorded.header["component"] == component
        _, (start, frames, _) = list(recorded.shots())[:2]
        filmed = [frame.data for frame in frames]
    assert start.pulse == SEQUENCE
    np.testing.assert_allclose(filmed, [m[row] for m in expected], atol=1e-6)
    assert expected[-1][0].mean() < 0.2 < expected[0][0].mean()


def test_its_recording_is_replayed_as_it_was(tmp_path):
    with opened(tmp_path / "live", "sx") as line:
        live = fire(line, SEQUENCE)
        recording = line.camera.recording
    with Recording(recording) as recorded:
        assert replay(recorded, line.streaming.model).identical
        with replayed_beamline(recorded, tmp_path / "again", envelope=ENVELOPE) as again:
            result = fire(again, SEQUENCE)
    assert result.verdict.outside == live.verdict.outside
    assert result.mean_sz == live.mean_sz


def test_what_the_film_cannot_take_is_refused_and_the_sample_lives_on(tmp_path):
    with opened(tmp_path, "sx") as line:
        with pytest.raises(PulseRefused, match="no spots and no currents"):
            line.sample.fire("one", Pulse(width_ps=8, spot=Spot(x=5, y=5, sigma=2)))
        assert line.sample.error is None
