"""What shows that the simulators are right: every check is one number beside the one it must be.

``skyctl verify`` prints them; the tests run the quick ones. Each experiment is a function of its
own, so that a test may ask it for other cases than the table shows.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numba
import numpy as np
from scipy import integrate, optimize, stats

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.engines import INTEGRATORS
from skyctl.simulators.lattice.files import load_film, save_film
from skyctl.simulators.lattice.film import MAX_STEP_PS, Film, FilmParameters, bloch_skyrmion
from skyctl.simulators.lattice.layout import Layout
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics import llg, random
from skyctl.simulators.physics.kernels_noise import draw_noise
from skyctl.simulators.physics.schemes import SCHEMES, Integrator
from skyctl.simulators.physics.span import noise_key
from skyctl.simulators.physics.topology import topological_charge
from skyctl.simulators.proof.beside_spirit import spirit_film, spirit_installed
from skyctl.simulators.thin.standard_problem import (
    Sp4Run,
    first_zero_ps,
    reference_series,
    run_standard_problem,
)

Precision = Literal["f8", "f4"]

_REFERENCE = Path(__file__).parent / "reference" / "atomistic_500_steps.npz"
_FREE = FilmParameters(
    rows=1, columns=1, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, damping=0, bias_T=(0, 0, 2)
)
"""One spin in 2 T along z."""
_ALL_TERMS = FilmParameters(rows=7, columns=13, damping=0.2, bias_T=(0.3, -0.5, 0.7))
"""Every interaction switched on, no symmetry left, sides that no vector length divides."""
_NOISY: tuple[Integrator, ...] = tuple(scheme.name for scheme in SCHEMES.values())
_STATISTICS_SEED = 2
_SHORT_STEP_PS = 0.0025
"""Noise turns a spin by √(2αγk_BT dt/μ) a step, 0.05 … 0.1 here, and equilibrium is off by some
hundredths of its square: below what the statistics resolve."""


class Missing(Exception):
    """A check needs what this machine does not have; the text says what."""


@dataclass(frozen=True)
class Check:
    """One number that shows the simulator right: passed if within ``tolerance`` of ``expected``.

    name : to ask for it; what : is measured; source : of the expected value
    full : takes long, left out of the quick set
    measure : the experiment; raises Missing where it cannot be done
    """

    name: str
    what: str
    measure: Callable[[], float]
    expected: float
    tolerance: float
    source: str
    unit: str = ""
    full: bool = False

    def run(self) -> "Outcome":
        """Measure."""
        begin = time.perf_counter()
        measured, missing = None, None
        try:
            measured = float(self.measure())
        except Missing as reason:
            missing = str(reason)
        return Outcome(self, measured, missing, time.perf_counter() - begin)


@dataclass(frozen=True)
class Outcome:
    """What a check found: a number, or what it missed to find one."""

    check: Check
    measured: float | None
    missing: str | None
    seconds: float

    @property
    def passed(self) -> bool | None:
        """None where the check could not be done."""
        if self.measured is None:
            return None
        return bool(abs(self.measured - self.check.expected) <= self.check.tolerance)

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values."""
        c = self.check
        return {
            "name": c.name,
            "what": c.what,
            "measured": self.measured,
            "expected": c.expected,
            "tolerance": c.tolerance,
            "unit": c.unit,
            "source": c.source,
            "passed": self.passed,
            "missing": self.missing,
            "seconds": self.seconds,
        }


def choose(full: bool = False, only: Iterable[str] = ()) -> list[Check]:
    """The quick checks, or all; or those whose names begin with one of ``only``, quick or not.

    Raises ValueError for a name that no check has.
    """
    wanted = tuple(only)
    if not wanted:
        return [check for check in CHECKS if full or not check.full]
    for name in wanted:
        if not any(check.name.startswith(name) for check in CHECKS):
            known = ", ".join(check.name for check in CHECKS)
            raise ValueError(f"no check is called {name!r}: choose of {known}")
    return [check for check in CHECKS if check.name.startswith(wanted)]


# --- one spin -------------------------------------------------------------------------------------


def larmor_period_ps(integrator: Integrator = "heun") -> float:
    """Period of one free spin in 2 T, at 60° to it, ps."""
    film = Film(_FREE, integrator=integrator)
    film.spins = np.array([np.sqrt(0.75), 0, 0.5]).reshape(3, 1, 1)
    times = np.arange(0, 40.0, 1.0)
    angles = [np.arctan2(s[1], s[0]).item() for s in film.frames(None, times.tolist())]
    rate, _ = np.polyfit(times, np.unwrap(angles), 1)
    return float(2 * np.pi / rate)


