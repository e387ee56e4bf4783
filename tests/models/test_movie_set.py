"""A movie set holds the movies it was planned for, loses none, and is mistaken for nothing else."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from skyctl.models import movie_set
from skyctl.models.filmed_movie import FilmedMovie, film_movie
from skyctl.models.movie_set import MovieSet
from skyctl.models.scale_out import fill
from skyctl.pulse import Pulse, Spot
from skyctl.recording import files
from skyctl.simulators.lattice.files import StateError, save_film
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate
from skyctl.simulators.physics.topology import process_label, topological_charge

SMALL = FilmParameters(rows=32, columns=40, damping=0.3)
TIMES_PS = [0.0, 2.5, 5.0]


def shots(count=5):
    """Small films that differ in everything a shot has, and in the shape of their movies."""
    sites = np.random.default_rng(3).uniform(0.5, 1.5, (32, 40))
    tilted = np.stack([np.full((9, 7), n) for n in (0.6, 0.0, -0.8)])
    spot = Spot(x=5, y=6, sigma=3)
    return [
        MovieSpec(SMALL, TIMES_PS, Pulse(width_ps=2, peak_ps=2)),
        MovieSpec(replace(SMALL, rows=9, columns=7), [0, 1, 2, 3], None, tilted, seed=4),
        MovieSpec(SMALL, TIMES_PS, Pulse(width_ps=1, peak_ps=1, spot=spot), "empty", seed=2),
        MovieSpec(replace(SMALL, temperature_K=2.0), TIMES_PS, seed=7, anisotropy_map=sites),
        MovieSpec(replace(SMALL, bias_T=(0.1, 0.0, -0.2)), TIMES_PS, Pulse(width_ps=3), "empty"),
    ][:count]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A complete set of ``shots()``; tests that change it copy it."""
    path = tmp_path_factory.mktemp("movies") / "movies.h5"
    with MovieSet.plan(path, shots()) as movies:
        fill(movies, scheduler="threads")
    return path


def movie(frames=3, rows=32, columns=40, value=7):
    sz = np.full((frames, rows, columns), value, np.int16)
    return FilmedMovie(sz, np.zeros(frames), np.zeros((frames, 3)), "mixed")


def test_every_movie_is_the_shots(filled):
    with MovieSet(filled) as movies:
        assert movies.done.all()
        assert not movies.missing()
        for row, shot in enumerate(shots()):
            spins = simulate(shot, precision="f4")
            np.testing.assert_allclose(movies.sz(row), spins[:, 2], atol=0.51 / 32767)
            assert movies.sz(row).dtype == np.float32
            assert movies.sz_int16(row).dtype == np.int16
            np.testing.assert_array_equal(movies.times_ps(row), shot.times_ps)
            np.testing.assert_allclose(movies.mean_spin(row), spins.mean((2, 3)), atol=1e-6)
            charges = [topological_charge(frame) for frame in spins]
            np.testing.assert_array_equal(movies.charge(row), charges)


def test_a_movie_is_labelled_by_its_first_and_last_state(filled):
    with MovieSet(filled) as movies:
        assert movies.labels[0] == "breathing"
        assert movies.labels[2] == "nothing"
        assert str(movies).startswith("5 of 5 movies: ")
    before = shots()[0].film().spins
    assert film_movie(shots()[0], iter([before, before / 2, -before])).label == "switching"


def test_a_film_is_labelled_by_what_it_settles_to():
    shot = replace(shots()[0], parameters=replace(SMALL, temperature_K=4.0))
    before = shot.film().spins
    noisy = before + np.random.default_rng(0).normal(0, 0.6, before.shape)
    noisy /= np.linalg.norm(noisy, axis=0)
    assert process_label(before, noisy) == "mixed"
    assert film_movie(shot, iter([before, noisy])).label == "breathing"
    cold = replace(shot, parameters=SMALL)  # which need not have come to rest at its last frame
    assert film_movie(cold, iter([before, noisy])).label == "breathing"


