"""Our films beside those of other programs, and of another device."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.schemes import Integrator
from skyctl.simulators.proof.beside_spirit import spirit_film, spirit_installed
from skyctl.simulators.proof.check import Missing, Precision
from skyctl.simulators.proof.starts import random_spins
from skyctl.simulators.thin.standard_problem import (
    Sp4Run,
    first_zero_ps,
    reference_series,
    run_standard_problem,
)

_REFERENCE = Path(__file__).parent / "reference" / "atomistic_500_steps.npz"


def reference_film() -> tuple[FilmParameters, np.ndarray, np.ndarray]:
    """The film of ``reference/atomistic_500_steps.npz``: parameters, start and end.

    start, end : (3, 100, 100); Spirit 2.2.0 moved the film by 500 steps of 1 fs (Depondt).
    """
    parameters = FilmParameters(
        exchange_meV=1.0,
        dmi_meV=0.3,
        anisotropy_meV=0.1,
        moment_muB=2.0,
        damping=0.1,
        periodic=True,
        bias_T=(0.0, 0.0, 1.0),
    )
    with np.load(_REFERENCE) as file:
        start, end = (file[name].transpose(2, 1, 0) for name in ("start", "end"))
    return parameters, start, end


@lru_cache
def _reference_end(integrator: Integrator, step_ps: float) -> np.ndarray:
    parameters, start, _ = reference_film()
    film = Film(parameters, integrator=integrator)
    film.spins = start
    film.advance(0.5, max_step_ps=step_ps)
    return film.spins


def reference_spin_difference(integrator: Integrator, step_ps: float = 1e-3) -> float:
    """Largest difference of a spin's component from the reference trajectory's end."""
    return float(np.abs(_reference_end(integrator, step_ps) - reference_film()[2]).max())


def reference_mean_difference(integrator: Integrator, step_ps: float = 1e-3) -> float:
    """Largest difference of a component of ⟨S⟩ from the reference trajectory's end."""
    end = _reference_end(integrator, step_ps).mean((1, 2))
    return float(np.abs(end - reference_film()[2].mean((1, 2))).max())


NEEL_FILM = FilmParameters(
    rows=20,
    columns=30,
    dmi_meV=0.0,
    interfacial_dmi_meV=0.24,
    easy_axis=(0.4, -0.2, 1.0),
    bias_T=(0.5, -1.0, 2.0),
)
"""Interfacial DMI and a tilted axis."""


def spirit_difference(
    integrator: Integrator, periodic: bool = False, film: FilmParameters | None = None
) -> float:
    """Largest difference of a spin from Spirit's, after 100 steps of 1 fs from the same start.

    film : left out, one with bulk DMI and the axis along z

    Spirit: G. P. Müller et al., Phys. Rev. B 99, 224414 (2019); its SIB is our midpoint. Raises
    Missing where it is not installed.
    """
    if not spirit_installed():
        raise Missing("not installed: pip install spirit")
    from spirit import simulation, system  # pyright: ignore[reportMissingImports]

    plain = FilmParameters(rows=20, columns=30, bias_T=(0.5, -1.0, 2.0))
    p = replace(film or plain, periodic=periodic)
    start = random_spins(p.rows, p.columns)
    with spirit_film(p, 1e-3, integrator) as theirs:
        spins = system.get_spin_directions(theirs)  # a view, x fastest
        spins[:] = start.transpose(1, 2, 0).reshape(-1, 3)
        simulation.n_shot(theirs, 100)
        end = np.array(system.get_spin_directions(theirs))
    ours = Film(p, integrator=integrator)
    ours.spins = start
    ours.advance(0.1, max_step_ps=1e-3)
    return float(np.abs(ours.spins - end.reshape(p.rows, p.columns, 3).transpose(2, 0, 1)).max())


def cuda_difference(precision: Precision, temperature_K: float = 0.0) -> float:
    """Largest difference of a spin between CPU and CUDA after 1 ps and a pulse.

    Raises Missing where there is no CUDA device.
    """
    p = FilmParameters(rows=130, columns=97, temperature_K=temperature_K, bias_T=(0.1, 0.2, 0.3))
    ends = []
    for device in ("cuda", "cpu"):
        try:
            film = Film(p, precision=precision, device=device)
        except (RuntimeError, ImportError) as error:
            raise Missing("no CUDA device on this machine") from error
        film.spins = random_spins(p.rows, p.columns)
        film.advance(1.0, Pulse(width_ps=0.3, peak_ps=0.5))
        ends.append(film.spins.astype(np.float64))
    return float(np.abs(ends[0] - ends[1]).max())


@lru_cache
def standard_problem(field: int) -> Sp4Run:
    """Micromagnetic standard problem 4 in field 1 or 2, from the reference's S-state."""
    return run_standard_problem(field, "reference")


def reference_crossing_ps(field: int) -> float:
    """When ⟨m_x⟩ of the reference series is first 0, ps."""
    times_ps, mean = reference_series(field)
    return first_zero_ps(times_ps, mean[:, 0])
