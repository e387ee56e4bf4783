"""`skyctl steer`: what it says, and what it refuses before anything is opened."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.cli import app


def ran(*arguments):
    return CliRunner().invoke(app, ["steer", *arguments])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mean",), "that goal needs it"),
        (("switch", "--mean", "0,1,0"), "goes with the goal mean"),
        (("mean", "--mean", "north"), "give X,Y,Z"),
        (("mean", "--mean", "0,1,0", "--from", "600", "--to", "500"), "no earlier than"),
        (("picture", "--at", "330"), "and it needs both"),
        (("picture", "--target", "grey.npy"), "and it needs both"),
        (("hold", "--target", "grey.npy", "--at", "330"), "go with the goal picture"),
        (("hold", "--component", "sx"), "goes with the goal picture"),
        (("picture", "--target", "grey.npy", "--at", "330"), "say which, --component"),
        (("picture", "--target", "long.npy", "--at", "330"), "long.npy: spins not normalised"),
    ],
)
def test_misuse_is_said_with_status_2(arguments, says, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    np.save("grey.npy", np.zeros((2, 4)))
    np.save("long.npy", np.ones((3, 2, 4)))
    result = ran(*arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())


def test_a_picture_of_another_film_ends_with_status_1(tmp_path):
    np.save(tmp_path / "grey.npy", np.zeros((32, 64)))
    result = ran(
        "picture", "--target", str(tmp_path / "grey.npy"), "--component", "sx", "--at", "330",
        "--mode", "autonomous", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert result.exit_code == 1
    assert "32 x 64 cells: this film has 32 x 128" in " ".join(result.output.split())


def test_a_dry_run_imagines_and_fires_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("skyctl.agents.steerer._IMAGINED", 30)
    told = tmp_path / "told.json"
    result = ran("switch", "--mode", "dry-run", "--out", str(tmp_path / "out"), "--json", str(told))
    assert result.exit_code == 0, result.output
    said = json.loads(told.read_text())
    assert said["shots_booked"] == 0
    assert len(said["proposed"]) == 1
    assert "square" in said["proposed"][0]
