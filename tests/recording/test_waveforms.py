"""Recordings of pulses whose waveform has thousands of samples: each stands in them once, whole."""

import shutil

import h5py
import numpy as np
import pytest
from bluesky import RunEngine

from skyctl.beamline import replayed_beamline, simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.devices.rare_pulses import RarePulses
from skyctl.errors import RecordingError, StreamError
from skyctl.plans import classify_shot
from skyctl.pulse import Pulse
from skyctl.recording.reader import Recording
from skyctl.recording.recover import recover
from skyctl.recording.writer import Recorder
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.waveform import Sampled


def pulse_of(samples, turns=3):
    phase = np.linspace(0, 1, samples)
    values = np.sin(np.pi * phase) * np.cos(2 * np.pi * turns * phase)
    wave = Sampled(times_ps=tuple((40 * phase - 20).tolist()), values=tuple(values.tolist()))
    return Pulse(amplitude_T=2.0, width_ps=wave.width_ps, waveform=wave)


LONG, OTHER = pulse_of(10_000), pulse_of(1000, turns=1)
ENVELOPE = Envelope(rare=RarePulses(waveforms=("sampled",)))


def pulses_in(path):
    with Recording(path) as recording:
        return [start.pulse for start, _, _ in recording.shots() if start.pulse]


@pytest.fixture
def recorded(tmp_path, make):
    recorder = Recorder(tmp_path / "run.h5", "run", make.shape)
    for shot, pulse in {"a": LONG, "b": OTHER, "c": LONG}.items():
        for event in make.movie(shot, pulse=pulse):
            recorder.handle(event)
    recorder.flush()
    yield recorder
    recorder.close()


def test_each_waveform_is_written_once_and_read_back_also_while_the_file_grows(recorded):
    assert pulses_in(recorded.path) == [LONG, OTHER, LONG]
    recorded.close()
    assert pulses_in(recorded.path) == [LONG, OTHER, LONG]
    with h5py.File(recorded.path) as file:
        assert len(file["entry/shots/waveforms"]) == 2
        assert len(file["entry/shots/samples"]) == 11_000


def test_what_a_killed_recorder_left_keeps_its_waveforms(recorded, tmp_path):
    killed = tmp_path / "killed.h5"
    shutil.copyfile(recorded.path, killed)
    assert pulses_in(recover(killed).recovered) == [LONG, OTHER, LONG]


@pytest.mark.parametrize("fault", ["gone", "changed"])
def test_a_shot_without_its_very_samples_is_refused_and_named(recorded, fault):
    recorded.close()
    with h5py.File(recorded.path, "r+") as file:
        samples = file["entry/shots/samples"]
        if fault == "gone":
            samples.resize(500, axis=0)
        else:
            samples[7] = (samples[7]["time_ps"], 0.5)
    with pytest.raises(RecordingError, match=r"shot 0 .*samples .* not as they were written"):
        pulses_in(recorded.path)


def test_a_measured_waveform_is_fired_booked_recorded_and_replayed(tmp_path):
    small = FilmParameters(rows=40, columns=40)
    ledger = tmp_path / "ledger.jsonl"
    with simulated_beamline(
        tmp_path / "live", parameters=small, envelope=ENVELOPE, ledger=ledger
    ) as line:
        live = fire(line, LONG)
        assert line.pulser.guard.fired == (LONG,)
        recording = line.camera.recording
    assert pulses_in(recording) == [LONG]
    with Recording(recording) as recorded:
        with replayed_beamline(recorded, tmp_path / "again", envelope=ENVELOPE) as line:
            assert fire(line, LONG).seen == live.seen
        with (
            replayed_beamline(recorded, tmp_path / "other", envelope=ENVELOPE) as line,
            pytest.raises(StreamError, match="asked for pulse"),
        ):
            fire(line, OTHER)


def fire(line, pulse):
    return RunEngine(call_returns_result=True)(classify_shot(line, pulse)).plan_result
