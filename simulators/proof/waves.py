"""Waves and textures that have a closed form: spin waves, the spiral, a skyrmion's charge."""

from dataclasses import replace
from typing import Literal

import numpy as np

from skyctl.simulators.lattice.film import Film, FilmParameters, analytic_skyrmion
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.topology import topological_charge


def spin_wave_error(along: Literal["x", "z"], mode: tuple[int, int], rows: int = 2) -> float:
    """Relative error of a spin wave's frequency on a periodic film of ``rows`` x 16 sites.

    along : where the film is magnetised; mode : wavelengths in its length along x, and along y

    Of two rows that move alike, it is the chain. ω = γ (B + (2J/μ)(2 - cos k_x - cos k_y) + 2K/μ)
    along z; along x, where waves to the right and to the left differ, -(2D/μ) sin k_x instead of
    the last term (T. Moriya, Phys. Rev. 120, 91 (1960); J.-H. Moon et al., Phys. Rev. B 88, 184404
    (2013), for its lattice).
    """
    columns, field_T, time_ps = 16, 3.0, 0.02
    p = FilmParameters(
        rows=rows,
        columns=columns,
        anisotropy_meV=0.1 if along == "z" else 0.0,
        damping=0,
        periodic=True,
        bias_T=(field_T, 0, 0) if along == "x" else (0, 0, field_T),
    )
    kx, ky = 2 * np.pi * mode[0] / columns, 2 * np.pi * mode[1] / rows
    y, x = np.mgrid[:rows, :columns]
    wave = np.exp(1j * (kx * x + ky * y))
    small = 1e-3 * np.stack([np.ones_like(x), wave.real, wave.imag])
    small[0] = 1.0
    axes = [0, 1, 2] if along == "x" else [2, 0, 1]  # (magnetisation, its two transverse axes)
    film = Film(p, integrator="rk4")
    film.spins = small[np.argsort(axes)]
    film.advance(time_ps, max_step_ps=1e-3)
    end = film.spins[axes]
    amplitude = ((end[1] + 1j * end[2]) * wave.conj()).mean()
    mu = p.moment_meV_per_T
    expected_T = field_T + 2 * p.exchange_meV / mu * (2 - np.cos(kx) - np.cos(ky))
    if along == "x":
        expected_T -= 2 * p.dmi_meV / mu * np.sin(kx)
    else:
        expected_T += 2 * p.anisotropy_meV / mu
    measured = np.angle(amplitude) / time_ps
    return float(measured / (llg.GAMMA_RAD_PER_PS_T * expected_T) - 1)


def chain_dispersion_error(along: Literal["x", "z"]) -> float:
    """Largest relative error of any of the 16 spin waves of a chain."""
    return max((spin_wave_error(along, (n, 0)) for n in range(-8, 8)), key=abs)


def spiral_period(dmi_over_exchange: float) -> float:
    """Period of the spiral that an open chain settles in, sites.

    It starts with the wrong period, and its free ends let it wind or unwind.
    """
    p = FilmParameters(rows=1, columns=40, anisotropy_meV=0)
    film = Film(replace(p, dmi_meV=dmi_over_exchange * p.exchange_meV))
    angle = 0.05 * np.arange(p.columns)
    film.spins = np.stack([np.zeros_like(angle), np.cos(angle), np.sin(angle)])[:, None]
    film.relax(max_ps=3000, torque_T=1e-8)
    _, y, z = film.spins[:, 0]
    turn = np.unwrap(np.arctan2(z, y))
    return float(2 * np.pi * (p.columns - 1) / (turn[-1] - turn[0]))


def skyrmion_charge() -> float:
    """Q of an analytic skyrmion in the -z background."""
    return topological_charge(analytic_skyrmion(60, 70, 8))
