"""What shows that the simulators are right: each check compares a number with what it must be.

``skyctl verify`` prints them; the tests run the quick ones. Each experiment is a function of the
module that its subject names, so that a test may ask it for other cases than the table shows.
"""

from collections.abc import Iterable
from functools import partial
from typing import Literal

import numpy as np
from scipy import stats

from skyctl.simulators.lattice.engines import INTEGRATORS
from skyctl.simulators.lattice.monte_carlo import Rule
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.schemes import SCHEMES, Integrator
from skyctl.simulators.proof import (
    again,
    integrators,
    monte_carlo,
    noise,
    one_spin,
    other_programs,
    paper_film,
    published_films,
    temperature,
    waves,
)
from skyctl.simulators.proof.check import Check, Precision

_NOISY: tuple[Integrator, ...] = tuple(scheme.name for scheme in SCHEMES.values())
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
_RULES: tuple[Literal["heat-bath", "metropolis"], ...] = ("heat-bath", "metropolis")
_CURIE_UNCERTAINTIES: dict[Rule, float] = {"heat-bath": 0.003, "metropolis": 0.006}
_ALONG: tuple[Literal["x", "z"], ...] = ("x", "z")
_ROUNDING: dict[Precision, float] = {"f8": 1e-15, "f4": 3e-7}
_FIELD_CASES: tuple[tuple[Integrator, float], ...] = (
    ("heun", 1.0),
    ("heun", 4.0),
    ("heun", 16.0),
    ("midpoint", 4.0),
    ("depondt", 4.0),
)
_REFERENCE_STEPS_PS: dict[Integrator, float] = {**dict.fromkeys(INTEGRATORS, 1e-3), "heun": 5e-4}
"""Heun's predictor keeps its own length: at 1 fs its error alone is 3e-5."""
_BESIDE_SPIRIT: dict[Integrator, float] = {
    "heun": 3e-4,
    "midpoint": 1e-6,
    "depondt": 1e-6,
    "rk4": 1e-6,
}
"""Spirit's Heun normalises the predictor, ours does not: two errors of second order."""
_CUDA_CASES: tuple[tuple[Precision, float, str, float], ...] = (
    ("f8", 0.0, "", 1e-10),
    ("f4", 0.0, "", 1e-4),
    ("f8", 2.0, "-noise", 1e-5),
    ("f4", 2.0, "-noise", 1e-3),
)
"""The noise is the CPU's to rounding in single precision."""
_EXACT = "closed form"


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


def _damping_rate(damping: float) -> float:
    return llg.GAMMA_RAD_PER_PS_T * 2 * damping / (1 + damping**2)