def test_the_shots_come_back_as_they_were(filled):
    with MovieSet(filled) as movies:
        for row, shot in enumerate(shots()):
            back = movies.shot(row)
            assert back.parameters == shot.parameters
            assert (back.pulse, back.seed) == (shot.pulse, shot.seed)
            assert list(back.times_ps) == list(shot.times_ps)
            np.testing.assert_array_equal(back.start, shot.start)
            if shot.anisotropy_map is None:
                assert back.anisotropy_map is None
            else:
                np.testing.assert_array_equal(back.anisotropy_map, shot.anisotropy_map)


def test_numbers_of_numpy_plan_the_same_movies(tmp_path):
    plain = MovieSpec(replace(SMALL, rows=9, columns=7), [0.0, 1.0], seed=3)
    film = replace(SMALL, rows=np.int64(9), columns=np.int64(7))
    numpys = MovieSpec(film, np.array([0, 1]), seed=np.int64(3))
    with MovieSet.plan(tmp_path / "a.h5", [plain]) as a:
        sha256 = a.sha256
    with MovieSet.plan(tmp_path / "a.h5", [numpys]) as b:
        assert b.sha256 == sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 8}, "movie 0 with seed 0, wanted 8"),
        ({"pulse": Pulse(width_ps=4, peak_ps=2)}, "movie 0 with pulse.width_ps 2.0, wanted 4.0"),
        ({"parameters": replace(SMALL, damping=0.31)}, "parameters.damping 0.3, wanted 0.31"),
        ({"times_ps": [0, 2.5, 6]}, "times_ps"),
        ({"start": "empty"}, "start skyrmion, wanted empty"),
        ({"anisotropy_map": np.ones((32, 40))}, "anisotropy_map"),
    ],
)
def test_other_shots_are_other_movies_and_it_is_said_which(tmp_path, change, said):
    path = tmp_path / "movies.h5"
    first, *rest = shots()
    with MovieSet.plan(path, [first, *rest]) as movies:
        sha256 = movies.sha256
    before = path.read_bytes()
    with pytest.raises(StateError, match=f"holds other movies: .*{said}"):
        MovieSet.plan(path, [replace(first, **change), *rest])
    assert path.read_bytes() == before
    with MovieSet.plan(tmp_path / "other.h5", [replace(first, **change), *rest]) as movies:
        assert movies.sha256 != sha256


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "f8"}, "precision f4, wanted f8"),
        ({"integrator": "midpoint"}, "integrator heun, wanted midpoint"),
    ],
)
def test_other_ways_to_simulate_are_other_movies(filled, options, said):
    with pytest.raises(StateError, match=said):
        MovieSet.plan(filled, shots(), **options)
    with pytest.raises(StateError, match="5 of them, wanted 2"):
        MovieSet.plan(filled, shots(2))


def test_movies_of_older_physics_do_not_fit_but_can_be_read(filled, monkeypatch):
    monkeypatch.setattr(movie_set, "PHYSICS", movie_set.PHYSICS + 1)
    with pytest.raises(StateError, match="physics"):
        MovieSet.plan(filled, shots())
    with MovieSet(filled) as movies:
        assert movies.sz(0).shape == (3, 32, 40)


def test_the_physics_is_that_of_its_number():
    """If this fails and the new movies are right: count PHYSICS up, and put their figures here."""
    shot = MovieSpec(
        replace(SMALL, temperature_K=2.0, bias_T=(0.1, 0.2, -0.3)),
        [0, 10, 15],
        Pulse(width_ps=4, peak_ps=10, spot=Spot(x=20, y=14, sigma=9)),
        "empty",
        seed=5,
        anisotropy_map=np.linspace(0, 2, 32 * 40).reshape(32, 40),
    )
    spins = [*simulate(shot, precision="f8"), shots()[0].film().spins]
    known = {
        2: [  # its films move as 1's do; its labels are of what a film settles to
            [0.000000, 0.000000, -1.000000],
            [0.238246, 0.117445, -0.736295],
            [0.248151, 0.086151, -0.629584],
            [0.000000, 0.000000, -0.893791],  # a relaxed skyrmion
        ]
    }
    np.testing.assert_allclose(np.mean(spins, (2, 3)), known[movie_set.PHYSICS], atol=2e-6)


