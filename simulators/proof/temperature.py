"""What a film in equilibrium shows of its temperature, beside Boltzmann."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import integrate, optimize

from skyctl.simulators.lattice.film import MAX_STEP_PS, Film, FilmParameters
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.schemes import Integrator
from skyctl.simulators.proof.starts import random_spins

_STATISTICS_SEED = 2
_SHORT_STEP_PS = 0.0025
"""Noise turns a spin by √(2αγk_BT dt/μ) a step, 0.05 … 0.1 here, and equilibrium is off by some
hundredths of its square: below what the statistics resolve."""


def _equilibrium(
    parameters: FilmParameters,
    integrator: Integrator,
    settle_ps: float,
    frames: int,
    step_ps: float = _SHORT_STEP_PS,
) -> np.ndarray:
    """Spins in equilibrium, every picosecond, (frames, 3, rows, columns)."""
    film = Film(
        parameters,
        precision="f4",
        integrator=integrator,
        seed=_STATISTICS_SEED,
    )
    film.spins = random_spins(parameters.rows, parameters.columns)
    times = settle_ps + np.arange(frames)
    return np.stack(list(film.frames(None, times.tolist(), max_step_ps=step_ps)))


PARAMAGNET = FilmParameters(
    rows=64, columns=64, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, damping=0.5, bias_T=(0, 0, 20)
)
"""Spins that do not see each other."""


def langevin(x: float) -> float:
    """coth x - 1/x."""
    return float(1 / np.tanh(x) - 1 / x)


def mean_along_field(temperature_K: float, integrator: Integrator = "heun") -> float:
    """⟨S_z⟩ of free spins in 20 T."""
    p = replace(PARAMAGNET, temperature_K=temperature_K)
    return float(_equilibrium(p, integrator, 6.0, 30)[:, 2].mean())


def mean_along_field_exact(temperature_K: float) -> float:
    """Langevin's function of μB/k_BT, of the same spins."""
    field_meV = PARAMAGNET.moment_meV_per_T * PARAMAGNET.bias_T[2]
    return langevin(field_meV / (llg.K_B_MEV_PER_K * temperature_K))


_ANISOTROPY_MEV, ANISOTROPY_K = 1.0, 5.0
AXIAL = replace(PARAMAGNET, bias_T=(0, 0, 0), anisotropy_meV=_ANISOTROPY_MEV)
"""Spins with an easy axis only."""


def mean_square_along_axis() -> float:
    """⟨S_z²⟩ of spins with an easy axis only, K = 1 meV at 5 K."""
    p = replace(AXIAL, temperature_K=ANISOTROPY_K)
    return float((_equilibrium(p, "heun", 6.0, 30)[:, 2] ** 2).mean())


def mean_square_along_axis_exact() -> float:
    """∫ z² exp(Kz²/k_BT) dz / ∫ exp(Kz²/k_BT) dz."""
    x = _ANISOTROPY_MEV / (llg.K_B_MEV_PER_K * ANISOTROPY_K)
    above, _ = integrate.quad(lambda z: z**2 * np.exp(x * z**2), 0, 1)
    below, _ = integrate.quad(lambda z: np.exp(x * z**2), 0, 1)
    return above / below


CHAIN_K = 6.0
_PAIR = FilmParameters(
    rows=1,
    columns=2,
    exchange_meV=1.0,
    dmi_meV=0,
    anisotropy_meV=0,
    damping=1,
    temperature_K=CHAIN_K,
)
_PAIR_X = 1.0 / (llg.K_B_MEV_PER_K * CHAIN_K)
CHAIN = replace(_PAIR, columns=4001)


def _neighbours_product(
    parameters: FilmParameters,
    integrator: Integrator,
    frames: int,
    step_ps: float,
    distance: int = 1,
) -> float:
    s = _equilibrium(parameters, integrator, 10.0, frames, step_ps)
    return float((s[..., distance:] * s[..., :-distance]).sum(1).mean())


def pair_product() -> float:
    """⟨S_1·S_2⟩ of two spins, J = 1 meV at 6 K."""
    return _neighbours_product(_PAIR, "heun", 8_000, 2 * _SHORT_STEP_PS)


def pair_product_exact() -> float:
    """coth x - 1/x, x = J/k_BT: of a pair, and of neighbours in a chain of any length."""
    return langevin(_PAIR_X)


def chain_product(integrator: Integrator = "heun", distance: int = 1) -> float:
    """⟨S_i·S_i+distance⟩ of an open chain, J = 1 meV at 6 K.

    Exact: u^distance, u = coth(J/k_BT) - k_BT/J, for a chain of any length (M. E. Fisher, Am. J.
    Phys. 32, 343 (1964)).
    """
    return _neighbours_product(CHAIN, integrator, 30, _SHORT_STEP_PS, distance)


def chain_temperature_K(integrator: Integrator = "heun", damping: float = 0.36) -> float:
    """The temperature that a chain's correlations show at 6 K, with the film's longest step."""
    chain = replace(CHAIN, damping=damping)
    u = _neighbours_product(chain, integrator, 60, MAX_STEP_PS)
    x: Any = optimize.brentq(lambda x: langevin(x) - u, 0.1, 100)
    return float(1.0 / (llg.K_B_MEV_PER_K * x))
