"""Recording: reads back what was recorded, and refuses what is none."""

import time

import h5py
import numpy as np
import pytest

from skyctl.errors import RecordingError
from skyctl.frame import Counts, ShotEnd
from skyctl.recording.reader import Recording


def refusal(path):
    with pytest.raises(RecordingError) as caught:
        Recording(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_shots_come_back_as_they_were(recorded, make):
    with Recording(recorded) as recording:
        shots = [(start, list(frames), end) for start, frames, end in recording.shots()]
    (a, a_frames, a_end), (look, look_frames, _), (gap, gap_frames, gap_end) = shots
    assert a == make.start("a", 25)
    assert look == make.start("look", 1, None)
    assert gap == make.start("gap", 8)
    assert (a_end, gap_end) == (ShotEnd("run", "a", 25), ShotEnd("run", "gap", 8))
    assert [frame.index for frame in a_frames] == list(range(25))
    assert [frame.index for frame in gap_frames] == [0, 1, 2, 4, 5, 6, 7]
    for frame in a_frames:
        expected = make.frame(frame.index, "a")
        assert frame.data.tobytes() == expected.data.tobytes()
        assert (frame.movie_time_ps, frame.source_time_ns) == (
            expected.movie_time_ps,
            expected.source_time_ns,
        )
    assert len(look_frames) == 1


def test_the_header_comes_back(recorded, model):
    with Recording(recorded) as recording:
        assert recording.run == "run"
        assert recording.header["seed"] == 3
        assert recording.header["model"]["file_sha256"] == model.card.file_sha256
        assert recording.classes == model.card.classes


def test_a_missing_file_is_named(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.h5")


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(8)])
def test_a_file_that_is_no_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "bad.h5"
    path.write_bytes(content)
    assert "truncated or no HDF5" in refusal(path)


def test_hdf5_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = np.arange(3)
    assert "no recording of skyctl" in refusal(path)


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_an_empty_hdf5_is_refused(tmp_path, version):
    path = tmp_path / "empty.h5"
    h5py.File(path, "w", libver=version).close()
    assert "no recording of skyctl" in refusal(path)


def test_a_file_cut_anywhere_is_refused(recorded, tmp_path):
    content = recorded.read_bytes()
    path = tmp_path / "cut.h5"
    for length in [*range(0, 100, 7), *range(100, len(content), 7919), len(content) - 1]:
        path.write_bytes(content[:length])
        assert "truncated or no HDF5" in refusal(path)


def test_a_recording_that_was_cut_while_it_grew_gives_no_frame_that_is_not_there(
    recorder, make, tmp_path
):
    recorder.handle(make.start(frames=50))
    for index in range(50):
        recorder.handle(make.frame(index))
    content = recorder.path.read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(content[: len(content) - 30 * 40 * 40 * 4])
    with Recording(path) as recording:
        ((_, frames, _),) = recording.shots()
        kept = list(frames)
    assert 15 <= len(kept) <= 21
    for index, frame in enumerate(kept):
        np.testing.assert_array_equal(frame.data, make.frame(index).data)


def test_a_recording_without_a_table_is_refused(recorded):
    with h5py.File(recorded, "r+") as file:
        del file["entry/shots/verdicts"]
    assert "no recording of skyctl" in refusal(recorded)


def test_columns_of_different_length_give_the_frames_that_all_have(recorded):
    with h5py.File(recorded, "r+") as file:
        file["entry/instrument/camera/received_ns"].resize(20, axis=0)
    with Recording(recorded) as recording:
        assert recording.frame_count == 20
        assert {len(column) for column in recording.columns().values()} == {20}
        assert sum(1 for _, frames, _ in recording.shots() for _ in frames) == 20


def test_a_movie_that_ended_early_comes_back_as_one(recorded_early):
    with Recording(recorded_early) as recording:
        (start, frames, end), _, (whole, _, whole_end) = recording.shots()
        assert [frame.index for frame in frames] == list(range(9))
        assert (recording.frames_exposed, recording.frames_promised) == (44, 69)
        assert recording.results["ended_early"].tolist() == [1, 0, 0]
    assert (start.may_end_early, start.expected_frames) == (True, 34)
    assert end == ShotEnd("run", "early", 9, ended_early=True)
    assert not whole.may_end_early
    assert not whole_end.ended_early


def test_frames_of_a_movie_without_its_end_count_as_exposed(recorder, make):
    lost = [*make.movie("a", 8)[:-1], ShotEnd("run", "a", 8, Counts(received=6, missing=2))]
    for event in [*lost, *make.movie("open", 8)[:4]]:
        recorder.handle(event)
    recorder.close()
    with Recording(recorder.path) as recording:
        assert (recording.frames_exposed, recording.frames_promised) == (8 + 3, 16)


CAMERA, SHOTS = "/entry/instrument/camera", "/entry/shots"


def replaced(path, name, **how):
    """Put another dataset where one of the recording was."""
    with h5py.File(path, "r+") as file:
        old = file[name]
        shape, dtype = how.pop("shape", old.shape), how.pop("dtype", old.dtype)
        del file[name]
        file.create_dataset(name, shape, dtype, **how)


@pytest.mark.parametrize("salvage", [False, True])
@pytest.mark.parametrize(
    ("name", "how", "fault"),
    [
        (f"{CAMERA}/shot_number", {"shape": 10**9, "chunks": (1024,)}, "declares 1000000000 rows"),
        (f"{CAMERA}/movie_time_ps", {"shape": (33, 2), "chunks": (33, 2)}, "is no column"),
        (f"{SHOTS}/starts", {"shape": 10**9, "chunks": (64,)}, "declares 1000000000 rows"),
        (f"{SHOTS}/verdicts", {"shape": 10**9, "chunks": (64,)}, "declares 1000000000 rows"),
        (f"{SHOTS}/ends", {"chunks": (3,), "compression": "gzip"}, "is compressed"),
        (f"{CAMERA}/data", {"compression": "gzip"}, r"filters \[1\]"),
        (f"{CAMERA}/data", {"shape": (9, 10**5, 10**5), "chunks": (1, 10**4, 10**4)}, "a frame of"),
        (f"{CAMERA}/data", {"shape": (33,)}, "no images"),
    ],
)  # fmt: skip
def test_a_file_that_declares_more_than_it_can_hold_is_refused_at_once(
    recorded, name, how, fault, salvage
):
    replaced(recorded, name, **how)
    began = time.monotonic()
    with pytest.raises(RecordingError, match=fault):
        Recording(recorded, salvage=salvage)
    assert time.monotonic() - began < 5


def test_a_header_nested_too_deep_is_refused(recorded):
    with h5py.File(recorded, "r+") as file:
        file["/entry"].attrs["header"] = "[" * 30_000
    with pytest.raises(RecordingError, match="no recording of skyctl, or damaged"):
        Recording(recorded)
