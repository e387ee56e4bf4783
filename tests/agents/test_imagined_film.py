"""The imagined film: a file of networks, and what its inputs leave out because physics does."""

import numpy as np
import pytest

from skyctl.agents.imagined_film import (
    ImaginedFilm,
    Network,
    probe_inputs,
    softened,
    switching_inputs,
    unsoftened,
)
from skyctl.agents.library_file import LibraryError
from skyctl.agents.switching_library import SwitchingLibrary

FILM = ImaginedFilm.load()
MIDDLE = (FILM.lowest + FILM.highest) / 2
COLD = np.append(MIDDLE, 0.0)[None]


def test_a_network_is_what_its_layers_say():
    network = Network(
        (np.array([[1.0], [-1.0]]), np.array([[2.0]])),
        (np.array([0.0]), np.array([1.0])),
        np.array([1.0, 0.0]),
        np.array([2.0, 1.0]),
    )
    assert network(np.array([[5.0, 0.0], [1.0, 3.0]])) == pytest.approx(np.array([[5.0], [1.0]]))


def test_chances_are_probabilities_and_nothing_is_impossible():
    pulses = np.array([[2.0, 40.0, 12.0], [3.0, 60.0, 27.0]])
    chances = FILM.chances(np.repeat(COLD, 3, 0), pulses)
    assert chances.shape == (3, 2, 4)
    assert chances.sum(-1) == pytest.approx(1.0)
    assert chances.min() > 0.001


def test_a_moment_is_a_scale_of_field_and_time():
    pulse = np.array([[2.0, 40.0, 12.0]])
    heavier = COLD.copy()
    heavier[0, 1] *= 1.1
    assert switching_inputs(heavier, pulse * [1 / 1.1, 1, 1.1]) == pytest.approx(
        switching_inputs(COLD, pulse)
    )


def test_a_sample_below_0_K_is_a_cold_one():
    assert (probe_inputs(COLD - [0, 0, 0, 0, 0, 1.0], 0.6) == probe_inputs(COLD, 0.6)).all()


def test_softening_is_undone():
    change = np.array([-0.5, 0.0, 0.001, 1.9])
    assert unsoftened(softened(change)) == pytest.approx(change)


def test_a_stronger_probe_shows_more():
    weak, strong = (FILM.probe_movie(COLD, amplitude, 0.0).max() for amplitude in (0.4, 1.2))
    assert strong > 1.5 * weak > 0


def test_between_two_noises_a_movie_is_between_those_of_both():
    low, middle, high = (FILM.probe_movie(COLD, 1.0, noise) for noise in (0.35, 0.425, 0.5))
    assert middle == pytest.approx((low + high) / 2, abs=1e-6)
    assert FILM.probe_movie(COLD, 1.0, 5.0) == pytest.approx(FILM.probe_movie(COLD, 1.0, 1.0))


def test_warmth_makes_a_switch_less_sure_and_no_warmth_changes_nothing():
    pulses = SwitchingLibrary.load().pulses
    cold, at_0K, warm = (
        FILM.chances(sample, pulses)[0]
        for sample in (COLD[:, :5], COLD, np.append(COLD[:, :5], [[1.0]], axis=1))
    )
    assert (at_0K == cold).all()
    assert warm.sum(axis=1) == pytest.approx(1, abs=1e-5)
    best = cold[:, 1].argmax()
    assert 0.2 < warm[best, 1] < cold[best, 1]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", b"x" * 1000])
def test_another_file_is_refused_by_name(tmp_path, data):
    path = tmp_path / "other.npz"
    path.write_bytes(data)
    with pytest.raises(LibraryError, match=r"other\.npz.*skyctl train imagined-film"):
        ImaginedFilm.load(path)
    with pytest.raises(LibraryError, match="not there"):
        ImaginedFilm.load(tmp_path / "not there")
