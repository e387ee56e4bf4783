"""`skyctl bench autonomy`: it times what it says, and counts what gets through."""

import json

from typer.testing import CliRunner

from skyctl.cli import app


def test_the_bench_tells_latencies_and_unsafe_writes(tmp_path):
    file = tmp_path / "autonomy.json"
    options = ["--proposals", "100", "--decisions", "10", "--json", str(file)]
    done = CliRunner().invoke(app, ["bench", "autonomy", *options])
    assert done.exit_code == 0, done.output
    result = json.loads(file.read_text())
    armed, held_up, stop, unsafe = result["metrics"]
    assert armed["name"] == "verdict to pulser armed, ms"
    assert 0 < armed["median"] <= armed["p99"]
    assert armed["baselines"]["bare mv + trigger, ms"]["median"] > 0
    assert held_up["median"] > 0
    assert stop["median"] > 0
    assert unsafe["median"] == 0
    assert result["proposals"]["proposals"] == 100
