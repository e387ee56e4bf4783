"""A warm film: its noise is as strong as it must be, and the same again for the same seed.

What it does in equilibrium is among the checks of ``skyctl verify``.
"""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics import llg
from skyctl.simulators.proof.again import spins_that_a_restart_changes, spins_that_threads_change

NOISY = ["heun", "midpoint", "depondt"]
WARM = FilmParameters(rows=9, columns=14, temperature_K=3.0)
FREE = FilmParameters(
    rows=64, columns=64, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, damping=0.4, temperature_K=2.0
)


def end(parameters, start, *spans_ps, **options):
    film = Film(parameters, **options)
    film.spins = start
    for span_ps in spans_ps:
        film.advance(span_ps, Pulse(width_ps=0.1, peak_ps=0.15))
    return film.spins


@pytest.mark.parametrize("integrator", NOISY)
@pytest.mark.parametrize("precision", ["f8", "f4"])
@pytest.mark.parametrize("periodic", [False, True])
def test_threads_batch_and_restart_do_not_change_a_bit(integrator, precision, periodic):
    arguments = integrator, precision, periodic
    assert spins_that_threads_change(*arguments) == 0
    assert spins_that_a_restart_changes(*arguments) == 0


def test_another_seed_is_another_movie_and_the_same_seed_the_same(random_spins):
    start = random_spins(9, 14)
    ends = [end(WARM, start, 0.3, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(ends[1], ends[0])
    assert np.abs(ends[2] - ends[0]).max() > 0.1


@pytest.mark.parametrize("integrator", NOISY)
def test_without_temperature_or_damping_there_is_no_noise(random_spins, integrator):
    start = random_spins(9, 14)
    for change in ({"temperature_K": 0.0}, {"damping": 0.0}):
        p = replace(WARM, **change)
        first, second = (end(p, start, 0.3, integrator=integrator, seed=seed) for seed in (1, 2))
        np.testing.assert_array_equal(second, first)
    cold = end(replace(WARM, temperature_K=0.0), start, 0.3, integrator=integrator)
    freezing = end(replace(WARM, temperature_K=1e-12), start, 0.3, integrator=integrator)
    np.testing.assert_allclose(freezing, cold, atol=1e-5, rtol=0)
    assert (freezing != cold).any()


@pytest.mark.parametrize("integrator", NOISY)
@pytest.mark.parametrize("steps", [1, 10])
def test_a_free_spin_diffuses_as_fluctuation_and_dissipation_want(integrator, steps):
    """⟨S_x²⟩ = ⟨S_y²⟩ = 2αγk_BT t/(μ(1 + α²)) of a spin along z, for short times."""
    film = Film(FREE, integrator=integrator, seed=5)
    film.set_uniform(1)
    step_ps = 1e-3
    film.advance(steps * step_ps, max_step_ps=step_ps)
    sx, sy, _ = film.spins
    k_T = llg.K_B_MEV_PER_K * FREE.temperature_K / FREE.moment_meV_per_T
    rate = 2 * FREE.damping * llg.GAMMA_RAD_PER_PS_T * k_T / (1 + FREE.damping**2)
    for component in (sx, sy):
        assert (component**2).mean() == pytest.approx(rate * steps * step_ps, rel=0.07)
        assert abs(component.mean()) < 4 * component.std() / 64


def test_noise_goes_on_where_it_stopped(random_spins):
    """A film does not feel the same kicks again in the next stretch, frame or pulse."""
    film = Film(FREE, seed=5)
    film.set_uniform(1)
    kicks = []
    for _ in range(2):
        before = film.spins
        film.advance(1e-3)
        kicks.append((film.spins - before)[:2].ravel())
    assert film.steps_taken == 2
    assert abs(np.corrcoef(*kicks)[0, 1]) < 0.05
    # 0.3 and 0.15 + 0.15 ps are the same steps
    start = random_spins(9, 14)
    np.testing.assert_allclose(
        end(WARM, start, 0.3), _in_two(WARM, start, 0.15), atol=1e-11, rtol=0
    )


def _in_two(parameters, start, span_ps):
    film = Film(parameters)
    film.spins = start
    pulse = Pulse(width_ps=0.1, peak_ps=0.15)
    film.advance(span_ps, pulse)
    film.advance(span_ps, pulse, start_ps=span_ps)
    return film.spins


def test_a_warm_film_starts_from_the_calm_skyrmion_and_relaxes_without_noise():
    warm, cold = (Film(FilmParameters(temperature_K=t)) for t in (5.0, 0.0))
    for film in (warm, cold):
        film.set_skyrmion()
    np.testing.assert_array_equal(warm.spins, cold.spins)
    warm.advance(0.5)
    assert warm.max_torque_T() > 10
    assert warm.relax() <= 1e-3


@pytest.mark.parametrize("integrator", ["rk4", "dormand-prince"])
def test_integrators_for_smooth_motion_refuse_noise(integrator):
    with pytest.raises(ValueError, match="at 3 K: it is for smooth motion; choose 'heun'"):
        Film(WARM, integrator=integrator)


def test_a_seed_below_zero_is_refused():
    with pytest.raises(ValueError, match="seed = -1: must be 0 or more"):
        Film(WARM, seed=-1)


@pytest.mark.parametrize(("value", "fault"), [(-1.0, "must not be negative"), (np.nan, "finite")])
def test_a_temperature_that_cannot_be_is_refused(value, fault):
    with pytest.raises(ValueError, match=f"temperature_K = {value}: .*{fault}"):
        FilmParameters(temperature_K=value)
