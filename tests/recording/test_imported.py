"""`skyctl import` and `skyctl export`: what goes in comes out, and replay says the same of it."""

import csv
import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.formats.ovf import read_ovf
from skyctl.pulse import Pulse
from skyctl.recording.reader import Recording

PULSE = ["--peak", 40, "--width", 28, "--amplitude", 2, "--theta", 40, "--phi", 0]
LEVELS = ["--levels", "200,3800"]


def invoke(*args):
    return CliRunner().invoke(app, list(map(str, args)), env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def sz():
    """A disc that grows, (frames, rows, columns)."""
    rows, columns = np.indices((40, 44))
    distance = np.hypot(rows - 19.7, columns - 20.3)
    return np.stack([-np.tanh(distance - 4 - index / 2) for index in range(8)]).astype(np.float32)


@pytest.fixture
def stack(sz, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.round(2000 + 1800 * sz).astype(np.uint16))
    return tmp_path / "stack.tif"


@pytest.fixture
def recording(stack, tmp_path):
    levels = ["--levels", "200,3800", "--interval", 15, "--frames-per-shot", 4]
    done = invoke("import", stack, tmp_path / "r.h5", *PULSE, *levels)
    assert done.exit_code == 0, done.output
    return tmp_path / "r.h5"


def test_a_stack_becomes_a_recording_that_replays_bit_for_bit(recording, sz):
    with Recording(recording) as file:
        assert file.shape == (40, 44)
        np.testing.assert_allclose(file.images(0, 8), sz, atol=3e-4)
        for number, (start, frames, end) in enumerate(file.shots()):
            assert start.shot == f"shot-{number}"
            assert start.pulse == Pulse(width_ps=28)
            assert [frame.movie_time_ps for frame in frames] == [0, 15, 30, 45]
            assert end.sent_frames == 4
        assert len(file.verdicts) == 8
    done = invoke("replay", recording)
    assert done.exit_code == 0, done.output
    assert "8 verdicts, all as recorded, bit for bit" in done.output


def test_without_verdicts_the_frames_are_kept_all_the_same(stack, tmp_path):
    target = tmp_path / "plain.h5"
    more = ["--levels", "200,3800", "--interval", 15, "--no-verdicts", "--json", tmp_path / "j"]
    assert invoke("import", stack, target, *PULSE, *more).exit_code == 0
    with Recording(target) as file:
        assert (file.frame_count, len(file.verdicts), file.classes) == (8, 0, ())
    assert json.loads((tmp_path / "j").read_text())["frames"] == 8


@pytest.mark.parametrize(
    ("args", "fault", "status"),
    [
        (["--peak", 40, "--theta", 4], "give --interval, --width, --amplitude, --phi", 2),
        ([*PULSE, "--interval", 15], "holds counts (uint16)", 1),
        ([*PULSE, "--interval", -1, "--levels", "0,9"], "--interval -1", 2),
        ([*PULSE, "--interval", 15, "--levels", "9,9"], "two different numbers", 2),
        ([*PULSE, "--interval", 15, *LEVELS, "--frames-per-shot", 3], "no whole number", 1),
        ([*PULSE, "--interval", 15, "--dataset", "/x"], "of an HDF5 file", 1),
        (["x.dat", *PULSE], "ends in .h5", 2),
    ],
)  # fmt: skip
def test_what_the_file_does_not_say_is_asked_for_and_leaves_no_file(
    stack, args, fault, status, tmp_path
):
    done = invoke("import", stack, *args)
    said = " ".join((done.output + (done.stderr or "")).replace("│", " ").split())
    assert fault in said
    assert done.exit_code == status
    assert [path.name for path in tmp_path.iterdir()] == ["stack.tif"]


def test_numbers_that_are_no_sz_are_refused_wherever_they_are(sz, tmp_path):
    wrong = sz.copy()
    wrong[-1, 0, 0] = 7
    for name, movie in (("late.npy", np.repeat(wrong, 40, axis=0)), ("nan.npy", sz * np.nan)):
        np.save(tmp_path / name, movie)
        done = invoke("import", tmp_path / name, *PULSE, "--interval", 15)
        assert done.exit_code == 1
        assert "no S_z" in done.stderr
    assert not list(tmp_path.glob("*.h5"))


def test_a_recording_comes_out_as_a_stack_and_goes_in_again(recording, tmp_path):
    for target in ("out.tif", "again.tif"):
        assert invoke("export", recording, tmp_path / target).exit_code == 0
        again = tmp_path / f"{target}.h5"
        assert invoke("import", tmp_path / target, again, *PULSE, "--interval", 15).exit_code == 0
        with Recording(again) as new, Recording(recording) as old:
            np.testing.assert_array_equal(new.images(0, 8), old.images(0, 8))
        recording = again


def test_spins_come_out_as_states_with_their_time_and_go_in_again(tmp_path, sz):
    side = np.sqrt(1 - sz**2)
    np.save(tmp_path / "spins.npy", np.stack([side, 0 * sz, sz], axis=1))
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    assert invoke("import", tmp_path / "spins.npy", first, *PULSE, "--interval", 15).exit_code == 0
    states = tmp_path / "states"
    assert invoke("export", first, states, "--lattice", 0.5).exit_code == 0
    state = read_ovf(states / "shot0000-frame00003.ovf")
    assert state.time_s == pytest.approx(45e-12)
    assert (state.step[0], state.units) == (0.5 / 1e9, ("1",) * 3)
    assert invoke("import", states, second, *PULSE).exit_code == 0  # they know the interval
    with Recording(first) as a, Recording(second) as b:
        np.testing.assert_allclose(a.images(0, 8), b.images(0, 8), atol=1e-7)
        np.testing.assert_array_equal(a.columns()["movie_time_ps"], b.columns()["movie_time_ps"])


def test_a_film_for_a_talk_and_a_table_of_verdicts(recording, tmp_path):
    assert invoke("export", recording, tmp_path / "talk.gif", "--shots", 1).exit_code == 0
    with Image.open(tmp_path / "talk.gif") as film:
        assert (film.n_frames, film.size) == (4, (44, 40))
        film.seek(3)
        inside, outside = np.asarray(film.convert("RGB"), int)[[20, 2], [20, 2]]
    assert inside[0] > inside[2]  # red: up
    assert outside[0] < outside[2]
    done = invoke("export", recording, tmp_path / "verdicts.csv", "--shots", 1)
    assert done.exit_code == 0, done.output
    with (tmp_path / "verdicts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["shot"], row["frame"], row["movie_time_ps"]) for row in rows] == [
        ("1", str(n), f"{15.0 * n}") for n in range(4)
    ]
    with Recording(recording) as whole:
        share = sum(float(rows[0][name]) for name in whole.classes)
    assert share == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("target", "fault"), [("x.png", "does not say what to write"), ("r.h5", "is there already")]
)
def test_an_export_that_cannot_be_is_refused(recording, tmp_path, target, fault):
    before = recording.read_bytes()
    done = invoke("export", recording, tmp_path / target)
    assert done.exit_code == 1
    assert fault in done.stderr
    assert recording.read_bytes() == before
