"""FilmedMovie: what is kept of a simulated movie."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skyctl.simulators.lattice.movies import MovieSpec, process_in
from skyctl.simulators.physics.topology import topological_charge

UNIT = 32767
"""S_z of 1, as it is stored."""


@dataclass(frozen=True)
class FilmedMovie:
    """What is kept of a simulated movie.

    sz : (frames, rows, columns) int16, S_z in units of 1/32767: exact to 1.6e-5
    charge : (frames,), topological charge (Berg–Lüscher)
    mean_spin : (frames, 3)
    label : what the film did from the first frame to what it settles to after the last
        (``movies.process_in``)
    """

    sz: np.ndarray
    charge: np.ndarray
    mean_spin: np.ndarray
    label: str

    @property
    def sha256(self) -> str:
        """Of all of it."""
        digest = hashlib.sha256(self.label.encode())
        for array in (self.sz, self.charge, self.mean_spin):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def film_movie(shot: MovieSpec, frames: Iterator[np.ndarray]) -> FilmedMovie:
    """Keep of a movie what a set stores; ``look`` of ``simulate_batch``.

    frames : (3, rows, columns) each. Raises ValueError for spins that are not finite.
    """
    before = spins = next(frames)
    sz, charge, mean_spin = [], [], []
    while True:
        mean = spins.mean(axis=(1, 2), dtype=np.float64)
        if not np.isfinite(mean).all():
            raise ValueError("the film's spins became NaN: its couplings are beyond the simulator")
        sz.append(np.rint(UNIT * spins[2]).astype(np.int16))
        charge.append(topological_charge(spins))
        mean_spin.append(mean)
        after = spins
        if (spins := next(frames, None)) is None:
            break
    label = process_in(shot, before, after)
    return FilmedMovie(np.stack(sz), np.array(charge), np.stack(mean_spin), label)
