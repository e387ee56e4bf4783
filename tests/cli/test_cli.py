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
from skyctl.simulators.instrument.spread import SampleSpread

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
    done = skyctl("demo", "--out", "run", "--seed", "4", "--json", "demo.json", cwd=folder)
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
    assert process.returncode == 1
    assert "disarmed" in errors
    assert "Traceback" not in errors
    (path,) = (tmp_path / "run").glob("*.h5")
    with Recording(path) as recording:
        assert recording.frame_count >= 1


def test_simulate_prints_and_writes_the_movie(tmp_path):
    done = invoke(
        "simulate", "--width", 40, "--json", tmp_path / "s.json", "--png", tmp_path / "s.png"
    )
    assert done.exit_code == 0, done.output
    assert "collapse" in done.output
    result = json.loads((tmp_path / "s.json").read_text())
    assert result["label"] == "collapse"
    assert [f["time_ps"] for f in result["frames"]] == [15.0 * i for i in range(12)]
    assert abs(result["frames"][-1]["charge"]) < 0.2
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_simulate_shows_a_drawn_sample_through_a_camera(tmp_path, monkeypatch):
    strips = []
    monkeypatch.setattr("skyctl.pictures.film_strip", lambda strip, path: strips.extend(strip))
    camera = [
        "--noise", 0.1, "--photons", 500, "--blur", 1, "--pixels", "7x11", "--drift", "0.1,0",
        "--seed", 5,
    ]  # fmt: skip
    film = ["--size", 24, "--start", "empty", "--duration", 30, "--png", tmp_path / "s.png"]
    shown = []
    for more in (["--sample-seed", 3], ["--sample-seed", 3, "--damping", 0.2], []):
        done = invoke("simulate", *film, *camera, *more, "--json", tmp_path / "s.json")
        assert done.exit_code == 0, done.output
        shown.append((done.output, json.loads((tmp_path / "s.json").read_text())))
    drawn = SampleSpread().draw(3)
    output, result = shown[0]
    assert f"sample 3: {drawn}" in output
    assert result["film"]["moment_muB"] == drawn.parameters.moment_muB
    assert result["film"]["damping"] == drawn.parameters.damping
    assert result["field_calibration"] == drawn.field_calibration
    assert result["imaging"]["pixels"] == [7, 11]
    assert shown[1][1]["film"]["damping"] == 0.2  # asked for, so not drawn
    assert shown[1][1]["film"]["moment_muB"] == drawn.parameters.moment_muB
    assert shown[2][1]["film"]["damping"] == 0.36
    assert shown[2][1]["field_calibration"] == 1.0
    # What the strip draws is the camera's image: its pixels, its noise.
    for image in (image for strip in strips for image in strip.sz):
        assert image.shape == (7, 11)
        assert image.std() > 0.05
    assert shown[0][1]["frames"] != shown[2][1]["frames"]


def test_simulate_writes_a_skyrmion_with_a_spot(tmp_path):
    done = invoke(
        "simulate", "--start", "empty", "--amplitude", 8, "--width", 16, "--spot", "49.5,49.5,6",
        "--precision", "f4",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "nucleation" in done.output


def test_diagram_writes_the_grid(tmp_path):
    done = invoke(
        "diagram", "--widths", "4:40:36", "--alphas", "0.2,0.36",
        "--json", tmp_path / "d.json", "--png", tmp_path / "d.png",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "d.json").read_text())
    named = result.pop("classifier")
    assert result == {
        "theta": 40.0,
        "widths": [4.0, 40.0],
        "alphas": [0.2, 0.36],
        "truth": [["B", "C"], ["B", "C"]],
    }
    # The network may abstain from a cell, never name it wrongly.
    rows = zip(named, result["truth"], strict=True)
    pairs = [pair for row in rows for pair in zip(*row, strict=True)]
    assert all(n in {t, "M"} for n, t in pairs)
    assert sum(n == t for n, t in pairs) >= 2
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "args",
    [
        ["diagram", "--widths", "4:1:1"],
        ["diagram", "--widths", "nan"],
        ["diagram", "--alphas", "a,b"],
        ["simulate", "--width", "-3"],
        ["simulate", "--width", "nan"],
        ["simulate", "--spot", "1,2"],
        ["simulate", "--spot", "500,500,3"],
        ["simulate", "--png", "picture.xyz"],
        ["diagram", "--theta", "inf"],
        ["simulate", "--size", "1"],
        ["simulate", "--damping", "-1"],
        ["simulate", "--noise", "-1"],
        ["simulate", "--pixels", "3"],
        ["simulate", "--pixels", "0x4"],
        ["simulate", "--drift", "1"],
        ["simulate", "--sample-seed", "-1"],
        ["demo", "--provider", "tpu"],
        ["replay"],
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
    for command in ("demo", "simulate", "diagram", "replay"):
        done = invoke(command, "--help")
        assert done.exit_code == 0
        assert "--json" in done.output
    for group in ("train", "bench"):
        assert invoke(group, "--help").exit_code == 0


def test_bench_writes_ratios(tmp_path):
    path = tmp_path / "b.json"
    done = invoke("bench", "simulator", "--seconds", 0.5, "--json", path)
    assert done.exit_code == 0, done.output
    rows = json.loads(path.read_text())["results"]
    assert {
        "engine",
        "precision",
        "threads",
        "batch",
        "sites",
        "device",
        "site_steps_per_s",
    } <= set(rows[0])
    assert all(row["site_steps_per_s"] > 0 for row in rows)


def test_bench_loop_counts_every_frame(tmp_path):
    path = tmp_path / "b.json"
    done = skyctl("bench", "loop", "--frames", 68, "--rate", 200, "--json", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    assert result["lost_frames"] == 0
    assert result["results"][0]["frames"] == 68
