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


HEAVY = {"torch", "numba", "scipy", "matplotlib", "bluesky", "ophyd", "onnxruntime"}


@pytest.mark.parametrize(
    ("module", "heavy"), [("skyctl", HEAVY | {"numpy"}), ("skyctl.cli", HEAVY)]
)
def test_import_brings_nothing_heavy(tmp_path, module, heavy):
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    assert not set(json.loads(run_python(code, tmp_path))) & heavy


def test_an_experiment_never_imports_torch(tmp_path):
    code = (
        "import sys, skyctl.beamline, skyctl.plans, skyctl.demo, skyctl.cli\n"
        "print('torch' in sys.modules, 'onnx' in sys.modules)"
    )
    assert run_python(code, tmp_path).split() == ["False", "False"]


WITHOUT_EXTRAS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tiled", "bluesky_tiled_plugins", "dask", "distributed",
                                      "sklearn", "httpx", "pandas", "torch", "p4p", "skimage"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def test_an_experiment_needs_no_extra(tmp_path):
    code = """
from pathlib import Path
import skyctl.beamline, skyctl.plans, skyctl.demo, skyctl.cli.run, skyctl.monitor
import skyctl.agents.seeker, skyctl.agents.boundary_mapper, skyctl.agents.characteriser
from skyctl.catalogue import catalogue_if_installed
with catalogue_if_installed(Path.cwd()) as catalog:
    print(catalog)
"""
    assert run_python(WITHOUT_EXTRAS + code, tmp_path).split() == ["None"]


def test_a_command_without_its_extra_says_what_to_type(tmp_path):
    wanted = {
        "bench autonomy": "bench",
        "bench monitor": "bench",
        "bench reader": "train",
        "train seeker": "train",
        "train classifier": "train",
        "diagram --scheduler local --widths 8:9:1 --alphas 0.3": "dask",
    }
    code = f"""
import json
from skyctl.cli import app
from typer.testing import CliRunner
for command in {list(wanted)!r}:
    done = CliRunner().invoke(app, command.split())
    print(json.dumps([done.exit_code, done.stderr]))
"""
    lines = run_python(WITHOUT_EXTRAS + code, tmp_path).splitlines()
    for (command, extra), line in zip(wanted.items(), lines, strict=True):
        status, said = json.loads(line)
        assert status == 1, command
        assert f"pip install 'bluesky-skyctl[{extra}]'" in said, command


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
    wanted = [*project["dependencies"]]
    wanted += [each for name in extras if not name.startswith("gpu") for each in extras[name]]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    names = {w.split(">")[0].split("[")[0].lower() for w in wanted} - {project["name"]}
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
            said |= set(re.findall(r"(?:install|needs|extra)\(['\"](\w+)['\"]\)", text))
            assert not re.findall(r"[^-]skyctl\[", text), source
    assert said >= {"cpu", "gpu", "train", "epics", "catalogue", "dask", "bench"}
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
