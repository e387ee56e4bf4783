"""How torque networks get better with the states they learn from, at equal steps of training."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.models.torque import Architecture
from skyctl.models.torque_data import KINDS, TorqueStates
from skyctl.models.torque_recipe import (
    Progress,
    TorqueRecipe,
    filled_set,
    labelled_set,
    learned_states,
    no_progress,
    trained,
)
from skyctl.models.torque_training import predict, score


def torque_scaling(
    recipe: TorqueRecipe,
    data: Path,
    labelled: Sequence[Path],
    *,
    architectures: Sequence[Architecture],
    counts: Sequence[int],
    seeds: int = 1,
    png: Path | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Train each architecture, from each seed, on so many states; judge on the truth's own runs.

    recipe : of all of them but for architecture and seed; its rounds are not driven
    data : folder of the truth's sets and of the weights; the same call takes what is there
    labelled : torque sets that a network drove
    counts : states, drawn in random order from all; more than there are, or 0: all of them

    Raises as ``make_torque_network``.
    """
    data.mkdir(parents=True, exist_ok=True)
    truth, _ = filled_set(data / "truth.h5", recipe.plan, "here", progress)
    test = TorqueStates.joined([*filled_set(data / "test.h5", recipe.test_plan, "here", progress)])
    everything = learned_states(truth, [labelled_set(path, recipe.plan) for path in labelled])
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        for count in counts:
            states = _some(everything, count)
            for name in architectures:
                cell = replace(recipe, architecture=name, seed=seed)
                network = cell.network()
                trained(cell, 0, network, states, truth.mean_field, data, progress)
                predicted = {
                    kind: predict(network, test.of_kind(kind).spins) * truth.mean_field
                    for kind in KINDS
                }
                scores: dict[str, Any] = {
                    kind: asdict(score(predicted[kind], test.of_kind(kind).fields))
                    for kind in KINDS
                }
                rows.append(
                    {"architecture": name, "states": len(states.spins), "seed": seed, **scores}
                )
    if png is not None:
        from skyctl.studies.torque_paper_figures import scaling

        scaling(png, rows)
    return {"machine": machine(), "steps": recipe.steps, "batch": recipe.batch, "results": rows}


def _some(states: TorqueStates, count: int) -> TorqueStates:
    """The first ``count`` of them in a random order, always the same; all, where there are less."""
    if not 0 < count < len(states.spins):
        return states
    chosen = np.random.default_rng(0).permutation(len(states.spins))[:count]
    return TorqueStates(states.spins[chosen], states.fields[chosen], states.kinds[chosen])
