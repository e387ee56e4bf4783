"""Fill a movie set: its missing movies simulated by threads of this process, or through Dask.

However they are spread, each movie is the same bit for bit (``simulate_batch``), one process
writes the file, in the order of the rows, and what a lost worker was at is computed again.
"""

import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from importlib.util import find_spec
from itertools import islice, starmap
from typing import Any, Literal

from skyctl.errors import SkyctlError, needs
from skyctl.models.filmed_movie import FilmedMovie, film_movie
from skyctl.models.movie_set import PHYSICS, MovieSet
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics.schemes import Integrator

Device = Literal["cpu", "cuda"]
_CUDA_BATCH = 256
"""Movies a task on a GPU: enough to fill one (``skyctl bench simulator``)."""
_AHEAD = 3
"""Tasks a worker thread has waiting: none idles while the file is written."""
_FEW = 100
"""Fewer movies than this are left to threads: to start a cluster of this machine costs as much as
twenty movies."""
_CONNECT_S = 30
_IGNORE_INTERRUPTS = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""Ctrl-C reaches all processes of a terminal; this one alone knows what to do about it."""
_LOOPBACK = "127.0.0.1"
_ANY_PORT = f"{_LOOPBACK}:0"


class ScaleOutError(SkyctlError):
    """Movies could not be simulated elsewhere."""


def fill(
    movies: MovieSet,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    device: Device = "cpu",
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Simulate the rows of ``movies`` that are missing; ``progress`` is called after each.

    scheduler : "local", a Dask cluster of this machine, one process a core; "threads", no Dask;
        "tcp://…", a running cluster (it must be trusted: Dask sends pickles both ways); None is
        "local" for 100 movies or more on the CPU where Dask is installed, else "threads"
    workers : processes or threads; None is one a core, and all that a running cluster has
    device : "cuda" simulates in batches

    Stopped at any moment, by Ctrl-C or a kill, the next call goes on where this one was.
    "local" starts processes that import the calling script again: keep what it does behind
    ``if __name__ == "__main__":``.

    Raises ScaleOutError when there is no scheduler, no worker, or a movie that no worker survives,
    ExtraMissing without Dask, ValueError for a film that cannot be simulated, OSError for a full
    disk.
    """
    rows = movies.missing()
    if not rows:
        return
    if scheduler is None:
        many = device == "cpu" and len(rows) >= _FEW
        scheduler = "local" if many and find_spec("distributed") else "threads"
    if scheduler == "threads":
        filmed = _by_threads(movies, rows, workers, device)
    else:
        filmed = _by_dask(movies, rows, scheduler, workers, device)
    with contextlib.closing(filmed):
        for row in rows:
            try:
                movie = next(filmed)
            except ValueError as error:
                which = f"movie {row}" if device == "cpu" else f"a movie from {row} on"
                raise ValueError(f"{which}: {error}") from error
            movies.write(row, movie)
            progress()


def _by_threads(
    movies: MovieSet, rows: list[int], workers: int | None, device: Device
) -> Generator[FilmedMovie, None, None]:
    return simulate_batch(
        map(movies.shot, rows),
        film_movie,
        threads=workers,
        device=device,
        precision=movies.precision,
        integrator=movies.integrator,
    )


def simulate_rows(
    shots: list[MovieSpec],
    physics: int,
    precision: Literal["f8", "f4"],
    integrator: Integrator,
    device: Device,
) -> list[FilmedMovie]:
    """What a Dask worker does: some movies of a set, on one thread or one GPU."""
    if physics != PHYSICS:
        raise ScaleOutError(
            f"this worker's skyctl simulates other physics (number {PHYSICS}, asked for "
            f"{physics}): install the same skyctl on all machines"
        )
    return list(
        simulate_batch(
            shots, film_movie, threads=1, device=device, precision=precision, integrator=integrator
        )
    )


