"""The film: what a pulse does to it, how it settles, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.process import BREATHING, COLLAPSE, NUCLEATION, SWITCHING
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.lattice.engines import INTEGRATORS, stable_turn
from skyctl.simulators.lattice.film import MAX_STEP_PS, Film, FilmParameters, analytic_skyrmion
from skyctl.simulators.lattice.movies import MovieSpec, process_in
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.topology import process_label, topological_charge

MAP = {
    0.04: "BmmmmmmCCCmC",
    0.08: "BmSmmCCCCCCC",
    0.12: "BmmSmSSSCCCC",
    0.20: "BmmmmSSSCCCC",
    0.28: "BBSmmSSSCCCC",
    0.36: "BBmmmmSSCCCC",
    0.44: "BBBmmmmSSCCC",
    0.52: "BBBBmmmmmSCC",
    0.60: "BBBBmmmmmmmm",
}
"""Process over damping and pulse width 4, 8 … 48 ps, θ = 40°, by an independent program."""
NAMES = {"B": BREATHING, "S": SWITCHING, "C": COLLAPSE}


def run(film, time_ps, pulse=None, **options):
    return next(film.frames(pulse, [time_ps], **options))


def process(damping, width_ps, theta_deg=40.0):
    film = Film(FilmParameters(damping=damping), threads=2)
    film.set_skyrmion()
    before = film.spins
    after = run(film, 165.0, Pulse(width_ps=width_ps, theta_deg=theta_deg))
    return process_in(MovieSpec(film.parameters, [0.0]), before, after)


@pytest.mark.parametrize(
    ("width_ps", "expected"), [(8, BREATHING), (28, SWITCHING), (40, COLLAPSE)]
)
def test_the_papers_three_examples_come_out(width_ps, expected):
    assert process(0.36, width_ps) == expected


@pytest.mark.parametrize(
    ("damping", "width_ps"),
    [
        (0.12, 4),
        (0.28, 28),
        (0.2, 44),
        (0.6, 12),
        *(
            pytest.param(*cell, marks=pytest.mark.slow)
            for cell in ((0.52, 4), (0.2, 32), (0.28, 4), (0.44, 8), (0.44, 48))
        ),
    ],
)
def test_cells_inside_the_areas_of_the_map_come_out(damping, width_ps):
    assert process(damping, width_ps) == NAMES[MAP[damping][width_ps // 4 - 1]]


@pytest.mark.slow
def test_the_whole_map_comes_out():
    cells = [
        (process(damping, 4 * (i + 1)), NAMES[letter])
        for damping, line in MAP.items()
        for i, letter in enumerate(line)
        if letter != "m"
    ]
    assert np.mean([found == expected for found, expected in cells]) >= 0.9


def test_a_strong_local_pulse_nucleates_a_skyrmion():
    film = Film(threads=2)
    film.relax()
    before = film.spins
    spot = Spot(x=49.5, y=49.5, sigma=6)
    run(film, 120.0, Pulse(amplitude_T=8, width_ps=16, spot=spot))
    film.relax()
    assert process_label(before, film.spins) == NUCLEATION


def test_a_pulse_turns_a_free_spin_by_its_area():
    p = FilmParameters(rows=4, columns=6, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, damping=0)
    film = Film(p)
    film.spins = np.stack([np.ones((4, 6)), np.zeros((4, 6)), np.zeros((4, 6))])
    pulse = Pulse(
        amplitude_T=1, width_ps=2, theta_deg=0, peak_ps=15, spot=Spot(x=2, y=1, sigma=2.5)
    )
    sx, sy, sz = run(film, 30.0, pulse)
    y, x = np.mgrid[:4, :6]
    profile = np.exp(-((x - 2) ** 2 + (y - 1) ** 2) / (2 * 2.5**2))
    angle = llg.GAMMA_RAD_PER_PS_T * 1 * 2 * np.sqrt(2 * np.pi) * profile
    np.testing.assert_allclose(np.arctan2(sy, sx), angle, atol=1e-5)
    np.testing.assert_allclose(sz, 0, atol=1e-12)


def test_frames_do_not_change_the_motion(small_film, random_spins):
    film, pulse = Film(small_film), Pulse(width_ps=0.3, peak_ps=0.5)
    ends = []
    for times in ([0.9], [0.0, 0.3, 0.3, 0.6, 0.9]):
        film.spins = random_spins(7, 13)
        *_, last = film.frames(pulse, times)
        ends.append(last)
        np.testing.assert_array_equal(film.spins, last)
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-11)


def test_a_frame_at_zero_is_the_film_as_it_was(small_film, random_spins):
    film = Film(small_film)
    film.spins = random_spins(7, 13)
    np.testing.assert_array_equal(run(film, 0.0, Pulse(width_ps=1)), film.spins)
    np.testing.assert_allclose(film.spins, random_spins(7, 13), atol=1e-15)


def test_a_frame_leaves_before_the_next_is_computed(small_film, random_spins):
    film = Film(small_film)
    film.spins = random_spins(7, 13)
    frames = film.frames(None, [0.3, 0.6])
    first = next(frames)
    np.testing.assert_array_equal(film.spins, first)
    assert np.abs(next(frames) - first).max() > 0.01


def test_relaxing_lowers_the_energy_all_the_way_to_a_small_torque(random_spins):
    film = Film(FilmParameters(rows=20, columns=25, bias_T=(0.0, 0.0, 2.0)))
    film.spins = random_spins(20, 25)
    energies = [film.energy_meV()]
    while (torque := film.relax(max_ps=5.0, torque_T=1e-3)) > 1e-3:
        energies.append(film.energy_meV())
        assert len(energies) < 1000
    assert len(energies) > 3
    assert np.all(np.diff(energies) < 0)
    assert torque == film.max_torque_T()


def test_relaxing_turns_a_spin_to_its_field_without_precession():
    film = Film(
        FilmParameters(
            rows=3, columns=3, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, bias_T=(0, 0, 2)
        )
    )
    film.spins = np.stack([np.ones((3, 3)), np.zeros((3, 3)), np.zeros((3, 3))])
    film.relax(max_ps=5.0)
    sx, sy, sz = film.spins
    np.testing.assert_allclose(sy, 0, atol=1e-12)
    assert np.all((sz > 0.5) & (sz < 1) & (sx > 0))


def test_relaxing_a_settled_film_leaves_it_alone():
    film = Film(FilmParameters(rows=5, columns=5, dmi_meV=0.0))
    before = film.spins
    assert film.relax() == 0.0
    np.testing.assert_array_equal(film.spins, before)


@pytest.mark.parametrize("background", [-1, 1])
def test_a_relaxed_skyrmion_stands_in_its_background(background):
    film = Film()
    film.set_skyrmion(background)
    assert film.max_torque_T() <= 1e-3
    assert topological_charge(film.spins) == pytest.approx(-0.94 * background, abs=0.02)
    assert np.sign(film.spins[2, 10, 10]) == background
    assert np.sign(film.spins[2, 50, 50]) == -background


@pytest.mark.parametrize("background", [-1, 1])
@pytest.mark.parametrize("dmi_meV", [0.24, -0.24])
def test_an_analytic_skyrmion_turns_the_way_its_dmi_prefers(background, dmi_meV):
    film = Film(FilmParameters(dmi_meV=dmi_meV))
    energies = []
    for sign in (1, -1):
        film.spins = analytic_skyrmion(100, 100, 12, background, sign * dmi_meV)
        energies.append(film.energy_meV())
    assert energies[0] < energies[1]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_uniform_film_points_one_way(sign):
    film = Film(FilmParameters(rows=4, columns=5))
    film.set_uniform(sign)
    np.testing.assert_array_equal(film.spins, np.broadcast_to([[[0]], [[0]], [[sign]]], (3, 4, 5)))


def test_spins_are_normalised_when_set(small_film, random_spins):
    film = Film(small_film)
    film.spins = 3 * random_spins(7, 13)
    np.testing.assert_allclose(film.spins, random_spins(7, 13), atol=1e-15)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_spins_that_point_nowhere_are_refused(small_film, random_spins, value):
    film = Film(small_film)
    before, bad = film.spins, random_spins(7, 13)
    bad[:, 2, 3] = value
    with pytest.raises(ValueError, match="NaN, an infinity or a zero vector"):
        film.spins = bad
    np.testing.assert_array_equal(film.spins, before)


def test_spins_of_another_film_are_refused(small_film, random_spins):
    film = Film(small_film)
    with pytest.raises(ValueError, match=r"shape \(3, 13, 7\): this film needs \(3, 7, 13\)"):
        film.spins = random_spins(13, 7)


@pytest.mark.parametrize("times", [[1.0, 0.5], [-1.0], [0.0, np.nan], [np.nan], [np.inf]])
def test_frame_times_that_do_not_ascend_are_refused_before_anything_moves(
    small_film, random_spins, times
):
    film = Film(small_film)
    film.spins = random_spins(7, 13)
    before = film.spins
    with pytest.raises(ValueError, match="must ascend from 0 or later"):
        next(film.frames(None, times))
    np.testing.assert_array_equal(film.spins, before)


@pytest.mark.parametrize("step_ps", [0.0, -0.01, np.nan])
def test_a_step_that_leads_nowhere_is_refused(small_film, step_ps):
    with pytest.raises(ValueError, match="must be above 0"):
        next(Film(small_film).frames(None, [1.0], max_step_ps=step_ps))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "0 x 100 sites: with open edges it needs 1 or more"),
        ({"columns": 0}, "100 x 0 sites: with open edges it needs 1 or more"),
        ({"rows": 1, "periodic": True}, "1 x 100 sites: with periodic edges it needs 2 or more"),
        ({"damping": -0.1}, "damping = -0.1: must not be negative"),
        ({"damping": np.nan}, "damping = nan: give a finite number"),
        ({"exchange_meV": np.inf}, "exchange_meV = inf: give a finite number"),
        ({"dmi_meV": np.nan}, "dmi_meV = nan"),
        ({"anisotropy_meV": np.nan}, "anisotropy_meV = nan"),
        ({"moment_muB": 0.0}, "moment_muB = 0.0: must be above 0"),
        ({"moment_muB": np.nan}, "moment_muB = nan: give a finite number"),
        ({"bias_T": (0.0, np.nan, 0.0)}, "bias_T = .*nan.*: give three finite numbers"),
        ({"bias_T": (0.0, 0.0)}, "bias_T = .*: give three finite numbers"),
    ],
)
def test_parameters_of_no_film_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(FilmParameters(), **change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "f2"}, "precision 'f2'"),
        ({"device": "tpu"}, "device 'tpu'"),
        ({"threads": 0}, "threads = 0"),
        ({"integrator": "euler"}, "integrator 'euler': choose one of heun, midpoint, depondt"),
    ],
)
def test_a_film_is_built_on_a_device_that_exists(small_film, options, message):
    with pytest.raises(ValueError, match=message):
        Film(small_film, **options)


def test_parameters_are_written_as_plain_numbers(small_film):
    assert FilmParameters(**small_film.as_dict()) == small_film


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_step_that_is_not_stable_is_refused_and_the_bound_that_it_names_is_taken(
    small_film, random_spins, integrator
):
    film = Film(small_film, integrator=integrator)
    film.spins = random_spins(7, 13)
    before = film.spins
    pulse = Pulse(amplitude_T=20, width_ps=1, peak_ps=0.5)
    with pytest.raises(ValueError, match=f"{integrator} is stable up to .* ps or less") as refused:
        film.advance(1.0, pulse, max_step_ps=0.5)
    np.testing.assert_array_equal(film.spins, before)
    assert "max_step_ps = 0.5" in str(refused.value)
    bound_ps = float(str(refused.value).split("Give ")[1].split(" ps")[0])
    assert 0.01 < bound_ps < 0.05
    film.advance(0.1, pulse, max_step_ps=0.999 * bound_ps)
    with pytest.raises(ValueError, match="is stable up to"):
        film.advance(0.1, pulse, max_step_ps=1.01 * bound_ps)


def test_a_film_with_strong_couplings_takes_shorter_steps_by_itself(random_spins):
    stiff = FilmParameters(rows=6, columns=6, exchange_meV=50.0, damping=0.1)
    film = Film(stiff)
    film.spins = random_spins(6, 6)
    before = film.energy_meV()
    film.advance(0.1)
    assert film.steps_taken > 10 * 0.1 / MAX_STEP_PS
    assert film.energy_meV() < before


@pytest.mark.parametrize("integrator", ["heun", "midpoint", "depondt"])
@pytest.mark.parametrize("damping", [0.02, 0.36, 1.0])
def test_at_the_longest_stable_step_the_energy_of_a_random_film_falls(
    random_spins, integrator, damping
):
    film = Film(FilmParameters(rows=20, columns=20, damping=damping), integrator=integrator)
    film.spins = random_spins(20, 20)
    fastest = film.coefficients().fastest_rad_per_ps()
    bound_ps = stable_turn(integrator, damping) / fastest
    energies = [film.energy_meV()]
    for _ in range(20):
        film.advance(50 * bound_ps, max_step_ps=bound_ps)
        energies.append(film.energy_meV())
    assert np.all(np.diff(energies) < 0)


def test_a_time_that_is_rounding_is_no_step(small_film, random_spins):
    film = Film(small_film)
    film.spins = random_spins(7, 13)
    before = film.spins
    film.advance(1e-13)
    assert film.steps_taken == 0
    np.testing.assert_array_equal(film.spins, before)


def test_an_anisotropy_map_scales_the_anisotropy_of_each_site(small_film, random_spins):
    sites = np.random.default_rng(0).uniform(0, 3, (7, 13))
    pinned, plain = Film(small_film, anisotropy_map=sites), Film(small_film)
    for film in (pinned, plain):
        film.spins = random_spins(7, 13)
    k = small_film.anisotropy_meV
    expected = -k * ((sites - 1) * plain.spins[2] ** 2).sum()
    assert pinned.energy_meV() - plain.energy_meV() == pytest.approx(expected, abs=1e-12)
    field = np.zeros((3, 7, 13))
    field[2] = 2 * k * (sites - 1) * plain.spins[2] / small_film.moment_meV_per_T
    np.testing.assert_allclose(pinned.field_T() - plain.field_T(), field, atol=1e-12)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("periodic", [False, True])
def test_a_map_of_twos_is_a_film_of_twice_the_anisotropy(
    small_film, random_spins, integrator, periodic
):
    p = replace(small_film, periodic=periodic)
    doubled = replace(p, anisotropy_meV=2 * p.anisotropy_meV)
    options = {"integrator": integrator}
    films = [
        Film(p, anisotropy_map=np.full((7, 13), 2.0), **options),
        Film(doubled, **options),
        Film(p, **options),
    ]
    for film in films:
        film.spins = random_spins(7, 13)
        film.advance(0.5)
    np.testing.assert_allclose(films[0].spins, films[1].spins, atol=1e-8)
    assert np.abs(films[0].spins - films[2].spins).max() > 1e-3


@pytest.mark.parametrize(
    ("sites", "fault"),
    [
        (np.ones((13, 7)), r"shape \(13, 7\): this film needs \(7, 13\)"),
        (np.full((7, 13), np.nan), "NaN or an infinity"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(small_film, sites, fault):
    with pytest.raises(ValueError, match=f"anisotropy_map .*{fault}"):
        Film(small_film, anisotropy_map=sites)


def test_a_map_is_copied(small_film):
    sites = np.ones((7, 13))
    film = Film(small_film, anisotropy_map=sites)
    before = film.energy_meV()
    sites[:] = 100
    assert film.energy_meV() == before


@pytest.mark.parametrize("tolerance", [0.0, -1e-6, np.nan, 1e-17])
def test_a_tolerance_that_cannot_be_met_is_refused(small_film, tolerance):
    with pytest.raises(ValueError, match=r"tolerance = .* must be above the rounding of f8"):
        Film(small_film, integrator="dormand-prince", tolerance=tolerance)


@pytest.mark.parametrize("precision", ["f8", "f4"])
def test_dormand_prince_has_a_tolerance_that_suits_the_precision(
    small_film, random_spins, precision
):
    film = Film(small_film, integrator="dormand-prince", precision=precision)
    truth = Film(small_film, integrator="rk4")
    for each in (film, truth):
        each.spins = random_spins(7, 13)
    film.advance(0.3)
    truth.advance(0.3, max_step_ps=1e-4)
    np.testing.assert_allclose(film.spins, truth.spins, atol=100 * film.tolerance)


def test_a_large_skyrmion_is_given_the_time_to_come_to_rest():
    large = FilmParameters(damping=0.15, moment_muB=0.68, anisotropy_meV=0.0926, dmi_meV=0.248)
    film = Film(large)
    film.set_skyrmion()
    assert film.max_torque_T() < 2e-3


def test_the_longest_stable_step_is_allowed_and_no_longer_one():
    film, pulse = Film(), Pulse(amplitude_T=1.0, width_ps=10.0)
    stable = film.stable_step_ps(pulse)
    assert film.longest_step_ps(pulse, stable) == stable > film.longest_step_ps(pulse)
    with pytest.raises(ValueError, match="is stable up to"):
        film.longest_step_ps(pulse, 1.01 * stable)
