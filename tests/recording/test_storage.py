"""How frames are stored: compressed, in several files, and with the axes viewers ask for."""

import subprocess
import sys
from dataclasses import asdict

import h5py
import numpy as np
import pytest

from skyctl.errors import RecordingError
from skyctl.recording import files, layout, reader
from skyctl.recording.files import Storage
from skyctl.recording.reader import Recording
from skyctl.recording.replay import replay
from skyctl.recording.writer import Recorder

WITHOUT_HDF5PLUGIN = """
import sys
sys.modules["hdf5plugin"] = None
from skyctl.errors import RecordingError
from skyctl.recording.reader import Recording
try:
    Recording(sys.argv[1])
except RecordingError as error:
    print(error)
"""


def recorded_in(folder, make, storage, frames=25):
    recorder = Recorder(folder / "run.h5", "run", make.shape, storage=storage)
    for event in make.movie("s", frames):
        recorder.handle(event)
    return recorder


def assert_all_there(path, make, frames):
    with Recording(path) as recording:
        kept = [frame for _, shot, _ in recording.shots() for frame in shot]
    assert [frame.index for frame in kept] == list(range(frames))
    for frame in kept:
        assert frame.data.tobytes() == make.frame(frame.index).data.tobytes()


@pytest.mark.parametrize("frames", [0, 1, 9, 10, 11, 30])
@pytest.mark.parametrize("storage", [Storage(), Storage("bslz4"), Storage("bslz4", 10)])
def test_every_frame_comes_back_while_the_file_grows_and_after(tmp_path, make, storage, frames):
    recorder = recorded_in(tmp_path, make, storage, frames)
    assert_all_there(recorder.path, make, frames)
    recorder.close()
    assert_all_there(recorder.path, make, frames)
    with h5py.File(recorder.path) as file:
        data = file["entry/data/data"]
        assert data.shape == (frames, *make.shape)
        for index in range(frames):
            np.testing.assert_array_equal(data[index], make.frame(index).data)


def test_compression_saves_room(tmp_path, make):
    sizes = {}
    for compression in (None, "bslz4"):
        folder = tmp_path / str(compression)
        recorder = recorded_in(folder, make, Storage(compression))
        recorder.close()
        sizes[compression] = recorder.path.stat().st_size
        with h5py.File(recorder.path) as file:
            assert dict(file[layout.DATA]._filters).keys() == ({"32008"} if compression else set())
    assert sizes["bslz4"] < sizes[None]


def test_a_long_run_has_a_master_and_data_files_that_open_alone(tmp_path, make):
    recorder = recorded_in(tmp_path, make, Storage(None, 10))
    recorder.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["run.data-0.h5", "run.data-1.h5", "run.data-2.h5", "run.h5"]
    with h5py.File(tmp_path / "run.data-2.h5") as file:
        plot = file["entry/data"]
        assert plot.attrs["NX_class"] == "NXdata"
        assert plot["data"].shape == (5, *make.shape)
        assert plot["sequence_number"][()].tolist() == [20, 21, 22, 23, 24]


def test_the_master_shows_the_frames_to_others_while_it_grows(tmp_path, make):
    recorder = recorded_in(tmp_path, make, Storage(None, 10), 12)
    with h5py.File(recorder.path, "r", swmr=True) as file:
        data = file[layout.DATA]
        assert data.shape[0] == 20  # room for two data files
        np.testing.assert_array_equal(data[11], make.frame(11).data)
        assert np.isnan(data[12]).all()
        assert len(file["entry/data/sequence_number"]) == 20  # a plot's axis is as long as its data
        assert len(file["entry/data/movie_time_ps"]) == 12
        for index in range(12, 25):
            recorder.handle(make.frame(index))
        recorder.flush()
        data.refresh()
        np.testing.assert_array_equal(data[24], make.frame(24).data)
    recorder.close()