def _by_dask(
    movies: MovieSet, rows: list[int], scheduler: str, workers: int | None, device: Device
) -> Generator[FilmedMovie, None, None]:
    with needs("dask"):
        import dask.config

        # Read when distributed is first imported; its INFO would go to the terminal otherwise.
        dask.config.set({"logging.distributed": "error"})
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

    size = _CUDA_BATCH if device == "cuda" else 1
    batches = (rows[first : first + size] for first in range(0, len(rows), size))
    pending: deque[tuple[int, Any]] = deque()
    with open_cluster(scheduler, workers) as client:
        most = _AHEAD * sum(client.nthreads().values())
        while True:
            for batch in islice(batches, most - len(pending)):
                shots = [movies.shot(row) for row in batch]
                future = client.submit(
                    simulate_rows,
                    shots,
                    PHYSICS,
                    movies.precision,
                    movies.integrator,
                    device,
                    pure=False,
                )
                pending.append((batch[0], future))
            if not pending:
                return
            row, future = pending.popleft()
            try:
                filmed = _result(future, client, scheduler)
            except KilledWorker as error:
                raise ScaleOutError(
                    f"movie {row}: workers died of it, one after another ({error}). Give them more "
                    "memory, or look into their logs; what is done is kept."
                ) from error
            except (CancelledError, CommClosedError) as error:
                raise ScaleOutError(
                    f"scheduler {scheduler!r}: is gone ({error}). Start it again, and go on: what "
                    "is done is kept."
                ) from error
            del future  # lets the cluster forget the movie
            yield from filmed


def _result(future: Any, client: Any, scheduler: str) -> list[FilmedMovie]:
    """Wait for a task as long as there is anybody to do it."""
    while True:
        try:
            return future.result(timeout=_CONNECT_S)
        except TimeoutError:
            _wait_for_a_worker(client, scheduler)


def _wait_for_a_worker(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_CONNECT_S)
    except TimeoutError as error:
        raise ScaleOutError(
            f"scheduler {scheduler!r}: has no workers, or they died. Start some, with the same "
            "skyctl installed: dask worker ADDRESS"
        ) from error


def in_turn(
    function: Callable[..., Any],
    calls: Iterable[tuple[Any, ...]],
    scheduler: str = "here",
    workers: int | None = None,
) -> Generator[Any, None, None]:
    """What ``function`` gives for the arguments of each of ``calls``, in their order.

    scheduler : "here", one after another in this process; "local" and "tcp://…" as in ``fill``.
        Function and arguments must then be what can be pickled

    Raises ScaleOutError where there is no cluster, and what ``function`` raises.
    """
    if scheduler == "here":
        yield from starmap(function, calls)
        return
    with open_cluster(scheduler, workers) as client:
        futures = deque(client.submit(function, *call, pure=False) for call in calls)
        while futures:
            yield futures.popleft().result()  # popped: lets the cluster forget it


@contextlib.contextmanager
def open_cluster(scheduler: str, workers: int | None) -> Iterator[Any]:
    """A Dask client of a cluster that is started here, or of a running one."""
    with needs("dask"):
        from distributed import Client, LocalCluster

    if scheduler == "local":
        with (
            LocalCluster(
                n_workers=workers or os.cpu_count() or 1,
                threads_per_worker=1,
                host=_LOOPBACK,
                # Not the default, which listens to all the network.
                dashboard_address=_ANY_PORT,
                worker_dashboard_address=_ANY_PORT,
                preload=[_IGNORE_INTERRUPTS],
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        # As the default, one that finds no scheduler would leave Dask without any.
        client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ScaleOutError(
            f"scheduler {scheduler!r}: no answer ({error}). Give 'local', 'threads' or the address "
            "that `dask scheduler` prints."
        ) from error
    except (TypeError, RuntimeError, ImportError) as error:
        raise ScaleOutError(
            f"scheduler {scheduler!r}: Dask lacks what its protocol needs ({error}). For tls:// "
            "say where its files are: DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and "
            "…__CLIENT__KEY, or distributed.comm.tls in ~/.config/dask."
        ) from error
    with client:
        _wait_for_a_worker(client, scheduler)
        yield client
