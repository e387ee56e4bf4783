"""The shipped latent network of the thin film: what it says of itself, and how it does."""

import numpy as np
import pytest

from skyctl.inference.latent_film import LatentFilm
from skyctl.simulators.thin.film import SP4_FIELDS_T, ThinFilm, ThinFilmParameters, s_state


@pytest.fixture(scope="module")
def network():
    return LatentFilm()


def test_it_follows_the_film_in_the_first_field_of_standard_problem_4(network):
    film = ThinFilmParameters.from_dict(network.card.film)
    thin = ThinFilm(film)
    thin.magnetisation = s_state(film)
    fields = np.tile(SP4_FIELDS_T[1], (1, 50, 1))
    imagined = network.imagine(network.encode(thin.magnetisation[None]), fields)
    true = list(thin.frames(SP4_FIELDS_T[1], (10.0 * np.arange(1, 51)).tolist()))
    off = np.abs(imagined.mean[0, 1:] - [m.mean((1, 2)) for m in true]).max()
    assert off < 0.03
    angles = np.degrees(
        np.arccos((network.decode(imagined.latent)[0] * true[-1]).sum(0).clip(-1, 1))
    )
    assert np.median(angles) < 5
    assert np.abs(true[-1].mean((1, 2)) - true[0].mean((1, 2))).max() > 0.5


def test_its_spread_is_larger_where_it_is_further_off(network):
    """In strong fields along +y, which it hardly learned, than in the sector that it learned."""
    z = network.encode(s_state(ThinFilmParameters.from_dict(network.card.film))[None])
    known, hard = np.tile([-0.025, 0.004, 0], (1, 100, 1)), np.zeros((1, 100, 3))
    hard[0, ::2, 1], hard[0, 1::2, 0] = 0.04, -0.04  # nothing was on for 10 ps alone
    assert network.imagine(z, hard).spread.max() > 2 * network.imagine(z, known).spread.max()
