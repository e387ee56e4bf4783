"""Recorder: what is in the file, what a kill or a full disk leaves of it, and who is told."""

import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from skyctl.errors import RecordingError
from skyctl.frame import COUNTS, Counts, Frame, ShotEnd
from skyctl.recording import files, layout
from skyctl.recording.reader import Recording
from skyctl.recording.writer import FLUSH_FRAMES, Recorder
from skyctl.stream.hub import Consumer
from skyctl.verdict import FilmState, ShotResult, Verdict

WRITES = """
import sys
from pathlib import Path
import numpy as np
from skyctl.frame import Frame, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.recording.writer import Recorder

recorder = Recorder(Path(sys.argv[1]), "run", (40, 40))
recorder.handle(ShotStart("run", "s", None, FrameSchedule(), 1000, (40, 40)))
for index, _ in enumerate(sys.stdin):
    data = np.full((40, 40), index / 1000, np.float32)
    recorder.handle(Frame("run", "s", index, 5.0 * index, index, data))
    print(index, flush=True)
"""

FILLS_THE_DISK = """
import os
import sys
from pathlib import Path
import numpy as np
from skyctl.errors import RecordingError
from skyctl.frame import Frame, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.recording.files import RunFile
from skyctl.recording.writer import Recorder

path = Path(sys.argv[1])
RunFile.check = lambda self: None  # the disk fills up between the check and the write
recorder = Recorder(path, "run", (40, 40))
recorder.handle(ShotStart("run", "s", None, FrameSchedule(), 1000, (40, 40)))

def film(first, frames):
    for index in range(first, first + frames):
        data = np.full((40, 40), index / 1000, np.float32)
        recorder.handle(Frame("run", "s", index, 5.0 * index, index, data))

film(0, 20)
for descriptor in os.listdir("/proc/self/fd"):
    if os.path.realpath(f"/proc/self/fd/{descriptor}") == str(path.resolve()):
        os.dup2(os.open("/dev/full", os.O_RDWR), int(descriptor))
try:
    film(20, 20)
except RecordingError as error:
    print(error)
recorder.close()
"""