def test_rows_are_filled_one_by_one_and_gone_on_with(filled, tmp_path):
    path = tmp_path / "movies.h5"
    with MovieSet.plan(path, shots()) as movies, MovieSet(filled) as whole:
        assert movies.sha256 == whole.sha256
        assert len(movies) == 5
        assert movies.missing() == [0, 1, 2, 3, 4]
        assert list(movies.labels) == [""] * 5
        with pytest.raises(ValueError, match="row 1 is not simulated yet"):
            movies.sz(1)
        movies.write(3, movie())
        assert movies.missing() == [0, 1, 2, 4]
    with MovieSet.plan(path, shots()) as movies:
        assert movies.missing() == [0, 1, 2, 4]
        assert (movies.sz_int16(3) == 7).all()
        assert movies.labels[3] == "mixed"
        seen = []
        fill(movies, scheduler="threads", progress=lambda: seen.append(movies.done.sum()))
        assert seen == [2, 3, 4, 5]


def test_the_content_has_a_hash(filled, tmp_path):
    hashes = set()
    for n, value in enumerate((7, 7, 8)):
        with MovieSet.plan(tmp_path / f"{n}.h5", shots()) as movies:
            empty = movies.content_sha256
            movies.write(0, movie(value=value))
            hashes.add(movies.content_sha256)
            assert movies.content_sha256 != empty
    assert len(hashes) == 2
    with MovieSet(filled) as movies:
        assert movies.content_sha256 not in hashes


