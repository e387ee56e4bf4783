"""`skyctl convert` and OVF files in `skyctl simulate lattice`, used as a person would."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.formats.ovf import read_ovf, read_segments
from skyctl.formats.ovf_writer import write_ovf
from skyctl.formats.spin_states import SpinState, field_of
from skyctl.simulators.lattice.film import analytic_skyrmion


def invoke(*args):
    return CliRunner().invoke(app, list(map(str, args)), env={"COLUMNS": "160"})


@pytest.fixture
def relaxed(tmp_path):
    """A disc of 20 x 24 sites, as another program would leave it."""
    spins = analytic_skyrmion(20, 24, 3)
    spins[:, 0, :3] = 0
    write_ovf(tmp_path / "relaxed.omf", [field_of(SpinState(spins, lattice_nm=0.45))], data="4")
    return tmp_path / "relaxed.omf"


def test_states_go_from_format_to_format_and_back(relaxed, tmp_path):
    start = read_ovf(relaxed)
    for source, target, *options in (
        (relaxed, "text.ovf", "--data", "text", "--ovf", 1),
        ("text.ovf", "eight.ovf", "--data", 8),
        ("eight.ovf", "four.omf", "--data", 4),
        ("four.omf", "spins.npy"),
        ("spins.npy", "again.ovf", "--lattice", 0.45, "--data", 4),
    ):
        done = invoke("convert", tmp_path / source, tmp_path / target, *options)
        assert done.exit_code == 0, done.output
        assert f"written: {tmp_path / target}" in done.output
    for name in ("four.omf", "again.ovf"):
        end = read_ovf(tmp_path / name)
        np.testing.assert_allclose(end.values, start.values, atol=6e-8)
        assert (end.step, end.mesh_unit) == ((0.45 / 1e9,) * 3, "m")


def test_many_files_become_one_and_many_again(relaxed, tmp_path):
    (tmp_path / "b").mkdir()
    invoke("convert", relaxed, tmp_path / "b" / "second.omf")
    both = [relaxed, tmp_path / "b" / "second.omf"]
    assert invoke("convert", *both, tmp_path / "all.ovf").exit_code == 0
    assert len(read_segments(tmp_path / "all.ovf")) == 2
    assert invoke("convert", tmp_path / "all.ovf", tmp_path / "apart").exit_code == 0
    assert sorted(f.name for f in (tmp_path / "apart").iterdir()) == [
        "all-0000.ovf",
        "all-0001.ovf",
    ]


def test_a_film_goes_on_from_another_programs_spins(relaxed, tmp_path):
    saved = [tmp_path / "after.ovf", tmp_path / "after.h5"]
    for target in saved:
        done = invoke(
            "simulate", "lattice", "--resume", relaxed, "--duration", 2, "--interval", 2,
            "--save", target, "--json", tmp_path / "r.json", "--damping", 0.2,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
    film = json.loads((tmp_path / "r.json").read_text())["film"]
    assert (film["rows"], film["columns"], film["damping"]) == (20, 24, 0.2)
    assert film["lattice_nm"] == 0.45
    after = read_ovf(saved[0])
    assert not after.values[0, 0, :3].any()
    assert np.linalg.norm(after.values, axis=-1)[0, 1:].min() > 0.999
    done = invoke("convert", saved[1], tmp_path / "from-film.ovf")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(read_ovf(tmp_path / "from-film.ovf").values, after.values)


@pytest.mark.parametrize(
    ("args", "fault", "status"),
    [
        (["convert", "relaxed.omf"], "give one source or more", 2),
        (["convert", "relaxed.omf", "x.dat"], "ends in .ovf", 2),
        (["convert", "none.omf", "x.ovf"], "no such file", 1),
        (["convert", "picture.bmp", "x.ovf"], "give files that end in", 2),
        (["convert", "relaxed.omf", "relaxed.omf", "folder"], "two sources have one name", 2),
        (["convert", "relaxed.omf", "x.ovf", "--layer", "3"], "there are 1", 2),
        (["convert", "relaxed.omf", "x.npy", "--unit", "A/m"], "as unit vectors are", 1),
        (["simulate", "lattice", "--save", "film.dat"], "does not say what to write", 2),
        (["simulate", "lattice", "--resume", "none.ovf"], "no such file", 1),
        (["simulate", "lattice", "--resume", "relaxed.omf", "--size", "9"], "changes nothing", 2),
        (["simulate", "lattice", "--resume", "relaxed.omf", "--layer", "2"], "it has 1", 1),
        (["simulate", "lattice", "--layer", "2"], "of an OVF file", 2),
        (["simulate", "lattice", "--size", "3xx4"], "ROWSxCOLUMNS", 2),
        (["simulate", "lattice", "--set", "rows=3"], "--size", 2),
        (["simulate", "lattice", "--set", "dmi_meV=much"], "NAME=NUMBER", 2),
        (["simulate", "lattice", "--set", "colour=1"], "one of exchange_meV", 2),
        (["simulate", "lattice", "--shape", "disc:2", "--size", "20"], "no skyrmion", 2),
    ],
)
def test_what_cannot_be_is_refused_with_its_remedy(
    args, fault, status, relaxed, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picture.bmp").write_bytes(b"BM")
    done = invoke(*args)
    said = " ".join((done.output + (done.stderr or "")).replace("│", " ").split())
    assert fault in said
    assert done.exit_code == status
    assert not (tmp_path / "film.dat").exists()
