"""Thin films that nobody has measured: drawn round a nominal one."""

from dataclasses import replace

import numpy as np

from skyctl.simulators.thin.film import ThinFilmParameters

SPREAD = 0.05


def drawn_film(
    nominal: ThinFilmParameters, seed: int, spread: float = SPREAD
) -> ThinFilmParameters:
    """A film whose M_s, A and α are each off the nominal one's by up to ``spread`` of them."""
    factors = 1 + spread * np.random.default_rng(seed).uniform(-1, 1, 3)
    return replace(
        nominal,
        magnetisation_A_per_m=nominal.magnetisation_A_per_m * float(factors[0]),
        exchange_J_per_m=nominal.exchange_J_per_m * float(factors[1]),
        damping=nominal.damping * float(factors[2]),
    )
