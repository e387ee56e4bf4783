"""Phys. Rev. Research 5, 033188 (2023) done again: torque networks of the s–d magnet, judged.

The paper's network and ours learn from the same states; then their films run beside the truth's.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from torch import nn

from skyctl.bench.machine import machine
from skyctl.inference.torque_network import TorqueNetwork
from skyctl.models.torque import PAPER_WIDTHS
from skyctl.models.torque_data import DAMPING, H_EXT, TorquePlan, TorqueSet, TorqueStates
from skyctl.models.torque_recipe import (
    Architecture,
    Progress,
    TorqueRecipe,
    make_torque_network,
    no_progress,
)
from skyctl.models.torque_training import predict, random_rotation
from skyctl.simulators.itinerant.electrons import (
    SITES_PER_SKYRMION_CELL,
    lattice_charge,
    order_peaks,
    random_spins,
    skyrmion_lattice,
    structure_factor,
)
from skyctl.simulators.itinerant.film import FieldOfSpins, exact_field, midpoint_step
from skyctl.strict_json import strict_json

ARCHITECTURES: tuple[Architecture, ...] = ("equivariant", "paper")
TARGETS = {
    "paper": {"within_10_deg": 0.80, "beyond_30_deg": 0.01},
    "equivariant": {"within_10_deg": 0.95, "beyond_30_deg": 0.001},
}
_RESTORED_M = 0.4
_SPREAD = 0.3
_STEP_T0 = 1.0


@dataclass(frozen=True)
class TorquePreset:
    """How much is simulated.

    recipe : of both networks, but for their architecture
    quenches : runs from random spins, of networks and of the truth
    truth_t0, truth_step_t0 : how long the truth's quenches last, and their step
    long_t0 : how long the networks' runs last
    """

    recipe: TorqueRecipe
    quenches: int
    truth_t0: float
    truth_step_t0: float
    long_t0: float


PRESETS = {
    "quick": TorquePreset(TorqueRecipe(), 2, 100.0, 10.0, 2500.0),
    "paper": TorquePreset(
        TorqueRecipe(
            widths=PAPER_WIDTHS,
            plan=TorquePlan(side=48, runs=120, steps=250, step_t0=1.0),
            steps=100_000,
            test_runs=40,
            test_steps=250,
            rounds=2,
        ),
        quenches=30,
        truth_t0=500.0,
        truth_step_t0=1.0,
        long_t0=25_000.0,
    ),
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


def equivariance_error(network: nn.Module, spins: np.ndarray, seed: int = 0) -> float:
    """Mean |f(R S) - R f(S)| over states (states, 3, rows, columns), in units of the mean |f|."""
    r = random_rotation(np.random.default_rng(seed))
    field = predict(network, spins)
    turned = predict(network, np.einsum("ab,nbij->naij", r, spins))
    off = np.linalg.norm(turned - np.einsum("ab,nbij->naij", r, field), axis=1)
    return float(off.mean() / np.linalg.norm(field, axis=1).mean())


def receptive_field(network: nn.Module, spins: np.ndarray) -> np.ndarray:
    """Σ |∂T_a/∂S_b| of the middle site's torque over all spins, (rows, columns), mean of states.

    spins : (states, 3, rows, columns). W. Luo et al., NeurIPS 29 (2016), as the paper's Fig. 10.
    """
    x = torch.from_numpy(np.ascontiguousarray(spins, np.float32)).requires_grad_()
    _, _, rows, columns = spins.shape
    total = np.zeros((rows, columns))
    field = network(x)
    for component in range(3):
        middle = field[:, component, rows // 2, columns // 2].sum()
        (slope,) = torch.autograd.grad(middle, x, retain_graph=component < 2)
        total += slope.abs().sum(1).mean(0).numpy()
    return total


def field_range(influence: np.ndarray, share: float = 0.95) -> float:
    """Lattice constants within which ``share`` of a receptive field (rows, columns) lies."""
    rows, columns = influence.shape
    row, column = np.mgrid[:rows, :columns]
    down, right = row - rows // 2, column - columns // 2
    distance = np.sqrt(right**2 + right * down + down**2).ravel()
    by_distance = np.argsort(distance, kind="stable")
    within = np.cumsum(influence.ravel()[by_distance]) / influence.sum()
    return float(distance[by_distance][np.searchsorted(within, share)])


def reproduce_torque(
    preset: TorquePreset,
    out: Path,
    *,
    scheduler: str = "here",
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Train both networks, run their films, draw the figures; returns ``result.json``'s content.

    out : folder of figures, result.json, networks and, under data, the labelled states. The same
        call goes on with the states where it was stopped.
    Raises as ``make_torque_network``.
    """
    from skyctl.studies import torque_paper_figures as figures

    began = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": machine(), "networks": {}}
    films: dict[str, FieldOfSpins] = {}
    predictions: dict[str, np.ndarray] = {}
    influences: dict[str, np.ndarray] = {}
    true = np.empty(0)
    for name in ARCHITECTURES:
        recipe = replace(preset.recipe, architecture=name, seed=seed)
        start = time.perf_counter()
        network, facts = make_torque_network(
            recipe, out / f"{name}.onnx", out / "data", scheduler=scheduler, progress=progress
        )
        took = time.perf_counter() - start
        with TorqueSet(out / "data" / "test.h5", recipe.test_plan) as states:
            held_out = TorqueStates.joined([*states.split()])
        true = held_out.fields
        films[name] = TorqueNetwork(out / f"{name}.onnx")
        predictions[name] = predict(network, held_out.spins) * facts.scale
        influences[name] = receptive_field(network, held_out.spins[:8])
        result["networks"][name] = {
            "parameters": sum(p.numel() for p in network.parameters()),
            "seconds": took,
            "scores": {kind: asdict(score) for kind, score in facts.scores.items()},
            "targets": TARGETS[name],
            "equivariance_error": equivariance_error(network, held_out.spins),
            "receptive_field_lattice_constants": field_range(influences[name]),
        }
    figures.parity(out / "parity.png", true, predictions)
    figures.influence(out / "receptive_field.png", influences)
    _run_films(preset, out, films, result, seed, progress)
    result["seconds"] = time.perf_counter() - began
    (out / "result.json").write_text(strict_json(result, indent=2) + "\n")
    return result


