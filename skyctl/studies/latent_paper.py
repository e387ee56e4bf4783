"""arXiv:1903.09499 done again: a thin film's dynamics in a few numbers, ours and the paper's way,
beside baselines that the paper lacks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.inference.latent_film import LatentFilm
from skyctl.models.latent import Modes
from skyctl.models.latent_data import INTERVAL_PS, LatentPlan, Trajectories, whole_of
from skyctl.models.latent_recipe import LatentRecipe, Learned, Progress, learn, make_latent
from skyctl.models.latent_recipe import no_progress as nobody
from skyctl.models.latent_scores import Predicted, coded, predictions_of, scored, table_row
from skyctl.simulators.thin.film import ThinFilmParameters
from skyctl.strict_json import strict_json
from skyctl.studies.latent_baselines import (
    Interpolation,
    KernelDynamics,
    LinearDynamics,
    ProjectedPhysics,
)
from skyctl.studies.latent_paper_networks import (
    paper_coded,
    paper_predicted,
    train_paper_networks,
)

TARGETS = {
    "quick": {
        "field_1": 0.010, "field_2": 0.08, "field_2_to_400_ps": 0.03, "others_median": 0.02,
        "angles_deg": [1.5, 4.0], "crossings_ps": [0.3, 0.5], "changing_horizon_ps": 250.0,
        "coded_16": [0.006, 0.03],
    },
    "paper": {
        "field_1": 0.004, "field_2": 0.03, "field_2_to_400_ps": 0.01, "others_median": 0.01,
        "angles_deg": [1.0, 2.0], "crossings_ps": [0.1, 0.2], "changing_horizon_ps": 400.0,
        "coded_16": [0.003, 0.015],
    },
}  # fmt: skip
"""What issue 17 asks for; ⟨m⟩ off the film's own LLG."""
OURS = "latent network"
CORRECTED = "the same, its misses interpolated over the field"
INTERPOLATION = "interpolation over the field"
PAPERS = "the paper's Tables 1 and 2"
_SHOWN_PS = (200.0, 400.0, 600.0, 800.0)
_UNITS = 4


@dataclass(frozen=True)
class LatentPreset:
    """How much is simulated and trained.

    recipe : of our networks; small : of the autoencoder of 16 numbers
    paper_s : CPU seconds for the paper's autoencoder, and half of it for its predictor
    galerkin : runs of the test set that the projected physics is tried on
    """

    recipe: LatentRecipe
    small: LatentRecipe
    paper_s: float
    galerkin: int


_CODING_ONLY = LatentRecipe().coding_only(16)
PRESETS = {
    "quick": LatentPreset(LatentRecipe(), _CODING_ONLY, 40.0, 2),
    "paper": LatentPreset(
        replace(
            LatentRecipe(
                LatentPlan(film=ThinFilmParameters(), constant=200, sequences=400), members=5,
            ),
            modes=256, width=256,
        ).scaled(10.0),
        replace(
            _CODING_ONLY, plan=LatentPlan(film=ThinFilmParameters(), constant=200, sequences=400)
        ).scaled(10.0),
        12 * 3600.0,
        4,
    ),
}  # fmt: skip


def reproduce_latent(
    preset: str, out: Path, *, scheduler: str = "here", seed: int = 0, progress: Progress = nobody
) -> dict[str, Any]:
    """Simulate, train, judge, draw; returns ``result.json``'s content.

    out : folder of figures, result.json, networks and, under data, trajectories and checkpoints.
        The same call goes on where it was stopped.
    Raises as ``make_latent``.
    """
    began, cpu, chosen = time.perf_counter(), time.process_time(), PRESETS[preset]
    out.mkdir(parents=True, exist_ok=True)
    data, encoder = out / "data", out / "ours-encoder.onnx"
    recipe, small = (replace(each, seed=seed) for each in (chosen.recipe, chosen.small))
    facts = make_latent(recipe, encoder, data, scheduler=scheduler, progress=progress)
    learned = learn(recipe, data, progress=progress)
    coder16 = learn(small, data, progress=progress)
    film, test = LatentFilm(encoder), learned.test
    ours, _ = predictions_of(film, test)
    advance = progress("the paper's networks", 2)
    coder, predictor, took = train_paper_networks(learned.training, chosen.paper_s, seed, advance)
    found: dict[str, list[Predicted | None]] = {OURS: [*ours]}
    found |= _baselines(chosen, learned, progress)
    found[PAPERS] = [
        paper_predicted(coder, predictor, test, run) if run < test.constants else None
        for run in range(len(test.half))
    ]
    standard = range(2)
    decoded: dict[str, list[Predicted | None]] = {
        f"our autoencoder of {film.card.latent}": [*coded(film, test, standard)],
        "our autoencoder of 16": [_coded(coder16, run) for run in standard],
        "the paper's autoencoder of 16": [paper_coded(coder, test, run) for run in standard],
    }
    for count in (16, 32):
        decoded[f"{count} modes (POD)"] = [_of_modes(learned, run, count) for run in standard]
    result = {
        "machine": machine(),
        "preset": preset,
        "targets": TARGETS[preset],
        "paper_networks": took,
        "spread_rank_correlation": facts.spread,
        "predicted": {name: _row(rows, test) for name, rows in found.items()},
        "coded": {name: _row(rows, test) for name, rows in decoded.items()},
        "held_out": [asdict(s) for s in scored(found[OURS], test) if s],
    }
    _draw(out, film, test, found, decoded, result["predicted"])
    result["seconds"] = time.perf_counter() - began
    result["cpu_seconds"] = time.process_time() - cpu
    (out / "result.json").write_text(strict_json(result, indent=2) + "\n")
    return result


