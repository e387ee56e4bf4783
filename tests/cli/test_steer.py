"""`skyctl steer`: what it says, and what it refuses before anything is opened."""

import json

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
    ],
)
def test_misuse_is_said_with_status_2(arguments, says, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = ran(*arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())


def test_a_dry_run_imagines_and_fires_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("skyctl.agents.steerer._IMAGINED", 30)
    told = tmp_path / "told.json"
    result = ran("switch", "--mode", "dry-run", "--out", str(tmp_path / "out"), "--json", str(told))
    assert result.exit_code == 0, result.output
    said = json.loads(told.read_text())
    assert said["shots_booked"] == 0
    assert len(said["proposed"]) == 1
    assert "square" in said["proposed"][0]
