"""Which sites of a film there are: shapes, holes, vacancies, or a picture of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skyctl.formats.ovf import SUFFIXES, read_ovf


def checked_sites(sites: Any, rows: int, columns: int, periodic: bool = False) -> np.ndarray:
    """A mask, (rows, columns), True where there is a site, read-only.

    Raises ValueError for one of another shape, without a site, or whose sites are not all joined:
    a film in two pieces is two films.
    """
    sites = np.array(sites, dtype=bool)
    if sites.shape != (rows, columns):
        raise ValueError(f"sites of shape {sites.shape}: this film needs {(rows, columns)}")
    if not sites.any():
        raise ValueError("sites: none is left. Give a mask that is True somewhere.")
    pieces = sorted(_pieces(sites, periodic), reverse=True)
    if len(pieces) > 1:
        raise ValueError(
            f"sites: cut into {len(pieces)} pieces that do not touch, of {pieces[0]} and "
            f"{pieces[1]} sites the largest. Give a mask in one piece (largest_piece)."
        )
    sites.flags.writeable = False
    return sites


def largest_piece(sites: np.ndarray) -> np.ndarray:
    """The sites of a mask that are joined to most others; islands are dropped."""
    labels, _ = _labels(sites)
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    return labels == counts.argmax()


def _pieces(sites: np.ndarray, periodic: bool) -> list[int]:
    """How many sites each piece has."""
    labels, count = _labels(sites)
    if periodic:  # what meets across an edge is one piece
        meets = np.concatenate([labels[[0, -1]].T, labels[:, [0, -1]]])
        first, second = meets[meets.all(axis=1)].T
        links = coo_array((np.ones(len(first)), (first, second)), shape=(count + 1, count + 1))
        labels = connected_components(links, directed=False)[1][labels]
    return [int(n) for n in np.bincount(labels[sites]) if n]


def _labels(sites: np.ndarray) -> tuple[np.ndarray, int]:
    found: Any = ndimage.label(sites)
    return found


def disc(rows: int, columns: int, radius: float) -> np.ndarray:
    """A disc in the middle of a film, ``radius`` in sites."""
    return _from_middle(rows, columns) <= radius


def ring(rows: int, columns: int, radius: float, inner: float) -> np.ndarray:
    """A ring in the middle of a film, from ``inner`` to ``radius`` sites."""
    distance = _from_middle(rows, columns)
    return (distance <= radius) & (distance >= inner)


def hole(rows: int, columns: int, radius: float) -> np.ndarray:
    """A film with a round hole in its middle."""
    return _from_middle(rows, columns) > radius


def vacancies(rows: int, columns: int, percent: float, seed: int = 0) -> np.ndarray:
    """A film that lacks ``percent`` of its sites, drawn, and what they cut off."""
    sites = np.random.default_rng(seed).uniform(size=(rows, columns)) >= percent / 100
    return largest_piece(sites)


def _from_middle(rows: int, columns: int) -> np.ndarray:
    row, column = np.mgrid[:rows, :columns].astype(float)
    return np.hypot(column - (columns - 1) / 2, row - (rows - 1) / 2)


SHAPES: dict[str, tuple[Callable[..., np.ndarray], str]] = {
    "disc": (disc, "disc:RADIUS"),
    "ring": (ring, "ring:RADIUS,INNER"),
    "hole": (hole, "hole:RADIUS"),
    "vacancies": (vacancies, "vacancies:PERCENT[,SEED]"),
}
"""By name: what makes a shape, and how it is written."""
SHAPE_WORDS = ", ".join(words for _, words in SHAPES.values())


def sites_of(text: str, rows: int, columns: int) -> np.ndarray:
    """The sites that "disc:40" or the name of a file says.

    A file is a picture (.png: bright is there), an array (.npy) or a field (.ovf, mumax3's geom
    say: 0 is not there); a picture's first row is the film's last, as y goes up.

    Raises ValueError for a text that is none, and for sites as ``checked_sites``; FormatError for a
    file that cannot be read.
    """
    name, _, numbers = text.partition(":")
    if name in SHAPES:
        make, words = SHAPES[name]
        try:
            sites = make(rows, columns, *_numbers(numbers))
        except (TypeError, ValueError):
            raise ValueError(f"shape {text!r}: give {words}, in sites") from None
    else:
        sites = _sites_in(Path(text))
    return checked_sites(sites, rows, columns)


def _numbers(text: str) -> list[float]:
    values = [float(part) for part in text.split(",")]
    if not (np.isfinite(values).all() and min(values) >= 0):
        raise ValueError(text)
    return [int(value) if value.is_integer() else value for value in values]


def _sites_in(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix not in (".png", ".npy", *SUFFIXES):
        raise ValueError(f"shape {str(path)!r}: give {SHAPE_WORDS}, or a .png, .npy or .ovf file")
    if not path.is_file():
        raise ValueError(f"shape {path}: no such file")
    if suffix == ".npy":
        return np.load(path, allow_pickle=False) != 0
    if suffix in SUFFIXES:
        return read_ovf(path).values[0].any(axis=-1)
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))[::-1] > 127