def test_files_moved_together_are_still_read(tmp_path, make):
    recorded_in(tmp_path / "a", make, Storage(None, 10)).close()
    (tmp_path / "a").rename(tmp_path / "b %b")
    assert_all_there(tmp_path / "b %b/run.h5", make, 25)
    with h5py.File(tmp_path / "b %b/run.h5") as file:
        np.testing.assert_array_equal(file[layout.DATA][24], make.frame(24).data)
    (tmp_path / "b %b/run.data-1.h5").unlink()
    with pytest.raises(RecordingError, match=r"run.data-1.h5 is missing. Copy all"):
        Recording(tmp_path / "b %b/run.h5")


def test_a_name_with_percent_signs_is_only_a_name(tmp_path, make):
    recorder = Recorder(tmp_path / "50%b.h5", "run", make.shape, storage=Storage(None, 10))
    for event in make.movie("s", 25):
        recorder.handle(event)
    recorder.close()
    with h5py.File(recorder.path) as file:
        np.testing.assert_array_equal(file[layout.DATA][24], make.frame(24).data)


def test_without_hdf5plugin_a_reader_says_what_to_install(tmp_path, make):
    recorder = recorded_in(tmp_path, make, Storage("bslz4"))
    recorder.close()
    command = [sys.executable, "-c", WITHOUT_HDF5PLUGIN, str(recorder.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "pip install hdf5plugin" in done.stdout, done.stderr


@pytest.mark.parametrize("shape", [(40, 40), (3, 40, 30)])
def test_the_axes_are_named_and_fit(tmp_path, make, shape):
    recorder = Recorder(tmp_path / "run.h5", "run", shape)
    recorder.handle(make.start(shape=shape))
    for index in range(5):
        recorder.handle(make.frame(index, shape=shape))
    recorder.close()
    with h5py.File(recorder.path) as file:
        plot = file["entry/data"]
        axes = list(plot.attrs["axes"])
        assert axes == ["sequence_number", *(["component"] if len(shape) == 3 else []), "y", "x"]
        for number, name in enumerate(axes):
            assert plot[name].shape == (plot["data"].shape[number],)
            assert plot.attrs[f"{name}_indices"] == number
        assert plot["y"].attrs["units"] == plot["x"].attrs["units"] == "pixel"
        assert plot["movie_time_ps"].attrs["units"] == "ps"
        assert plot.attrs["movie_time_ps_indices"] == 0
        assert plot["sequence_number"][()].tolist() == [0, 1, 2, 3, 4]
        assert file["entry/start_time"][()]


@pytest.mark.parametrize(
    "wrong", [{"compression": "zip"}, {"frames_per_file": 0}, {"frames_per_file": -3}]
)
def test_storage_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Storage(**wrong)


def test_a_recording_in_several_compressed_files_replays_bit_for_bit(tmp_path, make, model):
    from skyctl.inference.streaming import StreamingClassifier

    card = model.card
    recorder = Recorder(
        tmp_path / "run.h5", "run", make.shape, classes=card.classes,
        header={"model": asdict(card)}, storage=Storage("bslz4", 10),
    )  # fmt: skip
    classifier = StreamingClassifier(model)
    classifier.subscribe(recorder.handle)
    for event in make.movie("s", 25):
        recorder.handle(event)
        classifier.handle(event)
    recorder.close()
    with Recording(recorder.path) as recording:
        report = replay(recording, model)
    assert report.identical
    assert report.shots[0].verdicts == 25


def hand(recorder, make, indices):
    for index in indices:
        recorder.handle(make.frame(index))


def deleted(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def replaced(folder):
    for path in folder.iterdir():
        path.unlink()
        path.write_bytes(b"another")


def full(folder):
    files.ROOM_BYTES = 2**80


@pytest.mark.parametrize("storage", [Storage(), Storage("bslz4", 10)])
@pytest.mark.parametrize("mishap", [deleted, replaced, full])
def test_a_recording_that_is_gone_or_cannot_grow_ends_with_its_reason(
    tmp_path, make, storage, mishap, monkeypatch
):
    monkeypatch.setattr(files, "ROOM_BYTES", files.ROOM_BYTES)
    recorder = recorded_in(tmp_path / "runs", make, storage, 12)
    mishap(tmp_path / "runs")
    with pytest.raises(RecordingError, match=r"run\.h5: cannot be written"):
        hand(recorder, make, range(12, 40))
    with pytest.raises(RecordingError, match=r"run\.h5: cannot be written"):
        recorder.flush()
    recorder.close()  # says nothing more, and leaves the process alive


def test_a_data_file_that_is_there_already_is_not_overwritten(tmp_path, make):
    (tmp_path / "run.data-1.h5").write_text("mine")
    recorder = recorded_in(tmp_path, make, Storage(None, 10), 9)
    with pytest.raises(RecordingError, match="File exists"):
        hand(recorder, make, range(9, 40))
    assert (tmp_path / "run.data-1.h5").read_text() == "mine"
    assert_all_there(recorder.path, make, 9)  # what was flushed before


def test_tiled_finds_the_frames_of_several_files_through_the_documents(tmp_path):
    import warnings

    from bluesky import RunEngine
    from bluesky_tiled_plugins import TiledWriter
    from tiled.client import from_uri
    from tiled.server import SimpleTiledServer

    from skyctl.beamline import simulated_beamline
    from skyctl.plans import classify_shot
    from skyctl.pulse import Pulse

    server = SimpleTiledServer(
        directory=str(tmp_path / "catalog"), readable_storage=[str(tmp_path)]
    )
    client = from_uri(server.uri)
    try:
        engine = RunEngine()
        engine.subscribe(TiledWriter(client))
        with simulated_beamline(tmp_path, storage=Storage("bslz4", 20)) as line:
            (uid,) = engine(classify_shot(line, Pulse(amplitude_T=2.0, width_ps=4.0)))
            path = line.camera.recording
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Tiled server does not support remote")
            client[uid].validate(raise_on_error=True, fix_errors=False)
        catalogued = client[uid]["frames"]["camera_frames"][:]
    finally:
        client.context.close()
        server.close()
    with Recording(path) as recording:
        np.testing.assert_array_equal(catalogued, recording.images(0, recording.frame_count))


def test_a_run_without_a_frame_has_none_anywhere(tmp_path, make):
    Recorder(tmp_path / "run.h5", "run", make.shape, storage=Storage(None, 10)).close()
    for name in ("run.h5", "run.data-0.h5"):
        with h5py.File(tmp_path / name) as file:
            assert file["entry/data/data"].shape == (0, *make.shape)
            assert len(file["entry/data/sequence_number"]) == 0


def test_there_may_be_more_data_files_than_a_process_may_open(tmp_path, make, monkeypatch):
    recorded_in(tmp_path, make, Storage(None, 1), 12).close()
    monkeypatch.setattr(reader, "_OPEN_FILES", 3)
    assert_all_there(tmp_path / "run.h5", make, 12)
    with Recording(tmp_path / "run.h5") as recording:
        assert recording.images(0, 12).shape == (12, *make.shape)
        assert len(recording._images._open) == 3


def test_a_renamed_master_still_finds_its_data_files(tmp_path, make):
    recorded_in(tmp_path, make, Storage(None, 10)).close()
    (tmp_path / "run.h5").rename(tmp_path / "friday.h5")
    assert_all_there(tmp_path / "friday.h5", make, 25)
    for part in tmp_path.glob("run.data-*.h5"):
        part.rename(tmp_path / part.name.replace("run", "friday"))
    assert_all_there(tmp_path / "friday.h5", make, 25)


@pytest.mark.parametrize("closed", [False, True])
def test_viewers_take_each_frame_for_one(tmp_path, make, closed):
    """silx wants axes of the data's length; NeXpy takes every part of a view for one frame."""
    recorder = recorded_in(tmp_path, make, Storage(None, 10))
    recorder.flush()
    if closed:
        recorder.close()
    with h5py.File(recorder.path, "r", swmr=not closed) as file:
        plot = file["entry/data"]
        assert len(plot[plot.attrs["axes"][0]]) == len(plot["data"])
        if closed:
            assert len(plot["data"].virtual_sources()) == 25
    if not closed:
        recorder.close()