def _run_films(
    preset: TorquePreset,
    out: Path,
    films: dict[str, FieldOfSpins],
    result: dict[str, Any],
    seed: int,
    progress: Progress,
) -> None:
    from skyctl.studies import torque_paper_figures as figures

    side = preset.recipe.plan.side
    starts = [
        random_spins(side, side, np.random.default_rng([seed, n])) for n in range(preset.quenches)
    ]
    times = [preset.truth_t0 / 4, preset.truth_t0]
    quenched: dict[str, list[np.ndarray]] = {}
    for name, field in {"truth": exact_field(preset.recipe.plan.electrons), **films}.items():
        advance = progress(f"quenches, {name}", len(starts))
        step_t0 = preset.truth_step_t0 if name == "truth" else _STEP_T0
        quenched[name] = _quenched(field, starts, times, step_t0, advance)
    figures.structure_factors(out / "structure_factor.png", quenched, times)
    quenches: dict[str, Any] = {"t0": times[-1]}
    result["quenches"], result["restored"] = quenches, {}
    looks = [preset.long_t0 * k / 25 for k in range(26)]
    snapshots, histories = {}, {}
    perturbed = _lattice(side, spread=_SPREAD, rng=np.random.default_rng(seed))
    for name, field in films.items():
        advance = progress(f"long runs, {name}", 2 * len(looks))
        late = _advanced(run_film(field, starts[0], looks), advance)[-1]
        restoring = _advanced(run_film(field, perturbed, looks), advance)
        snapshots[name] = (late, perturbed, restoring[-1])
        histories[name] = [order(spins) for spins in restoring]
        result["restored"][name] = {"t0": preset.long_t0, **_restored(perturbed, restoring[-1])}
        quenches[name] = {
            "peaks_within_one_pixel": peaks_found(structure_factor(late)),
            "order_after_long_run": order(late),
        }
    figures.snapshots(out / "snapshots.png", snapshots)
    figures.long_runs(out / "long_run.png", looks, histories)


def _lattice(side: int, **how: Any) -> np.ndarray:
    """The skyrmion lattice that films are to restore, twice as wide as they learned from."""
    return skyrmion_lattice(2 * side, 2 * side, magnetisation=_RESTORED_M, **how)


def _advanced(frames: Iterator[np.ndarray], advance: Callable[[], None]) -> list[np.ndarray]:
    """All frames of a run, which is told how it gets on."""
    seen = []
    for spins in frames:
        seen.append(spins)
        advance()
    return seen


def _quenched(
    field: FieldOfSpins,
    starts: Sequence[np.ndarray],
    times_t0: Sequence[float],
    step_t0: float,
    advance: Callable[[], None],
) -> list[np.ndarray]:
    """The structure factor at each of ``times_t0``, mean of quenches from all ``starts``."""
    runs: list[list[np.ndarray]] = []
    for start in starts:
        runs.append(list(run_film(field, start, times_t0, step_t0)))
        advance()
    return [
        np.mean([structure_factor(spins) for spins in at_one_time], axis=0)
        for at_one_time in zip(*runs, strict=True)
    ]


def _restored(perturbed: np.ndarray, restored: np.ndarray) -> dict[str, float]:
    """How much of the skyrmion lattice a film has brought back."""
    side = perturbed.shape[1] // 2
    perfect = _lattice(side)
    cells = 4 * side**2 / SITES_PER_SKYRMION_CELL
    return {
        "charge_per_cell": lattice_charge(restored) / cells,
        "charge_per_cell_of_the_ansatz": lattice_charge(perfect) / cells,
        "order": order(restored),
        "order_of_the_ansatz": order(perfect),
        "order_at_the_start": order(perturbed),
    }
