"""`skyctl replay` and `skyctl recover`, used as a person would."""

import json
import threading

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.recording.reader import Recording
from skyctl.recording.writer import Recorder
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.keys import Keys, make_keys
from skyctl.stream.publisher import Publisher


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "120"})


def test_replay_of_some_shots_as_recorded(recorded, tmp_path):
    out = tmp_path / "r.json"
    done = invoke("replay", recorded, "--shots", "0,2", "--as-recorded", "--json", out)
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())
    assert (result["identical"], result["shots"], result["frames"]) == (True, 2, 32)
    assert result["verdicts"] == 32
    assert result["differences"] == []
    assert 0 <= result["jitter_ms"]["p50"] <= result["jitter_ms"]["p99"]
    assert "off their time by" in done.output


def test_a_movie_that_ended_early_counts_its_frames(recorded_early, tmp_path):
    out = tmp_path / "r.json"
    done = invoke("replay", recorded_early, "--shots", "0", "--json", out)
    assert "9 of 34" in done.output
    assert "34 frames were promised" in done.output
    result = json.loads(out.read_text())
    assert (result["frames"], result["frames_promised"]) == (9, 34)


@pytest.mark.parametrize("pace", [["--max"], ["--rate", "2000"], []])
def test_every_pace_gives_the_recorded_verdicts(recorded, pace):
    done = invoke("replay", recorded, *pace)
    assert done.exit_code == 0, done.output
    assert "32 verdicts, all as recorded, bit for bit" in done.output


def test_verdicts_that_differ_are_listed_and_end_with_status_1(recorded, tmp_path):
    with h5py.File(recorded, "r+") as file:
        rows = file["/entry/shots/verdicts"][()]
        rows["probabilities"][5] = np.nextafter(rows["probabilities"][5], np.float32(2))
        file["/entry/shots/verdicts"][...] = rows
    out = tmp_path / "r.json"
    done = invoke("replay", recorded, "--json", out)
    assert done.exit_code == 1
    (difference,) = json.loads(out.read_text())["differences"]
    assert (difference["shot"], difference["frame"]) == (0, 5)
    assert "differences" in done.output


@pytest.mark.parametrize(
    "misuse",
    [
        ["--rate", "10", "--max"],
        ["--as-recorded", "--max"],
        ["--shots", "3-1"],
        ["--shots", "-1"],
        ["--shots", "a"],
        ["--rate", "0"],
        ["--to", "tcp://127.0.0.1:*", "--png", "x.png"],
        ["--to", "tcp://127.0.0.1:*", "--keys", "x.key_secret"],
        ["--to", "tcp://127.0.0.1:*", "--allow", "x.key"],
        ["--metrics", "8000"],
    ],
)
def test_misuse_of_replay_ends_with_status_2(recorded, misuse):
    assert invoke("replay", recorded, *misuse).exit_code == 2


def test_a_shot_that_is_not_there_ends_with_status_1(recorded):
    done = invoke("replay", recorded, "--shots", "7")
    assert done.exit_code == 1
    assert "no shot 7" in done.output


def test_replay_is_a_source_for_a_hub(recorded, tmp_path):
    publisher = Publisher()
    address = publisher.address
    publisher.close()
    hub = Hub(address)
    ended = threading.Semaphore(0)
    consumer = Consumer("test", lambda event: hasattr(event, "counts") and ended.release())
    hub.subscribe(consumer)
    done = invoke("replay", recorded, "--to", address, "--json", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    assert all(ended.acquire(timeout=20) for _ in range(3))
    hub.close()
    consumer.close()
    assert (hub.totals["received"], hub.totals["missing"]) == (33, 1)
    assert json.loads((tmp_path / "r.json").read_text())["frames"] == 33


def test_replay_off_this_machine_is_for_those_who_may(recorded, tmp_path):
    files = {name: make_keys(tmp_path / name) for name in ("source", "hub")}
    publisher = Publisher()
    address = publisher.address
    publisher.close()
    remote = address.replace("127.0.0.1", "0.0.0.0")
    refused = invoke("replay", recorded, "--to", remote)
    assert refused.exit_code == 1
    assert "skyctl keys" in refused.output
    hub = Hub(address, keys=Keys.load(files["hub"][1], [files["source"][0]]))
    ended = threading.Semaphore(0)
    consumer = Consumer("test", lambda event: hasattr(event, "counts") and ended.release())
    hub.subscribe(consumer)
    options = ["--keys", files["source"][1], "--allow", files["hub"][0]]
    done = invoke("replay", recorded, "--to", remote, *options)
    assert done.exit_code == 0, done.output
    assert all(ended.acquire(timeout=20) for _ in range(3))
    hub.close()
    consumer.close()
    assert hub.totals["received"] == 33


def test_recover_says_what_is_whole(tmp_path, make):
    recorder = Recorder(tmp_path / "run.h5", "run", make.shape)
    for event in [*make.movie("a", 20), *make.movie("b", 20)[:11]]:
        recorder.handle(event)
    copy = tmp_path / "killed.h5"  # as a kill would leave it
    copy.write_bytes(recorder.path.read_bytes())
    recorder.close()
    done = invoke("recover", copy, "--json", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "r.json").read_text())
    assert (result["state"], result["shots"], result["whole_shots"]) == ("killed", 2, 1)
    assert result["frames"] == 30
    assert result["cut_shots"][0]["shot"] == "b"
    assert "shot 1 (b): 10 of 20 frames" in done.output
    with Recording(tmp_path / "killed-recovered.h5") as recording:
        assert recording.frame_count == 30
    assert invoke("recover", copy).exit_code == 1  # the recovered file is there already
    done = invoke("recover", tmp_path / "killed-recovered.h5")
    assert done.exit_code == 0
    assert "nothing to recover" in done.output


def test_recover_of_nothing_ends_with_status_1(tmp_path):
    (tmp_path / "empty.h5").touch()
    for name in ("empty.h5", "none.h5"):
        done = invoke("recover", tmp_path / name)
        assert done.exit_code == 1
        assert name in done.output.replace("\n", "")
