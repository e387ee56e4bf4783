"""Places for skyrmions: drawn at random, then pushed apart until they are as ordered as wanted."""

from typing import Any

import numpy as np
from scipy import ndimage

_REACH = 0.25
"""Of the repulsion, in distances of a triangular lattice of as many points."""
_RELIST = 20


def spacing(number: int, rows: float, columns: float) -> float:
    """From one point to the next in a triangular lattice of this many on such an area."""
    return float(np.sqrt(2 / np.sqrt(3) * rows * columns / number))


def apart(
    number: int, rows: float, columns: float, periodic: bool, steps: int, rng: np.random.Generator
) -> np.ndarray:
    """(number, 2) places (x, y) on a plane of columns × rows, of points that push each other away.

    steps : of the repulsion: 0 is random, tens are a liquid, hundreds grains of a triangular
        lattice. It is the pair repulsion of skyrmions, exponential in the distance
    """
    from skyctl.simulators.lattice.kernels_places import push_apart

    lengths = np.array([columns, rows], float)
    points = rng.uniform(0, 1, (number, 2)) * lengths
    if number:
        a = spacing(number, rows, columns)
        push_apart(points, lengths, periodic, a, _REACH * a, steps, _RELIST)
    return points


def centres(spins: np.ndarray, periodic: bool) -> np.ndarray:
    """(number, 2) places (x, y) of what points against the film's background, one an island.

    spins : (3, rows, columns); an island across the edges of a ``periodic`` film is one
    """
    sz = spins[2] * (1 if np.median(spins[2]) > 0 else -1)
    rows, columns = sz.shape
    beyond = (rows // 2, columns // 2) if periodic else (0, 0)
    wide = np.pad(sz, [(b, b) for b in beyond], mode="wrap")
    islands: Any = ndimage.label(wide < 0)
    found = ndimage.center_of_mass(np.minimum(wide, 0), islands[0], range(1, islands[1] + 1))
    places = np.array(found).reshape(-1, 2) - beyond
    inside = (places >= -0.5).all(1) & (places < np.array(sz.shape) - 0.5).all(1)
    return places[inside, ::-1]
