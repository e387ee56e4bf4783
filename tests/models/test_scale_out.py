"""Filling a set: the same movies however they are spread, and none lost with a worker."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster

from skyctl.models import scale_out
from skyctl.models.movie_set import MovieSet
from skyctl.models.scale_out import ScaleOutError, fill, simulate_rows
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec

FILM = FilmParameters(rows=24, columns=20, temperature_K=1.0)


def shots(count=24):
    """Warm films; every third of another size, so that tasks differ in length."""
    films = [replace(FILM, rows=48) if n % 3 == 0 else FILM for n in range(count)]
    return [
        MovieSpec(film, [0, 2, 4, 6], Pulse(width_ps=1 + n / 10, peak_ps=2), "empty", seed=n)
        for n, film in enumerate(films)
    ]


@pytest.fixture(scope="module")
def cluster():
    """A running cluster of two processes, as another machine would have."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1",
            dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
        ) as cluster,
    ):  # fmt: skip
        yield cluster


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("movies") / "undisturbed.h5"
    with MovieSet.plan(path, shots()) as movies:
        fill(movies, scheduler="threads", workers=2)
    return path


def filled(path, **options):
    with MovieSet.plan(path, shots()) as movies:
        fill(movies, **options)
        assert movies.done.all()
    return path.read_bytes()


def test_a_cluster_makes_the_same_file_bit_for_bit(tmp_path, cluster, undisturbed):
    seen = []
    data = filled(
        tmp_path / "a.h5", scheduler=cluster.scheduler_address, progress=lambda: seen.append(1)
    )
    assert data == undisturbed.read_bytes()
    assert len(seen) == 24


def test_so_does_one_of_this_machine_which_nobody_else_can_reach(tmp_path, undisturbed):
    heard = set()

    def listeners():
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            heard.update(c.laddr.ip for c in process.net_connections() if c.status == "LISTEN")

    data = filled(tmp_path / "a.h5", scheduler="local", workers=1, progress=listeners)
    assert data == undisturbed.read_bytes()
    assert heard == {"127.0.0.1"}


def test_so_does_one_thread(tmp_path, undisturbed):
    assert filled(tmp_path / "b.h5", scheduler="threads", workers=1) == undisturbed.read_bytes()


def test_a_worker_killed_in_the_middle_loses_nothing(tmp_path, cluster, undisturbed):
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        before = client.run(os.getpid)
    path = tmp_path / "movies.h5"
    killed = []

    def kill():
        if movies.done.sum() == 5:
            killed.append(next(iter(before.values())))
            os.kill(killed[0], signal.SIGKILL)

    with MovieSet.plan(path, shots()) as movies:
        fill(movies, scheduler=cluster.scheduler_address, progress=kill)
    assert len(killed) == 1
    assert path.read_bytes() == undisturbed.read_bytes()
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        assert killed[0] not in client.run(os.getpid).values()


FILLS = """
import sys
from tests_shots import shots
from skyctl.models.movie_set import MovieSet
from skyctl.models.scale_out import fill
if __name__ == "__main__":
    with MovieSet.plan(sys.argv[1], shots()) as movies:
        fill(movies, scheduler=sys.argv[2], workers=2, progress=lambda: print("done", flush=True))
"""


