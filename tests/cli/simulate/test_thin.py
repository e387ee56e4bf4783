"""`skyctl simulate thin`, used as a person would."""

import json

import pytest
from typer.testing import CliRunner

from skyctl.cli import app


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "120"})


def test_the_standard_problem_is_printed_beside_its_reference(tmp_path):
    done = invoke(
        "simulate", "thin", "--field", 2, "--s-state", "reference", "--tolerance", 1e-3,
        "--json", tmp_path / "r.json", "--png", tmp_path / "r.png",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "crosses 0 at 136.9" in done.output
    assert (tmp_path / "r.png").stat().st_size > 20_000
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["difference"] < 0.01
    assert len(result["frames"]) == 101


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--width", "3"], "No such option: --width"),
        (["--field", "3"], "--field"),
        (["--tolerance", "0"], "tolerance 0"),
    ],
)
def test_misuse_ends_with_status_2(args, named):
    done = invoke("simulate", "thin", *args)
    assert done.exit_code == 2
    assert named in " ".join(done.output.replace("│", " ").split())