class Writing:
    """Another process that records a frame for each line it is sent."""

    def __init__(self, path):
        command = [sys.executable, "-c", WRITES, str(path)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def film(self, frames):
        for _ in range(frames):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline()


@pytest.fixture
def writing(tmp_path):
    writing = Writing(tmp_path / "run.h5")
    with writing.process:
        yield writing
        writing.process.kill()


def test_a_run_is_a_nexus_file(recorder, make):
    for event in make.movie():
        recorder.handle(event)
    recorder.close()
    with h5py.File(recorder.path) as file:
        classes = {path: file[path].attrs["NX_class"] for path in ("entry", "entry/data")}
        assert classes == {"entry": "NXentry", "entry/data": "NXdata"}
        assert file["entry/instrument"].attrs["NX_class"] == "NXinstrument"
        assert file["entry/instrument/camera"].attrs["NX_class"] == "NXdetector"
        plotted = file[file.attrs["default"]]
        plotted = plotted[plotted.attrs["default"]]
        signal = plotted[plotted.attrs["signal"]]
        assert signal == file[layout.DATA]
        assert signal.shape == (8, *make.shape)
        for index in range(8):
            np.testing.assert_array_equal(signal[index], make.frame(index).data)
        assert file[f"{layout.CAMERA}/movie_time_ps"].attrs["units"] == "ps"


def test_columns_stand_beside_the_frames(recorder, make):
    for event in [*make.movie("a", 12), *make.movie("b", 3)]:
        recorder.handle(event)
    recorder.close()
    with Recording(recorder.path) as recording:
        columns = recording.columns()
    index = [*range(12), *range(3)]
    assert columns["frame_index"].tolist() == index
    assert columns["shot_number"].tolist() == [0] * 12 + [1] * 3
    assert columns["movie_time_ps"].tolist() == [5.0 * i for i in index]
    assert columns["source_time_ns"].tolist() == [1_000 + i for i in index]
    assert columns["received_ns"].tolist() == [2_000 + i for i in index]


def test_counts_of_a_shot_are_kept(recorder, make):
    counts = Counts(*range(1, 1 + len(COUNTS)))
    recorder.handle(make.start())  # and no frame, so that what was received is not recorded
    recorder.handle(ShotEnd("run", "s", None, counts))
    recorder.close()
    with Recording(recorder.path) as recording:
        (row,) = recording.ends
    assert asdict(replace(counts, unrecorded=1)) == {name: row[name] for name in COUNTS}
    assert row["sent_frames"] == -1


def test_what_another_run_sends_under_the_name_of_our_shot_is_not_recorded(tmp_path, make):
    recorder = Recorder(tmp_path / "run.h5", "run", make.shape, classes=("a", "b"))
    whole = make.movie()
    for event in whole[:2]:
        recorder.handle(event)
    for event in (*make.movie(), Verdict("s", 3, 15.0, ("a", "b"), (1.0, 0.0), "a")):
        recorder.handle(replace(event, run="somebody else's"))
    for event in whole[2:]:
        recorder.handle(event)
    recorder.close()
    with Recording(recorder.path) as recording:
        assert recording.frame_count == len(whole) - 2
        assert len(recording.starts) == len(recording.ends) == 1
        assert len(recording.verdicts) == 0


def test_verdicts_and_results_are_kept(tmp_path, make):
    recorder = Recorder(tmp_path / "run.h5", "run", make.shape, classes=("a", "b"))
    recorder.handle(make.start())
    verdict = Verdict("s", 3, 15.0, ("a", "b"), (0.125, 0.875), "b", 11, 12, run="run")
    state = FilmState(background=-1, discs=2, domains=1, reversed_sites=99)
    recorder.handle(verdict)
    recorder.handle(ShotResult("s", verdict, state, Counts(), "one frame missing", (), run="run"))
    recorder.close()
    with Recording(recorder.path) as recording:
        assert recording.classes == ("a", "b")
        (row,) = recording.verdicts
        assert (row["shot_number"], row["frame_index"], row["label"]) == (0, 3, b"b")
        assert (row["received_ns"], row["decided_ns"]) == (11, 12)
        assert row["probabilities"].tolist() == [0.125, 0.875]
        (row,) = recording.results
        assert row.tolist() == (0, b"b", b"one frame missing", -1, 2, 1, 99, 0, 0, 0.0)


def test_a_shot_that_starts_anew_does_not_share_its_number(recorder, make):
    for shot in ("a", "b", "a", "c"):
        recorder.handle(make.start(shot))
    recorder.close()
    with Recording(recorder.path) as recording:
        assert recording.starts["shot_number"].tolist() == [0, 1, 2, 3]


def test_frames_of_another_shape_are_counted_in_the_file_and_of_no_open_shot_are_not(
    tmp_path, make
):
    told, path = [], tmp_path / "odd.h5"
    recorder = Recorder(path, "run", make.shape, on_end=told.append)
    recorder.handle(make.frame(0, "before"))
    recorder.handle(make.start())
    recorder.handle(make.frame(0, shape=(20, 20)))
    recorder.handle(make.frame(1))
    recorder.handle(ShotEnd("run", "s", 2, Counts(received=2)))
    recorder.handle(make.start())  # the same name anew
    recorder.handle(make.frame(0))
    recorder.handle(ShotEnd("run", "s", 1, Counts(received=1)))
    recorder.handle(ShotEnd("run", "before", 1, Counts(received=1)))
    recorder.close()
    assert recorder.frames_written == 2
    assert [end.counts.unrecorded for end in told] == [1, 0, 0]
    assert [end.counts.complete for end in told] == [False, True, True]
    with Recording(path) as recording:
        assert recording.ends["unrecorded"].tolist() == [1, 0]
        assert recording.ends["received"].tolist() == [2, 1]


def test_spins_are_recorded_whole(tmp_path, make):
    shape = (3, 10, 12)
    recorder = Recorder(tmp_path / "run.h5", "run", shape)
    recorder.handle(make.start(shape=shape))
    recorder.handle(make.frame(5, shape=shape))
    recorder.close()
    with Recording(recorder.path) as recording:
        ((_, frames, _),) = recording.shots()
        (frame,) = frames
    np.testing.assert_array_equal(frame.data, make.frame(5, shape=shape).data)


def test_the_end_is_told_when_its_frames_can_be_read(tmp_path, make):
    told = []

    def on_end(end):
        with Recording(path) as recording:
            told.append((end.shot, recording.frame_count, len(recording.ends)))

    path = tmp_path / "run.h5"
    recorder = Recorder(path, "run", make.shape, on_end=on_end)
    for event in [*make.movie("a", 7), *make.movie("b", 5)]:
        recorder.handle(event)
    recorder.close()
    assert told == [("a", 7, 1), ("b", 12, 2)]


def test_closing_writes_what_waits_and_twice_is_no_harm(recorder, make):
    recorder.handle(make.start())
    recorder.handle(make.frame(0))
    recorder.close()
    recorder.close()
    with Recording(recorder.path) as recording:
        assert recording.frame_count == 1


def test_an_existing_file_is_never_overwritten(tmp_path, make):
    path = tmp_path / "run.h5"
    path.write_bytes(b"precious")
    with pytest.raises(RecordingError) as caught:
        Recorder(path, "run", make.shape)
    assert path.read_bytes() == b"precious"
    assert str(path) in str(caught.value)
    assert "exists" in str(caught.value)
    assert "Choose a new file name" in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, make):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RecordingError, match=r"cannot be made.*Choose a new file name"):
        Recorder(tmp_path / "file" / "run.h5", "run", make.shape)


def test_a_folder_that_cannot_be_written_is_named(make):
    with pytest.raises(RecordingError, match=r"cannot be made.*Choose a new file name"):
        Recorder(Path("/proc/run.h5"), "run", make.shape)


