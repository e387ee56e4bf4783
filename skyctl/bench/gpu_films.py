"""Films on a GPU beside the CPU, in one run: site-steps and movies a second."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from skyctl.bench.cuda import CASES, cuda_speed
from skyctl.bench.simulator import Case, case_rate
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch

TIMES_A_CORE = 100.0
"""What a batch of films on the GPU should be faster than one core of the CPU, at least."""
OF_MEMORY_FLOOR = 0.5
"""Of the rate at which memory passes what a step reads and writes, that a batch should reach."""
_FRAMES = 8


def films(
    seconds: float = 2.0,
    cases: Sequence[tuple[int, int]] = CASES,
    span_ps: float = 5.0,
    copied_bytes: int = 2**30,
) -> dict[str, Any]:
    """Site-steps a second on the GPU, beside its memory's floor, one core and all cores.

    Films of the CPU have 100 x 100 sites.

    seconds : for each rate; the others as ``cuda_speed``'s, of whose cases the largest batch is
        compared
    """
    rows = cuda_speed(seconds, cases, span_ps, copied_bytes)
    side, batch = max(cases, key=lambda case: case[1])
    cores = os.cpu_count() or 1
    one = case_rate(Case(precision="f4"), seconds)
    every = Case(precision="f4", threads=cores, batch=2 * cores)
    goals = []
    for row in rows:
        if row["batch"] != batch:
            continue
        what = f"{batch} films of {side} x {side} sites, {row['precision']}"
        if row["precision"] == "f4":
            times = row["site_steps_per_s"] / one
            goals.append(_goal(f"{what}: times one core", times, TIMES_A_CORE))
        goals.append(_goal(f"{what}: of memory's floor", row["of_memory_floor"], OF_MEMORY_FLOOR))
    cpu = {"one core": one, f"all {cores} cores": case_rate(every, seconds)}
    return {"gpu": rows, "cpu_f4_site_steps_per_s": cpu, "goals": goals}


def _goal(what: str, measured: float, wanted: float) -> dict[str, Any]:
    return {"what": what, "measured": measured, "wanted": wanted, "met": measured >= wanted}


def movies(
    count: int = 1000,
    side: int = 100,
    end_ps: float = 165.0,
    cpu_count: int = 3,
    start: Literal["skyrmion", "empty"] = "skyrmion",
) -> dict[str, Any]:
    """Movies a second: one batch on the GPU, one core, all cores; and how far they are apart.

    count : of movies on the GPU; cpu_count : on one core, and on each of all cores
    start : as ``MovieSpec``'s
    """
    shots = _shots(count, side, end_ps, start)
    cores = os.cpu_count() or 1
    _filmed(shots[:2], device="cuda")  # compiled
    _filmed(shots[:1])
    on_gpu, gpu = _filmed(shots, device="cuda")
    on_cpu, one = _filmed(shots[:cpu_count], threads=1)
    _, every = _filmed((shots * cores)[: cpu_count * cores])
    return {
        "movies": count,
        "frames": _FRAMES,
        "sites": side**2,
        "movies_per_s": {"gpu": gpu, "one core": one, f"all {cores} cores": every},
        "times_one_core": gpu / one,
        "times_all_cores": gpu / every,
        "largest_difference_of_mean_sz": float(np.abs(on_gpu[:cpu_count] - on_cpu).max()),
    }


def _shots(count: int, side: int, end_ps: float, start: Any) -> list[MovieSpec]:
    """Films under pulses of the paper's kind, each another."""
    rng = np.random.default_rng(0)
    film = FilmParameters(rows=side, columns=side)
    times_ps = np.linspace(0, end_ps, _FRAMES).tolist()  # of 1000 films: less than a gigabyte
    pulses = [
        Pulse(width_ps=float(rng.uniform(4, 48)), theta_deg=float(rng.uniform(20, 60)))
        for _ in range(count)
    ]
    return [MovieSpec(film, times_ps, pulse, start) for pulse in pulses]


def _filmed(shots: list[MovieSpec], **options: Any) -> tuple[np.ndarray, float]:
    """⟨S_z⟩ in every frame, (movies, frames), and movies a second."""
    begin = time.perf_counter()
    seen = list(simulate_batch(shots, _mean_sz, **options))
    return np.array(seen), len(shots) / (time.perf_counter() - begin)


def _mean_sz(_: MovieSpec, frames: Iterator[np.ndarray]) -> list[float]:
    return [float(spins[2].mean()) for spins in frames]
