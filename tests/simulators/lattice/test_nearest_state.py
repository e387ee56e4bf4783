"""The state of rest next to an image: a film's own states come back, from S_z alone as well."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.nearest_state import NearestState

BLOCH = FilmParameters(rows=40, columns=44)
NEEL = replace(BLOCH, dmi_meV=0.0, interfacial_dmi_meV=BLOCH.dmi_meV)


def skyrmion(parameters):
    film = Film(parameters)
    film.set_skyrmion()
    return film.spins


def test_a_state_of_rest_comes_back_without_its_noise():
    spins = skyrmion(BLOCH)
    noisy = spins + 0.2 * np.random.default_rng(0).standard_normal(spins.shape)
    off = NearestState(BLOCH)(noisy, 0.2) - spins
    assert np.square(off).mean() < 0.02 * np.square(noisy - spins).mean()


@pytest.mark.parametrize("parameters", [BLOCH, NEEL], ids=["Bloch", "Neel"])
@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_walls_are_wound_as_the_films_dmi_winds_them(parameters, noise):
    spins = skyrmion(parameters)
    sz = spins[2] + noise * np.random.default_rng(1).standard_normal(spins[2].shape)
    found = NearestState(parameters)(sz, noise)
    wall = np.abs(spins[2]) < 0.7
    assert (found * spins).sum(axis=0)[wall].min() > 0.9


def test_an_image_of_another_size_and_a_film_without_exchange_are_refused():
    with pytest.raises(ValueError, match=r"\(30, 30\): this film has 40 x 44"):
        NearestState(BLOCH)(np.zeros((30, 30)), 0.1)
    with pytest.raises(ValueError, match="exchange_meV = 0"):
        NearestState(replace(BLOCH, exchange_meV=0.0))
