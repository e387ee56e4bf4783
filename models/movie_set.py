"""MovieSet: simulated movies in one HDF5 file, from which everything learns and is judged.

A set is *planned* before anything is simulated: the file knows every shot, and the hash of all that
decides its movies, from the start. Its rows are then filled (``scale_out.fill``), in any number of
goes; what is done is never simulated again.

/shots, /done, /labels, /digests     one entry a row
/movies/FRAMESxROWSxCOLUMNS          sz, charge, mean_spin of the movies of that shape, in order
/arrays/SHA256                       starting spins and anisotropy maps, where shots have any
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import h5py
import numpy as np

from skyctl.models.filmed_movie import UNIT, FilmedMovie
from skyctl.models.movie_plan import (
    FORMAT,
    flattened,
    lay_out,
    movie_shape,
    places_of,
    plan_sha256,
    shot_from_json,
    shot_to_json,
)
from skyctl.recording.files import check_room, let_go
from skyctl.recording.salvage import health
from skyctl.simulators.lattice.files import StateError, open_to_write, replace_whole
from skyctl.simulators.lattice.movies import MovieSpec
from skyctl.simulators.physics.schemes import Integrator

PHYSICS = 2
"""Counted up whenever a change of the simulators changes their movies: older sets then no longer
fit (a test holds the movies of this number)."""


class MovieSet:
    """A movie set in a file, open to be read; a context manager. Rows count from 0.

    Attributes: ``sha256``, of all that decides the movies: the shots, integrator, precision and
    PHYSICS; ``integrator``, ``precision``; ``done``, (rows,) bool, which rows hold their movie.

    Raises StateError for a file that is damaged or something else, FileNotFoundError for none.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock: BinaryIO | None = None
        self._file = _open_to_read(self.path)
        try:
            self._read_plan()
        except StateError:
            self.close()
            raise
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            self.close()
            raise StateError(f"movies {self.path}: damaged ({error}). Make it again.") from error

    @classmethod
    def plan(
        cls,
        path: Path | str,
        shots: Sequence[MovieSpec],
        *,
        integrator: Integrator = "heun",
        precision: Literal["f8", "f4"] = "f4",
    ) -> "MovieSet":
        """Open the set of these movies to be filled and read; it is made where there is none.

        A complete set is opened to be read only, by as many processes as like; one that lacks
        movies by a single one.

        Raises ValueError for no shots, StateError for a file of other movies (it says which
        differ), a damaged one, or one that another process fills, OSError where none can be made.
        """
        path = Path(path)
        if not shots:
            raise ValueError("a movie set without shots: give one or more")
        arrays: dict[str, np.ndarray] = {}
        settings = {"physics": PHYSICS, "integrator": integrator, "precision": precision}
        texts = [shot_to_json(shot, arrays) for shot in shots]
        if not path.exists():
            replace_whole(path, lambda file: lay_out(file, settings, texts, arrays))
        movies = cls(path)
        try:
            if movies.sha256 != plan_sha256(settings, texts):
                raise StateError(
                    f"movies {path}: holds other movies: {movies._difference(settings, texts)}. "
                    "Give another file, or the options it was made with."
                )
            if not movies.done.all():
                movies._reopen_to_write()
        except BaseException:
            movies.close()
            raise
        return movies

    def _read_plan(self) -> None:
        if self._file.attrs.get("format") != FORMAT:
            raise StateError(
                f"movies {self.path}: an HDF5 file, but no movie set of skyctl. Give another file."
            )
        settings = json.loads(str(self._file.attrs["settings"]))
        self._settings: dict[str, Any] = settings
        self.integrator: Integrator = settings["integrator"]
        self.precision: Literal["f8", "f4"] = settings["precision"]
        shots: Any = self._file["shots"]
        self._shots: list[str] = list(shots.asstr()[:])
        self._places = places_of([movie_shape(json.loads(text)) for text in self._shots])
        self.sha256 = plan_sha256(settings, self._shots)
        if self.sha256 != self._file.attrs["sha256"]:
            raise StateError(
                f"movies {self.path}: damaged (its shots were changed). Make it again."
            )
        self._bind()

    def _bind(self) -> None:
        """Take hold of all datasets: HDF5 crashes when one is closed while the disk is full."""
        file: Any = self._file
        self._done, self._labels, self._digests = file["done"], file["labels"], file["digests"]
        self._movies: dict[str, dict[str, Any]] = {
            name: dict(file["movies"][name].items()) for name in {name for name, _ in self._places}
        }
        self.done: np.ndarray = self._done[:].astype(bool)

    def _reopen_to_write(self) -> None:
        self._file.close()
        self._lock, self._file = open_to_write(self.path)
        self._bind()
        self._file.swmr_mode = True

    def _difference(self, settings: dict[str, Any], texts: list[str]) -> str:
        for name, wanted in settings.items():
            if self._settings[name] != wanted:
                return f"{name} {self._settings[name]}, wanted {wanted}"
        if len(self) != len(texts):
            return f"{len(self)} of them, wanted {len(texts)}"
        for row, (found, wanted) in enumerate(zip(self._shots, texts, strict=True)):
            a, b = flattened(json.loads(found)), flattened(json.loads(wanted))
            for name in sorted(a.keys() | b.keys()):
                if a.get(name) != b.get(name):
                    return f"movie {row} with {name} {a.get(name)}, wanted {b.get(name)}"
        return "nothing is the same"

    def __len__(self) -> int:
        """Rows of the set, done or not."""
        return len(self._shots)

    def missing(self) -> list[int]:
        """Rows that are not done."""
        return np.flatnonzero(~self.done).tolist()

    def shot(self, row: int) -> MovieSpec:
        """The shot of a row, as it was planned."""
        return shot_from_json(self._shots[row], self._file)

    def times_ps(self, row: int) -> np.ndarray:
        """When the frames of a row were taken, (frames,)."""
        return np.array(json.loads(self._shots[row])["times_ps"])

    def sz(self, row: int) -> np.ndarray:
        """S_z of a row's movie, (frames, rows, columns) float32. Raises ValueError if not done."""
        return self.sz_int16(row).astype(np.float32) / np.float32(UNIT)

    def sz_int16(self, row: int) -> np.ndarray:
        """S_z as it is stored: int16, in units of 1/32767."""
        return self._of(row, "sz")

    def charge(self, row: int) -> np.ndarray:
        """Topological charge of each frame, (frames,)."""
        return self._of(row, "charge")

    def mean_spin(self, row: int) -> np.ndarray:
        """Mean spin of each frame, (frames, 3)."""
        return self._of(row, "mean_spin")

    @property
    def labels(self) -> np.ndarray:
        """What happened in each row (``movies.process_in``), str (rows,); "" if not done."""
        return np.where(self.done, self._labels[:].astype(str), "")

    @property
    def content_sha256(self) -> str:
        """Hash of the plan and of every movie that is done: what a model card quotes."""
        digests = self._digests[:][self.done]
        return hashlib.sha256(self.sha256.encode() + b"".join(digests)).hexdigest()

    def __str__(self) -> str:
        counts = Counter(self.labels[self.done].tolist())
        named = ", ".join(f"{number} {label}" for label, number in counts.most_common())
        return f"{self.done.sum()} of {len(self)} movies" + (f": {named}" if named else "")

    def _of(self, row: int, name: str) -> np.ndarray:
        if not 0 <= row < len(self):
            raise IndexError(f"movies {self.path}: row {row} of {len(self)}")
        if not self.done[row]:
            raise ValueError(f"movies {self.path}: row {row} is not simulated yet; fill the set")
        group, place = self._places[row]
        try:
            return self._movies[group][name][place]
        except OSError as error:
            raise StateError(
                f"movies {self.path}: movie {row} cannot be read ({error}). Make the set again."
            ) from error

    def write(self, row: int, movie: FilmedMovie) -> None:
        """Put the movie of a row into the file; it is there, and done, when this returns.

        A kill at any moment loses no row that was done. After an error the set is closed, and what
        was done is in the file.
        Raises ValueError for a movie that does not fit or a set that is open to be read, OSError
        for a full disk.
        """
        if self._lock is None:
            raise ValueError(f"movies {self.path}: open to be read; open it with MovieSet.plan")
        group, place = self._places[row]
        target = self._movies[group]
        if movie.sz.shape != target["sz"].shape[1:]:
            raise ValueError(
                f"movies {self.path}: movie {row} of shape {movie.sz.shape}, planned as "
                f"{target['sz'].shape[1:]}"
            )
        try:
            check_room(self.path.parent)
            target["sz"][place] = movie.sz
            target["charge"][place] = movie.charge
            target["mean_spin"][place] = movie.mean_spin
            self._labels[row] = movie.label.encode()
            self._digests[row] = movie.sha256.encode()
            self._file.flush()
            # Marked last: a row cut short by a kill is simulated again.
            self._done[row] = 1
            self._file.flush()
        except (OSError, RuntimeError, ValueError) as error:
            let_go(self._file)
            self.close()
            raise OSError(
                f"movies {self.path}: cannot be written ({error}). Make room, and run it again: "
                "what is done is kept."
            ) from error
        self.done[row] = True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> "MovieSet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_to_read(path: Path) -> h5py.File:
    if not path.is_file():
        raise FileNotFoundError(f"movies {path}: no such file")
    try:
        state = health(path)
        if state.missing_bytes:
            raise OSError("it was cut short")
        # HDF5 takes a file for a growing one only if it is told to, and waits for a damaged one.
        return h5py.File(path, "r", swmr=state.being_written, locking=False)
    except OSError as error:
        raise StateError(f"movies {path}: no HDF5 file, or damaged ({error})") from error
