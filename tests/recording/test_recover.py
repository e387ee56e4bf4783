"""Recovery: writers that are really killed, copies that are cut, and files that are none."""

import hashlib
import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from skyctl.errors import RecordingError
from skyctl.frame import COUNTS
from skyctl.recording import layout
from skyctl.recording.files import Storage
from skyctl.recording.reader import Recording
from skyctl.recording.recover import recover
from skyctl.recording.writer import FLUSH_FRAMES, Recorder

KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.recording.files import Storage
from skyctl.recording.writer import Recorder

path, kill_at, compression, per_file = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
storage = Storage(compression or None, int(per_file) or None)
recorder = Recorder(path, "run", (20, 20), storage=storage)
written = 0
for shot in range(3):
    recorder.handle(ShotStart("run", f"s{shot}", None, FrameSchedule(), 25, (20, 20)))
    for index in range(25):
        if written == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        data = np.full((20, 20), index / 100, np.float32)
        recorder.handle(Frame("run", f"s{shot}", index, 5.0 * index, index, data))
        written += 1
    recorder.handle(ShotEnd("run", f"s{shot}", 25, Counts(received=25)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(path, at, storage=None):
    storage = storage or Storage()
    options = [storage.compression or "", str(storage.frames_per_file or 0)]
    command = [sys.executable, "-c", KILLED, str(path), str(at), *options]
    assert subprocess.run(command, check=False).returncode == -9
    return path


def contents(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("run*")}


def assert_plain_and_right(path, frames):
    with h5py.File(path) as file:  # no SWMR needed any more
        assert len(file[layout.DATA]) == frames
        assert file["entry/data"].attrs["signal"] == "data"
    with Recording(path) as recording:
        kept = [f for _, shot, _ in recording.shots() for f in shot]
    assert len(kept) == frames
    for frame in kept:
        assert (frame.data == np.float32(frame.index / 100)).all()


@pytest.mark.parametrize(
    ("at", "storage"),
    [
        (3, None),
        (37, None),
        (60, Storage("bslz4")),
        (1000, None),
        (37, Storage(None, 10)),
        (40, Storage("bslz4", 10)),
        (59, Storage(None, 7)),
    ],
)
def test_what_a_killed_writer_left_becomes_a_plain_file(tmp_path, at, storage):
    path = killed(tmp_path / "run.h5", at, storage)
    before = contents(tmp_path)
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(path)
    result = recover(path)
    assert contents(tmp_path).items() >= before.items()  # the original stays as it is
    written = min(at, 75)
    assert result.state == "killed"
    assert result.recovered == tmp_path / "run-recovered.h5"
    assert written - FLUSH_FRAMES < result.frames <= written
    assert result.cut_frames == 0
    assert result.whole_shots == written // 25
    if written % 25 and result.shots > written // 25:
        (cut,) = result.cut_shots
        assert (cut.number, cut.shot) == (written // 25, f"s{written // 25}")
        assert cut.frames == result.frames - 25 * cut.number
        assert (cut.expected_frames, cut.received) == (25, None)
    else:
        assert result.cut_shots == ()
    assert_plain_and_right(result.recovered, result.frames)
    with Recording(result.recovered) as recording:
        assert recording.storage == (storage or Storage())
        assert recording.attributes["recovered_from"] == "run.h5"


@pytest.mark.parametrize("close", [True, False])
def test_a_truncated_copy_gives_its_whole_frames_and_never_hangs(tmp_path, make, close):
    path = tmp_path / "run.h5"
    recorder = Recorder(path, "run", make.shape)
    for shot in ("a", "b", "c"):
        for event in make.movie(shot, 40):
            recorder.handle(event)
    if close:
        recorder.close()
    content = path.read_bytes()
    found = []
    for part in (0.2, 0.3, 0.4, 0.6, 0.8, 0.95, 0.9999):
        copy = tmp_path / "cut.h5"
        copy.write_bytes(content[: int(len(content) * part)])
        out = tmp_path / f"out-{part}.h5"
        result = recover(copy, out)
        assert result.state == "truncated"
        assert result.missing_bytes == len(content) - int(len(content) * part)
        with Recording(out) as recording:
            for start, frames, _ in recording.shots():
                for frame in frames:
                    expected = make.frame(frame.index, start.shot).data
                    assert frame.data.tobytes() == expected.tobytes()
            assert recording.frame_count == result.frames
        assert result.whole_shots == sum(result.frames >= 40 * n for n in (1, 2, 3))
        found.append(result.frames)
    assert found == sorted(found)
    assert found[0] < 40 < 100 < found[-1] <= 120
    if not close:
        recorder.close()


def test_a_cut_copy_of_a_growing_file_is_read_or_refused_and_never_waited_for(tmp_path, make):
    recorder = Recorder(tmp_path / "run.h5", "run", make.shape)
    for event in make.movie("a", 40):
        recorder.handle(event)
    content = recorder.path.read_bytes()
    copy = tmp_path / "cut.h5"
    for length in range(0, len(content), len(content) // 40):
        copy.write_bytes(content[:length])
        try:
            with Recording(copy) as recording:
                assert recording.frame_count <= 40
        except RecordingError as error:
            assert "skyctl recover" in str(error)  # noqa: PT017 - either is right
    recorder.close()


def test_a_closed_recording_needs_nothing(recorded):
    result = recover(recorded)
    assert (result.state, result.recovered, result.cut_shots) == ("closed", None, ())
    assert result.whole_shots == result.shots == 3
    assert not recorded.with_name("recorded-recovered.h5").exists()


def test_nothing_that_exists_is_overwritten(tmp_path):
    path = killed(tmp_path / "run.h5", 30)
    for there in (tmp_path / "run-recovered.h5", path):
        if there != path:
            there.write_text("mine")
        before = there.read_bytes()
        with pytest.raises(RecordingError, match="original is as it was"):
            recover(path, there)
        assert there.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"no HDF5 at all" * 100, b"\x89HDF\r\n\x1a\n" + bytes(8), None]
)
def test_a_file_with_nothing_in_it_is_refused(tmp_path, content, recorded):
    path = tmp_path / "bad.h5"
    path.write_bytes(recorded.read_bytes()[:300] if content is None else content)
    with pytest.raises(RecordingError, match=str(path)):
        recover(path)
    assert [p.name for p in tmp_path.glob("bad*")] == ["bad.h5"]


def test_a_data_file_that_is_missing_or_cut_costs_its_frames_only(tmp_path):
    path = killed(tmp_path / "run.h5", 1000, Storage(None, 20))
    (tmp_path / "run.data-1.h5").rename(tmp_path / "elsewhere")
    with pytest.raises(RecordingError, match=r"run.data-1.h5 is missing"):
        Recording(path)
    result = recover(path, tmp_path / "out.h5")
    assert (result.frames, result.cut_frames) == (55, 20)
    assert [(cut.number, cut.frames, cut.received) for cut in result.cut_shots] == [
        (0, 20, 25),
        (1, 10, 25),
    ]
    assert_plain_and_right(tmp_path / "out.h5", 55)


def test_a_movie_that_ended_early_is_recovered_as_one(recorder, make, tmp_path):
    for event in [*make.early("early", 9), *make.movie("whole", 8)]:
        recorder.handle(event)
    killed = tmp_path / "killed.h5"
    killed.write_bytes(recorder.path.read_bytes())
    result = recover(killed)
    assert (result.state, result.whole_shots, result.cut_shots) == ("killed", 2, ())
    with Recording(result.recovered) as recording:
        (early, _, end), (whole, _, whole_end) = recording.shots()
    assert (early.may_end_early, end.sent_frames, end.ended_early) == (True, 9, True)
    assert (whole.may_end_early, whole_end.ended_early) == (False, False)


def test_an_older_recording_is_read_and_recovered(recorded, tmp_path):
    """Before the counts of late frames, the axes, the data files and early ends."""
    with h5py.File(recorded, "r+", libver="latest") as file:
        shots = file["entry/shots"]
        newer = ("late", "transit_p50_ms", "ended_early")
        names = [n for n in shots["ends"].dtype.names if n not in newer]
        rows = shots["ends"][()][names]
        del shots["ends"], file["entry/instrument/camera/sequence_number"]
        shots.create_dataset("ends", data=np.array(rows), maxshape=(None,), chunks=(64,))
        starts = shots["starts"][()]
        for row in starts:
            row["header"] = json.dumps(
                {
                    name: value
                    for name, value in json.loads(row["header"]).items()
                    if name != "may_end_early"
                }
            )
        shots["starts"][...] = starts
    with Recording(recorded) as recording:
        assert not any(s.may_end_early or e.ended_early for s, _, e in recording.shots())
        assert sum(1 for _, frames, _ in recording.shots() for _ in frames) == 33
    content = recorded.read_bytes()
    old = tmp_path / "old.h5"
    old.write_bytes(content[: len(content) - 10])
    assert recover(old).state == "truncated"
    with Recording(tmp_path / "old-recovered.h5") as recording:
        assert set(COUNTS) <= set(recording.ends.dtype.names)
        assert [row["received"] for row in recording.ends][:1] == [25]
        assert not recording.ends["ended_early"].any()
