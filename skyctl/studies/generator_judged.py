"""The generator judged: beside random fields, analytic discs at the same places, and annealing.

At equal time: a core's seconds a state, what it took to make the network shared by SHARED states.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial import KDTree

from skyctl.bench.machine import machine
from skyctl.inference.session import shipped_model
from skyctl.inference.state_generator import SHIPPED_GENERATOR, StateGenerator
from skyctl.models.generator_data import AnnealPlan, annealed_states
from skyctl.models.generator_recipe import GeneratorRecipe, make_generator, no_progress
from skyctl.simulators.lattice.film import FilmParameters, bloch_or_neel, energies_meV
from skyctl.simulators.lattice.ground_states import ground_state, random_field
from skyctl.simulators.lattice.monte_carlo import FilmArrays, downhill
from skyctl.simulators.lattice.places import centres, spacing
from skyctl.simulators.physics.topology import topological_charge

SHARED = 1000
"""States that share the time in which the network was made."""
SWEEPS = (0, 10, 25, 50, 100, 200, 400, 800)
SIDE = 128
_BEYOND = 1.9
_SEED = 77
_MINIMUM = 800
_SHUFFLES = 2000
_GROUPS = 8
_FIELD = 5 / 9
"""B J/D² of the seed paper's film."""


def judge(states: int = 64, side: int = SIDE) -> dict[str, Any]:
    """All of it, on films of ``side`` that the network has not seen, J = 1 and D as it learned."""
    generator = StateGenerator(shipped_model(SHIPPED_GENERATOR))
    making_s = _making_core_s()
    film = AnnealPlan(dmi=generator.card.dmi).film(_FIELD, side)
    return {
        "machine": machine(),
        "states": states,
        "making_core_s": making_s,
        "at_equal_time": at_equal_time(generator, film, states, making_s),
        "at_equal_time_paper_film": at_equal_time(
            generator, replace(film, dmi_meV=0.3, bias_T=(0.0, 0.0, 0.05)), states, making_s
        ),
        "as_annealed": {
            f"{one} x {one}": as_annealed(generator, one, states)
            for one in (generator.card.trained_side, side)
        },
        "numbers": numbers_kept(generator, film),
    }


def _making_core_s() -> float:
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        make_generator(
            GeneratorRecipe(), Path(folder) / "again.onnx", Path(folder) / "data", no_progress
        )
    return time.process_time() - begun


def at_equal_time(
    generator: StateGenerator, film: FilmParameters, states: int, making_s: float
) -> dict[str, Any]:
    """Mean excess energy a site over the lowest state known, and core-seconds a state, of each
    source after each of SWEEPS; and the ratio to random fields relaxed for as long."""
    sites = film.rows * film.columns
    lowest = ground_state(film, random_fields=0, anneals=0).energy_meV / sites
    sources = _sources(generator, film, states)
    told: dict[str, Any] = {"lowest_meV_per_site": lowest, "sources": {}}
    for name, draw in sources.items():
        made = making_s / SHARED if name.startswith("network") else 0.0
        told["sources"][name] = _course(film, draw, lowest, states, made)
    base = told["sources"]["random field"]
    seconds = [row["core_s"] for row in base]
    for name, rows in told["sources"].items():
        for row in rows:
            excess = np.interp(row["core_s"], seconds, [b["excess"] for b in base])
            # Before random fields are drawn there is nothing to compare with.
            late = name != "random field" and row["core_s"] >= seconds[0]
            row["of_random_field"] = row["excess"] / float(excess) if late else None
    return told


def _sources(
    generator: StateGenerator, film: FilmParameters, states: int
) -> dict[str, Callable[[], np.ndarray]]:
    number = len(generator.places(film, 1)[0])
    return {
        "random field": lambda: np.stack(
            [random_field(film, rng, k).spins for rng in [_rng()] for k in range(states)]
        ),
        "discs": lambda: np.stack([discs(film, p) for p in generator.places(film, states)]),
        "network": lambda: generator.draw(film, states, relax=0),
        "network, as annealed": lambda: generator.draw(film, states, as_annealed=True, relax=0),
        "network, places at random": lambda: generator.draw(
            film, states, number=number, order=0, relax=0
        ),
    }


def _rng() -> np.random.Generator:
    return np.random.default_rng(_SEED)


def _course(
    film: FilmParameters,
    draw: Callable[[], np.ndarray],
    lowest: float,
    states: int,
    made_s: float,
) -> list[dict[str, Any]]:
    begun, rows, swept = time.process_time(), [], 0
    arrays = FilmArrays.of(film, None, None)
    packed = arrays.pack(draw(), np.float64)
    taken = time.process_time() - begun
    for sweeps in SWEEPS:
        begun = time.process_time()
        downhill(arrays, packed, sweeps - swept, _BEYOND)
        taken += time.process_time() - begun
        swept = sweeps
        excess = energies_meV(film, arrays.unpack(packed)) / (film.rows * film.columns) - lowest
        rows.append(
            {"sweeps": sweeps, "core_s": taken / states + made_s, "excess": float(excess.mean()),
             "lowest_excess": float(excess.min())}
        )  # fmt: skip
    return rows


