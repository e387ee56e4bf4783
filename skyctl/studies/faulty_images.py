"""Images of films with something wrong: twelve subtle faults of film or camera, and gross ones.

A film here is (3, rows, columns) and periodic; a fault takes one and random numbers, and gives one
that is no state of the sample, or an image of it that the sample never showed.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _unit(spins: np.ndarray) -> np.ndarray:
    return spins / np.linalg.norm(spins, axis=-3, keepdims=True)


def _patch(spins: np.ndarray, side: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Index of a square somewhere, across the edges as well."""
    _, rows, columns = spins.shape
    y, x = rng.integers(rows), rng.integers(columns)
    return np.ix_(range(3), (y + np.arange(side)) % rows, (x + np.arange(side)) % columns)


def flipped_patch(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """3 x 3 spins turned over."""
    spins, where = spins.copy(), _patch(spins, 3, rng)
    spins[where] *= -1
    return spins


def blurred(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus by one site."""
    return _unit(ndimage.gaussian_filter(spins, (0, 1, 1), mode="wrap"))


def stretched(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """10 % too wide."""
    _, rows, columns = spins.shape
    y, x = np.mgrid[:rows, :columns]
    at = [y, (x - columns / 2) * 0.9 + columns / 2]
    return _unit(
        np.stack([ndimage.map_coordinates(c, at, order=3, mode="grid-wrap") for c in spins])
    )


def torn(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lower half two sites aside: a readout that slipped."""
    spins, half = spins.copy(), spins.shape[1] // 2
    spins[:, half:] = np.roll(spins[:, half:], 2, axis=2)
    return spins


def ghosted(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """20 % of the same film from elsewhere, on top: a double exposure."""
    other = np.roll(spins, rng.integers(8, 24, 2), axis=(1, 2))
    return _unit(0.8 * spins + 0.2 * other)


def grained(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth random tilts, a third of a radian."""
    tilts = ndimage.gaussian_filter(rng.standard_normal(spins.shape), (0, 1, 1), mode="wrap")
    return _unit(spins + 0.35 * tilts)


def repeated_rows(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two rows read from their neighbours."""
    spins, rows = spins.copy(), spins.shape[1]
    y = rng.integers(rows)
    spins[:, y] = spins[:, y - 1]
    spins[:, (y + 8) % rows] = spins[:, (y + 6) % rows]
    return spins


def melted_patch(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """6 x 6 spins half disordered."""
    spins, where = spins.copy(), _patch(spins, 6, rng)
    spins[where] = _unit(spins + 0.5 * rng.standard_normal(spins.shape))[where]
    return spins


def filled_patch(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """4 x 4 sites painted over with the background."""
    spins, where = spins.copy(), _patch(spins, 4, rng)
    spins[where] = np.array([0.0, 0.0, np.sign(spins[2].mean()) or 1.0])[:, None, None]
    return spins


def noisy_film(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every spin shaken by a quarter of a radian: too warm."""
    return _unit(spins + 0.25 * rng.standard_normal(spins.shape))


def turned_in_plane(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All walls wound 20° off what the DMI wants; S_z does not show it."""
    cosine, sine = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    x, y, z = spins
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z])


def patch_wound_back(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """10 x 10 spins of the other chirality; S_z does not show it."""
    spins, where = spins.copy(), _patch(spins, 10, rng)
    spins[where] *= np.array([-1.0, -1.0, 1.0])[:, None, None]
    return spins


SUBTLE: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        flipped_patch, blurred, stretched, torn, ghosted, grained, repeated_rows, melted_patch,
        filled_patch, noisy_film, turned_in_plane, patch_wound_back,
    )
}  # fmt: skip
UNSEEN_IN_SZ = ("turned_in_plane", "patch_wound_back")
"""S_z is the same with and without them: no score of S_z can tell."""


def static(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """No film at all, but noise."""
    return _unit(rng.standard_normal(spins.shape))


def magnified(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Twice too large."""
    _, rows, columns = spins.shape
    at = np.mgrid[:rows, :columns] / 2
    return _unit(
        np.stack([ndimage.map_coordinates(c, at, order=1, mode="grid-wrap") for c in spins])
    )


def halves_of_two(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The right half upside down."""
    spins, half = spins.copy(), spins.shape[2] // 2
    spins[:, :, half:] = spins[:, ::-1, half:] * -1
    return spins


def chequered(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every other 4 x 4 block turned over."""
    _, rows, columns = spins.shape
    y, x = np.mgrid[:rows, :columns] // 4
    return np.where((y + x) % 2, -spins, spins)


def bleached(spins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A third of the contrast."""
    x, y, z = spins
    return np.stack([x, y, z / 3])


GROSS: dict[str, Fault] = {
    fault.__name__: fault for fault in (static, magnified, halves_of_two, chequered, bleached)
}
