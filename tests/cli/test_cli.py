"""The command line, used as a person would."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.recording.reader import Recording

SKYCTL = [sys.executable, "-m", "skyctl.cli"]


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "120"})


def skyctl(*args, cwd, **kwargs):
    return subprocess.run(
        [*SKYCTL, *map(str, args)], capture_output=True, text=True, cwd=cwd, check=False, **kwargs
    )


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    options = ("--seed", "4", "--json", "demo.json", "--monitor", "0")
    done = skyctl("demo", "--out", "run", *options, cwd=folder)
    return folder, done


def test_the_demonstration_reaches_all_three_tasks(demonstration):
    folder, done = demonstration
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((folder / "demo.json").read_text())
    assert [t["task"] for t in result["tasks"]] == ["write", "switch", "erase"]
    assert all(t["reached"] and t["pulses"] >= 1 for t in result["tasks"])
    write, switch, erase = result["tasks"]
    assert abs(write["charge_before"]) < 0.2 < 0.8 < abs(write["charge_after"])
    assert switch["charge_after"] == pytest.approx(-switch["charge_before"], abs=0.1)
    assert abs(erase["charge_after"]) < 0.2
    assert result["shots"] == sum(t["pulses"] for t in result["tasks"])
    assert result["lost_frames"] == 0
    # A movie ends once its verdict is certain, so how many frames it has is the network's to say.
    assert 3 * result["shots"] <= result["frames"] <= 601 * result["shots"]
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]
    assert result["provider"] == "CPUExecutionProvider"
    assert result["validated"]
    assert "error" not in done.stderr.lower()


def test_the_demonstration_draws_and_lists_its_shots(demonstration):
    folder, done = demonstration
    result = json.loads((folder / "demo.json").read_text())
    assert (folder / "run" / "film-strip.png").read_bytes().startswith(b"\x89PNG")
    rows = re.findall(r"│ (?:write|switch|erase) ", done.stdout)
    assert len(rows) == result["shots"]
    assert "1 disc in -z" in done.stdout
    assert (folder / "run" / "ledger.jsonl").read_text().count("\n") == result["shots"]


def test_the_catalogue_is_its_user_s_alone_and_its_key_in_no_log(demonstration):
    folder, _ = demonstration
    catalogue = folder / "run" / "catalog"
    assert stat.S_IMODE(catalogue.stat().st_mode) == 0o700
    log = (catalogue / "access.log").read_text()
    assert "POST /api/v1/" in log
    assert "api_key" not in log
    assert "Apikey" not in log


def test_its_recording_replays_bit_for_bit(demonstration, tmp_path):
    folder, _ = demonstration
    recording = json.loads((folder / "demo.json").read_text())["recording"]
    done = skyctl("replay", recording, "--json", "r.json", "--png", "r.png", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["identical"]
    assert result["same_model"]
    with Recording(recording) as file:
        assert result["verdicts"] == len(file.verdicts)
    assert (tmp_path / "r.png").stat().st_size > 1000


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_in_a_shot_keeps_what_was_recorded(tmp_path):
    process = subprocess.Popen(
        [*SKYCTL, "demo", "--out", "run"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    ledger = tmp_path / "run" / "ledger.jsonl"
    while process.poll() is None and not (ledger.exists() and ledger.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "disarmed" in errors
    assert "Traceback" not in errors
    (path,) = (tmp_path / "run").glob("*.h5")
    with Recording(path) as recording:
        assert recording.frame_count >= 1


@pytest.mark.parametrize(
    "args",
    [
        ["diagram", "--widths", "4:1:1"],
        ["diagram", "--widths", "nan"],
        ["diagram", "--alphas", "a,b"],
        ["diagram", "--theta", "inf"],
        ["demo", "--provider", "tpu"],
        ["replay"],
        ["simulate", "nonsense"],
        ["nonsense"],
    ],
)
def test_misuse_ends_with_status_2(args):
    assert invoke(*args).exit_code == 2


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["replay", "not-there.h5"], "not-there.h5"),
        (["diagram", "--model", "not-there.onnx"], "not-there.onnx"),
        (["demo", "--model", "not-there.onnx"], "not-there.onnx"),
    ],
)
def test_failure_ends_with_status_1_and_names_the_thing(args, named, tmp_path):
    done = skyctl(*args, cwd=tmp_path)
    assert done.returncode == 1
    assert "error:" in done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_recording_is_named(demonstration, tmp_path):
    folder, _ = demonstration
    recording = Path(json.loads((folder / "demo.json").read_text())["recording"])
    cut = tmp_path / "cut.h5"
    cut.write_bytes(recording.read_bytes()[: recording.stat().st_size // 2])
    done = skyctl("replay", cut, cwd=tmp_path)
    assert done.returncode == 1
    assert "cut.h5" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_explains_itself():
    simulate = [("simulate", film) for film in ("lattice", "thin", "itinerant")]
    for command in (("demo",), *simulate, ("diagram",), ("replay",)):
        done = invoke(*command, "--help")
        assert done.exit_code == 0
        assert "--json" in done.output
    for group in ("simulate", "train", "reproduce", "bench"):
        assert invoke(group, "--help").exit_code == 0
