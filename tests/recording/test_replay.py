"""Replay: the recorded frames through a real hub give the recorded verdicts, bit for bit."""

import threading

import h5py
import numpy as np
import onnx
import pytest

from skyctl.errors import RecordingError, StreamError
from skyctl.inference.model import MovieClassifier
from skyctl.recording.reader import Recording
from skyctl.recording.replay import replay

VERDICTS = "/entry/shots/verdicts"


def replayed(path, model, **options):
    with Recording(path) as recording:
        return replay(recording, model, **options)


def test_a_replay_gives_the_recorded_verdicts_bit_for_bit(recorded, model):
    report = replayed(recorded, model)
    assert report.identical
    assert report.same_model
    assert [shot.verdicts for shot in report.shots] == [25, 0, 7]
    assert all(shot.verdicts == shot.recorded_verdicts == shot.identical for shot in report.shots)


def test_a_replay_gives_the_recorded_results(recorded, model):
    report = replayed(recorded, model)
    assert [shot.result.shot for shot in report.shots] == ["a", "look", "gap"]
    assert [shot.result.label for shot in report.shots] == [
        shot.recorded_label for shot in report.shots
    ]
    assert [shot.result.problem for shot in report.shots] == ["", "", "1 of 8 frames missing"]
    assert report.shots[1].result.state.has_one_skyrmion


def test_progress_is_told_shot_by_shot(recorded, model):
    told = []
    report = replayed(recorded, model, progress=told.append)
    assert told == report.shots


def test_the_rate_does_not_change_the_verdicts(recorded, model):
    assert replayed(recorded, model, rate_hz=500).identical


@pytest.mark.parametrize("at", [0, 12, 24])
def test_a_tampered_frame_is_noticed_from_there_on(recorded, model, at):
    with h5py.File(recorded, "r+") as file:
        data = file["/entry/instrument/camera/data"]
        data[at] = -data[at] * np.float32(0.5)
    report = replayed(recorded, model)
    assert not report.identical
    tampered, look, gap = report.shots
    assert at <= tampered.identical < tampered.verdicts
    assert look.agrees
    assert gap.agrees


def test_a_tampered_verdict_is_noticed(recorded, model):
    with h5py.File(recorded, "r+") as file:
        rows = file[VERDICTS][()]
        rows["probabilities"][5] = np.nextafter(rows["probabilities"][5], np.float32(2))
        file[VERDICTS][...] = rows
    report = replayed(recorded, model)
    assert [shot.agrees for shot in report.shots] == [False, True, True]
    assert report.shots[0].identical == 24


def test_a_verdict_that_was_not_recorded_is_noticed(recorded, model):
    with h5py.File(recorded, "r+") as file:
        file[VERDICTS].resize(len(file[VERDICTS]) - 1, axis=0)
    assert not replayed(recorded, model).identical


def test_a_recorded_verdict_that_does_not_come_again_is_noticed(recorded, model):
    with h5py.File(recorded, "r+") as file:
        verdicts = file[VERDICTS]
        verdicts.resize(len(verdicts) + 1, axis=0)
        row = verdicts[-2]
        row["frame_index"] = 99
        verdicts[-1] = row
    assert not replayed(recorded, model).identical


def test_another_model_is_said(recorded, model):
    with h5py.File(recorded, "r+") as file:
        header = file["entry"].attrs["header"]
        file["entry"].attrs["header"] = header.replace(model.card.file_sha256, "0" * 64)
    report = replayed(recorded, model)
    assert not report.same_model
    assert report.identical


def test_a_model_that_cannot_take_the_frames_ends_the_replay_with_its_reason(
    recorded, model, tmp_path
):
    sorting = onnx.load(model.path)
    metadata = {p.key: p.value for p in sorting.metadata_props}
    onnx.helper.set_model_props(sorting, {**metadata, "preprocessing": "sorted"})
    onnx.save(sorting, tmp_path / "sorting.onnx")
    with pytest.raises(StreamError, match=r"shot a cannot be classified.*1600 sites.*Give the mod"):
        replayed(recorded, MovieClassifier(tmp_path / "sorting.onnx"))


def test_a_replay_leaves_no_thread_behind(recorded, model):
    before = set(threading.enumerate())
    replayed(recorded, model)
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("skyctl")]


def test_a_recording_without_shots_is_no_success(recorder, model):
    recorder.close()
    with Recording(recorder.path) as recording, pytest.raises(RecordingError, match="no shot"):
        replay(recording, model)
