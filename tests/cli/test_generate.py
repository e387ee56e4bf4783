"""`skyctl generate`: files that other commands begin with, and refusals."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.cli.target import wanted_state
from skyctl.simulators.lattice.begin import begin
from skyctl.simulators.lattice.files import load_film
from skyctl.simulators.lattice.film import Film, FilmParameters


def invoke(*arguments):
    return CliRunner().invoke(app, ["generate", *map(str, arguments)], env={"COLUMNS": "200"})


def test_drawn_films_are_starts_and_targets(tmp_path):
    out, told = tmp_path / "drawn.h5", tmp_path / "told.json"
    run = invoke(
        "--size", 100, "--number", 4, "--relax", 0, "--out", out, "--png", tmp_path / "a.png",
        "--json", told,
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert (tmp_path / "a.png").stat().st_size > 5000
    (row,) = json.loads(told.read_text())["states"]
    drawn = load_film(out)
    assert drawn.charge() == pytest.approx(row["charge"])
    assert drawn.parameters.anisotropy_meV == 0
    film = Film(drawn.parameters)
    begin(film, str(out))
    assert film.spins == pytest.approx(drawn.spins, abs=1e-12)
    # In the loop's own film, which has an anisotropy, as places to be reached.
    target = wanted_state("reach", FilmParameters(), None, out, False)
    assert target is not None
    assert (len(target.places), target.background) == (4, 1)


def test_several_are_numbered_and_none_is_overwritten(tmp_path):
    for _ in range(2):
        assert invoke("--size", 60, "--count", 2, "--out", tmp_path / "s.ovf").exit_code == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["s-0-2.ovf", "s-0.ovf", "s-1-2.ovf", "s-1.ovf"]
    assert np.isfinite((tmp_path / "s-0.ovf").stat().st_size)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--field", "0.1"], "the generator saw 0.45 to 0.7"),
        (["--size", "40"], "2 periods or more"),
        (["--field", "nan"], "give three finite numbers"),
        (["--field", "0.9", "--set", "bias_T=0,0,1"], "give one of them"),
        (["--set", "anisotropy_meV=0.1"], "learned films without"),
        (["--out", "drawn.txt"], "its name does not say what to write"),
        (["--temperature", "-3"], "temperature of -3 K"),
    ],
)
def test_what_cannot_be_is_misuse(options, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = invoke(*options)
    assert run.exit_code == 2
    assert complaint in " ".join(run.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())
