"""Skyrmions put at places: they stay there, with the charge of as many, or are refused."""

import numpy as np
import pytest

from skyctl.inference.film_reader import read_film
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.placed import placed

PARAMETERS = FilmParameters(rows=80, columns=90)
PLACES = [(25.0, 25.0), (60.0, 30.0), (40.0, 55.0)]


@pytest.mark.parametrize("background", [-1, 1])
def test_skyrmions_stay_where_they_are_put(background):
    state = placed(PARAMETERS, PLACES, background)
    seen = read_film(state.spins[2].astype(np.float32), pixel_sites=1.0)
    assert (seen.discs, seen.background) == (3, background)
    for x, y, _ in seen.places:
        assert min(np.hypot(x - u, y - v) for u, v in PLACES) < 3
    film = Film(PARAMETERS)
    film.spins = state.spins
    assert film.max_torque_T() < 1e-2
    assert film.energy_meV() == pytest.approx(state.energy_meV)
    film.set_uniform(background)
    film.relax()
    assert state.over_empty_meV == pytest.approx(state.energy_meV - film.energy_meV(), rel=1e-3)


def test_places_that_a_film_does_not_keep_are_refused():
    with pytest.raises(ValueError, match=r"\(95, 20\): the film has columns 0 … 89"):
        placed(PARAMETERS, [(95.0, 20.0)])
    with pytest.raises(ValueError, match="the film keeps"):
        placed(PARAMETERS, [(20.0, 20.0), (24.0, 20.0)])
