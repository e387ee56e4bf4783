"""`skyctl simulate --film sp4` and `skyctl bench thinfilm`, used as a person would."""

import json

import pytest
from typer.testing import CliRunner

from skyctl.cli import app


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "120"})


def test_the_standard_problem_is_printed_beside_its_reference(tmp_path):
    done = invoke(
        "simulate", "--film", "sp4", "--field", 2, "--s-state", "reference", "--tolerance", 1e-3,
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
        (["--film", "sp4", "--width", "3"], "--width changes nothing"),
        (["--field", "2"], "--field changes nothing"),
        (["--film", "sp4", "--field", "3"], "--field"),
        (["--film", "sp4", "--tolerance", "0"], "tolerance 0"),
    ],
)
def test_misuse_ends_with_status_2(args, named):
    done = invoke("simulate", *args)
    assert done.exit_code == 2
    assert named in " ".join(done.output.replace("│", " ").split())


@pytest.mark.slow
def test_the_bench_says_whether_it_had_a_peer(tmp_path):
    path = tmp_path / "b.json"
    done = invoke("bench", "thinfilm", "--peer-ps", 10, "--json", path)
    assert done.exit_code == 0, done.output
    result = json.loads(path.read_text())
    assert ("times_peer" in result["results"][0]) == (result["peer"] != "not installed")
    assert result["results"][0]["difference"] < 0.002
