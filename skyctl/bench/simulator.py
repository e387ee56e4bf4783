"""Benchmark of the film: site-steps a second, beside Spirit and numpy in the same run."""

import importlib.metadata
import os
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from skyctl.bench.cuda import cuda_speed
from skyctl.bench.machine import ROUNDS, machine, rate
from skyctl.children import CHILDREN
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.lattice.film import MAX_STEP_PS, Film, FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.schemes import SCHEMES
from skyctl.simulators.proof.beside_spirit import spirit_film, spirit_installed
from skyctl.simulators.proof.other_programs import spirit_difference

_SPOT = Spot(x=50, y=50, sigma=8)


@dataclass(frozen=True)
class Case:
    """What is timed: one predictor–corrector step of a film of side × side sites.

    batch : films in one call, each with its own damping; 1 is one film on all ``threads``
    """

    engine: str = "skyctl"
    precision: Literal["f8", "f4"] = "f8"
    threads: int = 1
    batch: int = 1
    side: int = 100
    integrator: Any = "heun"
    temperature_K: float = 0.0
    periodic: bool = False
    spot: bool = False


CASES = [
    *(
        Case(precision=precision, threads=threads, batch=batch)
        for precision in ("f8", "f4")
        for threads, batch in ((1, 1), (2, 1), (1, 4), (2, 4))
    ),
    *(
        Case(precision=precision, **{"threads": 1, **change})
        for precision in ("f8", "f4")
        for change in (
            {"periodic": True},
            {"spot": True},
            {"temperature_K": 1.0},
            {"temperature_K": 1.0, "threads": 2},
            {"temperature_K": 1.0, "threads": 2, "batch": 4},
            {"integrator": "midpoint"},
            {"integrator": "depondt"},
        )
    ),
    Case("numpy"),
    *(Case("spirit", temperature_K=t) for t in (0.0, 1.0)),
    Case("spirit", integrator="depondt"),
    Case("spirit", integrator="midpoint"),
]
SIDES = (50, 100, 200, 400, 1000)


def simulator_speed(
    seconds: float, progress: Callable[[str], None] = lambda case: None
) -> dict[str, Any]:
    """Rates of ``CASES``, each the median of rounds through all of them, and what size costs.

    ``seconds`` for each case in all. The steps are those a user gets: ``Film.advance`` for one
    film, ``simulate_batch`` for many. Ratios are to Spirit's Heun at the same temperature (at T = 0
    where it is not installed, to none) and to the same step in numpy.
    """
    spirit = spirit_installed()
    cases = [case for case in CASES if spirit or case.engine != "spirit"]
    workers = [_worker(case) for case in cases]
    rates: list[list[float]] = [[] for _ in cases]
    for number in range(ROUNDS):
        for case, work, seen in zip(cases, workers, rates, strict=True):
            progress(f"round {number + 1} of {ROUNDS}: {_title(case)}")
            seen.append(work(seconds / ROUNDS))
    medians = [statistics.median(seen) for seen in rates]
    peers = dict(zip(cases, medians, strict=True))
    rows = []
    for case, median in zip(cases, medians, strict=True):
        row = {
            "case": f"{case.engine}: {_title(case)}",
            **asdict(case),
            "sites": case.side**2,
            "device": "cpu",
            "site_steps_per_s": median,
            "times_numpy": median / peers[Case("numpy")],
        }
        if spirit:
            row["times_spirit"] = median / peers[Case("spirit")]
            row["times_spirit_same_temperature"] = (
                median / peers[Case("spirit", temperature_K=case.temperature_K)]
            )
        rows.append(row)
    scaling = []
    for precision in ("f8", "f4"):
        for side in SIDES:
            case = Case(precision=precision, side=side)
            progress(f"size: {_title(case)}")
            speed = case_rate(case, seconds)
            scaling.append({"precision": precision, "sites": side**2, "site_steps_per_s": speed})
    progress("CUDA")
    return {
        "machine": machine(),
        "spirit": importlib.metadata.version("spirit") if spirit else "not installed",
        "results": [*rows, *cuda_speed(seconds)],
        "scaling": scaling,
        "largest_spin_difference_from_spirit": {
            scheme.name: spirit_difference(scheme.name) for scheme in SCHEMES.values() if spirit
        },
    }


