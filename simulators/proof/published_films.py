"""What was published of films, measured again on theirs (``lattice.presets``)."""

from dataclasses import replace

import numpy as np

from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.presets import FILMS, film_named


def _spiral(turns: int, sites: int, interfacial: bool) -> np.ndarray:
    """A wave along x of so many turns, (3, 2, sites): a cycloid, or a proper screw."""
    angle = 2 * np.pi * turns * np.arange(sites) / sites
    none = np.zeros(sites)
    line = [-np.sin(angle), none, np.cos(angle)] if interfacial else [
        none, np.cos(angle), np.sin(angle)
    ]  # fmt: skip
    return np.repeat(np.stack(line)[:, None], 2, axis=1)


def spiral_period_nm(name: str, turns: int = 6) -> float:
    """The period that costs a film least, nm: of waves of ``turns`` turns, relaxed, in periodic
    strips of all lengths, the one of least energy a site."""
    film = film_named(name)
    interfacial = film.interfacial_dmi_meV != 0
    guess = 2 * np.pi * film.exchange_meV / abs(film.interfacial_dmi_meV or film.dmi_meV)
    lengths = np.unique(np.round(turns * guess * np.linspace(0.8, 1.4, 13)).astype(int))
    energies = []
    for sites in lengths:
        strip = Film(replace(film, rows=2, columns=int(sites), periodic=True))
        strip.spins = _spiral(turns, int(sites), interfacial)
        strip.relax(max_ps=300, torque_T=1e-2)
        energies.append(strip.energy_meV() / sites)
    best = int(np.clip(np.argmin(energies), 1, len(lengths) - 2))
    near = slice(best - 1, best + 2)
    a, b, _ = np.polyfit(lengths[near], energies[near], 2)
    return float(-b / (2 * a) / turns * (film.lattice_nm or 1.0))


def dmi_of_free_walls_mJ_per_m2(name: str) -> float:
    """The interfacial DMI at which a domain wall of a film costs nothing, mJ/m².

    A wall's energy is 4√(AK) - πD, linear in D, so that of two films says where it is 0.
    """
    film = replace(film_named(name), rows=1, columns=120)
    halves = film.interfacial_dmi_meV / 2
    without, with_half = (
        _wall_meV(replace(film, interfacial_dmi_meV=dmi_meV)) for dmi_meV in (0.0, halves)
    )
    share = without / (without - with_half) / 2
    return float(share * FILMS[name].interfacial_dmi_J_per_m2 * 1e3)


def _wall_meV(film: FilmParameters) -> float:
    """What a wall costs in the middle of a strip, whose ends are as they are without it."""
    x = np.arange(film.columns) - (film.columns - 1) / 2
    width = np.sqrt(film.exchange_meV / (2 * film.anisotropy_meV))
    wall = np.stack([1 / np.cosh(x / width), 0 * x, np.tanh(x / width)])
    strip = Film(film)
    energies = []
    for line in (wall, np.stack([0 * x, 0 * x, 0 * x + 1])):
        strip.spins = np.repeat(line[:, None], film.rows, axis=1)
        strip.relax(max_ps=300, torque_T=1e-3)
        energies.append(strip.energy_meV())
    return energies[0] - energies[1]
