"""`skyctl diagram`, and its movies kept in a file, used as a person would."""

import json

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.models import scale_out

GRID = ("diagram", "--widths", "4,40", "--alphas", "0.36")


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "120"})


def test_diagram_writes_the_grid(tmp_path):
    done = invoke(
        "diagram", "--widths", "4:40:36", "--alphas", "0.2,0.36",
        "--json", tmp_path / "d.json", "--png", tmp_path / "d.png",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "d.json").read_text())
    named = result.pop("classifier")
    assert result == {
        "theta": 40.0,
        "widths": [4.0, 40.0],
        "alphas": [0.2, 0.36],
        "truth": [["B", "C"], ["B", "C"]],
    }
    # The network may abstain from a cell, never name it wrongly.
    rows = zip(named, result["truth"], strict=True)
    pairs = [pair for row in rows for pair in zip(*row, strict=True)]
    assert all(n in {t, "M"} for n, t in pairs)
    assert sum(n == t for n, t in pairs) >= 2
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The movies of GRID, and what was said when they were made."""
    file = tmp_path_factory.mktemp("diagram") / "movies.h5"
    return file, invoke(*GRID, "--data", file, "--json", file.with_name("d.json"))


def test_a_diagram_that_was_kept_is_only_named_again(kept, tmp_path, monkeypatch):
    file, done = kept
    assert done.exit_code == 0, done.output
    monkeypatch.setattr(scale_out, "simulate_batch", lambda *_, **__: 1 / 0)
    again = invoke(*GRID, "--data", file, "--json", tmp_path / "d.json")
    assert again.exit_code == 0, again.output
    first, second = (
        json.loads(p.read_text()) for p in (file.with_name("d.json"), tmp_path / "d.json")
    )
    assert first == second
    assert first["truth"] == [["B", "C"]]


def test_movies_of_another_diagram_are_named(kept):
    file, _ = kept
    done = invoke(*GRID, "--theta", "50", "--data", file)
    assert done.exit_code == 1
    assert "theta_deg 40.0, wanted 50.0" in " ".join(done.output.split())


def test_a_file_that_holds_no_movies_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("not HDF5 at all")
    done = invoke(*GRID, "--data", tmp_path / "notes.txt")
    assert done.exit_code == 1
    assert "notes.txt: no HDF5 file" in " ".join(done.output.split())


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(scale_out, "_CONNECT_S", 0.5)
    done = invoke(*GRID, "--data", tmp_path / "d.h5", "--scheduler", "tcp://127.0.0.1:9")
    assert done.exit_code == 1
    assert "scheduler 'tcp://127.0.0.1:9': no answer" in " ".join(done.output.split())
