"""`skyctl train seeker`, with shots made by hand."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.cli import app
from skyctl.models import seeker_library
from skyctl.models.seeker_library import MOVIE, LibraryShots
from skyctl.process import OUTCOMES


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "120"})


@pytest.fixture
def shots(monkeypatch):
    """Instead of simulated shots: strong pulses switch, weak ones do not (with ``kinds`` 2)."""
    monkeypatch.setattr(seeker_library, "_MEMBERS", 1)
    monkeypatch.setattr(seeker_library, "SAMPLES", 3)
    monkeypatch.setitem(seeker_library._NETWORK, "max_iter", 5)

    def use(kinds: int) -> None:
        def made_up(count, path, *, threads, device, progress):
            rng = np.random.default_rng(0)
            samples = rng.uniform(
                (0.08, 0.5, 0.09, 0.23, 0.95), (0.45, 0.7, 0.11, 0.25, 1.05), (count, 5)
            )
            pulses = rng.uniform((2, 25, 10), (3, 68, 28), (count, 3))
            strong = pulses[:, 0] > 2.5
            names = np.where(strong & (kinds > 1), "switching", "breathing")
            traces = np.where(strong[:, None], np.linspace(-1, 1, len(MOVIE.times_ps)), -0.9)
            outcomes = np.array([OUTCOMES.index(name) for name in names])
            progress(count)
            return LibraryShots(samples, pulses, np.full(count, 50.0), traces, outcomes)

        monkeypatch.setattr(seeker_library, "make_library", made_up)

    return use


def test_train_writes_a_library_that_says_how_it_was_made(shots, tmp_path):
    shots(2)
    out, report = tmp_path / "x.npz", tmp_path / "x.json"
    done = invoke("train", "seeker", "--shots", 120, "--out", out, "--json", report)
    assert done.exit_code == 0, done.output
    about = SwitchingLibrary.load(out).about
    assert about["command"] == "skyctl train seeker --shots 120"
    assert json.loads(report.read_text()) == about["fit"]
    assert about["fit"]["shots"] == 120


def test_shots_that_all_do_the_same_are_too_few(shots, tmp_path):
    shots(1)
    done = invoke("train", "seeker", "--shots", 120, "--out", tmp_path / "x.npz")
    assert done.exit_code == 1
    assert "1 kinds of outcome: too few to fit" in done.output
    assert not (tmp_path / "x.npz").exists()
