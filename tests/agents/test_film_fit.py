"""A sample fitted with what answers a pulse exactly, from a start that is off."""

import numpy as np
import pytest

from skyctl.agents.film_fit import fitted
from skyctl.agents.film_posterior import ProbeSeen
from skyctl.agents.imagined_film import ImaginedFilm
from skyctl.pulse import Pulse

FILM = ImaginedFilm.load()
MIDDLE, HALF = (FILM.lowest + FILM.highest) / 2, (FILM.highest - FILM.lowest) / 2
PULSE = Pulse(amplitude_T=0.45, width_ps=10.0, theta_deg=60.0)
TRUE = MIDDLE + HALF * np.array([-0.3, 0.4, -0.3, 0.3, 0.2])


def ringing(samples, pulse, times_ps, noise):
    """Of a film whose breathing mode each parameter changes in its own way."""
    damping, moment, anisotropy, dmi, calibration = ((samples - MIDDLE) / HALF).T[..., None]
    t = np.maximum(times_ps - FILM.resting_ps, 0) / 60
    swing = (1 + 0.3 * calibration) * np.sin(2 * np.pi * t * (1 + 0.2 * moment))
    change = 0.02 * (
        swing * np.exp(-t * (1.5 + 0.5 * damping)) + 0.2 * anisotropy * t + 0.1 * dmi * t**2
    )
    return 0.9 * (change - 1)


def seen(sample: np.ndarray, extra=0.0) -> ProbeSeen:
    mean_sz = ringing(sample[None], PULSE, FILM.times_ps, 0.0)[0]
    resting = int((FILM.times_ps <= FILM.resting_ps).sum())
    change = mean_sz / -mean_sz[:resting].mean() + 1 + extra
    times_ps = tuple(FILM.times_ps.tolist())
    return ProbeSeen(0.45, times_ps, tuple(change.tolist()), 0.0, 10_000, resting)


def test_the_sample_is_found_and_its_doubt_covers_what_is_left():
    fit = fitted(FILM, ringing, seen(TRUE), PULSE, MIDDLE)
    assert fit.misfit < 2
    assert np.abs(fit.sample - TRUE)[:2] / HALF[:2] == pytest.approx(0, abs=0.1)
    doubt = fit.samples[:, :5].std(axis=0)
    assert (doubt < 0.6 * HALF).all()
    assert (np.abs(fit.samples[:, :5].mean(axis=0) - TRUE) < 4 * doubt + 0.05 * HALF).all()


def test_samples_stay_where_the_film_was_learned_and_are_cold():
    fit = fitted(FILM, ringing, seen(FILM.highest), PULSE, MIDDLE)
    low, high = FILM.lowest - 1e-9, FILM.highest + 1e-9
    assert ((fit.samples[:, :5] >= low) & (fit.samples[:, :5] <= high)).all()
    assert (fit.samples[:, 5] == 0).all()


def test_what_no_sample_shows_is_told_by_the_misfit():
    other = seen(TRUE, 0.01 * np.cos(FILM.times_ps))
    assert fitted(FILM, ringing, other, PULSE, MIDDLE).misfit > 10


@pytest.mark.parametrize("off", [(-0.3, 0.4, -0.3, 0.3, 0.2), (-0.9, 0.9, -0.9, 0.9, -0.9)])
def test_it_is_found_from_afar_also_beside_the_end_of_the_range(off):
    fit = fitted(FILM, ringing, seen(MIDDLE + HALF * off), PULSE, MIDDLE - 0.5 * HALF)
    assert fit.misfit < 4


def test_slopes_are_taken_once_and_one_film_a_step_is_run_then():
    films = []

    def counted(samples, *arguments):
        films.append(len(samples))
        return ringing(samples, *arguments)

    assert fitted(FILM, counted, seen(TRUE), PULSE, MIDDLE).misfit < 2
    assert films[:2] == [1, 5]
    assert set(films[2:]) == {1}
    assert len(films) <= 10
