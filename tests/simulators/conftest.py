from pathlib import Path

import numpy as np
import pytest

from skyctl import simulators
from skyctl.simulators.film import FilmParameters


@pytest.fixture(scope="session")
def small_film() -> FilmParameters:
    """Every interaction switched on, no symmetry left, sides that no vector length divides."""
    return FilmParameters(rows=7, columns=13, damping=0.2, bias_T=(0.3, -0.5, 0.7))


@pytest.fixture
def random_spins():
    """Makes unit spins (3, rows, columns) of no symmetry, the same ones for a seed."""

    def make(rows: int, columns: int, seed: int = 0) -> np.ndarray:
        spins = np.random.default_rng(seed).normal(size=(3, rows, columns))
        return spins / np.linalg.norm(spins, axis=0)

    return make


@pytest.fixture(scope="session")
def spirit() -> tuple[FilmParameters, np.ndarray, np.ndarray]:
    """A film that Spirit 2.2.0 moved by 500 steps of 1 fs (Depondt): parameters, start, end."""
    parameters = FilmParameters(
        exchange_meV=1.0,
        dmi_meV=0.3,
        anisotropy_meV=0.1,
        moment_muB=2.0,
        damping=0.1,
        periodic=True,
        bias_T=(0.0, 0.0, 1.0),
    )
    with np.load(Path(simulators.__path__[0]) / "reference" / "atomistic_500_steps.npz") as file:
        start, end = (file[name].transpose(2, 1, 0) for name in ("start", "end"))
    return parameters, start, end