def discs(film: FilmParameters, places: np.ndarray) -> np.ndarray:
    """Analytic skyrmions at places of a periodic film, each as far as it is the nearest: what
    needs no network."""
    row, column = np.mgrid[: film.rows, : film.columns]
    sites = np.stack([column, row], -1).reshape(-1, 2)
    sides = np.array([film.columns, film.rows])
    nearest = KDTree(places % sides, boxsize=sides).query(sites)[1]
    away = sites - places[nearest]
    away = (away - sides * np.round(away / sides)).reshape(film.rows, film.columns, 2)
    radius = 0.27 * spacing(len(places), film.rows, film.columns)
    return bloch_or_neel(
        away[..., 0], away[..., 1], radius, 1, film.dmi_meV, film.interfacial_dmi_meV
    )


def as_annealed(generator: StateGenerator, side: int, states: int) -> dict[str, Any]:
    """Drawn states beside annealed ones that the network never saw, all relaxed: two-sample tests
    (p-values) of energies, charges and radial distribution; and the spread in k-space."""
    plan = AnnealPlan(side, generator.card.dmi, _FIELD, _FIELD, 1, replicas=states, seed=_SEED)
    with tempfile.TemporaryDirectory() as folder:
        annealed = annealed_states(Path(folder) / "annealed.h5", plan).spins.astype(float)
    film = plan.film(_FIELD)
    drawn = generator.draw(film, states, as_annealed=True, relax=_MINIMUM, seed=_SEED)
    told: dict[str, Any] = {}
    kinds = {"annealed": annealed, "drawn": drawn}
    energies = {k: energies_meV(film, s) / side**2 for k, s in kinds.items()}
    charges = {k: np.array([abs(topological_charge(s, True)) for s in v]) for k, v in kinds.items()}
    for name, values in (("energy", energies), ("charge", charges)):
        told[name] = {k: float(v.mean()) for k, v in values.items()}
        test: Any = stats.ks_2samp(values["annealed"], values["drawn"])
        told[name]["p"] = float(test.pvalue)
    told["energy"]["scatter"] = {k: float(v.std()) for k, v in energies.items()}
    radial = {k: np.stack([radial_distribution(s) for s in v]) for k, v in kinds.items()}
    told["radial"] = {k: float(v.mean(0).max()) for k, v in radial.items()}
    told["radial"]["p"] = same_mean(radial["annealed"], radial["drawn"])
    told["k_spread"] = spreads(annealed[:, 2], drawn[:, 2])
    return told


def spreads(annealed: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    """Of both in k-space, their ratio, and its standard error by jackknife."""
    left_out = [
        k_spread(np.delete(drawn, group, 0)) / k_spread(np.delete(annealed, group, 0))
        for group in (slice(first, None, _GROUPS) for first in range(_GROUPS))
    ]
    spread = {"annealed": k_spread(annealed), "drawn": k_spread(drawn)}
    return {
        **spread,
        "ratio": spread["drawn"] / spread["annealed"],
        "ratio_error": float(np.sqrt((_GROUPS - 1) * np.var(left_out))),
    }


def k_spread(sz: np.ndarray) -> float:
    """Mean squared difference of |FFT| of S_z, (states, rows, columns), over all pairs and k."""
    strength = np.abs(np.fft.fft2(sz, norm="ortho"))
    count = len(strength)
    # The mean over pairs of (a - b)² is twice the variance.
    return float(2 * strength.var(axis=0).mean() * count / (count - 1))


def radial_distribution(spins: np.ndarray, bins: int = 24) -> np.ndarray:
    """g(r) of the skyrmions of a periodic film up to three spacings, (bins,)."""
    places = centres(spins, periodic=True)
    sides = np.array(spins.shape[:0:-1])
    number = len(places)
    away = places[:, None] - places[None]
    away -= sides * np.round(away / sides)
    r = np.hypot(*np.moveaxis(away, -1, 0))[np.triu_indices(number, 1)]
    edges = np.linspace(0, min(3 * spacing(number, *sides), sides.min() / 2), bins + 1)
    expected = number * (number - 1) / 2 * np.pi * np.diff(edges**2) / sides.prod()
    return np.histogram(r, edges)[0] / expected


def same_mean(a: np.ndarray, b: np.ndarray, shuffles: int = _SHUFFLES) -> float:
    """Whether samples (n, …) and (m, …) may have one mean: the p-value of a permutation test of
    the squared distance between the means."""
    both, rng = np.concatenate([a, b]), np.random.default_rng(0)

    def distance(order: np.ndarray) -> float:
        first, second = both[order[: len(a)]], both[order[len(a) :]]
        return float(((first.mean(0) - second.mean(0)) ** 2).sum())

    seen = distance(np.arange(len(both)))
    beyond = sum(distance(rng.permutation(len(both))) >= seen for _ in range(shuffles))
    return (beyond + 1) / (shuffles + 1)


def numbers_kept(generator: StateGenerator, film: FilmParameters) -> list[dict[str, Any]]:
    """How many of the skyrmions that were asked for a drawn state has, at fields and numbers."""
    rows = []
    best = len(generator.places(film, 1)[0])
    low, high = generator.card.fields[0], generator.card.fields[-1]
    for scaled in (low, (low + high) / 2, high):
        for number in (best // 2, best, round(1.2 * best)):
            here = replace(film, bias_T=(0.0, 0.0, scaled * film.dmi_meV**2))
            spins = generator.draw(here, 8, number=number, relax=200, seed=_SEED)
            charges = [abs(topological_charge(s, film.periodic)) for s in spins]
            rows.append(
                {"scaled_field": scaled, "asked": number, "mean_charge": float(np.mean(charges))}
            )
    return rows
