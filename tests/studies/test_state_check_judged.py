"""Faulty images: each is one, and S_z cannot see two of them."""

import numpy as np
import pytest

from skyctl.studies.faulty_images import GROSS, SUBTLE, UNSEEN_IN_SZ
from skyctl.studies.state_check_judged import annealed_states, judge, paper_film


@pytest.fixture(scope="module")
def films():
    return annealed_states(paper_film(), 4, seed=3)


@pytest.mark.parametrize("name", [*SUBTLE, *GROSS])
def test_a_fault_changes_a_film_and_not_its_shape(name, films):
    fault = {**SUBTLE, **GROSS}[name]
    faulty = np.stack([fault(film, np.random.default_rng(1)) for film in films])
    assert faulty.shape == films.shape
    assert np.abs(faulty - films).max() > 0.1
    if name in UNSEEN_IN_SZ:
        np.testing.assert_array_equal(faulty[:, 2], films[:, 2])


def test_there_are_twelve_subtle_ones():
    assert len(SUBTLE) == 12


@pytest.mark.slow
def test_the_check_tells_faulty_films_from_normal_ones():
    told = judge(movies=100)["noises"]
    for noise, subtle in {"0.15 spins": 0.93, "0.35 spins": 0.75}.items():
        assert told[noise]["projection"]["subtle_movie"] >= subtle
    assert told["0.05 sz"]["projection"]["gross_movie"] >= 0.99
