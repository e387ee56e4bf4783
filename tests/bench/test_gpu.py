"""`make gpu`, tried without one: its script on numba's simulator, its measurements on the CPU."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from skyctl.bench import gpu, gpu_networks
from skyctl.models.torque_recipe import TorqueRecipe
from skyctl.simulators.itinerant.electrons import random_spins

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "gpu"


def script(name):
    spec = importlib.util.spec_from_file_location(f"gpu_{name}", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments, **environ):
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "check.py"), *map(str, arguments)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_trial_tests_and_measures_films(tmp_path):
    done = run("--trial", "--json", tmp_path / "gpu.json", "--only", "tests", "--only", "movies")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["trial"]
    assert found["machine"]["versions"]["numba"]
    assert found["parts"]["tests"]["figures"]["passed"] == 1
    movies = found["parts"]["movies"]
    assert movies["status"] == "passed"
    assert movies["figures"]["largest_difference_of_mean_sz"] < 1e-5
    assert min(movies["figures"]["movies_per_s"].values()) > 0
    assert "1 passed" in (tmp_path / "gpu.log").read_text()


@pytest.mark.slow
def test_a_trial_does_every_part(tmp_path):
    done = run("--trial", "--json", tmp_path / "gpu.json")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert set(parts) == {"tests", *gpu.PARTS}
    assert {part["status"] for part in parts.values()} == {"passed"}
    assert len(parts["films"]["figures"]["goals"]) == 3


def test_without_a_gpu_it_says_so_and_ends_with_status_1(tmp_path):
    done = run("--json", tmp_path / "gpu.json", NUMBA_DISABLE_CUDA="1", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith("no NVIDIA GPU that numba can use: Cuda")
    assert len(line) > 60


@pytest.fixture
def check(tmp_path):
    return script("check").Check(tmp_path / "gpu.json", trial=True)


def test_a_part_that_fails_is_told_and_leaves_the_others(check, monkeypatch, tmp_path):
    commands = []

    def failing(command, budget_s):
        commands.append(command)
        return (None, "too slow") if "movies" in command else (1, "Traceback: a kernel broke")

    monkeypatch.setattr(check, "run", failing)
    assert not check.part("films")
    assert not check.part("movies")
    films, movies = json.loads((tmp_path / "gpu.json").read_text())["parts"].values()
    assert films["status"] == "failed"
    assert films["error"] == "Traceback: a kernel broke"
    assert movies["status"].startswith("out of time")
    assert len(commands) == 2


def test_what_takes_too_long_is_ended_and_its_output_kept(check):
    code = "import time; print('so far'); time.sleep(60)"
    status, text = check.run([sys.executable, "-c", code], 1.0)
    assert status is None
    assert "so far" in text
    assert "KeyboardInterrupt" in text


def test_budgets_are_for_all_parts_and_eight_minutes():
    module = script("check")
    assert set(module.BUDGETS_S) == {"tests", *gpu.PARTS}
    assert sum(module.BUDGETS_S.values()) <= 480


def test_a_network_films_and_trains_as_it_should():
    found = gpu.measure("torque_film", trial=True)
    assert found["largest_difference_from_cpu"]["cpu, torch"] < 1e-5
    assert set(found["steps_per_s"]) == {"cpu, ONNX Runtime", "cpu, torch"}
    spins = random_spins(12, 12, np.random.default_rng(0)).astype(np.float32)[None]
    recipe = TorqueRecipe("paper", widths=(4, 8))
    assert gpu_networks.torque_epoch(recipe, spins, 0.1 * spins, "cpu") > 0


def test_a_wheel_of_filters_keeps_one(tmp_path):
    wheel = tmp_path / "hdf5plugin-1-py3-none-any.whl"
    record = "hdf5plugin/_config.py,sha256=a,1\nhdf5plugin/plugins/libh5sz.so,sha256=b,2\nx.py,,\n"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("hdf5plugin/_config.py", "from build import build_config\n")
        for name in ("lz4", "sz"):
            file.writestr(f"hdf5plugin/plugins/libh5{name}.so", name)
        file.writestr("hdf5plugin-1.dist-info/RECORD", record)
    script("wheels")._keep_one_filter(wheel)
    assert list(tmp_path.iterdir()) == [wheel]
    with zipfile.ZipFile(wheel) as file:
        assert [name for name in file.namelist() if name.endswith(".so")] == [
            "hdf5plugin/plugins/libh5lz4.so"
        ]
        assert b"embedded_filters=('lz4',)" in file.read("hdf5plugin/_config.py")
        assert file.read("hdf5plugin-1.dist-info/RECORD") == b"x.py,,\n"