CHECKS: tuple[Check, ...] = (
    Check(
        "larmor-period", "period of a free spin in 2 T", one_spin.larmor_period_ps,
        2 * np.pi / (2 * llg.GAMMA_RAD_PER_PS_T), 1e-4, "2π/γB", "ps",
    ),
    *(
        Check(
            f"damping-rate-{a:g}", f"decay of tan(θ/2) in 2 T, α = {a:g}",
            partial(one_spin.damping_rate_per_ps, a), _damping_rate(a), 1e-5 * _damping_rate(a),
            "αγB/(1 + α²)", "1/ps",
        )
        for a in (0.04, 0.36, 2.0)
    ),
    *(
        Check(
            f"order-{name}", f"{name}: error as a power of the "
            + ("tolerance" if name == "dormand-prince" else "step"),
            partial(integrators.integrator_order, name), order, 0.15, "regression",
        )
        for name, order in _ORDERS.items()
    ),
    *(
        Check(
            f"energy-drift-{name}", f"{name}: energy a spin gains at α = 0, "
            + ("tolerance 1e-8" if name == "dormand-prince" else "steps of 5 fs"),
            partial(integrators.energy_drift_meV_per_ps, name), 0, drift, "conserved", "meV/ps",
        )
        for name, drift in _DRIFTS.items()
    ),
    *(
        Check(
            f"length-{name}-{precision}", f"{name}, {precision}: largest ||S| - 1|",
            partial(integrators.length_error, name, precision), 0, epsilon, "rounding",
        )
        for precision, epsilon in _ROUNDING.items()
        for name in INTEGRATORS
    ),
    *(
        Check(
            f"spin-waves-{along}", f"16 spin waves of a chain magnetised along {along}: worst ω",
            partial(waves.chain_dispersion_error, along), 0, 1e-5, _EXACT, "of ω",
        )
        for along in _ALONG
    ),
    Check(
        "spiral-period", "period of the spiral of an open chain, D/J = 0.24",
        partial(waves.spiral_period, 0.24), 2 * np.pi / np.arctan(0.24), 1e-4, "2π/arctan(D/J)",
        "sites",
    ),
    Check(
        "skyrmion-charge", "Q of an analytic skyrmion", waves.skyrmion_charge, 1, 1e-9,
        "a whole number",
    ),
    Check(
        "threefry", "words that are not Random123's known answers",
        noise.threefry_words_that_differ, 0, 0, "kat_vectors",
    ),
    Check("noise-mean", "mean of 900 000", lambda: noise.noise_sample().mean(), 0, 0.004, "normal"),
    Check(
        "noise-variance", "their variance", lambda: noise.noise_sample().var(), 1, 0.006, "normal",
    ),
    Check(
        "noise-kurtosis", "their excess kurtosis",
        lambda: float(stats.kurtosis(noise.noise_sample().ravel())), 0, 0.02, "normal",
    ),
    Check(
        "noise-correlation", "worst of components, sites, steps, seeds", noise.noise_correlation,
        0, 0.006, "independent",
    ),
    Check(
        "noise-ks", "their Kolmogorov–Smirnov distance times √n", noise.noise_ks, 0, 1.63,
        "1 % level",
    ),
    *(
        Check(
            f"boltzmann-field-{t:g}K-{name}", f"{name}: ⟨S_z⟩ of free spins in 20 T at {t:g} K",
            partial(temperature.mean_along_field, t, name), temperature.mean_along_field_exact(t),
            0.005, "Langevin",
        )
        for name, t in _FIELD_CASES
    ),
    Check(
        "boltzmann-anisotropy", "⟨S_z²⟩ of free spins, K = 1 meV at 5 K",
        temperature.mean_square_along_axis, temperature.mean_square_along_axis_exact(), 0.005,
        _EXACT,
    ),
    Check(
        "boltzmann-pair", "⟨S_1·S_2⟩ of two spins, J = 1 meV at 6 K", temperature.pair_product,
        temperature.pair_product_exact(), 0.025, "coth x - 1/x",
    ),
    *(
        Check(
            f"boltzmann-chain-{name}", f"{name}: ⟨S_i·S_i+1⟩ of a chain, J = 1 meV at 6 K",
            partial(temperature.chain_product, name), temperature.pair_product_exact(), 0.005,
            "Fisher 1964",
        )
        for name in _NOISY
    ),
    *(
        Check(
            f"longest-step-{name}", f"{name}: temperature that a chain shows in steps of 15 fs",
            partial(temperature.chain_temperature_K, name), 6.0, 0.3, "Fisher 1964", "K",
        )
        for name in _NOISY
    ),
    *(
        Check(
            f"monte-carlo-field-{t:g}K-{rule}", f"{rule}: ⟨S_z⟩ of free spins in 20 T at {t:g} K",
            partial(monte_carlo.mean_along_field, t, rule), temperature.mean_along_field_exact(t),
            0.005, "Langevin",
        )
        for rule in _RULES
        for t in (4.0, 100.0)
    ),
    *(
        Check(
            f"monte-carlo-anisotropy-{rule}", f"{rule}: ⟨S_z²⟩ of free spins, K = 1 meV at 5 K",
            partial(monte_carlo.mean_square_along_axis, rule),
            temperature.mean_square_along_axis_exact(), 0.005, _EXACT,
        )
        for rule in _RULES
    ),
    Check(
        "monte-carlo-chain", "heat-bath: ⟨S_i·S_i+1⟩ of a chain, J = 1 meV at 6 K",
        partial(monte_carlo.chain_product, "heat-bath"), temperature.pair_product_exact(), 0.01,
        "Fisher 1964",
    ),
    *(
        Check(
            f"monte-carlo-balance-{rule}", f"{rule}: p that moves are as frequent as their reverse",
            partial(monte_carlo.balance, rule), 1, 0.99, "Bowker's test",
        )
        for rule in _RULES
    ),
    *(
        check
        for rule, uncertainty in _CURIE_UNCERTAINTIES.items()
        for check in (
            Check(
                f"monte-carlo-curie-{rule}", f"{rule}: Curie point, K = 20 k_BT, in J⟨|S_z|⟩²",
                partial(lambda r: monte_carlo.curie_point(r).reduced, rule),
                monte_carlo.ISING_CURIE, 5 * uncertainty, "Onsager 1944",
            ),
            Check(
                f"monte-carlo-curie-{rule}-error", "its uncertainty",
                partial(lambda r: monte_carlo.curie_point(r).uncertainty, rule), 0, uncertainty,
                "jackknife",
            ),
        )
    ),
    Check(
        "monte-carlo-restart", "numbers of Monte Carlo films that a restart changes",
        again.drawn_spins_that_a_restart_changes, 0, 0, "bit for bit",
    ),
    Check(
        "same-movie-threads", "numbers that 2 or 5 threads, or a batch, change",
        again.spins_that_threads_change, 0, 0, "bit for bit",
    ),
    Check(
        "same-movie-restart", "numbers that a restart changes", again.spins_that_a_restart_changes,
        0, 0, "bit for bit",
    ),
    *(
        Check(
            f"reference-{what}-{name}", f"{name}, steps of {step * 1e3:g} fs: {which} after 500 fs",
            partial(measure, name, step), 0, tolerance, "reference/README.md",
        )
        for name, step in _REFERENCE_STEPS_PS.items()
        for what, which, measure, tolerance in (
            (
                "spins", "worst spin of the reference film",
                other_programs.reference_spin_difference, 2.5e-5,
            ),
            ("mean", "⟨S⟩ of the reference film", other_programs.reference_mean_difference, 3e-8),
        )
    ),
    Check(
        "spirit-neel", "depondt: the same with interfacial DMI and a tilted axis",
        partial(other_programs.spirit_difference, "depondt", film=other_programs.NEEL_FILM), 0,
        1e-6, "Spirit, run here",
    ),
    *(
        Check(
            f"spirit-{name}", f"{name}: worst spin beside Spirit's, 100 steps of 1 fs",
            partial(other_programs.spirit_difference, name), 0, tolerance, "Spirit, run here",
        )
        for name, tolerance in _BESIDE_SPIRIT.items()
    ),
    *(
        Check(
            f"cuda-{precision}{label}",
            f"{precision}, {t:g} K: worst spin, CPU beside CUDA, after 1 ps",
            partial(other_programs.cuda_difference, precision, t), 0, epsilon, "CPU",
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
                partial(lambda f: other_programs.standard_problem(f).difference, field),
                0, tolerance, "magnum.np 2.2.0", full=True,
            ),
            Check(
                f"sp4-field{field}-crossing", f"standard problem 4, field {field}: when ⟨m_x⟩ is 0",
                partial(lambda f: other_programs.standard_problem(f).crossing_ps, field),
                other_programs.reference_crossing_ps(field), 0.02, "magnum.np 2.2.0", "ps",
                full=True,
            ),
        )
    ),
    Check(
        "fege-period", "period of the helices of a FeGe plate",
        partial(published_films.spiral_period_nm, "fege"), 70, 2, "Sci. Rep. 5, 17137", "nm",
    ),
    Check(
        "pdfeir-period", "period of the cycloids of Pd/Fe/Ir(111), seen as 6 to 7 nm",
        partial(published_films.spiral_period_nm, "pdfeir"), 6.5, 0.7, "Science 341, 636", "nm",
        full=True,
    ),
    Check(
        "ptco-free-walls", "D at which walls of Pt/Co cost nothing, 4√(AK)/π",
        partial(published_films.dmi_of_free_walls_mJ_per_m2, "ptco"), 3.64, 0.04,
        "Phys. Rev. B 88, 184422", "mJ/m²",
    ),
    Check(
        "curie-point", "peak of the film's susceptibility, 50 … 150 ps",
        lambda: paper_film.susceptibility().peak_K, 6.0, 1.0, "arXiv:1907.01814", "K", full=True,
    ),
    Check(
        "curie-point-error", "its uncertainty", lambda: paper_film.susceptibility().uncertainty_K,
        0, 0.5, "jackknife", "K", full=True,
    ),
)  # fmt: skip
"""Every check, in the order of the table."""