def _row(predictions: Sequence[Predicted | None], test: Trajectories) -> dict[str, Any]:
    return table_row(scored(predictions, test), test.constants)


def _baselines(
    chosen: LatentPreset, learned: Learned, progress: Progress
) -> dict[str, list[Predicted | None]]:
    """What else predicts the test set's runs from their first states."""
    test, training, modes = learned.test, learned.training, learned.modes
    advance = progress("baselines", 5)
    runs = range(len(test.half))
    fields, known = training.fields_T, learned.coordinates
    constant = slice(0, training.constants)
    starts = np.stack([modes.coordinates(test.magnetisation(run)[0]) for run in runs])
    found: dict[str, list[Predicted | None]] = {}

    def add(name: str, run_of: Callable[[int], np.ndarray | None]) -> None:
        predicted = [run_of(run) for run in runs]
        found[name] = [None if c is None else _predicted(modes, c) for c in predicted]
        advance()

    imagined = learned.network.trajectories(starts, test.fields_T)
    missed = known[constant] - learned.network.trajectories(known[constant, 0], fields[constant])
    over_missed = Interpolation(fields[constant, 0], missed)

    def corrected(run: int) -> np.ndarray | None:
        correction = over_missed.run(test.fields_T[run])
        return None if correction is None else imagined[run] + correction

    add(CORRECTED, corrected)
    over = Interpolation(fields[constant, 0], known[constant])
    add(INTERPOLATION, lambda run: over.run(test.fields_T[run]))
    linear = LinearDynamics(known, fields)
    add("linear dynamics (DMD), 64 modes", lambda run: linear.run(starts[run], test.fields_T[run]))
    kernels = KernelDynamics(known, fields)
    add("kernel ridge, 64 modes", lambda run: kernels.run(starts[run], test.fields_T[run]))
    physics = ProjectedPhysics(modes, chosen.recipe.plan.film)
    add(
        f"POD–Galerkin, {len(modes.basis)} modes",
        lambda run: physics.run(starts[run], test.fields_T[run]) if run < chosen.galerkin else None,
    )
    return found


def _predicted(modes: Modes, coordinates: np.ndarray) -> Predicted:
    weights, offset = modes.readout
    return Predicted(coordinates @ weights + offset, modes.half(coordinates.astype(np.float32)))


def _of_modes(learned: Learned, run: int, count: int) -> Predicted:
    """A run of the test set in its ``count`` strongest modes."""
    coordinates = learned.modes.coordinates(learned.test.magnetisation(run))
    coordinates[:, count:] = 0
    return _predicted(learned.modes, coordinates)


def _coded(learned: Learned, run: int) -> Predicted:
    """A run of the test set, each state encoded and decoded."""
    coordinates = learned.modes.coordinates(learned.test.magnetisation(run))
    return _predicted(learned.modes, learned.network.coded(coordinates))


def _draw(
    out: Path,
    film: LatentFilm,
    test: Trajectories,
    found: dict[str, list[Predicted | None]],
    decoded: dict[str, list[Predicted | None]],
    rows: dict[str, Any],
) -> None:
    from skyctl.studies import latent_paper_figures as figures

    times = INTERVAL_PS * np.arange(test.half.shape[1])
    shown = [round(when / INTERVAL_PS) for when in _SHOWN_PS]
    truth = [test.mean[run] for run in (0, 1)]

    def of(kinds: dict[str, list[Predicted | None]], name: str, run: int) -> Predicted:
        predicted = kinds[name][run]
        if predicted is None:
            raise ValueError(f"{name}: says nothing of run {run}")
        return predicted

    def means(kinds: dict[str, list[Predicted | None]], names: Sequence[str]) -> dict[str, Any]:
        return {name: [of(kinds, name, run).mean for run in (0, 1)] for name in names}

    def pictures(kinds: dict[str, list[Predicted | None]], names: Sequence[str]) -> dict[str, Any]:
        true = whole_of(test.magnetisation(0)[shown])
        others = {name: whole_of(of(kinds, name, 0).half[shown]) for name in names}
        return {"film": true, **others}

    coders = [name for name in decoded if "autoencoder" in name]
    figures.courses(out / "figure-1.png", times, truth, means(decoded, coders), "decoded")
    figures.states(out / "figure-2.png", _SHOWN_PS, pictures(decoded, coders))
    z = film.encode(whole_of(test.magnetisation(0)))
    middle = z.mean(1, keepdims=True)
    spread = z.std((0, 1))
    units = {}
    for unit in range(_UNITS):
        for sign in (-1, 1):
            one = middle.copy()
            one[:, :, unit] += 2 * sign * spread[unit]
            units[f"unit {unit + 1}, {2 * sign:+d} deviations"] = film.decode(one)[0]
    figures.units(out / "figure-3.png", units)
    predictors = [OURS, CORRECTED, PAPERS, INTERPOLATION]
    figures.courses(out / "figure-4.png", times, truth, means(found, predictors), "predicted")
    figures.states(out / "figure-5.png", _SHOWN_PS, pictures(found, [OURS, CORRECTED, PAPERS]))
    figures.table(out / "errors.png", rows)
