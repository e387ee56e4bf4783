"""Monte Carlo: what it samples, that it is the LLG's film, and that the seed alone decides."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numba import cuda

from skyctl.simulators.lattice.film import (
    Film,
    FilmParameters,
    effective_field_T,
    energies_meV,
)
from skyctl.simulators.lattice.monte_carlo import RULES, MonteCarlo, falling
from skyctl.simulators.physics import llg
from skyctl.simulators.proof import monte_carlo, temperature

SIMULATED = "NUMBA_ENABLE_CUDASIM" in os.environ
KELVIN = 1 / llg.K_B_MEV_PER_K
"""k_B times this is 1 meV."""
EVERYTHING = FilmParameters(
    rows=6, columns=8, interfacial_dmi_meV=0.2, easy_axis=(0.3, 0.1, 1.0), bias_T=(1.0, 2.0, 3.0)
)
REDUCED = FilmParameters(
    rows=32,
    columns=32,
    exchange_meV=1.0,
    dmi_meV=0.6,
    anisotropy_meV=0.0,
    bias_T=(0, 0, 0.2 / (0.6 * llg.MU_B_MEV_PER_T)),
    periodic=True,
)
"""arXiv's D = 0.6 J, B = 0.2 J."""


@pytest.mark.parametrize("rule", ["heat-bath", "metropolis"])
def test_free_spins_follow_langevin(rule):
    for kelvin in (5.0, 100.0):
        exact = temperature.mean_along_field_exact(kelvin)
        assert monte_carlo.mean_along_field(kelvin, rule) == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize("rule", ["heat-bath", "metropolis"])
def test_an_easy_axis_is_boltzmann_s(rule):
    exact = temperature.mean_square_along_axis_exact()
    assert monte_carlo.mean_square_along_axis(rule) == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize("rule", ["heat-bath", "metropolis"])
def test_each_move_is_as_frequent_as_its_reverse(rule):
    assert monte_carlo.balance(rule) > 0.01


def test_a_chain_has_fisher_s_correlations():
    for distance in (1, 3):
        exact = temperature.pair_product_exact() ** distance
        assert monte_carlo.chain_product("heat-bath", distance) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("periodic", [False, True])
def test_many_films_have_the_field_and_the_energy_of_one(periodic):
    film = Film(replace(EVERYTHING, periodic=periodic))
    spins = np.random.default_rng(0).standard_normal((3, 3, 6, 8))
    spins /= np.linalg.norm(spins, axis=1, keepdims=True)
    fields = effective_field_T(film.parameters, spins)
    energies = energies_meV(film.parameters, spins)
    for state, field, energy in zip(spins, fields, energies, strict=True):
        film.spins = state
        np.testing.assert_allclose(film.field_T(), field, rtol=1e-13, atol=1e-12)
        assert film.energy_meV() == pytest.approx(energy, rel=1e-13)
        # -μ B is what the energy changes by when a spin does
        nudge = np.zeros_like(state)
        nudge[1, 2, 3] = 1e-4
        slope = np.subtract(
            *energies_meV(film.parameters, np.stack([state + nudge, state - nudge]))
        )
        moment = film.parameters.moment_meV_per_T
        assert slope / 2e-4 == pytest.approx(-moment * field[1, 2, 3], rel=1e-6)


def test_at_constant_energy_nothing_but_rounding_changes_it():
    films = MonteCarlo(replace(EVERYTHING, anisotropy_meV=0.0), 4)
    before = films.energies_meV()
    films.sweep(20, 10.0, "over-relax")
    np.testing.assert_allclose(films.energies_meV(), before, rtol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_a_restart_and_threads_change_no_bit(rule):
    whole, parts = (MonteCarlo(EVERYTHING, 40, rule=rule, seed=2) for _ in range(2))
    threads = MonteCarlo(EVERYTHING, 40, rule=rule, seed=2, threads=2)
    whole.sweep(6, 20.0)
    threads.sweep(6, 20.0)
    parts.sweep(2, 20.0)
    again = MonteCarlo(EVERYTHING, 40, rule=rule, seed=2)
    again.restore(parts.spins, parts.sweeps_taken)
    again.sweep(4, 20.0)
    np.testing.assert_array_equal(whole.spins, again.spins)
    np.testing.assert_array_equal(whole.spins, threads.spins)
    other = MonteCarlo(EVERYTHING, 40, rule=rule, seed=3)
    other.sweep(6, 20.0)
    assert np.abs(other.spins - whole.spins).max() > 0.1


def test_annealed_and_relaxed_the_film_finds_its_ground_state():
    """-2.22330918 J a site: six skyrmions, by enumeration and relaxation."""
    films = MonteCarlo(REDUCED, seed=0)
    films.anneal(falling(KELVIN, 0.005 * KELVIN, 1000))
    energies = energies_meV(REDUCED, films.relax()) / 32**2
    assert energies.min() == pytest.approx(-2.22330918, abs=1e-8)
    assert np.median(energies) < -2.2220


def test_what_is_not_down_after_so_many_sweeps_is_an_error():
    films = MonteCarlo(REDUCED, 2)
    with pytest.raises(RuntimeError, match="2 of 2 states still turned by up to"):
        films.relax(most_sweeps=50)


def test_what_is_not_there_stays_empty():
    sites = np.ones((6, 8), bool)
    sites[2, 3] = sites[0, 0] = False
    films = MonteCarlo(EVERYTHING, 3, sites=sites)
    films.sweep(3, 20.0)
    assert (films.spins[:, :, ~sites] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(films.spins, axis=1)[:, sites], 1, rtol=1e-6)
    assert (films.relax()[:, :, ~sites] == 0).all()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"parameters": replace(REDUCED, rows=31)}, "needs even sides"),
        ({"replicas": 0}, "replicas = 0"),
        ({"rule": "wolff"}, "rule 'wolff': choose"),
        ({"reach": 0.0}, "reach = 0"),
        ({"sites": np.zeros((32, 32), bool)}, "none is left"),
    ],
)
def test_what_cannot_be_is_refused(given, fault):
    with pytest.raises(ValueError, match=fault):
        MonteCarlo(**{"parameters": REDUCED, **given})


def test_a_temperature_that_is_none_is_refused():
    films = MonteCarlo(EVERYTHING, 2)
    for kelvin in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="must be above 0"):
            films.sweep(1, kelvin)
    with pytest.raises(ValueError, match="annealing from 1 K to 2 K"):
        falling(1.0, 2.0, 10)
    with pytest.raises(ValueError, match="NaN"):
        films.spins = np.full((3, 6, 8), np.nan)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_a_gpu_draws_what_the_cpu_draws(rule, periodic):
    if not cuda.is_available():
        pytest.skip("no CUDA GPU that numba can use on this machine")
    film = replace(EVERYTHING, rows=4, columns=6, periodic=periodic)
    cpu, gpu = (MonteCarlo(film, 3, rule=rule, device=d, seed=1) for d in ("cpu", "cuda"))
    for films in (cpu, gpu):
        films.sweep(3, 20.0)
    np.testing.assert_allclose(gpu.spins, cpu.spins, atol=3e-5)


@pytest.mark.skipif(SIMULATED, reason="is in it")
def test_numba_s_simulator_of_a_gpu_draws_what_the_cpu_draws():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-m", "gpu", __file__],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "6 passed" in done.stdout, done.stdout + done.stderr
