"""The CPU kernels beside a slow loop; how exact they are: ``skyctl verify``."""

import numpy as np
import pytest

from skyctl.pulse import Pulse, Spot
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.layout import Layout
from skyctl.simulators.physics.kernels_noise import draw_noise
from skyctl.simulators.physics.span import noise_key


def run(film, time_ps, pulse=None, **options):
    return next(film.frames(pulse, [time_ps], **options))


def test_with_damping_energy_falls(small_film, random_spins):
    film = Film(small_film)
    film.spins = random_spins(7, 13)
    energies = [film.energy_meV() for _ in film.frames(None, np.linspace(0, 3, 31))]
    assert np.all(np.diff(energies) < 0)


def slow_heun(p, start, pulse, step_ps, steps, sites, noise):
    """The film's motion, written from the energy and eq. 2 of the paper, one spin at a time."""
    mu = p.moment_muB * 0.05788381806
    gamma = 0.1760859 / (1 + p.damping**2)

    # The variance of white noise over a step: its power over the step's length.
    power = 2 * p.damping * 0.08617333262 * p.temperature_K / (0.1760859 * mu)

    def field(s, time_ps, n):
        b = np.sqrt(power / step_ps) * noise[n]
        for row in range(p.rows):
            for column in range(p.columns):
                total = np.array(p.bias_T, float)
                for drow, dcolumn in [(0, 1), (0, -1), (1, 0), (-1, 0)]:
                    r, c = row + drow, column + dcolumn
                    if p.periodic:
                        r, c = r % p.rows, c % p.columns
                    elif not (0 <= r < p.rows and 0 <= c < p.columns):
                        continue
                    to_neighbour = np.array([dcolumn, drow, 0])
                    total += p.exchange_meV / mu * s[:, r, c]
                    total += p.dmi_meV / mu * np.cross(s[:, r, c], to_neighbour)
                total[2] += 2 * p.anisotropy_meV * sites[row, column] / mu * s[2, row, column]
                images = (-1, 0, 1) if p.periodic else (0,)
                squared = min(
                    (column + i * p.columns - pulse.spot.x) ** 2
                    + (row + j * p.rows - pulse.spot.y) ** 2
                    for i in images
                    for j in images
                )
                near = np.exp(-squared / (2 * pulse.spot.sigma**2))
                now = np.exp(-((time_ps - pulse.peak_ps) ** 2) / (2 * pulse.width_ps**2))
                total += np.array(pulse.peak_field_T) * now * near
                b[:, row, column] += total
        return b

    def rate(s, time_ps, n):
        torque = np.cross(s, field(s, time_ps, n), axis=0)
        return -gamma * (torque + p.damping * np.cross(s, torque, axis=0))

    s = start
    for n in range(steps):
        k1 = rate(s, n * step_ps, n)
        k2 = rate(s + step_ps * k1, (n + 1) * step_ps, n)
        s = s + step_ps / 2 * (k1 + k2)
        s = s / np.linalg.norm(s, axis=0)
    return s


@pytest.mark.parametrize(
    ("rows", "columns", "periodic"),
    [
        *((5, 4, False), (1, 1, False), (1, 2, False), (2, 1, False), (1, 9, False)),
        *((5, 4, True), (2, 2, True), (2, 9, True), (9, 2, True)),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "pinned", "warm"])
def test_steps_equal_those_of_a_slow_loop(random_spins, rows, columns, periodic, kind):
    p = FilmParameters(
        rows=rows,
        columns=columns,
        damping=0.3,
        periodic=periodic,
        bias_T=(0.2, -0.1, 0.4),
        temperature_K=4.0 if kind == "warm" else 0.0,
    )
    sites = np.random.default_rng(1).uniform(-1, 3, (rows, columns)) if kind == "pinned" else None
    pulse = Pulse(
        amplitude_T=5, width_ps=0.05, theta_deg=50, phi_deg=20, peak_ps=0.06,
        spot=Spot(x=1.5, y=3, sigma=1.2),
    )  # fmt: skip
    start = random_spins(rows, columns)
    film = Film(p, anisotropy_map=sites, seed=3)
    film.spins = start
    end = run(film, 0.08, pulse, max_step_ps=0.01)
    layout = Layout(rows, columns)
    noise = np.zeros((8, 3, layout.size), np.float32)
    for step in range(8):
        draw_noise(noise[step], 0, layout.size, 0, step, noise_key(3))
    expected = slow_heun(
        p,
        start,
        pulse,
        0.01,
        8,
        np.ones((rows, columns)) if sites is None else sites,
        layout.inner(noise).astype(float),
    )
    np.testing.assert_allclose(end, expected, atol=1e-12, rtol=0)


def test_float32_stays_close_to_float64(small_film, random_spins):
    ends = []
    for precision in ("f8", "f4"):
        film = Film(small_film, precision=precision)
        film.spins = random_spins(7, 13)
        ends.append(run(film, 1.0, Pulse(width_ps=0.3, peak_ps=0.5)))
    assert ends[1].dtype == np.float32
    np.testing.assert_allclose(ends[1], ends[0], atol=3e-5)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("precision", ["f8", "f4"])
@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (3, 5), (17, 31), (40, 40)])
def test_threads_do_not_change_a_bit(random_spins, rows, columns, precision, periodic):
    ends = []
    for threads in (1, 2, 5):
        parameters = FilmParameters(rows=rows, columns=columns, periodic=periodic)
        film = Film(parameters, precision=precision, threads=threads)
        film.spins = random_spins(rows, columns)
        ends.append(run(film, 0.3, Pulse(width_ps=0.1, peak_ps=0.2)))
    np.testing.assert_array_equal(ends[1], ends[0])
    np.testing.assert_array_equal(ends[2], ends[0])
