"""Quenches of the itinerant magnet, by the truth and by torque networks: their order in time.

Phys. Rev. Research 5, 033188 (2023), Fig. 5. The truth takes minutes a quench; each is kept.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter

from skyctl.bench.machine import machine
from skyctl.models.torque_data import DAMPING, DATA_ELECTRONS, H_EXT, label
from skyctl.models.torque_recipe import Progress, no_progress
from skyctl.simulators.itinerant.electrons import (
    Electrons,
    order_peaks,
    random_spins,
    structure_factor,
)
from skyctl.simulators.itinerant.film import FieldOfSpins, midpoint_step

_STEP_T0 = 1.0
_TRUTH_STEP_T0 = 5.0
"""At 10 short waves outlive a quench: mean |q| 1200 t0 after it is 1.3 |Q|, by networks too."""


def quench_starts(quenches: int, side: int, seed: int) -> list[np.ndarray]:
    """Random spins (3, side, side) of so many quenches, always the same."""
    return [random_spins(side, side, np.random.default_rng([seed, n])) for n in range(quenches)]


def late_quenches(
    films: Mapping[str, FieldOfSpins],
    electrons: Electrons,
    starts: Sequence[np.ndarray],
    times_t0: Sequence[float],
    truth_step_t0: float,
    kept: Path,
    progress: Progress = no_progress,
) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """Quenches from the same spins by the truth and by networks, and what order they come to.

    films : of each network; kept : a folder of the truth's runs, gone on with

    Returns what is said of each at the last time, a number a run, and the mean S(q), (rows,
    columns), at each of ``times_t0``. Beside the networks stands the start itself.
    """
    said: dict[str, Any] = {"t0": times_t0[-1], "runs": len(starts)}
    said["start"] = _orders(starts)
    factors: dict[str, list[np.ndarray]] = {}
    for name, field in {"truth": partial(label, electrons), **films}.items():
        advance = progress(f"quenches, {name}", len(starts))
        true = name == "truth"
        states = _quenched(
            field, starts, times_t0, truth_step_t0 if true else _STEP_T0, kept if true else None,
            advance,
        )  # fmt: skip
        factors[name] = [_mean_structure_factor(at_one_time) for at_one_time in states]
        said[name] = _orders(states[-1])
    return said, factors


def torque_quenches(
    films: Mapping[str, FieldOfSpins],
    kept: Path,
    png: Path | None = None,
    *,
    quenches: int = 4,
    side: int = 24,
    long_t0: float = 1200.0,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """``late_quenches`` of networks of the shipped electrons, drawn at a quarter and at the end.

    Raises ValueError for a side that the order does not take, OSError where nothing can be kept.
    """
    times = [long_t0 / 4, long_t0]
    order_peaks(side, side)
    kept.mkdir(parents=True, exist_ok=True)
    said, factors = late_quenches(
        films, DATA_ELECTRONS, quench_starts(quenches, side, seed), times, _TRUTH_STEP_T0, kept,
        progress,
    )  # fmt: skip
    if png is not None:
        from skyctl.studies.torque_paper_figures import structure_factors

        structure_factors(png, factors, times)
    return {"machine": machine(), "side": side, "quenches": said}


def _orders(states: Sequence[np.ndarray] | np.ndarray) -> dict[str, Any]:
    return {
        "wave_number": [mean_wave_number(structure_factor(spins)) for spins in states],
        "order": [order(spins) for spins in states],
        "peaks_within_one_pixel": peaks_found(_mean_structure_factor(states)),
    }


def run_film(
    field: FieldOfSpins,
    spins: np.ndarray,
    times_t0: Sequence[float],
    step_t0: float = _STEP_T0,
    damping: float = DAMPING,
) -> Iterator[np.ndarray]:
    """Spins (3, rows, columns) at each of ``times_t0``, under a field and the paper's H_ext."""
    applied = np.array([0, 0, H_EXT])[:, None, None]
    now = 0.0
    for when in times_t0:
        steps = round((when - now) / step_t0)
        for _ in range(steps):
            spins = midpoint_step(spins, lambda s, _: field(s) + applied, step_t0, damping)
        now += steps * step_t0
        yield spins


def order(spins: np.ndarray) -> float:
    """Share of S(q) in the six peaks of the skyrmion lattice, 0 to 1."""
    s = structure_factor(spins)
    return float(sum(s[peak] for peak in order_peaks(*spins.shape[1:])) / s.sum())


def peak_height(spins: np.ndarray) -> float:
    """Sites times S(q), mean of the six peaks: the paper's Fig. 8, whose 305 eq. 12 as printed,
    with 1/N instead of 1/√N, could not reach."""
    return order(spins) * float((spins**2).sum()) / 6


def mean_wave_number(s: np.ndarray) -> float:
    """Mean |q| over a structure factor (rows, columns) but for q = 0, in units of |Q| = π/3a."""
    rows, columns = s.shape
    b, a = np.mgrid[:rows, :columns]
    lengths = []
    for down, right in np.ndindex(2, 2):  # q and its copies: the shortest counts
        qx = 2 * np.pi * (a / columns - right)
        qy = (2 * np.pi * (b / rows - down) - qx / 2) * 2 / np.sqrt(3)
        lengths.append(np.hypot(qx, qy))
    length = np.min(lengths, axis=0) / (np.pi / 3)
    return float((s * length).sum() / (s.sum() - s[0, 0]))


def peaks_found(s: np.ndarray) -> int:
    """Of how many of the six wave vectors ±Q one of the six highest peaks of S(q) lies within a
    pixel. s : (rows, columns), a structure factor; q = 0 is no peak."""
    s = s.copy()
    s[0, 0] = 0
    peaks = np.where(s == maximum_filter(s, 3, mode="wrap"), s, 0)
    highest = np.zeros(s.shape, bool)
    highest.ravel()[np.argsort(peaks.ravel())[-6:]] = True
    near = maximum_filter(highest, 3, mode="wrap")
    return int(sum(near[peak] for peak in order_peaks(*s.shape)))


def _quenched(
    field: FieldOfSpins,
    starts: Sequence[np.ndarray],
    times_t0: Sequence[float],
    step_t0: float,
    kept: Path | None,
    advance: Callable[[], None],
) -> np.ndarray:
    """Spins (times, runs, 3, rows, columns) of quenches from all ``starts``.

    kept : a folder in which each run is kept: the same call goes on with those that are there
    """
    runs: list[np.ndarray] = []
    for start in starts:
        key = hashlib.sha256(repr((start.tobytes(), times_t0, step_t0)).encode()).hexdigest()[:12]
        path = None if kept is None else kept / f"quench-{key}.npy"
        if path is not None and path.exists():
            runs.append(np.load(path))
        else:
            runs.append(np.stack(list(run_film(field, start, times_t0, step_t0))))
            if path is not None:
                partial = path.with_suffix(".part.npy")
                np.save(partial, runs[-1])
                partial.replace(path)
        advance()
    return np.stack(runs, axis=1)


def _mean_structure_factor(states: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    return np.mean([structure_factor(spins) for spins in states], axis=0)