def test_a_file_can_be_read_by_another_process_while_it_grows(writing, tmp_path):
    writing.film(FLUSH_FRAMES * 2)
    with h5py.File(tmp_path / "run.h5", "r", swmr=True) as file:
        data = file[layout.DATA]
        assert len(data) == FLUSH_FRAMES * 2
        writing.film(FLUSH_FRAMES)
        data.refresh()
        assert len(data) == FLUSH_FRAMES * 3
        assert data[-1, 0, 0] == np.float32(0.029)
    with Recording(tmp_path / "run.h5") as recording:
        assert recording.frame_count == FLUSH_FRAMES * 3


@pytest.mark.parametrize("frames", [FLUSH_FRAMES - 1, 37, 60])
def test_a_killed_writer_loses_at_most_ten_frames(writing, tmp_path, frames):
    writing.film(frames)
    writing.process.kill()
    writing.process.wait()
    with Recording(tmp_path / "run.h5") as recording:
        assert frames - FLUSH_FRAMES < recording.frame_count <= frames
        if recording.frame_count:
            ((start, kept, end),) = recording.shots()
            assert (start.shot, end.sent_frames) == ("s", None)
            for index, frame in enumerate(kept):
                assert frame.index == index
                assert (frame.data == np.float32(index / 1000)).all()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_disk_that_fills_up_ends_the_recording_and_not_the_process(tmp_path):
    path = tmp_path / "run.h5"
    command = [sys.executable, "-c", FILLS_THE_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    assert "No space left on device" in done.stdout
    assert "Make room on the disk" in done.stdout
    with Recording(path) as recording:
        ((_, frames, _),) = recording.shots()
        kept = [frame.data[0, 0] for frame in frames]
    np.testing.assert_array_equal(kept, np.arange(20, dtype=np.float32) / 1000)


def test_a_disk_almost_full_ends_the_recording_while_the_file_can_be_closed(
    recorder, make, monkeypatch
):
    recorder.handle(make.start())
    for index in range(10):
        recorder.handle(make.frame(index))
    monkeypatch.setattr(files, "ROOM_BYTES", 2**80)
    consumer = Consumer("recorder", recorder.handle)
    for index in range(10, 20):
        consumer.put(make.frame(index))
    consumer.close()
    assert isinstance(consumer.error, RecordingError)
    assert "the disk is full" in str(consumer.error)
    recorder.close()
    with Recording(recorder.path) as recording:
        assert recording.frame_count == recorder.frames_written == 10


def test_no_recording_is_begun_on_a_full_disk(tmp_path, make, monkeypatch):
    monkeypatch.setattr(files, "ROOM_BYTES", 2**80)
    with pytest.raises(RecordingError, match=r"cannot be made.*the disk is full"):
        Recorder(tmp_path / "run.h5", "run", make.shape)


def test_what_waits_is_on_disk_after_an_idle_second(recorder, make):
    consumer = Consumer("recorder", recorder.handle, idle=recorder.flush)
    consumer.put(make.start())
    consumer.put(make.frame(0))
    with h5py.File(recorder.path, "r", swmr=True) as file:
        data = file[layout.DATA]
        for _ in range(500):
            data.refresh()
            if len(data):
                break
            consumer._thread.join(0.02)  # pace only
        assert len(data) == 1
    consumer.close()


def test_frames_wait_for_nobody_but_are_kept_in_order(recorder, make):
    frames = [make.frame(index) for index in range(35)]
    recorder.handle(make.start(frames=35))
    for frame in frames:
        recorder.handle(frame)
    assert recorder.frames_written == 30
    recorder.flush()
    assert recorder.frames_written == 35
    assert all(isinstance(frame, Frame) for frame in frames)


def test_a_movie_of_another_run_is_not_recorded(recorder, make):
    for event in make.movie("foreign"):
        recorder.handle(replace(event, run="another"))
    for event in make.movie("ours"):
        recorder.handle(event)
    recorder.close()
    with Recording(recorder.path) as recording:
        assert [start.shot for start, _, _ in recording.shots()] == ["ours"]
        assert recording.frame_count == 8


LIMITED = """
import resource
import sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
from pathlib import Path
import numpy as np
from skyctl.errors import RecordingError
from skyctl.frame import Frame, ShotStart
from skyctl.pulse import FrameSchedule
from skyctl.recording.writer import Recorder

try:
    recorder = Recorder(Path(sys.argv[1]), "run", (400, 400))
    recorder.handle(ShotStart("run", "s", None, FrameSchedule(), 1000, (400, 400)))
    for index in range(1000):
        data = np.full((400, 400), index / 1000, np.float32)
        recorder.handle(Frame("run", "s", index, 5.0 * index, index, data))
except RecordingError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "kept"), [(2**20, False), (40 * 2**20, True)])
def test_a_limit_on_the_size_of_files_is_told_and_crashes_nothing(tmp_path, limit, kept):
    path = tmp_path / "run.h5"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(limit)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "ulimit -f" in done.stdout
    if kept:
        with Recording(path, salvage=True) as recording:
            assert recording.frame_count >= 10
