"""The package as a whole: what an import costs, and what it must not bring."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import skyctl

ROOT = Path(__file__).parents[1]


def run_python(code: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=cwd
    ).stdout


def test_import_brings_nothing_heavy(tmp_path):
    code = "import sys, json, skyctl; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(run_python(code, tmp_path)))
    assert not loaded & {"torch", "numba", "bluesky", "ophyd", "onnxruntime", "numpy"}


def test_an_experiment_never_imports_torch(tmp_path):
    code = (
        "import sys, skyctl.beamline, skyctl.plans, skyctl.demo, skyctl.cli\n"
        "print('torch' in sys.modules, 'onnx' in sys.modules)"
    )
    assert run_python(code, tmp_path).split() == ["False", "False"]


def test_folders_are_found_from_the_checkout_and_from_elsewhere(tmp_path):
    code = "import skyctl.devices, skyctl.models, skyctl.simulators; print('found')"
    for place in (ROOT, tmp_path):
        assert run_python(code, place).strip() == "found"


def test_version_is_the_one_of_the_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == skyctl.__version__


def test_every_dependency_is_pinned_in_the_constraints():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["cpu"], *extras["train"], *extras["test"]]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    names = {w.split(">")[0].split("[")[0].lower() for w in wanted}
    assert names <= pinned
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()


def test_what_messages_say_to_install_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    said = set()
    for folder in ("skyctl", "devices", "models", "simulators"):
        for source in (ROOT / folder).rglob("*.py"):
            text = source.read_text()
            said |= set(re.findall(r"install\('(\w+)'\)", text))
            assert not re.findall(r"[^-]skyctl\[", text), source
    assert said >= {"cpu", "gpu", "train", "epics"}
    assert said <= set(extras)


def test_the_constraints_of_cuda_12_are_the_others_without_the_bindings_of_13():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    there = (ROOT / "constraints-cuda12.txt").read_text().splitlines()
    assert [line for line in there if "==" in line] == [
        line for line in lines if "==" in line and not line.startswith("cuda-")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "constraints"),
    [
        ("cpu", "constraints.txt"),
        ("gpu", "constraints.txt"),
        ("gpu-cuda12", "constraints-cuda12.txt"),
    ],
)
def test_an_extra_resolves_under_its_constraints(extra, constraints):
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-q"]
    command += ["-c", constraints, f".[{extra}]"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
