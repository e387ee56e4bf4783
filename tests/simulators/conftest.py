import numpy as np
import pytest

from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.proof import other_programs, starts


@pytest.fixture(scope="session")
def small_film() -> FilmParameters:
    """Every interaction switched on, no symmetry left, sides that no vector length divides."""
    return FilmParameters(rows=7, columns=13, damping=0.2, bias_T=(0.3, -0.5, 0.7))


@pytest.fixture
def random_spins():
    """Makes unit spins (3, rows, columns) of no symmetry, the same ones for a seed."""
    return starts.random_spins


@pytest.fixture(scope="session")
def spirit() -> tuple[FilmParameters, np.ndarray, np.ndarray]:
    """A film that Spirit 2.2.0 moved by 500 steps of 1 fs (Depondt): parameters, start, end."""
    return other_programs.reference_film()
