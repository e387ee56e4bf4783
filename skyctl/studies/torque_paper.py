"""Phys. Rev. Research 5, 033188 (2023) done again: torque networks of the s–d magnet, judged.

The paper's network and ours learn from the same states; then their films run beside the truth's.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skyctl.bench.machine import machine
from skyctl.inference.torque_network import TorqueNetwork
from skyctl.models.torque import PAPER_WIDTHS
from skyctl.models.torque_data import TorquePlan, TorqueSet, TorqueStates
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
    skyrmion_lattice,
)
from skyctl.simulators.itinerant.film import FieldOfSpins
from skyctl.strict_json import strict_json
from skyctl.studies.torque_floor import distance_from_middle
from skyctl.studies.torque_quenches import (
    late_quenches,
    order,
    peak_height,
    quench_starts,
    run_film,
)

ARCHITECTURES: tuple[Architecture, ...] = ("equivariant", "paper")
TARGETS = {
    "paper": {
        "lattice": {"within_10_deg": 0.80, "beyond_30_deg": 0.01},
        "quench": {"within_10_deg": 0.70, "beyond_30_deg": 0.02},
    },
    "equivariant": {
        "lattice": {"within_10_deg": 0.97, "beyond_30_deg": 0.001},
        "quench": {"within_10_deg": 0.92, "beyond_30_deg": 0.005},
    },
}
_RESTORED_M = 0.4
_SPREAD = 0.3


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
    "quick": TorquePreset(TorqueRecipe(), 4, 1200.0, 5.0, 2500.0),
    "paper": TorquePreset(
        TorqueRecipe(
            widths=PAPER_WIDTHS,
            plan=TorquePlan(side=48, runs=120, steps=250, step_t0=1.0),
            steps=100_000,
            test_runs=40,
            test_steps=250,
            test_step_t0=1.0,
            rounds=2,
        ),
        quenches=30,
        truth_t0=500.0,
        truth_step_t0=1.0,
        long_t0=25_000.0,
    ),
}


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
    distance = distance_from_middle(*influence.shape).ravel()
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
    times = [preset.truth_t0 / 4, preset.truth_t0]
    starts = quench_starts(preset.quenches, side, seed)
    result["quenches"], quenched = late_quenches(
        films, preset.recipe.plan.electrons, starts, times, preset.truth_step_t0, out / "data",
        progress,
    )  # fmt: skip
    figures.structure_factors(out / "structure_factor.png", quenched, times)
    result["restored"] = {}
    looks = [preset.long_t0 * k / 25 for k in range(26)]
    snapshots, histories = {}, {}
    perturbed = _lattice(side, spread=_SPREAD, rng=np.random.default_rng(seed))
    for name, field in films.items():
        advance = progress(f"long runs, {name}", 2 * len(looks))
        late = _advanced(run_film(field, starts[0], looks), advance)[-1]
        restoring = _advanced(run_film(field, perturbed, looks), advance)
        snapshots[name] = (late, perturbed, restoring[-1])
        histories[name] = [peak_height(spins) for spins in restoring]
        result["restored"][name] = {"t0": preset.long_t0, **_restored(perturbed, restoring[-1])}
        result["quenches"][name]["order_after_long_run"] = order(late)
    figures.snapshots(out / "snapshots.png", snapshots)
    perfect = peak_height(_lattice(side))
    figures.long_runs(out / "long_run.png", looks, histories, perfect)


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
