"""Films and movies in files: nothing is lost, and what is no film is refused."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from skyctl.simulators.lattice.files import MovieFile, StateError, load_film, save_film
from skyctl.simulators.lattice.film import Film, FilmParameters

WARM = FilmParameters(rows=7, columns=13, bias_T=(0.3, -0.5, 0.7), temperature_K=2.0)
SHAPE = (2, 4, 5)
KIND = {"seed": 3, "times_ps": [0.0, 1.0]}


@pytest.fixture
def film(random_spins):
    """A warm, pinned film that has moved: nothing about it is a default."""
    sites = np.random.default_rng(1).uniform(0, 3, (7, 13))
    film = Film(WARM, precision="f4", integrator="depondt", seed=11, anisotropy_map=sites)
    film.spins = random_spins(7, 13)
    film.advance(0.2)
    return film


def movie(n):
    return np.full(SHAPE, n, np.float32)


def test_a_film_comes_back_as_it_was(film, tmp_path):
    save_film(film, tmp_path / "film.h5")
    loaded = load_film(tmp_path / "film.h5", threads=2)
    np.testing.assert_array_equal(loaded.spins, film.spins)
    np.testing.assert_array_equal(loaded.anisotropy_map, film.anisotropy_map)
    for name in ("parameters", "precision", "integrator", "tolerance", "seed", "steps_taken"):
        assert getattr(loaded, name) == getattr(film, name), name
    for each in (film, loaded):
        each.advance(0.3)
    np.testing.assert_array_equal(loaded.spins, film.spins)


def test_a_dormand_prince_film_keeps_its_tolerance(tmp_path, random_spins):
    cold = replace(WARM, temperature_K=0.0)
    film = Film(cold, integrator="dormand-prince", tolerance=1e-5)
    film.spins = random_spins(7, 13)
    save_film(film, tmp_path / "film.h5")
    assert load_film(tmp_path / "film.h5").tolerance == 1e-5
    assert load_film(tmp_path / "film.h5", tolerance=1e-7).tolerance == 1e-7


def test_saving_replaces_the_file_only_with_a_whole_one(film, tmp_path, monkeypatch):
    path = tmp_path / "film.h5"
    save_film(film, path)
    before = film.spins
    film.advance(0.1)
    with monkeypatch.context() as broken:
        broken.setattr(Film, "spins", property(lambda self: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            save_film(film, path)
    np.testing.assert_array_equal(load_film(path).spins, before)
    save_film(film, path)
    np.testing.assert_array_equal(load_film(path).spins, film.spins)
    assert [p.name for p in tmp_path.iterdir()] == ["film.h5"]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"film .*none.h5: no such file"):
        load_film(tmp_path / "none.h5")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_film_is_refused(film, tmp_path, part):
    path = tmp_path / "film.h5"
    save_film(film, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(StateError, match="damaged, or not saved by skyctl"):
        load_film(path)


def test_a_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.h5"
    path.write_text("not HDF5 at all")
    with pytest.raises(StateError, match="damaged, or not saved by skyctl"):
        load_film(path)
    with h5py.File(path, "w") as file:
        file["spins"] = np.zeros(3)
    with pytest.raises(StateError, match="an HDF5 file, but not a film that skyctl saved"):
        load_film(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", -1), ("precision", "f2"), ("integrator", "euler"), ("parameters", '{"rows": 3}')],
)
def test_a_film_with_values_that_cannot_be_is_refused(film, tmp_path, name, value):
    path = tmp_path / "film.h5"
    save_film(film, path)
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    with pytest.raises(StateError, match="damaged"):
        load_film(path)


def test_movies_come_back_and_the_file_is_gone_on_with(tmp_path):
    path = tmp_path / "movies.h5"
    for first in (0, 2):
        with MovieFile(path, SHAPE, KIND) as file:
            assert len(file) == first
            for n in (first, first + 1):
                file.append(movie(n), {"n": n, "label": "β"})
    with MovieFile(path, SHAPE, KIND) as file:
        assert len(file) == 4
        for n, (found, facts) in enumerate(file):
            np.testing.assert_array_equal(found, movie(n))
            assert facts == {"n": n, "label": "β"}
    assert [p.name for p in tmp_path.iterdir()] == ["movies.h5"]


def test_other_programs_read_the_movies(tmp_path):
    path = tmp_path / "movies.h5"
    with MovieFile(path, SHAPE, KIND) as file:
        file.append(movie(7), {"n": 7})
    with h5py.File(path) as file:
        assert file["movies"].shape == (1, *SHAPE)
        assert file["facts"][0] == b'{"n": 7}'


@pytest.mark.parametrize(
    ("shape", "kind"), [((2, 4, 6), KIND), ((3, 4, 5), KIND), (SHAPE, {**KIND, "seed": 4})]
)
def test_movies_of_another_kind_are_refused(tmp_path, shape, kind):
    path = tmp_path / "movies.h5"
    with MovieFile(path, SHAPE, KIND) as file:
        file.append(movie(1), {})
    with pytest.raises(StateError, match="holds movies of another kind"):
        MovieFile(path, shape, kind)
    with MovieFile(path, SHAPE, KIND) as file:
        assert len(file) == 1


def test_a_file_that_holds_no_movies_is_refused_and_left_as_it_is(film, tmp_path):
    text, saved = tmp_path / "notes.txt", tmp_path / "film.h5"
    text.write_text("not HDF5 at all")
    save_film(film, saved)
    before = saved.read_bytes()
    with pytest.raises(StateError, match="no HDF5 file, or damaged"):
        MovieFile(text, SHAPE, KIND)
    with pytest.raises(StateError, match="an HDF5 file, but not of movies that skyctl wrote"):
        MovieFile(saved, SHAPE, KIND)
    assert text.read_text() == "not HDF5 at all"
    assert saved.read_bytes() == before


def test_two_do_not_write_one_file(tmp_path):
    path = tmp_path / "movies.h5"
    with MovieFile(path, SHAPE, KIND) as file:
        file.append(movie(0), {})
        with pytest.raises(StateError, match="another process has them open"):
            MovieFile(path, SHAPE, KIND)
        file.append(movie(1), {})
    with MovieFile(path, SHAPE, KIND) as file:
        assert len(file) == 2


def test_facts_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    with MovieFile(tmp_path / "movies.h5", SHAPE, KIND) as file:
        with pytest.raises(ValueError, match="facts of a movie: 5012 characters as JSON, 4000"):
            file.append(movie(0), {"note": "x" * 5000})
        file.append(movie(1), {})
        assert len(file) == 1


WRITER = """
import sys
from pathlib import Path
import numpy as np
from skyctl.simulators.lattice.files import MovieFile
with MovieFile(Path(sys.argv[1]), (2, 4, 5), {"seed": 3, "times_ps": [0.0, 1.0]}) as file:
    print("open", flush=True)
    while True:
        n = len(file)
        file.append(np.full((2, 4, 5), n, np.float32), {"n": n})
        print(n, flush=True)
"""


@pytest.mark.parametrize("movies", [0, 1, 40, 333])
def test_a_killed_writer_loses_no_movie_it_had_finished(tmp_path, movies):
    path = tmp_path / "movies.h5"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
    ) as writer:
        for _ in range(movies + 1):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        finished = movies + len(writer.stdout.read().split())
    for round_ in (0, 1):
        with MovieFile(path, SHAPE, KIND) as file:
            found = list(file)
            assert len(found) >= finished + round_
            for n, (images, facts) in enumerate(found):
                np.testing.assert_array_equal(images, movie(n))
                assert facts == {"n": n}
            file.append(movie(len(file)), {"n": len(file)})
    assert [p.name for p in Path(tmp_path).iterdir()] == ["movies.h5"]
