"""`skyctl bench thinfilm`, used as a person would."""

import json

import pytest
from typer.testing import CliRunner

from skyctl.cli import app


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "120"})


@pytest.mark.slow
def test_the_bench_says_whether_it_had_a_peer(tmp_path):
    path = tmp_path / "b.json"
    done = invoke("bench", "thinfilm", "--peer-ps", 10, "--json", path)
    assert done.exit_code == 0, done.output
    result = json.loads(path.read_text())
    assert ("times_peer" in result["results"][0]) == (result["peer"] != "not installed")
    assert result["results"][0]["difference"] < 0.002