def case_rate(case: Case, seconds: float) -> float:
    """Site-steps a second of one case: the median of rounds that share ``seconds``."""
    work = _worker(case)
    return statistics.median(work(seconds / ROUNDS) for _ in range(ROUNDS))


def _title(case: Case) -> str:
    """In words, what is not as in the plain case."""
    changed = {k: v for k, v in asdict(case).items() if v != getattr(Case(), k)}
    changed.pop("engine", None)
    return ", ".join(k if v is True else f"{k} {v}" for k, v in changed.items()) or "one film, f8"


def _worker(case: Case) -> Callable[[float], float]:
    """A function that works for about so many seconds and returns site-steps a second."""
    if case.engine == "spirit":
        return lambda seconds: _in_process(_spirit_rate, case, seconds)
    once, site_steps = _numpy_work() if case.engine == "numpy" else _film_work(case)
    return _timed(once, site_steps)


def _timed(once: Callable[[], None], site_steps: int) -> Callable[[float], float]:
    def work() -> float:
        once()
        return site_steps

    once()  # compiled, and in the cache
    return lambda seconds: rate(work, seconds)


def _film_work(case: Case) -> tuple[Callable[[], None], int]:
    p = FilmParameters(
        rows=case.side, columns=case.side, periodic=case.periodic, temperature_K=case.temperature_K
    )
    pulse = Pulse(width_ps=28, spot=_SPOT if case.spot else None)
    # A batch is of movies as long as they are, since each film is built first.
    steps = max(20, int((60e6 if case.batch > 1 else 20e6) / case.side**2))
    span_ps = steps * MAX_STEP_PS
    options: dict[str, Any] = {"precision": case.precision, "integrator": case.integrator}
    if case.batch > 1:
        shots = [
            MovieSpec(replace(p, damping=0.2 + 0.02 * i), [span_ps], pulse, "empty", seed=i)
            for i in range(case.batch)
        ]

        def once() -> None:
            for _ in simulate_batch(
                shots, lambda _, frames: next(frames), threads=case.threads, **options
            ):
                pass

        return once, steps * case.side**2 * case.batch
    film = Film(p, threads=case.threads, **options)
    film.spins = np.random.default_rng(0).normal(size=(3, case.side, case.side))
    return lambda: film.advance(span_ps, pulse), steps * case.side**2


def _numpy_change(
    spins: np.ndarray, couplings: tuple[float, float, float], damping: float
) -> np.ndarray:
    """How spins, (3, rows, columns), turn in a step; couplings: turns of exchange, DMI, K."""
    g = np.pad(spins, ((0, 0), (1, 1), (1, 1)))
    neighbours = (*g[:, 1:-1, :-2], *g[:, 1:-1, 2:], *g[:, :-2, 1:-1], *g[:, 2:, 1:-1])
    field: tuple[Any, ...] = (*neighbours, spins[2], *couplings)
    spin: tuple[Any, ...] = (*spins, *llg.interaction_field(*field), damping)
    turning: tuple[Any, ...] = (*spins, *llg.turning(*spin))
    return np.stack(llg.turned(*turning))


def _numpy_work() -> tuple[Callable[[], None], int]:
    """Heun's step in numpy: the functions of ``llg`` take arrays as well as numbers."""
    film = Film()
    film.set_skyrmion()
    state = film.spins
    c = film.coefficients()
    turn = c.rate * MAX_STEP_PS
    couplings = (turn * c.exchange_T, turn * c.dmi_T, turn * c.anisotropy_T)
    change = partial(_numpy_change, couplings=couplings, damping=c.damping)

    def once() -> None:
        nonlocal state
        predicted = state + change(state)
        state = state + predicted + change(predicted)
        state = state / np.linalg.norm(state, axis=0)

    return once, 100 * 100


def _in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a fresh process on one OpenMP thread; Spirit's settings are the process's."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with CHILDREN.Pool(1) as pool:
        return pool.apply(work, arguments)


def _spirit_rate(case: Case, seconds: float) -> float:
    from spirit import configuration, simulation  # pyright: ignore[reportMissingImports]

    p = FilmParameters(
        rows=case.side, columns=case.side, bias_T=(1.4, 0, 1.4), temperature_K=case.temperature_K
    )
    with spirit_film(p, MAX_STEP_PS, case.integrator) as film:
        configuration.random(film)
        return _timed(lambda: simulation.n_shot(film, 50), 50 * case.side**2)(seconds)
