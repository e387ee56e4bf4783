"""Films and movies in HDF5 files: to go on later from where one was, and to keep what is done."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyctl import __version__
from skyctl.errors import SkyctlError
from skyctl.simulators.film import Film, FilmParameters

_FORMAT = "skyctl film"


class StateError(SkyctlError):
    """A file that holds no film."""


def save_film(film: Film, path: Path) -> None:
    """Write a film: spins, parameters, and where its noise is, so that it can go on as if never
    stopped. An existing file is replaced, when the new one is whole. Raises OSError."""
    beside = path.with_name(path.name + ".part")
    with h5py.File(beside, "w") as file:
        file["spins"] = film.spins
        if film.anisotropy_map is not None:
            file["anisotropy_map"] = film.anisotropy_map
        file.attrs.update(
            format=_FORMAT,
            skyctl=__version__,
            parameters=json.dumps(film.parameters.as_dict()),
            precision=film.precision,
            integrator=film.integrator,
            seed=film.seed,
            steps_taken=film.steps_taken,
        )
    beside.replace(path)


def load_film(path: Path, **options: Any) -> Film:
    """A film as ``save_film`` left it; ``options`` (device, threads) are ``Film``'s.

    Raises StateError for a file that holds no film, FileNotFoundError for none at all.
    """
    if not path.exists():
        raise FileNotFoundError(f"film {path}: no such file")
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") != _FORMAT:
                raise StateError(f"film {path}: an HDF5 file, but not a film that skyctl saved")
            parameters = json.loads(str(file.attrs["parameters"]))
            parameters["bias_T"] = tuple(parameters["bias_T"])
            sites: Any = file.get("anisotropy_map")
            film = Film(
                FilmParameters(**parameters),
                precision=str(file.attrs["precision"]),  # pyright: ignore[reportArgumentType]
                integrator=str(file.attrs["integrator"]),  # pyright: ignore[reportArgumentType]
                seed=int(file.attrs["seed"]),  # pyright: ignore[reportArgumentType]
                anisotropy_map=None if sites is None else sites[:],
                **options,
            )
            spins: Any = file["spins"]
            film.restore(spins[:], int(file.attrs["steps_taken"]))  # pyright: ignore[reportArgumentType]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"film {path}: damaged, or not saved by skyctl ({error})") from error
    return film


class MovieFile:
    """Movies of one kind in one file, each written and flushed as it is done; a context manager.

    path : made anew, or gone on with: ``len`` says how many movies it holds
    shape : of a movie, (frames, …)
    attributes : what all movies share, as plain numbers and text; must fit those in the file
    """

    def __init__(self, path: Path, shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
        text = json.dumps(attributes, sort_keys=True)
        self._file = h5py.File(path, "a")
        try:
            if "movies" not in self._file:
                self._file.create_dataset(
                    "movies", (0, *shape), np.float32, maxshape=(None, *shape), chunks=(1, *shape)
                )
                self._file.create_dataset("facts", (0,), h5py.string_dtype(), maxshape=(None,))
                self._file.attrs["movies of"] = text
            self._movies: Any = self._file["movies"]
            self._facts: Any = self._file["facts"]
            if self._movies.shape[1:] != shape or self._file.attrs["movies of"] != text:
                raise StateError(
                    f"movies {path}: holds movies of another kind. Give another file, or the same "
                    "options as then."
                )
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._facts)

    def append(self, movie: np.ndarray, facts: dict[str, Any]) -> None:
        """Add a movie and what is known of it; it is in the file when this returns."""
        count = len(self)
        self._movies.resize(count + 1, axis=0)
        self._movies[count] = movie
        self._file.flush()
        # Counted last: a movie cut short by a kill is written over.
        self._facts.resize(count + 1, axis=0)
        self._facts[count] = json.dumps(facts)
        self._file.flush()

    def __iter__(self) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        for movie, facts in zip(self._movies, self._facts.asstr(), strict=False):
            yield movie, json.loads(facts)

    def __enter__(self) -> "MovieFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
