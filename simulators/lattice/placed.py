"""Skyrmions put at places of a film by hand, and relaxed: a state to be reached."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyctl.simulators.lattice.film import FilmParameters, bloch_or_neel, energies_meV
from skyctl.simulators.lattice.monte_carlo import FilmArrays, relaxed
from skyctl.simulators.physics.topology import topological_charge

_RADIUS = 5.0
_TOLERANCE_T, _MOST_SWEEPS = 1e-2, 20_000


@dataclass(frozen=True)
class PlacedState:
    """A relaxed state: spins (3, rows, columns), its energy without pulse and topological charge,
    and the energy over that of the film without skyrmions."""

    spins: np.ndarray
    energy_meV: float
    over_empty_meV: float
    charge: float


def placed(
    parameters: FilmParameters, places: Sequence[tuple[float, float]], background: int = -1
) -> PlacedState:
    """A film with skyrmions centred at (x, y), sites, cores against ``background``, relaxed.

    Raises ValueError for a place outside of the film, and where the film does not keep as many
    skyrmions as it was given.
    """
    p = parameters
    for x, y in places:
        if not (0 <= x <= p.columns - 1 and 0 <= y <= p.rows - 1):
            raise ValueError(
                f"place ({x:g}, {y:g}): the film has columns 0 … {p.columns - 1} and rows 0 … "
                f"{p.rows - 1}"
            )
    empty = np.zeros((3, p.rows, p.columns))
    empty[2] = background
    spins = empty.copy()
    row, column = np.mgrid[: p.rows, : p.columns]
    for x, y in places:
        own = bloch_or_neel(
            column - x, row - y, _RADIUS, background, p.dmi_meV, p.interfacial_dmi_meV
        )
        inside = np.hypot(column - x, row - y) < 2 * _RADIUS
        spins = np.where(inside, own, spins)
    film = FilmArrays.of(p, None, None)
    both, _ = relaxed(film, np.stack([spins, empty]), _TOLERANCE_T, _MOST_SWEEPS)
    energies = energies_meV(p, both)
    charges = [topological_charge(state, p.periodic) for state in both]
    kept = round(abs(charges[0] - charges[1]))
    if kept != len(places):
        raise ValueError(
            f"{len(places)} skyrmions at {list(places)}: the film keeps {kept} of them. Put them "
            "farther from each other and from the edges"
        )
    return PlacedState(both[0], float(energies[0]), float(energies[0] - energies[1]), charges[0])