@pytest.mark.parametrize(
    ("scheduler", "kill"),
    [
        ("threads", signal.SIGKILL),
        ("local", signal.SIGINT),
        pytest.param("threads", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("local", signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_a_fill_that_was_stopped_is_gone_on_with(tmp_path, undisturbed, scheduler, kill):
    (tmp_path / "tests_shots.py").write_text(Path(__file__).read_text())
    script, path = tmp_path / "fills.py", tmp_path / "movies.h5"
    script.write_text(FILLS)
    with subprocess.Popen(
        [sys.executable, script, path, scheduler],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        for _ in range(3):
            assert process.stdout.readline() == "done\n"
        if kill == signal.SIGINT:
            os.killpg(process.pid, kill)  # as Ctrl-C in a terminal: to all processes of it
        else:
            process.kill()
        more, complaints = process.communicate(timeout=60)
    interrupts = 1 if kill == signal.SIGINT else 0  # of the workers, not one
    assert complaints.count("KeyboardInterrupt\n") == interrupts, complaints
    with MovieSet(path) as movies, MovieSet(undisturbed) as whole:
        assert movies.done.sum() >= 3 + len(more.split())
        assert not movies.done.all()
    filled(path, scheduler="threads", workers=2)
    with MovieSet(path) as movies, MovieSet(undisturbed) as whole:
        assert movies.content_sha256 == whole.content_sha256
        for row in range(len(whole)):
            np.testing.assert_array_equal(movies.sz_int16(row), whole.sz_int16(row))


def test_what_is_done_is_not_simulated_again(tmp_path, monkeypatch, undisturbed):
    with MovieSet.plan(undisturbed, shots()) as movies:
        monkeypatch.setattr(scale_out, "simulate_batch", lambda *_, **__: 1 / 0)
        fill(movies, scheduler="threads")
    with MovieSet.plan(tmp_path / "a.h5", shots()) as movies, pytest.raises(ZeroDivisionError):
        fill(movies, scheduler="threads")


def test_few_movies_are_left_to_threads_many_to_a_cluster(tmp_path, monkeypatch):
    ways = []

    def way(name):
        return lambda *_: ways.append(name) or iter(())

    monkeypatch.setattr(scale_out, "_by_threads", way("threads"))
    monkeypatch.setattr(scale_out, "_by_dask", way("dask"))
    for count, device in ((99, "cpu"), (100, "cpu"), (100, "cuda")):
        with (
            MovieSet.plan(tmp_path / f"{count}{device}.h5", shots(count)) as movies,
            pytest.raises((StopIteration, AttributeError)),
        ):
            fill(movies, device=device)
    assert ways == ["threads", "dask", "threads"]


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_a_film_that_cannot_be_is_named_and_those_before_it_kept(tmp_path, cluster, where):
    planned = shots(6)
    planned[3] = replace(planned[3], start="skyrmion", parameters=replace(FILM, rows=5, columns=5))
    scheduler = cluster.scheduler_address if where == "cluster" else where
    with MovieSet.plan(tmp_path / "movies.h5", planned) as movies:
        with pytest.raises(ValueError, match="movie 3: no skyrmion is stable"):
            fill(movies, scheduler=scheduler)
        assert movies.missing() == [3, 4, 5]


def test_a_movie_that_kills_every_worker_is_named(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(scale_out, "simulate_rows", lambda *_: os.kill(os.getpid(), 9))
    with MovieSet.plan(tmp_path / "movies.h5", shots(2)) as movies:
        with pytest.raises(ScaleOutError, match="movie 0: workers died of it"):
            fill(movies, scheduler=cluster.scheduler_address)
        assert movies.missing() == [0, 1]


def test_a_scheduler_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(scale_out, "_CONNECT_S", 0.5)
    with MovieSet.plan(tmp_path / "movies.h5", shots(2)) as movies:
        for scheduler in ("tcp://127.0.0.1:9", "no address at all"):
            with pytest.raises(ScaleOutError, match=f"scheduler '{scheduler}': no answer"):
                fill(movies, scheduler=scheduler)
    assert dask.config.get("scheduler", None) is None  # or arrays would ask for one that is gone


def test_a_cluster_without_workers_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(scale_out, "_CONNECT_S", 0.5)
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        MovieSet.plan(tmp_path / "movies.h5", shots(2)) as movies,
        pytest.raises(ScaleOutError, match=r"has no workers, .*dask worker"),
    ):
        fill(movies, scheduler=empty.scheduler_address)


def test_workers_that_all_leave_are_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(scale_out, "_CONNECT_S", 1)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as leaving,
        MovieSet.plan(tmp_path / "movies.h5", shots()) as movies,
    ):  # fmt: skip
        with pytest.raises(ScaleOutError, match="has no workers"):
            fill(movies, scheduler=leaving.scheduler_address, progress=lambda: leaving.scale(0))
        assert movies.done.any()
        assert not movies.done.all()


SCHEDULER = """
import time
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        time.sleep(600)
"""


def test_a_scheduler_that_goes_is_named(tmp_path):
    with (
        subprocess.Popen(
            [sys.executable, "-c", SCHEDULER], stdout=subprocess.PIPE, text=True
        ) as process,
        MovieSet.plan(tmp_path / "movies.h5", shots()) as movies,
    ):
        address = process.stdout.readline().strip()
        with pytest.raises(ScaleOutError, match=f"scheduler '{address}': is gone"):
            fill(movies, scheduler=address, progress=process.kill)
        assert movies.done.any()
        assert not movies.done.all()


def test_a_worker_of_other_physics_refuses():
    with pytest.raises(ScaleOutError, match="install the same skyctl"):
        simulate_rows(shots(1), scale_out.PHYSICS + 1, "f4", "heun", "cpu")


def test_a_missing_gpu_is_said(tmp_path, cluster):
    from numba import cuda

    if cuda.is_available():
        pytest.skip("there is a GPU")
    for scheduler in (None, cluster.scheduler_address):
        with (
            MovieSet.plan(tmp_path / "movies.h5", shots(2)) as movies,
            pytest.raises(RuntimeError, match=r"(?i)cuda"),
        ):
            fill(movies, device="cuda", scheduler=scheduler)


@pytest.mark.gpu
def test_a_gpu_makes_the_same_movies(tmp_path, undisturbed):
    from numba import cuda

    if not cuda.is_available():
        pytest.skip("no NVIDIA GPU here")
    filled(tmp_path / "movies.h5", device="cuda")
    with MovieSet(tmp_path / "movies.h5") as movies, MovieSet(undisturbed) as whole:
        for row in range(len(whole)):
            np.testing.assert_allclose(movies.sz(row), whole.sz(row), atol=1e-3)


def test_a_scheduler_with_tls_and_no_certificates_says_where_they_go():
    cluster = scale_out.open_cluster("tls://127.0.0.1:9", None)
    with pytest.raises(ScaleOutError, match=r"tls://127.0.0.1:9.*TLS__CA_FILE"), cluster:
        pass
