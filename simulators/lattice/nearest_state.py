"""The state of rest nearest to an image of a film: what a camera would show were it without fault.

A state of rest lies along its own field; a few steps downhill bring an image of one back to where
it was, without its noise, and anything else to somewhere else.
"""

import numpy as np
from scipy import ndimage

from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.monte_carlo import FilmArrays, downhill
from skyctl.simulators.physics import llg

SWEEPS = 25
"""Downhill: fewer leave noise, more let a wall of a foreign state arrive."""
_SMOOTHING = (0.5, 1.5)
"""Gaussian radius, sites: least and most; the noise times ``_SMOOTHED_A_NOISE`` between them."""
_SMOOTHED_A_NOISE = 4.0


class NearestState:
    """Finds them for one film.

    parameters : of the film; sites, anisotropy_map : as ``Film`` has them

    Raises ValueError for a film without exchange: nothing holds its spins together.
    """

    def __init__(
        self,
        parameters: FilmParameters,
        sites: np.ndarray | None = None,
        anisotropy_map: np.ndarray | None = None,
    ) -> None:
        if parameters.exchange_meV <= 0:
            raise ValueError(f"film exchange_meV = {parameters.exchange_meV:g}: must be above 0")
        self.parameters = parameters
        self._film = FilmArrays.of(parameters, sites, anisotropy_map)
        self._there = 1.0 if sites is None else np.asarray(sites, float)

    def __call__(self, image: np.ndarray, noise: float) -> np.ndarray:
        """(3, rows, columns) of the state next to an image.

        image : spins (3, rows, columns), or S_z alone (rows, columns), of which walls are guessed
            as the film's DMI winds them; noise : of a pixel, in units of S_z

        Raises ValueError for an image of another size.
        """
        image = np.asarray(image, float)
        shape = self.parameters.rows, self.parameters.columns
        if image.shape not in (shape, (3, *shape)):
            raise ValueError(
                f"image of shape {image.shape}: this film has {shape[0]} x {shape[1]} sites; give "
                "one pixel a site"
            )
        spins = image if image.ndim == 3 else self._wound(image, noise)
        state = self._film.pack((spins * self._there)[None], np.float64)
        return self._film.unpack(downhill(self._film, state, SWEEPS, 1.0))[0]

    def _wound(self, sz: np.ndarray, noise: float) -> np.ndarray:
        """Spins of this S_z, which turn in the plane that the DMI wants."""
        p = self.parameters
        least, most = _SMOOTHING
        sigma = min(max(_SMOOTHED_A_NOISE * noise, least), most)
        mode = "wrap" if p.periodic else "nearest"
        z = np.clip(ndimage.gaussian_filter(sz, sigma, mode=mode), -1, 1)
        right, down = (
            ndimage.correlate1d(z, [-0.5, 0, 0.5], axis=axis, mode=mode) for axis in (1, 0)
        )
        steep = np.hypot(right, down) + llg.TINY
        x, y, d, n = right / steep, down / steep, p.dmi_meV, p.interfacial_dmi_meV
        # Slopes that noise alone would make are no walls.
        of_noise = noise / (np.sqrt(8 * np.pi) * sigma**2)
        wall = steep**2 / (steep**2 + 4 * of_noise**2)
        aside = wall * np.sqrt(1 - z * z) / (np.hypot(d, n) or 1.0)
        return np.stack([aside * (n * x - d * y), aside * (d * x + n * y), z])
