"""Plan of a movie set: its shots as text, their hash, and the file laid out for their movies."""

import hashlib
import json
from collections import Counter
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from skyctl import __version__
from skyctl.models.filmed_movie import UNIT
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec

FORMAT = "skyctl movie set"
_DIGEST = "S64"
_LZ4: dict[str, Any] = dict(hdf5plugin.LZ4())
"""Smaller and no slower here than behind a bitshuffle: most of a film points one way."""


def lay_out(
    file: h5py.File, settings: dict[str, Any], texts: list[str], arrays: dict[str, np.ndarray]
) -> None:
    """A set of which nothing is done yet. Of fixed size: HDF5 allots the room when it is filled."""
    rows = len(texts)
    file.attrs.update(
        format=FORMAT,
        skyctl=__version__,
        settings=json.dumps(settings),
        sha256=plan_sha256(settings, texts),
    )
    file.create_dataset("shots", data=texts, dtype=h5py.string_dtype())
    for name, dtype in {"done": "u1", "labels": "S16", "digests": _DIGEST}.items():
        file.create_dataset(name, (rows,), dtype, chunks=(min(rows, 1024),))
    for digest, array in arrays.items():
        file.create_dataset(f"arrays/{digest}", data=array, chunks=array.shape, **_LZ4)
    shapes = [movie_shape(json.loads(text)) for text in texts]
    for (frames, height, width), count in Counter(shapes).items():
        group = file.create_group(f"movies/{_name((frames, height, width))}")
        sz = group.create_dataset(
            "sz", (count, frames, height, width), "i2", chunks=(1, frames, height, width), **_LZ4
        )
        sz.attrs["units"] = f"1/{UNIT}"
        many = min(count, 64)
        group.create_dataset("charge", (count, frames), "f8", chunks=(many, frames))
        group.create_dataset("mean_spin", (count, frames, 3), "f8", chunks=(many, frames, 3))


def places_of(shapes: list[tuple[int, int, int]]) -> list[tuple[str, int]]:
    """The group of each row's movie, and where in it."""
    taken: Counter[str] = Counter()
    places = []
    for name in map(_name, shapes):
        places.append((name, taken[name]))
        taken[name] += 1
    return places


def movie_shape(shot: dict[str, Any]) -> tuple[int, int, int]:
    """(frames, rows, columns) of a shot's movie."""
    film = shot["parameters"]
    return len(shot["times_ps"]), film["rows"], film["columns"]


def _name(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


def plan_sha256(settings: dict[str, Any], texts: list[str]) -> str:
    """Of all that decides the movies: the settings of the set, and its shots as text."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for text in texts:
        digest.update(b"\n" + text.encode())
    return digest.hexdigest()


def shot_to_json(shot: MovieSpec, arrays: dict[str, np.ndarray]) -> str:
    """A shot as text, the same for the same shot; its arrays are put into ``arrays``."""

    def named(array: np.ndarray) -> dict[str, str]:
        array = np.ascontiguousarray(array, dtype=np.float64)
        name = hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()
        arrays[name] = array
        return {"array": name}

    if not len(shot.times_ps):
        raise ValueError("a shot without frame times: give times_ps")
    plain = {
        "parameters": shot.parameters.as_dict(),
        "times_ps": [float(time_ps) for time_ps in shot.times_ps],
        "pulse": shot.pulse.model_dump() if shot.pulse else None,
        "start": shot.start if isinstance(shot.start, str) else named(shot.start),
        "seed": shot.seed,
        "anisotropy_map": None if shot.anisotropy_map is None else named(shot.anisotropy_map),
        "sites": None if shot.sites is None else named(shot.sites),
    }
    # NumPy's numbers are told from ours only by their type.
    return json.dumps(plain, sort_keys=True, default=lambda number: number.item())


def shot_from_json(text: str, file: h5py.File) -> MovieSpec:
    """The shot of a text; its arrays are read from the set's file."""
    plain = json.loads(text)

    def array(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        stored: Any = file["arrays"]
        return stored[value["array"]][:]

    return MovieSpec(
        FilmParameters.from_dict(plain["parameters"]),
        plain["times_ps"],
        Pulse(**plain["pulse"]) if plain["pulse"] else None,
        array(plain["start"]),
        plain["seed"],
        array(plain["anisotropy_map"]),
        array(plain["sites"]),
    )


def flattened(shot: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"pulse": {"width_ps": 8}} as {"pulse.width_ps": 8}, to compare."""
    flat: dict[str, Any] = {}
    for name, value in shot.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
