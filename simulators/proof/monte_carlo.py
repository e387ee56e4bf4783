"""What Monte Carlo samples, beside Boltzmann: the quantities of ``temperature``, drawn."""

from dataclasses import replace

import numpy as np
from scipy import stats

from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.monte_carlo import TOGETHER, MonteCarlo, Rule
from skyctl.simulators.physics import llg
from skyctl.simulators.proof.temperature import ANISOTROPY_K, AXIAL, CHAIN, CHAIN_K, PARAMAGNET

_SEED = 3
_APART = 20
"""Sweeps from one measurement to the next."""
_BINS = 8
_EASY = FilmParameters(exchange_meV=1.0, dmi_meV=0.0, anisotropy_meV=20.0, periodic=True)
"""A film so easy along z that it orders as Ising's."""
_NEAR = np.array([1.98, 2.06, 2.14])
"""k_BT/J around its Curie point."""
ISING = 2 / np.log(1 + np.sqrt(2))
"""Onsager's k_BT_c/J."""


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


def curie_point(sweeps: int = 20_000) -> float:
    """k_BT_c/J of a film with K = 20 J: where the Binder cumulants of 8 × 8 and 16 × 16 sites
    cross (K. Binder, Z. Phys. B 43, 119 (1981)), straight lines through three temperatures."""
    small, large = (_cumulants(side, sweeps) for side in (8, 16))
    slope, offset = np.polyfit(_NEAR, small - large, 1)
    return float(-offset / slope)


def _cumulants(side: int, sweeps: int) -> np.ndarray:
    """1 - ⟨m⁴⟩/3⟨m²⟩² of the mean S_z at each of _NEAR, by the heat bath."""
    film = replace(_EASY, rows=side, columns=side)
    films = MonteCarlo(film, len(_NEAR) * TOGETHER, seed=_SEED)
    temperatures = np.repeat(_NEAR, TOGETHER) * film.exchange_meV / llg.K_B_MEV_PER_K
    moments = np.zeros((2, len(_NEAR)))
    films.sweep(sweeps // 10, temperatures)
    for _ in range(0, sweeps, _APART):
        films.sweep(_APART, temperatures)
        m = films.spins[:, 2].mean((1, 2)).reshape(len(_NEAR), TOGETHER)
        moments += (m**2).mean(1), (m**4).mean(1)
    second, fourth = moments / (sweeps // _APART)
    return 1 - fourth / (3 * second**2)


def curie_point_expected() -> float:
    """Ising's, with the exchange of spins that K and the exchange field let tilt so far: J⟨cos θ⟩²,
    θ normal about z. Good to a few per cent at K = 20 J."""
    stiffness = 2 * _EASY.anisotropy_meV + 2 * np.sqrt(2) * _EASY.exchange_meV  # √2 J: Ising's -u
    point = ISING
    for _ in range(20):
        square = 2 * point * _EASY.exchange_meV / stiffness
        point = ISING * (1 - square / 2 + square**2 / 12) ** 2
    return float(point)
