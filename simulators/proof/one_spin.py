"""One spin in a field: how fast it precesses, and how fast it comes to rest."""

from dataclasses import replace

import numpy as np

from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.schemes import Integrator

_FREE = FilmParameters(
    rows=1, columns=1, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, damping=0, bias_T=(0, 0, 2)
)
"""One spin in 2 T along z."""


def larmor_period_ps(integrator: Integrator = "heun") -> float:
    """Period of one free spin in 2 T, at 60° to it, ps."""
    film = Film(_FREE, integrator=integrator)
    film.spins = np.array([np.sqrt(0.75), 0, 0.5]).reshape(3, 1, 1)
    times = np.arange(0, 40.0, 1.0)
    angles = [np.arctan2(s[1], s[0]).item() for s in film.frames(None, times.tolist())]
    rate, _ = np.polyfit(times, np.unwrap(angles), 1)
    return float(2 * np.pi / rate)


def damping_rate_per_ps(damping: float) -> float:
    """Rate at which tan(θ/2) of one spin decays towards a field of 2 T, 1/ps."""
    film = Film(replace(_FREE, damping=damping))
    film.spins = np.array([1, 0, 0.2]).reshape(3, 1, 1)
    times = np.arange(1.0, 6.0)
    theta = [np.arccos(s[2].item()) for s in film.frames(None, times.tolist(), max_step_ps=0.002)]
    rate, _ = np.polyfit(times, np.log(np.tan(np.array(theta) / 2)), 1)
    return float(-rate)
