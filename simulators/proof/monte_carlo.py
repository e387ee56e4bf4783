"""What Monte Carlo samples, beside Boltzmann: the quantities of ``temperature``, drawn."""

from dataclasses import replace

import numpy as np
from scipy import stats

from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.monte_carlo import MonteCarlo, Rule
from skyctl.simulators.proof.temperature import ANISOTROPY_K, AXIAL, CHAIN, CHAIN_K, PARAMAGNET

_SEED = 3
_BINS = 8


def _drawn(parameters: FilmParameters, temperature_K: float, rule: Rule, sweeps: int) -> np.ndarray:
    """Spins in equilibrium, (replicas, 3, rows, columns)."""
    films = MonteCarlo(parameters, rule=rule, reach=1.0, seed=_SEED)
    for _ in range(sweeps):
        films.sweep(1, temperature_K)
        films.sweep(1, temperature_K, "over-relax")
    return films.spins


def mean_along_field(temperature_K: float, rule: Rule) -> float:
    """⟨S_z⟩ of free spins in 20 T; exactly Langevin's function."""
    return float(_drawn(PARAMAGNET, temperature_K, rule, 40)[:, 2].mean())


def mean_square_along_axis(rule: Rule) -> float:
    """⟨S_z²⟩ of spins with an easy axis only, as ``temperature.mean_square_along_axis``."""
    return float((_drawn(AXIAL, ANISOTROPY_K, rule, 40)[:, 2] ** 2).mean())


def chain_product(rule: Rule, distance: int = 1) -> float:
    """⟨S_i·S_i+distance⟩ of an open chain, as ``temperature.chain_product``."""
    chain = replace(CHAIN, columns=1001)
    s = _drawn(chain, CHAIN_K, rule, 400)
    return float((s[..., distance:] * s[..., :-distance]).sum(1).mean())


def balance(rule: Rule) -> float:
    """Whether a move is as frequent as its reverse in equilibrium: the p-value of a χ² test.

    A spin in a field with an easy axis; its S_z in eight bins. Detailed balance makes the table of
    moves from bin to bin symmetric (Bowker's test).
    """
    film = replace(AXIAL, bias_T=(0.0, 0.0, 5.0), rows=32, columns=32)
    films = MonteCarlo(film, rule=rule, reach=1.0, seed=_SEED)
    films.sweep(200, ANISOTROPY_K)
    table = np.zeros((_BINS, _BINS))
    for _ in range(20):
        before = _bins(films)
        films.sweep(1, ANISOTROPY_K)
        np.add.at(table, (before, _bins(films)), 1)
        films.sweep(20, ANISOTROPY_K)
    upper = np.triu_indices(_BINS, 1)
    forth, back = table[upper], table.T[upper]
    seen = forth + back > 10
    chi = ((forth - back)[seen] ** 2 / (forth + back)[seen]).sum()
    return float(stats.chi2.sf(chi, seen.sum()))


def _bins(films: MonteCarlo) -> np.ndarray:
    return np.minimum((films.spins[:, 2].ravel() + 1) / 2 * _BINS, _BINS - 1).astype(int)
