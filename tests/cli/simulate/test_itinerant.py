"""`skyctl simulate itinerant`, used as a person would."""

import json

import pytest
from typer.testing import CliRunner

from skyctl.cli import app

FAST = ["--size", "12", "--duration", "0.4", "--interval", "0.2", "--peak", "0.2", "--width", "0.1"]


def run(*arguments):
    return CliRunner().invoke(app, ["simulate", "itinerant", *map(str, arguments)])


def test_a_pulsed_lattice_is_filmed_and_kept(tmp_path):
    target, strip = tmp_path / "shot.json", tmp_path / "strip.png"
    done = run(*FAST, "--amplitude", 30, "--json", target, "--png", strip)
    assert done.exit_code == 0, done.output
    result = json.loads(target.read_text())
    assert [frame["time_ps"] for frame in result["frames"]] == [0, 0.2, 0.4]
    assert abs(result["frames"][0]["charge"]) == pytest.approx(3)  # 144 sites, 48 a skyrmion
    assert result["film"]["rows"] == 12
    assert result["torque"]["architecture"] == "equivariant"
    assert strip.stat().st_size > 5000


def test_a_uniform_film_feels_no_torque_of_its_own(tmp_path):
    target = tmp_path / "shot.json"
    done = run(*FAST, "--amplitude", 0, "--start", "empty", "--json", target)
    assert done.exit_code == 0, done.output
    assert json.loads(target.read_text())["frames"][-1]["mean_spin"][2] == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "status", "fault"),
    [
        (["--size", "20"], 2, "12 divides"),
        (["--size", "6", "--start", "empty"], 2, "8 sites or more"),
        (["--torque", "nowhere.onnx"], 1, "nowhere.onnx: cannot be read"),
        (["--integrator", "rk4"], 2, "No such option: --integrator"),
        (["--temperature", "-1"], 2, "temperature_K"),
    ],
)
def test_what_cannot_be_is_refused(arguments, status, fault):
    done = run(*arguments)
    assert done.exit_code == status, done.output
    assert fault in " ".join(done.output.replace("│", " ").split())
