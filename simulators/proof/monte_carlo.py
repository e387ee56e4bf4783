"""What Monte Carlo samples, beside Boltzmann: the quantities of ``temperature``, drawn; and where a
film of spins held to one axis orders, beside Onsager."""

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import integrate, stats

from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.monte_carlo import TOGETHER, MonteCarlo, Rule
from skyctl.simulators.physics import llg
from skyctl.simulators.proof.temperature import ANISOTROPY_K, AXIAL, CHAIN, CHAIN_K, PARAMAGNET

_SEED = 3
_BINS = 8
ISING_CURIE = 2 / np.log(1 + np.sqrt(2))
"""k_BT/J at which the square lattice of spins ±1 orders (L. Onsager, Phys. Rev. 65, 117 (1944))."""
_ISING_CUMULANT = 0.613045
"""1 - ⟨m⁴⟩/3⟨m²⟩² of 8 × 8 such spins, periodic, at that temperature, from the transfer matrix; of
an infinite film 0.610690 (G. Kamieniarz, H. W. J. Blöte, J. Phys. A 26, 201 (1993))."""
_ISING_SIDE = 8
_HELD = 20.0
"""Anisotropy over k_BT. ⟨|S_z|⟩ takes in its inverse, 5 %; its square is left, less than 0.2 %."""
_EVERY, _GROUPS = 20, 16


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


class CuriePoint(NamedTuple):
    """k_BT over J⟨|S_z|⟩², and its jackknife uncertainty."""

    reduced: float
    uncertainty: float


@functools.cache
def curie_point(rule: Rule, sweeps: int = 12_000) -> CuriePoint:
    """Where a film with a strong easy axis orders; ISING_CURIE with an infinite one.

    Spins up or down that keep ⟨|S_z|⟩ of their length are Ising's with J⟨|S_z|⟩². What is sought is
    the temperature at which the cumulant of the magnetisation of 8 x 8 spins is what Ising's is at
    the Curie point, by reweighting from where that must be.
    """
    expected_meV = ISING_CURIE * _length_on_axis(_HELD) ** 2
    film = FilmParameters(
        _ISING_SIDE, _ISING_SIDE, exchange_meV=1.0, dmi_meV=0.0,
        anisotropy_meV=_HELD * expected_meV, periodic=True,
    )  # fmt: skip
    films = MonteCarlo(film, 4 * TOGETHER, rule=rule, reach=2.0, seed=_SEED)
    films.spins = np.broadcast_to(np.array([0.0, 0.0, 1.0])[:, None, None], films.spins.shape[1:])
    seen = []
    for step in range(sweeps):
        films.sweep(1, expected_meV / llg.K_B_MEV_PER_K)
        films.sweep(2, expected_meV / llg.K_B_MEV_PER_K, "over-relax")
        if step % _EVERY == 0:
            seen.append((films.spins[:, 2].mean((1, 2)), films.energies_meV()))
    groups = np.split(np.moveaxis(np.array(seen[len(seen) // 5 :]), 1, 0), _GROUPS, axis=2)
    left_out = [
        _crossing(film, expected_meV, np.concatenate(groups[:k] + groups[k + 1 :], 2))
        for k in range(_GROUPS)
    ]
    uncertainty = np.sqrt((_GROUPS - 1) * np.var(left_out))
    return CuriePoint(_crossing(film, expected_meV, np.concatenate(groups, 2)), float(uncertainty))


def _length_on_axis(strength: float) -> float:
    """⟨|S_z|⟩ of a spin with an easy axis, K = ``strength`` k_BT."""
    above, _ = integrate.quad(lambda z: z * np.exp(strength * (z**2 - 1)), 0, 1)
    below, _ = integrate.quad(lambda z: np.exp(strength * (z**2 - 1)), 0, 1)
    return above / below


def _crossing(film: FilmParameters, drawn_at_meV: float, seen: np.ndarray) -> float:
    """The reduced temperature at which the cumulant is Ising's.

    seen : (2, …) magnetisations and energies drawn at k_BT = ``drawn_at_meV``
    """
    thermal_meV = drawn_at_meV * np.linspace(0.94, 1.06, 25)
    square, energies_meV = seen[0] ** 2, seen[1] - seen[1].mean()
    cumulants = []
    for energy in thermal_meV:
        weights = np.exp(energies_meV * (1 / drawn_at_meV - 1 / energy))
        weights /= weights.sum()
        cumulants.append(1 - (weights * square**2).sum() / (3 * (weights * square).sum() ** 2))
    reduced = [e / _length_on_axis(film.anisotropy_meV / e) ** 2 for e in thermal_meV]
    return float(np.interp(-_ISING_CUMULANT, -np.array(cumulants), reduced))
