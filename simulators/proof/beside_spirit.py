"""Spirit beside us: the same film in G. P. Müller et al., Phys. Rev. B 99, 224414 (2019)."""

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.simulators.lattice.film import FilmParameters

_BLOCH, _NEEL = 1, 2
"""Spirit's names for how DMI vectors lie: along the bond, or across it."""
_SPIRIT_SETTINGS = """
bravais_lattice sc
n_basis_cells {p.columns} {p.rows} 1
boundary_conditions {wrap} {wrap} 0
mu_s {p.moment_muB}
hamiltonian heisenberg_neighbours
n_shells_exchange 1
jij {p.exchange_meV}
n_shells_dmi 1
dij {dmi}
dm_chirality {chirality}
anisotropy_magnitude {p.anisotropy_meV}
anisotropy_normal {p.easy_axis[0]} {p.easy_axis[1]} {p.easy_axis[2]}
external_field_magnitude {field_T}
external_field_normal {p.bias_T[0]} {p.bias_T[1]} {p.bias_T[2]}
llg_dt {step_ps}
llg_damping {p.damping}
llg_temperature {p.temperature_K}
llg_n_iterations 100000000
llg_n_iterations_log 100000000
mc_temperature {p.temperature_K}
mc_n_iterations 100000000
mc_n_iterations_log 100000000
mc_metropolis_use_cone 1
mc_metropolis_cone_adaptive 0
mc_metropolis_cone_angle 60
output_file_tag <none>
log_to_console 0
log_to_file 0
output_any 0
"""


def spirit_installed() -> bool:
    """Whether Spirit can be imported (`pip install spirit`)."""
    return importlib.util.find_spec("spirit") is not None


@contextlib.contextmanager
def spirit_film(parameters: FilmParameters, step_ps: float, integrator: str) -> Iterator[Any]:
    """Spirit's state of a film with a solver at work; ``n_shot`` of ``spirit.simulation`` steps it.

    integrator : "heun", "depondt", "midpoint" (Spirit's SIB) or "rk4"
    """
    from spirit import simulation  # pyright: ignore[reportMissingImports]

    solvers = {
        "heun": simulation.SOLVER_HEUN,
        "depondt": simulation.SOLVER_DEPONDT,
        "midpoint": simulation.SOLVER_SIB,
        "rk4": simulation.SOLVER_RK4,
    }
    with _state(parameters, step_ps) as film:
        simulation.start(film, simulation.METHOD_LLG, solvers[integrator], single_shot=True)
        yield film
        simulation.stop(film)


@contextlib.contextmanager
def spirit_monte_carlo(parameters: FilmParameters) -> Iterator[Any]:
    """Spirit's state of a film with Metropolis' trials at work: a sweep is a shot."""
    from spirit import simulation  # pyright: ignore[reportMissingImports]

    with _state(parameters, step_ps=0.01) as film:
        simulation.start(film, simulation.METHOD_MC, single_shot=True)
        yield film
        simulation.stop(film)


@contextlib.contextmanager
def _state(parameters: FilmParameters, step_ps: float) -> Iterator[Any]:
    from spirit import state  # pyright: ignore[reportMissingImports]

    p, field_T = parameters, float(np.linalg.norm(parameters.bias_T))
    if p.dmi_meV and p.interfacial_dmi_meV:
        raise ValueError("Spirit takes one DMI for a shell of neighbours: bulk or interfacial")
    dmi, chirality = (p.dmi_meV, _BLOCH) if p.dmi_meV else (p.interfacial_dmi_meV, _NEEL)
    with tempfile.TemporaryDirectory() as folder, _nothing_printed():
        settings = Path(folder) / "film.cfg"
        settings.write_text(
            _SPIRIT_SETTINGS.format(
                p=p,
                wrap=int(p.periodic),
                field_T=field_T,
                step_ps=step_ps,
                dmi=dmi,
                chirality=chirality,
            )
        )
        with state.State(str(settings), quiet=True) as film:
            yield film


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    """Spirit greets on the process's output, whatever it is told."""
    kept = os.dup(1)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
