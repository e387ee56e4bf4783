"""The shipped network at films it never saw: what it cannot know it leaves unnamed."""

from dataclasses import replace

import pytest

from skyctl.inference.model import MovieClassifier
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import Film
from skyctl.simulators.lattice.presets import film_named

TIMES_PS = [15.0 * index for index in range(8)]
PULSE = Pulse(width_ps=8)


@pytest.fixture(scope="module")
def model():
    return MovieClassifier()


def named(model, film):
    """What the network says of a pulse at a settled film."""
    film.relax(torque_T=0.01)
    images = [spins[2] for spins in film.frames(PULSE, TIMES_PS)]
    *_, last = model.watch(images, TIMES_PS, PULSE)
    return model.label(last)


@pytest.mark.parametrize(("name", "changed"), [("fege", {}), ("paper", {"easy_axis": (1, 0, 0)})])
def test_helices_and_films_in_plane_are_left_unnamed(model, name, changed):
    film = Film(replace(film_named(name), rows=60, columns=60, **changed), precision="f4")
    assert named(model, film) is None
    assert model.is_novel


def test_a_neel_skyrmion_of_a_published_film_is_named_as_it_is(model):
    film = film_named("pdfeir")
    film = Film(replace(film, rows=60, columns=60, bias_T=(0.0, 0.0, -3.0)), precision="f4")
    film.set_skyrmion()
    assert named(model, film) == "breathing"
    assert abs(film.charge()) > 0.8