def damping_rate_per_ps(damping: float) -> float:
    """Rate at which tan(θ/2) of one spin decays towards a field of 2 T, 1/ps."""
    film = Film(replace(_FREE, damping=damping))
    film.spins = np.array([1, 0, 0.2]).reshape(3, 1, 1)
    times = np.arange(1.0, 6.0)
    theta = [np.arccos(s[2].item()) for s in film.frames(None, times.tolist(), max_step_ps=0.002)]
    rate, _ = np.polyfit(times, np.log(np.tan(np.array(theta) / 2)), 1)
    return float(-rate)


# --- integrators ----------------------------------------------------------------------------------


def random_spins(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Unit spins (3, rows, columns) of no symmetry, the same ones for a seed."""
    spins = np.random.default_rng(seed).normal(size=(3, rows, columns))
    return spins / np.linalg.norm(spins, axis=0)


def _pulsed_end(
    integrator: Integrator, step_ps: float | None, tolerance: float = 1e-8
) -> np.ndarray:
    """A random film 0.32 ps later, after a short pulse, (3, rows, columns)."""
    film = Film(_ALL_TERMS, integrator=integrator, tolerance=tolerance)
    film.spins = random_spins(_ALL_TERMS.rows, _ALL_TERMS.columns)
    film.advance(0.32, Pulse(width_ps=0.1, peak_ps=0.15), max_step_ps=step_ps)
    return film.spins


@lru_cache
def _pulsed_truth() -> np.ndarray:
    """``_pulsed_end`` to 1e-12: by RK4 in 4096 steps, so that no integrator is its own judge."""
    return _pulsed_end("rk4", 0.32 / 4096)


def integrator_order(integrator: Integrator) -> float:
    """Power of the step with which the error of a spin falls; of Dormand–Prince: of the tolerance.

    By regression over steps of 10 … 1.25 fs, tolerances of 1e-5 … 1e-9.
    """
    if integrator == "dormand-prince":
        settings = 10.0 ** -np.arange(5, 10)
        ends = [_pulsed_end(integrator, None, tolerance) for tolerance in settings]
    else:
        settings = 0.02 / 2.0 ** np.arange(1, 5)
        ends = [_pulsed_end(integrator, step) for step in settings]
    errors = [np.abs(end - _pulsed_truth()).max() for end in ends]
    order, _ = np.polyfit(np.log(settings), np.log(errors), 1)
    return float(order)


def energy_drift_meV_per_ps(
    integrator: Integrator, step_ps: float = 0.005, span_ps: float = 20.0
) -> float:
    """Energy that a spin gains without damping, meV/ps: of 400 that start at random."""
    p = FilmParameters(rows=20, columns=20, damping=0)
    film = Film(p, integrator=integrator)
    film.spins = random_spins(p.rows, p.columns)
    before = film.energy_meV()
    film.advance(span_ps, max_step_ps=step_ps)
    return (film.energy_meV() - before) / (p.rows * p.columns * span_ps)


def length_error(integrator: Integrator, precision: Precision) -> float:
    """Largest ||S| - 1| of a film after 3 ps and a pulse."""
    film = Film(
        _ALL_TERMS,
        precision=precision,
        integrator=integrator,
    )
    film.spins = random_spins(_ALL_TERMS.rows, _ALL_TERMS.columns)
    film.advance(3.0, Pulse(width_ps=0.5, peak_ps=1.0))
    return float(np.abs(np.linalg.norm(film.spins.astype(np.float64), axis=0) - 1).max())


# --- waves and textures ---------------------------------------------------------------------------


def spin_wave_error(along: Literal["x", "z"], mode: tuple[int, int], rows: int = 2) -> float:
    """Relative error of a spin wave's frequency on a periodic film of ``rows`` x 16 sites.

    along : where the film is magnetised; mode : wavelengths in its length along x, and along y

    Of two rows that move alike, it is the chain. ω = γ (B + (2J/μ)(2 - cos k_x - cos k_y) + 2K/μ)
    along z; along x, where waves to the right and to the left differ, -(2D/μ) sin k_x instead of
    the last term (T. Moriya, Phys. Rev. 120, 91 (1960); J.-H. Moon et al., Phys. Rev. B 88, 184404
    (2013), for its lattice).
    """
    columns, field_T, time_ps = 16, 3.0, 0.02
    p = FilmParameters(
        rows=rows,
        columns=columns,
        anisotropy_meV=0.1 if along == "z" else 0.0,
        damping=0,
        periodic=True,
        bias_T=(field_T, 0, 0) if along == "x" else (0, 0, field_T),
    )
    kx, ky = 2 * np.pi * mode[0] / columns, 2 * np.pi * mode[1] / rows
    y, x = np.mgrid[:rows, :columns]
    wave = np.exp(1j * (kx * x + ky * y))
    small = 1e-3 * np.stack([np.ones_like(x), wave.real, wave.imag])
    small[0] = 1.0
    axes = [0, 1, 2] if along == "x" else [2, 0, 1]  # (magnetisation, its two transverse axes)
    film = Film(p, integrator="rk4")
    film.spins = small[np.argsort(axes)]
    film.advance(time_ps, max_step_ps=1e-3)
    end = film.spins[axes]
    amplitude = ((end[1] + 1j * end[2]) * wave.conj()).mean()
    mu = p.moment_meV_per_T
    expected_T = field_T + 2 * p.exchange_meV / mu * (2 - np.cos(kx) - np.cos(ky))
    if along == "x":
        expected_T -= 2 * p.dmi_meV / mu * np.sin(kx)
    else:
        expected_T += 2 * p.anisotropy_meV / mu
    measured = np.angle(amplitude) / time_ps
    return float(measured / (llg.GAMMA_RAD_PER_PS_T * expected_T) - 1)


def chain_dispersion_error(along: Literal["x", "z"]) -> float:
    """Largest relative error of any of the 16 spin waves of a chain."""
    return max((spin_wave_error(along, (n, 0)) for n in range(-8, 8)), key=abs)


def spiral_period(dmi_over_exchange: float) -> float:
    """Period of the spiral that an open chain settles in, sites.

    It starts with the wrong period, and its free ends let it wind or unwind.
    """
    p = FilmParameters(rows=1, columns=40, anisotropy_meV=0)
    film = Film(replace(p, dmi_meV=dmi_over_exchange * p.exchange_meV))
    angle = 0.05 * np.arange(p.columns)
    film.spins = np.stack([np.zeros_like(angle), np.cos(angle), np.sin(angle)])[:, None]
    film.relax(max_ps=3000, torque_T=1e-8)
    _, y, z = film.spins[:, 0]
    turn = np.unwrap(np.arctan2(z, y))
    return float(2 * np.pi * (p.columns - 1) / (turn[-1] - turn[0]))


def skyrmion_charge() -> float:
    """Q of an analytic skyrmion in the -z background."""
    return topological_charge(bloch_skyrmion(60, 70, 8))


# --- temperature ----------------------------------------------------------------------------------


def threefry_words_that_differ() -> int:
    """Of Random123's three known answers for Threefry-4x32 with 20 rounds, the words we get wrong.

    Source: D. E. Shaw Research, Random123, ``kat_vectors``.
    """
    threefry = random.compile_threefry(numba.njit)
    wrong = 0
    for counter_and_key, answer in THREEFRY_ANSWERS:
        words = [np.uint32(int(word, 16)) for word in counter_and_key.split()]
        found = [f"{int(word) & 0xFFFFFFFF:08x}" for word in threefry(*words)]
        wrong += sum(a != b for a, b in zip(found, answer.split(), strict=True))
    return wrong


THREEFRY_ANSWERS = (
    (" ".join(["00000000"] * 8), "9c6ca96a e17eae66 fc10ecd4 5256a7d8"),
    (" ".join(["ffffffff"] * 8), "2a881696 57012287 f6c7446e a16a6732"),
    (
        "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 082efa98 ec4e6c89",
        "59cd1dbb b8879579 86b5d00c ac8b6d84",
    ),
)
"""Counter and key, and the answer; the third pair is the digits of π."""


@lru_cache(maxsize=2)
def noise_sample(steps: int = 30, seed: int = 0) -> np.ndarray:
    """The noise of a film, (steps, 3, 100, 100), in standard deviations."""
    layout, key = Layout(100, 100), noise_key(seed)
    noise = np.zeros((steps, 3, layout.size), np.float32)
    for step in range(steps):
        draw_noise(noise[step], 0, layout.size, 0, step, key)
    return layout.inner(noise).astype(np.float64)


def noise_correlation() -> float:
    """Largest correlation between components, neighbouring sites, steps and seeds."""
    n, other = noise_sample(), noise_sample(seed=1)
    pairs = [
        *((n[:, a], n[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))),
        (n[..., 1:], n[..., :-1]),
        (n[..., 1:, :], n[..., :-1, :]),
        (n[1:], n[:-1]),
        (n[1:] ** 2, n[:-1] ** 2),
        (n, other),
    ]
    return max((float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in pairs), key=abs)


def noise_ks() -> float:
    """Kolmogorov–Smirnov distance from the normal distribution, times √n."""
    n = noise_sample().ravel()
    return float(stats.kstest(n, "norm").statistic * np.sqrt(n.size))


def _equilibrium(
    parameters: FilmParameters,
    integrator: Integrator,
    settle_ps: float,
    frames: int,
    step_ps: float = _SHORT_STEP_PS,
) -> np.ndarray:
    """Spins in equilibrium, every picosecond, (frames, 3, rows, columns)."""
    film = Film(
        parameters,
        precision="f4",
        integrator=integrator,
        seed=_STATISTICS_SEED,
    )
    film.spins = random_spins(parameters.rows, parameters.columns)
    times = settle_ps + np.arange(frames)
    return np.stack(list(film.frames(None, times.tolist(), max_step_ps=step_ps)))


_PARAMAGNET = FilmParameters(
    rows=64, columns=64, exchange_meV=0, dmi_meV=0, anisotropy_meV=0, damping=0.5, bias_T=(0, 0, 20)
)
"""Spins that do not see each other."""


def langevin(x: float) -> float:
    """coth x - 1/x."""
    return float(1 / np.tanh(x) - 1 / x)


def langevin_argument(temperature_K: float) -> float:
    """μB/k_BT of the free spins that ``mean_along_field`` is about."""
    field_meV = _PARAMAGNET.moment_meV_per_T * _PARAMAGNET.bias_T[2]
    return field_meV / (llg.K_B_MEV_PER_K * temperature_K)


def mean_along_field(temperature_K: float, integrator: Integrator = "heun") -> float:
    """⟨S_z⟩ of free spins in 20 T."""
    p = replace(_PARAMAGNET, temperature_K=temperature_K)
    return float(_equilibrium(p, integrator, 6.0, 30)[:, 2].mean())


_ANISOTROPY_MEV, _ANISOTROPY_K = 1.0, 5.0


def mean_square_along_axis() -> float:
    """⟨S_z²⟩ of spins with an easy axis only, K = 1 meV at 5 K."""
    p = replace(
        _PARAMAGNET, bias_T=(0, 0, 0), anisotropy_meV=_ANISOTROPY_MEV, temperature_K=_ANISOTROPY_K
    )
    return float((_equilibrium(p, "heun", 6.0, 30)[:, 2] ** 2).mean())


def mean_square_along_axis_exact() -> float:
    """∫ z² exp(Kz²/k_BT) dz / ∫ exp(Kz²/k_BT) dz."""
    x = _ANISOTROPY_MEV / (llg.K_B_MEV_PER_K * _ANISOTROPY_K)
    above, _ = integrate.quad(lambda z: z**2 * np.exp(x * z**2), 0, 1)
    below, _ = integrate.quad(lambda z: np.exp(x * z**2), 0, 1)
    return above / below


_PAIR = FilmParameters(
    rows=1, columns=2, exchange_meV=1.0, dmi_meV=0, anisotropy_meV=0, damping=1, temperature_K=6.0
)
_PAIR_X = 1.0 / (llg.K_B_MEV_PER_K * 6.0)
_CHAIN = replace(_PAIR, columns=4001)


def _neighbours_product(
    parameters: FilmParameters,
    integrator: Integrator,
    frames: int,
    step_ps: float,
    distance: int = 1,
) -> float:
    s = _equilibrium(parameters, integrator, 10.0, frames, step_ps)
    return float((s[..., distance:] * s[..., :-distance]).sum(1).mean())


def pair_product() -> float:
    """⟨S_1·S_2⟩ of two spins, J = 1 meV at 6 K."""
    return _neighbours_product(_PAIR, "heun", 8_000, 2 * _SHORT_STEP_PS)


def chain_product(integrator: Integrator = "heun", distance: int = 1) -> float:
    """⟨S_i·S_i+distance⟩ of an open chain, J = 1 meV at 6 K.

    Exact: u^distance, u = coth(J/k_BT) - k_BT/J, for a chain of any length (M. E. Fisher, Am. J.
    Phys. 32, 343 (1964)).
    """
    return _neighbours_product(_CHAIN, integrator, 30, _SHORT_STEP_PS, distance)


def chain_temperature_K(integrator: Integrator = "heun", damping: float = 0.36) -> float:
    """The temperature that a chain's correlations show at 6 K, with the film's longest step."""
    chain = replace(_CHAIN, damping=damping)
    u = _neighbours_product(chain, integrator, 60, MAX_STEP_PS)
    x: Any = optimize.brentq(lambda x: langevin(x) - u, 0.1, 100)
    return float(1.0 / (llg.K_B_MEV_PER_K * x))


# --- the same movie again -------------------------------------------------------------------------


def _noisy_shot(periodic: bool) -> MovieSpec:
    p = FilmParameters(rows=17, columns=31, periodic=periodic, temperature_K=2.0)
    pulse = Pulse(width_ps=0.1, peak_ps=0.2)
    return MovieSpec(p, (0.1, 0.3), pulse, start=random_spins(17, 31), seed=7)


def spins_that_threads_change(
    integrator: Integrator = "heun", precision: Precision = "f8", periodic: bool = False
) -> int:
    """Numbers of a noisy movie that are not the same with 2 or 5 threads, or in a batch."""
    shot = _noisy_shot(periodic)

    def movie(_: MovieSpec, frames: Iterator[np.ndarray]) -> np.ndarray:
        return np.stack(list(frames))

    options: dict[str, Any] = {"integrator": integrator, "precision": precision}
    alone = movie(shot, shot.film(**options).frames(shot.pulse, shot.times_ps))
    others = [
        movie(shot, shot.film(threads=n, **options).frames(shot.pulse, shot.times_ps))
        for n in (2, 5)
    ]
    batch = [replace(shot, seed=seed) for seed in (1, shot.seed, 2)]
    others.append(list(simulate_batch(batch, movie, threads=2, **options))[1])
    return sum(int((other != alone).sum()) for other in others)


def spins_that_a_restart_changes(
    integrator: Integrator = "heun", precision: Precision = "f8", periodic: bool = False
) -> int:
    """Numbers of a noisy film that are not the same where it was saved and loaded half-way."""
    shot = _noisy_shot(periodic)
    straight = shot.film(precision=precision, integrator=integrator)
    saved = shot.film(precision=precision, integrator=integrator)
    for film in (straight, saved):
        film.advance(0.1, shot.pulse)
    with tempfile.TemporaryDirectory() as folder:
        save_film(saved, Path(folder) / "film.h5")
        loaded = load_film(Path(folder) / "film.h5")
    for film in (straight, loaded):
        film.advance(0.2, shot.pulse, start_ps=0.1)
    return int((straight.spins != loaded.spins).sum())


# --- other programs -------------------------------------------------------------------------------


def reference_film() -> tuple[FilmParameters, np.ndarray, np.ndarray]:
    """The film of ``reference/atomistic_500_steps.npz``: parameters, start and end.

    start, end : (3, 100, 100); Spirit 2.2.0 moved the film by 500 steps of 1 fs (Depondt).
    """
    parameters = FilmParameters(
        exchange_meV=1.0,
        dmi_meV=0.3,
        anisotropy_meV=0.1,
        moment_muB=2.0,
        damping=0.1,
        periodic=True,
        bias_T=(0.0, 0.0, 1.0),
    )
    with np.load(_REFERENCE) as file:
        start, end = (file[name].transpose(2, 1, 0) for name in ("start", "end"))
    return parameters, start, end


@lru_cache
def _reference_end(integrator: Integrator, step_ps: float) -> np.ndarray:
    parameters, start, _ = reference_film()
    film = Film(parameters, integrator=integrator)
    film.spins = start
    film.advance(0.5, max_step_ps=step_ps)
    return film.spins


def reference_spin_difference(integrator: Integrator, step_ps: float = 1e-3) -> float:
    """Largest difference of a spin's component from the reference trajectory's end."""
    return float(np.abs(_reference_end(integrator, step_ps) - reference_film()[2]).max())


def reference_mean_difference(integrator: Integrator, step_ps: float = 1e-3) -> float:
    """Largest difference of a component of ⟨S⟩ from the reference trajectory's end."""
    end = _reference_end(integrator, step_ps).mean((1, 2))
    return float(np.abs(end - reference_film()[2].mean((1, 2))).max())


def spirit_difference(integrator: Integrator, periodic: bool = False) -> float:
    """Largest difference of a spin from Spirit's, after 100 steps of 1 fs from the same start.

    Spirit: G. P. Müller et al., Phys. Rev. B 99, 224414 (2019); its SIB is our midpoint. Raises
    Missing where it is not installed.
    """
    if not spirit_installed():
        raise Missing("not installed: pip install spirit")
    from spirit import simulation, system  # pyright: ignore[reportMissingImports]

    p = FilmParameters(rows=20, columns=30, periodic=periodic, bias_T=(0.5, -1.0, 2.0))
    start = random_spins(p.rows, p.columns)
    with spirit_film(p, 1e-3, integrator) as theirs:
        spins = system.get_spin_directions(theirs)  # a view, x fastest
        spins[:] = start.transpose(1, 2, 0).reshape(-1, 3)
        simulation.n_shot(theirs, 100)
        end = np.array(system.get_spin_directions(theirs))
    film = Film(p, integrator=integrator)
    film.spins = start
    film.advance(0.1, max_step_ps=1e-3)
    return float(np.abs(film.spins - end.reshape(p.rows, p.columns, 3).transpose(2, 0, 1)).max())


def cuda_difference(precision: Precision, temperature_K: float = 0.0) -> float:
    """Largest difference of a spin between CPU and CUDA after 1 ps and a pulse.

    Raises Missing where there is no CUDA device.
    """
    p = FilmParameters(rows=130, columns=97, temperature_K=temperature_K, bias_T=(0.1, 0.2, 0.3))
    ends = []
    for device in ("cuda", "cpu"):
        try:
            film = Film(p, precision=precision, device=device)
        except (RuntimeError, ImportError) as error:
            raise Missing("no CUDA device on this machine") from error
        film.spins = random_spins(p.rows, p.columns)
        film.advance(1.0, Pulse(width_ps=0.3, peak_ps=0.5))
        ends.append(film.spins.astype(np.float64))
    return float(np.abs(ends[0] - ends[1]).max())


@lru_cache
def _standard_problem(field: int) -> Sp4Run:
    return run_standard_problem(field, "reference")


def _reference_crossing_ps(field: int) -> float:
    times_ps, mean = reference_series(field)
    return first_zero_ps(times_ps, mean[:, 0])


# --- the film of the paper ------------------------------------------------------------------------


@dataclass(frozen=True)
class Susceptibility:
    """χ = N (⟨m²⟩ - ⟨|m|⟩²)/k_BT of |m| over temperature, and where it peaks.

    temperatures_K : (n,); magnetisation : ⟨|m|⟩, (n,); chi_per_meV : (n,)
    peak_K, uncertainty_K : of the parabola through the three highest points of log χ; uncertainty
        from leaving one of the films out (jackknife), no less than half the points' spacing
    """

    temperatures_K: np.ndarray
    magnetisation: np.ndarray
    chi_per_meV: np.ndarray
    peak_K: float
    uncertainty_K: float


@lru_cache
def susceptibility(
    temperatures_K: tuple[float, ...] = (4.5, 5.0, 5.25, 5.5, 5.75, 6.0, 6.5, 7.0, 8.0),
    side: int = 48,
    films: int = 16,
    settle_ps: float = 50.0,
    sample_ps: float = 100.0,
) -> Susceptibility:
    """Susceptibility of the paper's film, periodic, α = 1, from the uniform state; all cores.

    films : independent ones at each temperature; settle_ps, sample_ps : of each, before and while
        it is looked at, every 2 ps

    What peaks is the loss of the uniform state to domains, whose walls the DMI makes cheap, within
    the length of the paper's movies. The longer one waits the lower it is (4.6 K within 1.2 ns),
    and neighbouring spins stay parallel far beyond it: without DMI this film orders near 8.5 K.
    """
    times = tuple(np.arange(settle_ps, settle_ps + sample_ps, 2.0).tolist())
    film = FilmParameters(rows=side, columns=side, periodic=True, damping=1.0)
    shots = [
        MovieSpec(replace(film, temperature_K=t), times, start="empty", seed=seed)
        for t in temperatures_K
        for seed in range(films)
    ]

    def lengths(_: MovieSpec, frames: Iterator[np.ndarray]) -> np.ndarray:
        return np.array([np.linalg.norm(s.mean((1, 2), dtype=np.float64)) for s in frames])

    m = np.stack(list(simulate_batch(shots, lengths, integrator="depondt"))).reshape(
        len(temperatures_K), films, -1
    )
    t = np.array(temperatures_K)

    def chi(m: np.ndarray) -> np.ndarray:
        return side**2 * m.reshape(len(t), -1).var(1) / (llg.K_B_MEV_PER_K * t)

    def peak_K(chi: np.ndarray) -> float:
        top = int(np.clip(np.argmax(chi), 1, len(t) - 2))
        a, b, _ = np.polyfit(t[top - 1 : top + 2], np.log(chi[top - 1 : top + 2]), 2)
        return float(-b / (2 * a))

    without_one = [peak_K(chi(np.delete(m, i, axis=1))) for i in range(films)]
    jackknife = np.sqrt(films - 1) * np.std(without_one)
    return Susceptibility(
        temperatures_K=t,
        magnetisation=m.mean((1, 2)),
        chi_per_meV=chi(m),
        peak_K=peak_K(chi(m)),
        uncertainty_K=float(max(jackknife, np.diff(t).min() / 2)),
    )


# --- the table ------------------------------------------------------------------------------------

_ORDERS: dict[Integrator, float] = {
    "heun": 2,
    "midpoint": 2,
    "depondt": 2,
    "rk4": 4,
    "dormand-prince": 1,
}
_DRIFTS: dict[Integrator, float] = {
    "heun": 1e-3,
    "midpoint": 3e-5,
    "depondt": 3e-5,
    "rk4": 1e-6,
    "dormand-prince": 5e-8,
}
"""meV/ps: three times and more what was measured."""
_ALONG: tuple[Literal["x", "z"], ...] = ("x", "z")
_ROUNDING: dict[Precision, float] = {"f8": 1e-15, "f4": 3e-7}
_FIELD_CASES: tuple[tuple[Integrator, float], ...] = (
    ("heun", 1.0), ("heun", 4.0), ("heun", 16.0), ("midpoint", 4.0), ("depondt", 4.0),
)  # fmt: skip
_REFERENCE_STEPS_PS: dict[Integrator, float] = {**dict.fromkeys(INTEGRATORS, 1e-3), "heun": 5e-4}
"""Heun's predictor keeps its own length: at 1 fs its error alone is 3e-5."""
_BESIDE_SPIRIT: dict[Integrator, float] = {
    "heun": 3e-4, "midpoint": 1e-6, "depondt": 1e-6, "rk4": 1e-6,
}  # fmt: skip
"""Spirit's Heun normalises the predictor, ours does not: two errors of second order."""
_CUDA_CASES: tuple[tuple[Precision, float, str, float], ...] = (
    ("f8", 0.0, "", 1e-10), ("f4", 0.0, "", 1e-4), ("f8", 2.0, "-noise", 1e-5),
    ("f4", 2.0, "-noise", 1e-3),
)  # fmt: skip
"""The noise is the CPU's to rounding in single precision."""
_EXACT = "closed form"


def _damping_rate(damping: float) -> float:
    return llg.GAMMA_RAD_PER_PS_T * 2 * damping / (1 + damping**2)


CHECKS: tuple[Check, ...] = (
    Check(
        "larmor-period", "period of a free spin in 2 T", larmor_period_ps,
        2 * np.pi / (2 * llg.GAMMA_RAD_PER_PS_T), 1e-4, "2π/γB", "ps",
    ),
    *(
        Check(
            f"damping-rate-{a:g}", f"decay of tan(θ/2) in 2 T, α = {a:g}",
            partial(damping_rate_per_ps, a), _damping_rate(a), 1e-5 * _damping_rate(a),
            "αγB/(1 + α²)", "1/ps",
        )
        for a in (0.04, 0.36, 2.0)
    ),
    *(
        Check(
            f"order-{name}", f"{name}: error as a power of the "
            + ("tolerance" if name == "dormand-prince" else "step"),
            partial(integrator_order, name), order, 0.15, "regression",
        )
        for name, order in _ORDERS.items()
    ),
    *(
        Check(
            f"energy-drift-{name}", f"{name}: energy a spin gains at α = 0, "
            + ("tolerance 1e-8" if name == "dormand-prince" else "steps of 5 fs"),
            partial(energy_drift_meV_per_ps, name), 0, drift, "conserved", "meV/ps",
        )
        for name, drift in _DRIFTS.items()
    ),
    *(
        Check(
            f"length-{name}-{precision}", f"{name}, {precision}: largest ||S| - 1|",
            partial(length_error, name, precision), 0, epsilon, "rounding",
        )
        for precision, epsilon in _ROUNDING.items()
        for name in INTEGRATORS
    ),
    *(
        Check(
            f"spin-waves-{along}", f"16 spin waves of a chain magnetised along {along}: worst ω",
            partial(chain_dispersion_error, along), 0, 1e-5, _EXACT, "of ω",
        )
        for along in _ALONG
    ),
    Check(
        "spiral-period", "period of the spiral of an open chain, D/J = 0.24",
        partial(spiral_period, 0.24), 2 * np.pi / np.arctan(0.24), 1e-4, "2π/arctan(D/J)", "sites",
    ),
    Check(
        "skyrmion-charge", "Q of an analytic skyrmion", skyrmion_charge, 1, 1e-9, "a whole number",
    ),
    Check(
        "threefry", "words that are not Random123's known answers", threefry_words_that_differ,
        0, 0, "kat_vectors",
    ),
    Check("noise-mean", "mean of 900 000", lambda: noise_sample().mean(), 0, 0.004, "normal"),
    Check("noise-variance", "their variance", lambda: noise_sample().var(), 1, 0.006, "normal"),
    Check(
        "noise-kurtosis", "their excess kurtosis",
        lambda: float(stats.kurtosis(noise_sample().ravel())), 0, 0.02, "normal",
    ),
    Check(
        "noise-correlation", "worst of components, sites, steps, seeds", noise_correlation,
        0, 0.006, "independent",
    ),
    Check(
        "noise-ks", "their Kolmogorov–Smirnov distance times √n", noise_ks, 0, 1.63, "1 % level",
    ),
    *(
        Check(
            f"boltzmann-field-{t:g}K-{name}", f"{name}: ⟨S_z⟩ of free spins in 20 T at {t:g} K",
            partial(mean_along_field, t, name), langevin(langevin_argument(t)), 0.005, "Langevin",
        )
        for name, t in _FIELD_CASES
    ),
    Check(
        "boltzmann-anisotropy", "⟨S_z²⟩ of free spins, K = 1 meV at 5 K", mean_square_along_axis,
        mean_square_along_axis_exact(), 0.005, _EXACT,
    ),
    Check(
        "boltzmann-pair", "⟨S_1·S_2⟩ of two spins, J = 1 meV at 6 K", pair_product,
        langevin(_PAIR_X), 0.025, "coth x - 1/x",
    ),
    *(
        Check(
            f"boltzmann-chain-{name}", f"{name}: ⟨S_i·S_i+1⟩ of a chain, J = 1 meV at 6 K",
            partial(chain_product, name), langevin(_PAIR_X), 0.005, "Fisher 1964",
        )
        for name in _NOISY
    ),
    *(
        Check(
            f"longest-step-{name}", f"{name}: temperature that a chain shows in steps of 15 fs",
            partial(chain_temperature_K, name), 6.0, 0.3, "Fisher 1964", "K",
        )
        for name in _NOISY
    ),
    Check(
        "same-movie-threads", "numbers that 2 or 5 threads, or a batch, change",
        spins_that_threads_change, 0, 0, "bit for bit",
    ),
    Check(
        "same-movie-restart", "numbers that a restart changes", spins_that_a_restart_changes,
        0, 0, "bit for bit",
    ),
    *(
        Check(
            f"reference-{what}-{name}", f"{name}, steps of {step * 1e3:g} fs: {which} after 500 fs",
            partial(measure, name, step), 0, tolerance, "reference/README.md",
        )
        for name, step in _REFERENCE_STEPS_PS.items()
        for what, which, measure, tolerance in (
            ("spins", "worst spin of the reference film", reference_spin_difference, 2.5e-5),
            ("mean", "⟨S⟩ of the reference film", reference_mean_difference, 3e-8),
        )
    ),
    *(
        Check(
            f"spirit-{name}", f"{name}: worst spin beside Spirit's, 100 steps of 1 fs",
            partial(spirit_difference, name), 0, tolerance, "Spirit, run here",
        )
        for name, tolerance in _BESIDE_SPIRIT.items()
    ),
    *(
        Check(
            f"cuda-{precision}{label}",
            f"{precision}, {t:g} K: worst spin, CPU beside CUDA, after 1 ps",
            partial(cuda_difference, precision, t), 0, epsilon, "CPU",
        )
        for precision, t, label, epsilon in _CUDA_CASES
    ),
    *(
        check
        for field, tolerance in ((1, 1e-4), (2, 5e-4))
        for check in (
            Check(
                f"sp4-field{field}-mean",
                f"standard problem 4, field {field}: worst ⟨m⟩ within 1 ns",
                partial(lambda f: _standard_problem(f).difference, field), 0, tolerance,
                "magnum.np 2.2.0", full=True,
            ),
            Check(
                f"sp4-field{field}-crossing", f"standard problem 4, field {field}: when ⟨m_x⟩ is 0",
                partial(lambda f: _standard_problem(f).crossing_ps, field),
                _reference_crossing_ps(field), 0.02, "magnum.np 2.2.0", "ps", full=True,
            ),
        )
    ),
    Check(
        "curie-point", "peak of the film's susceptibility, 50 … 150 ps",
        lambda: susceptibility().peak_K, 6.0, 1.0, "arXiv:1907.01814", "K", full=True,
    ),
    Check(
        "curie-point-error", "its uncertainty", lambda: susceptibility().uncertainty_K,
        0, 0.5, "jackknife", "K", full=True,
    ),
)  # fmt: skip
"""Every check, in the order of the table."""
