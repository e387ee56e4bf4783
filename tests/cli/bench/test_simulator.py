"""`skyctl bench simulator`, used as a person would."""

import json

import pytest
from typer.testing import CliRunner

from skyctl.cli import app


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "120"})


@pytest.mark.slow
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
