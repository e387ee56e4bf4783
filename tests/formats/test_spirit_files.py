"""Files that Spirit 2.2.0 wrote (``spirit/``: 5 × 7 spins, in each of its formats), and ours in
Spirit."""

from pathlib import Path

import numpy as np
import pytest

from skyctl.errors import FormatError
from skyctl.formats.ovf import read_ovf, read_segments
from skyctl.formats.spin_states import spins_of
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.states import save_state
from skyctl.simulators.proof.beside_spirit import spirit_film, spirit_installed

WRITTEN = Path(__file__).with_name("spirit")
PARAMETERS = FilmParameters(rows=5, columns=7, lattice_nm=0.1)
TURN = np.arange(35.0).reshape(5, 7)
THETA, PHI = np.pi * TURN / 35, 0.7 * TURN
SPINS = np.array([np.sin(THETA) * np.cos(PHI), np.sin(THETA) * np.sin(PHI), np.cos(THETA)])
"""What Spirit was given before it wrote."""


@pytest.mark.parametrize(("name", "digits"), [("text", 12), ("csv", 12), ("binary", 15)])
def test_what_spirit_wrote_is_read(name, digits):
    state = spins_of(read_ovf(WRITTEN / f"{name}.ovf"))
    np.testing.assert_allclose(state.spins, SPINS, atol=10.0**-digits)
    assert (state.lattice_nm, state.saturation_A_per_m) == (0.1, None)


def test_several_states_in_one_file_of_spirits_are_told_apart():
    first, second = (spins_of(each).spins for each in read_segments(WRITTEN / "several.ovf"))
    np.testing.assert_allclose(first, SPINS, atol=1e-15)
    np.testing.assert_allclose(second, -SPINS, atol=1e-15)
    with pytest.raises(FormatError, match="holds 2 segments and one is wanted"):
        read_ovf(WRITTEN / "several.ovf")


@pytest.mark.skipif(not spirit_installed(), reason="Spirit is not installed: pip install spirit")
def test_spirit_reads_what_we_write(tmp_path):
    from spirit import io, system

    film = Film(PARAMETERS)
    film.spins = SPINS
    save_state(film, tmp_path / "ours.ovf")
    with spirit_film(PARAMETERS, 0.001, "depondt") as state:
        io.image_read(state, str(tmp_path / "ours.ovf"))
        found = system.get_spin_directions(state).copy()
    np.testing.assert_allclose(found.T.reshape(3, 5, 7), film.spins, atol=1e-15)
