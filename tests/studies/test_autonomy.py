"""`skyctl bench autonomy`: it times what it says, counts what gets through, gathers the parts."""

import json

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.studies import autonomy
from skyctl.studies.network_table import told


def bench(*arguments):
    return CliRunner().invoke(app, ["bench", "autonomy", *map(str, arguments)])


def test_the_bench_tells_latencies_and_unsafe_writes(tmp_path):
    file = tmp_path / "autonomy.json"
    done = bench("guard", "--proposals", 100, "--decisions", 10, "--json", file)
    assert done.exit_code == 0, done.output
    result = json.loads(file.read_text())
    looked, armed, held_up, stop, unsafe = result["metrics"]
    for row, name in (looked, "look"), (armed, "verdict"):
        assert row["name"] == f"{name} to pulser armed, ms"
        assert 0 < row["median"] <= row["p99"]
        bare = row["baselines"]["bare mv + trigger"]["median"]
        assert row["over_bare"]["median"] == pytest.approx(row["median"] / bare)
    assert held_up["median"] > 0
    assert stop["median"] > 0
    assert unsafe["median"] == 0
    assert result["proposals"]["proposals"] == 100


@pytest.fixture
def made_up(monkeypatch):
    """Instead of the benchmarks of the parts: what they were asked."""
    asked = {}

    def part(name):
        def metrics(seeds, samples, **options):
            asked[name] = {"seeds": seeds, "samples": samples, **options}
            options["progress"](1, 1)
            numbers = {"median": 2.0, "p90": None, "success": 1.0}
            return [{"name": f"{name} row", **numbers, "baselines": {"random": numbers}}]

        return metrics

    def network(lives, **options):
        asked["network"] = {"seeds": 3, "samples": lives // 3, **options}
        options["progress"](1, 1)
        return {"variants": [], "verdicts": {}, "shots": {"centred": told([])}}

    monkeypatch.setattr(autonomy, "network_metrics", network)
    monkeypatch.setattr(autonomy, "seeking_metrics", part("seeking"))
    monkeypatch.setattr(autonomy, "mapping_metrics", part("mapping"))
    return asked


@pytest.mark.slow
def test_all_parts_go_into_one_file_in_one_form(made_up, tmp_path):
    file, kept = tmp_path / "autonomy.json", tmp_path / "kept"
    few = ("--proposals", 100, "--decisions", 10, "--seeds", 3, "--samples", 2, "--seed", 7)
    done = bench(*few, "--baseline-lives", 4, "--workers", 1, "--kept", kept, "--json", file)
    assert done.exit_code == 0, done.output
    rows = json.loads(file.read_text())["metrics"]
    assert [row["name"] for row in rows][5:] == ["seeking row", "mapping row"]
    assert all({"name", "median", "p90", "success", "baselines"} <= row.keys() for row in rows)
    for part, options in made_up.items():
        assert (options["seeds"], options["samples"], options["seed"]) == (3, 2, 7)
        assert (options["workers"], options["kept"]) == (1, kept / f"{part}.jsonl")
    assert made_up["seeking"]["baseline_lives"] == 4
    assert kept.is_dir()
    for words in ("mapping row", "random", "never", "sure and wrong"):
        assert words in done.output


def test_the_mapper_has_no_more_samples_than_truth_maps(made_up, tmp_path):
    done = bench("mapping", "--samples", 900, "--json", tmp_path / "x.json")
    assert done.exit_code == 0, done.output
    assert made_up["mapping"]["samples"] == len(autonomy.JUDGED_MAPS)
    assert list(made_up) == ["mapping"]
    maps = json.loads((tmp_path / "x.json").read_text())["maps"]
    assert [each["map"] for each in maps] == list(autonomy.JUDGED_MAPS)


def test_an_unsafe_proposal_that_gets_through_is_a_failure(monkeypatch, tmp_path):
    leaked = {"proposals": 100, "fired": 1, "unsafe": ["s1: dose"], "second_controllers": 0}
    monkeypatch.setattr(autonomy, "fuzz_pulser", lambda *_: {**leaked, "refused": {}})
    monkeypatch.setattr(autonomy, "arming_latency", lambda _: [])
    done = bench("guard", "--json", tmp_path / "x.json")
    assert done.exit_code == 1
    unsafe = json.loads((tmp_path / "x.json").read_text())["metrics"][-1]
    assert (unsafe["median"], unsafe["success"]) == (1, 0.99)
