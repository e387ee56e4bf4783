"""What every pulsed film does: no pulse is stepped over, and a periodic film has no edge."""

import numpy as np
import pytest

from skyctl.pulse import Pulse, Spot
from skyctl.simulators.itinerant.film import ItinerantFilmParameters, TorqueFilm
from skyctl.simulators.lattice.engines import INTEGRATORS
from skyctl.simulators.lattice.film import Film, FilmParameters, analytic_skyrmion
from skyctl.simulators.lattice.movies import MovieSpec, process_in
from skyctl.simulators.physics.llg import GAMMA_RAD_PER_PS_T
from skyctl.simulators.physics.span import stretches
from skyctl.simulators.physics.topology import film_truth

LATE = Pulse(amplitude_T=1.0, width_ps=2.0, theta_deg=90, peak_ps=150)
"""After a rest in which an adaptive step grows to a frame's interval."""
SHORT = Pulse(amplitude_T=200.0, width_ps=0.001, theta_deg=90, peak_ps=0.5077)
"""Narrower than a step of any film."""


def angle_of(pulse: Pulse) -> float:
    """By which an undamped lone spin turns about the field, rad."""
    return GAMMA_RAD_PER_PS_T * pulse.amplitude_T * np.sqrt(2 * np.pi) * pulse.width_ps


@pytest.mark.parametrize("pulse", [LATE, SHORT], ids=["late", "short"])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_no_integrator_steps_over_a_pulse(integrator, pulse):
    film = Film(FilmParameters(1, 1, anisotropy_meV=0, damping=0), integrator=integrator)
    *_, last = film.frames(pulse, [0, 2 * pulse.peak_ps / 3, 2 * pulse.peak_ps])
    assert last[2, 0, 0] == pytest.approx(-np.cos(angle_of(pulse)), abs=2e-5)


def test_a_film_of_a_torque_network_does_not_either():
    still = ItinerantFilmParameters(6, 6, damping=0, bias_T=(0, 0, 0))
    film = TorqueFilm(np.zeros_like, still)
    *_, last = film.frames(SHORT, [0, 1])
    assert last[2] == pytest.approx(np.cos(angle_of(SHORT)), abs=2e-5)


def test_a_pulse_that_is_wider_than_a_step_changes_no_step():
    assert list(stretches([LATE, None], 3.0, 5.0, 0.015)) == [(3.0, 5.0, 0.015)]


def test_stretches_of_several_pulses_fill_the_time():
    other = SHORT.model_copy(update={"width_ps": 0.002, "peak_ps": 0.512})
    found = list(stretches([SHORT, other], 0.0, 1.0, 0.015))
    assert sum(span for _, span, _ in found) == pytest.approx(1.0)
    assert [step for *_, step in found] == [0.015, 0.002, 0.001, 0.002, 0.015][: len(found)]


@pytest.mark.parametrize("kind", ["lattice", "itinerant"])
@pytest.mark.parametrize("shift", [(7, 24), (-20, 0)])
def test_a_spot_does_in_a_periodic_film_the_same_anywhere(kind, shift):
    def fired(x, y):
        if kind == "lattice":
            film = Film(FilmParameters(48, 40, periodic=True))
        else:
            film = TorqueFilm(lambda spins: 0.01 * spins[::-1], ItinerantFilmParameters(48, 40))
        film.advance(2, Pulse(amplitude_T=8, width_ps=1, peak_ps=1, spot=Spot(x=x, y=y, sigma=6)))
        return film.spins

    moved = np.roll(fired(20, 24), shift, (1, 2))
    assert fired(20 + shift[1], 24 + shift[0]) == pytest.approx(moved, abs=1e-12)


@pytest.mark.parametrize("shift", [(0, 0), (15, 0), (0, 16), (15, 16), (3, -9)])
def test_a_skyrmion_is_one_wherever_a_periodic_film_is_counted_from(shift):
    film = Film(FilmParameters(30, 32, periodic=True))
    film.spins = np.roll(analytic_skyrmion(30, 32, 6), shift, (1, 2))
    assert abs(film.charge()) == pytest.approx(1, abs=1e-6)
    assert film_truth(film.spins, periodic=True) == ("one", -1)


def test_the_process_in_a_periodic_film_does_not_depend_on_where_it_is():
    shot = MovieSpec(FilmParameters(40, 40, periodic=True), [0.0])
    before = analytic_skyrmion(40, 40, 8)
    named = {
        process_in(shot, np.roll(before, by, (1, 2)), np.roll(before, by, (1, 2)))
        for by in ((0, 0), (20, 20), (0, 20))
    }
    assert named == {"breathing"}


def test_a_stripe_round_a_periodic_film_is_no_skyrmion():
    spins = np.zeros((3, 20, 20))
    spins[2] = -1
    spins[2, :, 8:12] = 1
    assert film_truth(spins, periodic=True) == ("other", -1)
