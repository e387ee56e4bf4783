"""Films and movies in HDF5 files: to go on later from where one was, and to keep what is done."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from skyctl import __version__
from skyctl.errors import SkyctlError
from skyctl.simulators.lattice.film import Film, FilmParameters

_FORMAT = "skyctl film"
_FACTS_BYTES = 4000


class StateError(SkyctlError):
    """A file that holds no film."""


def check_target(path: Path) -> None:
    """Raise OSError unless ``path`` can become a file; its folder is made."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path}: is no ordinary file. Give the name of a new file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise OSError(f"{path}: its folder cannot be written to. Give another.")


def save_film(film: Film, path: Path) -> None:
    """Write a film: spins, parameters, and where its noise is, so that it can go on as if never
    stopped (with Dormand–Prince's own steps: to its tolerance).

    An existing file is replaced, when the new one is whole. Raises OSError.
    """

    def fill(file: h5py.File) -> None:
        file["spins"] = film.spins
        if film.anisotropy_map is not None:
            file["anisotropy_map"] = film.anisotropy_map
        if film.sites is not None:
            file["sites"] = film.sites
        file.attrs.update(
            format=_FORMAT,
            skyctl=__version__,
            parameters=json.dumps(film.parameters.as_dict()),
            precision=film.precision,
            integrator=film.integrator,
            tolerance=film.tolerance,
            seed=film.seed,
            steps_taken=film.steps_taken,
        )

    replace_whole(path, fill)


def load_film(path: Path, **options: Any) -> Film:
    """A film as ``save_film`` left it; ``options`` (device, threads) are ``Film``'s.

    Raises StateError for a file that holds no film, FileNotFoundError for none at all.
    """
    if not path.is_file():
        raise FileNotFoundError(f"film {path}: no such file")
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") != _FORMAT:
                raise StateError(f"film {path}: an HDF5 file, but not a film that skyctl saved")
            parameters = json.loads(str(file.attrs["parameters"]))
            anisotropy, sites = (_array(file, name) for name in ("anisotropy_map", "sites"))
            film = Film(
                FilmParameters.from_dict(parameters),
                precision=str(file.attrs["precision"]),  # pyright: ignore[reportArgumentType]
                integrator=str(file.attrs["integrator"]),  # pyright: ignore[reportArgumentType]
                seed=int(file.attrs["seed"]),  # pyright: ignore[reportArgumentType]
                anisotropy_map=anisotropy,
                sites=sites,
                **{"tolerance": float(file.attrs["tolerance"]), **options},  # pyright: ignore[reportArgumentType]
            )
            spins: Any = file["spins"]
            film.restore(spins[:], int(file.attrs["steps_taken"]))  # pyright: ignore[reportArgumentType]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"film {path}: damaged, or not saved by skyctl ({error})") from error
    return film


def _array(file: h5py.File, name: str) -> np.ndarray | None:
    found: Any = file.get(name)
    return None if found is None else found[:]


def replace_whole(path: Path, fill: Callable[[h5py.File], object]) -> None:
    """Make an HDF5 file anew and put it in its place when it is whole. Raises OSError."""
    check_target(path)
    beside = path.with_name(path.name + ".part")
    try:
        with h5py.File(beside, "w", libver="v110") as file:
            fill(file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def open_to_write(path: Path) -> tuple[BinaryIO, h5py.File]:
    """An HDF5 file, and the lock that keeps other processes from writing to it; close both.

    Raises StateError for a file that is damaged, no HDF5, or open in another process.
    """
    lock = path.open("r+b")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock, h5py.File(path, "r+", libver="v110", locking=False)
    except BlockingIOError as error:
        lock.close()
        raise StateError(
            f"movies {path}: another process has them open. Wait for it, or give another file."
        ) from error
    except OSError as error:
        # HDF5 reads a file whose writer was killed, but only a clean copy can be written to. One
        # that was cut short it may read for ever.
        try:
            if "truncated" in str(error):
                raise OSError("it was cut short") from error
            with h5py.File(path, "r", swmr=True, locking=False) as left:
                replace_whole(path, lambda file: _copy(left, file))
        except (OSError, RuntimeError, KeyError) as unreadable:
            raise StateError(f"movies {path}: no HDF5 file, or damaged ({unreadable})") from error
        finally:
            lock.close()
    return open_to_write(path)


def _copy(source: h5py.File, target: h5py.File) -> None:
    for name in source:
        source.copy(name, target)
    target.attrs.update(source.attrs)


class MovieFile:
    """Movies of one kind in one file, each written and flushed as it is done; a context manager.

    path : made anew, or gone on with: ``len`` says how many movies it holds
    shape : of a movie, (frames, …)
    attributes : what all movies share, as plain numbers and text; must fit those in the file

    HDF5's single-writer mode orders the writes so that the file can be read at any moment: a kill
    loses no movie for which ``append`` had returned.

    Raises StateError for a file that holds anything else, or that another process has open.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
        text = json.dumps(attributes, sort_keys=True)

        def lay_out(file: h5py.File) -> None:
            whole = {"shape": (0, *shape), "maxshape": (None, *shape), "chunks": (1, *shape)}
            file.create_dataset("movies", dtype=np.float32, **whole)
            # Fixed length: single-writer mode has none other.
            file.create_dataset("facts", (0,), f"S{_FACTS_BYTES}", maxshape=(None,), chunks=(1,))
            file.attrs["movies of"] = text

        if not path.exists():
            replace_whole(path, lay_out)
        self._lock, self._file = open_to_write(path)
        try:
            if "movies of" not in self._file.attrs:
                raise StateError(
                    f"movies {path}: an HDF5 file, but not of movies that skyctl wrote. Give "
                    "another file."
                )
            self._movies: Any = self._file["movies"]
            self._facts: Any = self._file["facts"]
            if self._movies.shape[1:] != shape or self._file.attrs["movies of"] != text:
                raise StateError(
                    f"movies {path}: holds movies of another kind, made with "
                    f"{self._file.attrs['movies of']}. Give another file, or the same options."
                )
            self._count = int(np.count_nonzero(self._facts[:]))  # cut short by a kill: b""
            self._file.swmr_mode = True
        except BaseException:
            self.__exit__()
            raise

    def __len__(self) -> int:
        return self._count

    def append(self, movie: np.ndarray, facts: dict[str, Any]) -> None:
        """Add a movie and what is known of it; it is in the file when this returns.

        Raises ValueError for facts of more than 4000 characters as JSON.
        """
        text = json.dumps(facts).encode()
        if len(text) > _FACTS_BYTES:
            raise ValueError(
                f"facts of a movie: {len(text)} characters as JSON, {_FACTS_BYTES} is the most"
            )
        self._movies.resize(self._count + 1, axis=0)
        self._movies[self._count] = movie
        self._file.flush()
        # Counted last: a movie cut short by a kill is written over.
        self._facts.resize(self._count + 1, axis=0)
        self._facts[self._count] = text
        self._file.flush()
        self._count += 1

    def __iter__(self) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        for i in range(self._count):
            yield self._movies[i], json.loads(self._facts[i])

    def __enter__(self) -> "MovieFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._lock.close()