def test_one_fills_and_many_read(filled, tmp_path):
    with MovieSet.plan(filled, shots()) as one, MovieSet.plan(filled, shots()) as other:
        np.testing.assert_array_equal(one.sz(0), other.sz(0))
        with pytest.raises(ValueError, match="open to be read"):
            one.write(0, movie())
    path = tmp_path / "movies.h5"
    with MovieSet.plan(path, shots()) as movies:
        with pytest.raises(StateError, match="another process has them open"):
            MovieSet.plan(path, shots())
        movies.write(0, movie())
        read = "import sys; from skyctl.models.movie_set import MovieSet; "
        read += "movies = MovieSet(sys.argv[1]); print(movies.done.sum(), movies.sz_int16(0).max())"
        done = subprocess.run(
            [sys.executable, "-c", read, path], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["1", "7"]


def test_a_movie_that_was_not_planned_is_refused(tmp_path):
    with MovieSet.plan(tmp_path / "movies.h5", shots()) as movies:
        with pytest.raises(ValueError, match=r"movie 1 of shape .* planned as \(4, 9, 7\)"):
            movies.write(1, movie())
        with pytest.raises(IndexError, match="row 5 of 5"):
            movies.sz(5)
    with pytest.raises(ValueError, match="without shots"):
        MovieSet.plan(tmp_path / "none.h5", [])
    with pytest.raises(ValueError, match="without frame times"):
        MovieSet.plan(tmp_path / "none.h5", [MovieSpec(SMALL, [])])
    assert not (tmp_path / "none.h5").exists()


def test_spins_that_are_not_numbers_are_never_kept():
    frames = np.zeros((2, 3, 4, 5), np.float32)
    frames[1, 0, 2, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        film_movie(shots()[0], iter(frames))


def test_files_that_are_no_movie_sets_are_refused_and_left_alone(tmp_path):
    text, saved, foreign = (tmp_path / name for name in ("notes.txt", "film.h5", "other.h5"))
    empty = tmp_path / "empty.h5"
    empty.touch()
    text.write_text("not HDF5 at all, and longer than the first block of one, which is 48 bytes")
    save_film(shots()[2].film(), saved)
    with h5py.File(foreign, "w") as file:
        file["data"] = np.zeros(3)
    for path, said in ((text, "no HDF5 file"), (saved, "no movie set"), (foreign, "no movie set")):
        before = path.read_bytes()
        with pytest.raises(StateError, match=said):
            MovieSet(path)
        with pytest.raises(StateError, match=said):
            MovieSet.plan(path, shots())
        assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="no such file"):
        MovieSet(tmp_path / "none.h5")
    with pytest.raises(StateError, match="no HDF5 file"):
        MovieSet(empty)


@pytest.mark.parametrize("part", [0.001, 0.1, 0.5, 0.99])
def test_a_truncated_set_is_refused(filled, tmp_path, part):
    whole = filled.read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(StateError, match="damaged"):
        MovieSet.plan(path, shots())


def test_shots_that_were_changed_are_noticed(filled, tmp_path):
    path = tmp_path / "changed.h5"
    path.write_bytes(filled.read_bytes())
    with h5py.File(path, "r+") as file:
        file["shots"][0] = file["shots"].asstr()[0].replace("0.3", "0.4")
    with pytest.raises(StateError, match="its shots were changed"):
        MovieSet(path)


def test_a_movie_that_was_damaged_is_noticed(filled, tmp_path):
    path = tmp_path / "damaged.h5"
    data = bytearray(filled.read_bytes())
    with h5py.File(filled) as file:
        place = file["movies/3x32x40/sz"].id.get_chunk_info(0).byte_offset
    data[place : place + 64] = bytes(64)
    path.write_bytes(data)
    with MovieSet(path) as movies, pytest.raises(StateError, match="movie 0 cannot be read"):
        movies.sz(0)


WRITER = """
import itertools, os, sys
from pathlib import Path
import numpy as np
from skyctl.models.filmed_movie import FilmedMovie
from skyctl.models.movie_set import MovieSet
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec
from skyctl.recording import files

shots = [MovieSpec(FilmParameters(rows=20, columns=30), [0, 1], seed=n) for n in range(3000)]
path = Path(sys.argv[1])
movies = MovieSet.plan(path, shots)
print("open", flush=True)
for row in movies.missing():
    if sys.argv[2:] == [str(row)]:  # the disk fills up between the check and the write
        for descriptor in os.listdir("/proc/self/fd"):
            if os.path.realpath(f"/proc/self/fd/{descriptor}") == str(path.resolve()):
                os.dup2(os.open("/dev/full", os.O_RDWR), int(descriptor))
    sz = np.full((2, 20, 30), row, np.int16)
    try:
        movies.write(row, FilmedMovie(sz, np.full(2, row), np.full((2, 3), row), "mixed"))
    except OSError as error:
        print(error)
        break
    print(row, flush=True)
"""


def _check_rows(path, least):
    planned = [MovieSpec(FilmParameters(rows=20, columns=30), [0, 1], seed=n) for n in range(3000)]
    with MovieSet.plan(path, planned) as movies:
        done = np.flatnonzero(movies.done)
        assert len(done) >= least
        np.testing.assert_array_equal(done, np.arange(len(done)))
        for row in done:
            assert (movies.sz_int16(row) == row).all()
            assert (movies.charge(row) == row).all()
            assert (movies.mean_spin(row) == row).all()
            assert movies.labels[row] == "mixed"
        movies.write(len(done), movie(2, 20, 30, 9))


@pytest.mark.parametrize("count", [0, 1, 37, 500])
def test_a_killed_writer_loses_no_movie_it_had_finished(tmp_path, count):
    path = tmp_path / "movies.h5"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
    ) as writer:
        for _ in range(count + 1):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        finished = count + len(writer.stdout.read().split())
    with MovieSet(path) as movies:
        assert movies.done.sum() >= finished
    cut = path.with_name("cut.h5")
    cut.write_bytes(path.read_bytes()[: int(0.9 * path.stat().st_size)])
    with pytest.raises(StateError, match="it was cut short"):
        MovieSet.plan(cut, shots())
    cut.unlink()
    _check_rows(path, finished)
    assert [p.name for p in Path(tmp_path).iterdir()] == ["movies.h5"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_disk_that_fills_up_loses_no_movie(tmp_path):
    path = tmp_path / "movies.h5"
    done = subprocess.run(
        [sys.executable, "-c", WRITER, path, "20"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"movies {path}: cannot be written" in done.stdout
    assert "No space left on device" in done.stdout
    assert "Make room" in done.stdout
    _check_rows(path, 20)


def test_a_disk_almost_full_is_not_filled(tmp_path, monkeypatch):
    path = tmp_path / "movies.h5"
    with MovieSet.plan(path, shots()) as movies:
        movies.write(0, movie())
        with monkeypatch.context() as full:
            full.setattr(files, "ROOM_BYTES", 2**80)
            with pytest.raises(OSError, match=r"the disk is full.*what is done is kept"):
                movies.write(2, movie())
    with MovieSet.plan(path, shots()) as movies:
        assert movies.missing() == [1, 2, 3, 4]
        movies.write(2, movie())
