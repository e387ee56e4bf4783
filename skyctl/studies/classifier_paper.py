"""arXiv:1907.01814 done again: its training set, network, process diagram and tests."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.inference.features import frame_features
from skyctl.inference.model import MovieClassifier
from skyctl.models.movie_set import MovieSet
from skyctl.models.scale_out import Device
from skyctl.strict_json import strict_json
from skyctl.studies.classifier_judged import ENDS_PS, PAPER_END_PS, Judgement, judge
from skyctl.studies.classifier_paper_movies import (
    INTERVAL_SET,
    PAPER_K,
    Library,
    Preset,
    Progress,
    ReproduceError,
    angle_set,
    condition_sets,
    diagram_shots,
    example_shots,
    peak_set,
    selection_shots,
    temperature_set,
    training_rows,
    training_shots,
    width_shots,
)
from skyctl.studies.process_map import PAPER_PROCESSES, Grid

PAPER = "paper"
"""Name of the paper's network: of its file and among the results."""
THRESHOLD = 0.8
"""Probability from which the paper names a process."""
INTERVALS_PS = (5.0, 10.0, 15.0)
"""Frame intervals that are tested; the training movies have the last."""
DIAGRAM = "diagram"
_EPOCHS = 30


@dataclass(frozen=True)
class Target:
    """What is to be reached: this ``share`` of the B, S and C cells named as the truth, in each of
    ``conditions``, over ``where`` ("whole" or "inside") of its map."""

    share: float
    where: str
    conditions: tuple[str, ...]


def targets(preset: Preset) -> dict[str, Target]:
    """The targets of a preset, by their keys in ``result.json``."""
    intervals = tuple(interval_condition(interval_ps) for interval_ps in INTERVALS_PS)
    return {
        "whole_diagram": Target(0.97, "whole", (DIAGRAM,)),
        "inside_areas": Target(0.995, "inside", (DIAGRAM,)),
        "frame_interval_5_to_15_ps": Target(0.97, "whole", intervals),
        "peak_time_30_to_60_ps": Target(0.97, "whole", tuple(map(peak_set, preset.peaks_ps))),
        "temperature_1.5_K_inside": Target(0.95, "inside", (temperature_set(PAPER_K),)),
        "angles_30_to_60_deg_inside": Target(
            0.95, "inside", tuple(map(angle_set, preset.angles_deg))
        ),
    }


def interval_condition(interval_ps: float) -> str:
    """Name of the condition with a frame every ``interval_ps``."""
    return f"interval-{interval_ps:g}ps"


def reproduce_classifier(
    preset: Preset,
    folder: Path,
    *,
    data: Path | None = None,
    others: Sequence[Path] = (),
    scheduler: str | None = None,
    device: Device = "cpu",
    seed: int = 2019,
    progress: Progress = lambda what, steps: lambda: None,
) -> dict[str, Any]:
    """Simulate, train, judge and draw; returns what it writes to ``result.json`` in ``folder``.

    data : folder of the movie sets; left out, ``folder``/data. Sets that are there are used, and
        gone on with where they are not full
    others : further classifiers (.onnx), to be judged beside the paper's
    scheduler, device : what simulates, as ``scale_out.fill``'s
    progress : as ``movies.Progress``

    Raises ModelError for one of ``others`` that cannot be used (before anything is simulated),
    StateError for movies of another preset or seed in ``data``, ReproduceError where no training
    set can be drawn, OSError for what cannot be written, ImportError without torch.
    """
    started = time.perf_counter()
    beside = _named_models(others)
    library = Library(data or folder / "data", scheduler, device, progress)
    for path in (folder, library.folder):
        path.mkdir(parents=True, exist_ok=True)

    with closing(library.filled("selection", selection_shots(preset))) as movies:
        selection = movies.labels
    shots = training_shots(preset, selection, seed)
    with closing(library.filled("training", shots)) as movies:
        training = train_and_export(
            movies, preset.movies_per_class, folder / f"{PAPER}.onnx", seed, progress
        )
    models = {PAPER: MovieClassifier(folder / f"{PAPER}.onnx"), **beside}

    judged, grids, hashes = _judged(models, preset, library, seed)
    tables = {
        name: {condition: j.table(grids[condition]) for condition, j in found.items()}
        for name, found in judged.items()
    }
    _draw(folder, preset, library, models[PAPER], selection, judged[PAPER][DIAGRAM], tables[PAPER])

    found = {name: reached(preset, table) for name, table in tables.items()}
    result = {
        "paper": "arXiv:1907.01814",
        "seed": seed,
        "preset": asdict(preset),
        "targets": found.pop(PAPER),
        "targets_of_others": found,
        "conditions": tables,
        "confusion": {
            name: {f"{end_ps:g}_ps": found[DIAGRAM].confusion(end_ps) for end_ps in ENDS_PS}
            for name, found in judged.items()
        },
        "training": training,
        "models": {name: asdict(model.card) for name, model in models.items()},
        "movies_sha256": hashes,
        "machine": machine(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    (folder / "result.json").write_text(strict_json(result, indent=2) + "\n")
    (folder / f"{PAPER}.md").write_text(_card(result))
    return result


def _judged(
    models: dict[str, MovieClassifier], preset: Preset, library: Library, seed: int
) -> tuple[dict[str, dict[str, Judgement]], dict[str, Grid], dict[str, str]]:
    """Of each model what it says of each condition; of each condition its grid, and the sha256 of
    its movies."""
    judged: dict[str, dict[str, Judgement]] = {name: {} for name in models}
    grids: dict[str, Grid] = {}
    hashes: dict[str, str] = {}
    for condition, grid, movies, interval_ps in _conditions(preset, library, seed):
        grids[condition], hashes[condition] = grid, movies.content_sha256
        for name, model in models.items():
            step = library.progress(f"{name} on {condition}", len(movies))
            judged[name][condition] = judge(model, movies, interval_ps=interval_ps, progress=step)
    return judged, grids, hashes


def train_and_export(
    movies: MovieSet, movies_per_class: int, path: Path, seed: int, progress: Progress
) -> dict[str, Any]:
    """Train the paper's network on a full set and write it to ``path``; returns how it went.

    Raises ReproduceError for too few movies of a process, ModelError when the exported network
    does not compute what the trained one does.
    """
    from skyctl.models.classifier_export import export_classifier
    from skyctl.studies.classifier_paper_network import train_paper_network

    rows = training_rows(movies.labels, movies_per_class)
    labels = np.repeat(np.arange(len(PAPER_PROCESSES)), movies_per_class)
    seen = int((movies.times_ps(0) <= PAPER_END_PS).sum())
    sites = movies.sz_int16(0)[0].size
    sorted_sz = np.empty((len(rows), seen, sites), np.float32)
    step = progress("sorting training movies", len(rows))
    for target, row in zip(sorted_sz, rows.tolist(), strict=True):
        for k, sz in enumerate(movies.sz(row)[:seen]):
            target[k] = frame_features(sz, sites, "sorted")
        step()
    network, report = train_paper_network(
        sorted_sz, labels, epochs=_EPOCHS, seed=seed, progress=progress("training", _EPOCHS)
    )
    parity = export_classifier(
        network,
        path,
        name=PAPER,
        classes=PAPER_PROCESSES,
        preprocessing="sorted",
        threshold=THRESHOLD,
        data_sha256=movies.content_sha256,
    )
    return {**asdict(report), "parity": parity}


def _named_models(paths: Sequence[Path]) -> dict[str, MovieClassifier]:
    models: dict[str, MovieClassifier] = {}
    for path in paths:
        model = MovieClassifier(path)
        if model.card.name in (PAPER, *models):
            raise ReproduceError(
                f"model {path}: its name {model.card.name!r} is taken by another one to be judged"
            )
        models[model.card.name] = model
    return models


def _conditions(
    preset: Preset, library: Library, seed: int
) -> Iterator[tuple[str, Grid, MovieSet, float]]:
    """Each condition: its name, grid, movies (closed when the next is asked for), and the frame
    interval at which they are shown, ps."""
    with closing(library.filled(DIAGRAM, diagram_shots(preset))) as movies:
        yield DIAGRAM, preset.diagram, movies, INTERVALS_PS[-1]
    for name, grid, shots in condition_sets(preset, seed):
        with closing(library.filled(name, shots)) as movies:
            if name != INTERVAL_SET:
                yield name, grid, movies, INTERVALS_PS[-1]
                continue
            for interval_ps in INTERVALS_PS:
                yield interval_condition(interval_ps), grid, movies, interval_ps


def reached(preset: Preset, tables: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each target by its key, with its value at the worst of its conditions, for the paper's movie
    to 105 ps and for one to 165 ps. None, and not reached, where a map has no such cells.

    tables : of each condition what ``Judgement.table`` gives
    """
    found = {}
    for key, target in targets(preset).items():
        paper, late = (
            _least([tables[name][f"{end_ps:g}_ps"][target.where] for name in target.conditions])
            for end_ps in ENDS_PS
        )
        found[key] = {
            "value": paper,
            "target": target.share,
            "reached": paper is not None and paper >= target.share,
            "value_165_ps": late,
            "reached_165_ps": late is not None and late >= target.share,
            "worst_of": list(target.conditions),
        }
    return found


def _least(shares: list[float | None]) -> float | None:
    """The smallest share; None where one is unknown, for its map has no such cells."""
    known = [share for share in shares if share is not None]
    return min(known) if len(known) == len(shares) else None


def percent(share: float | None) -> str:
    """A share for a reader."""
    return "no cells" if share is None else f"{share:.1%}"


def _card(result: dict[str, Any]) -> str:
    """The model card of the paper's network, Markdown."""
    model, training = result["models"][PAPER], result["training"]
    rows = "\n".join(
        f"| {key.replace('_', ' ')} | "
        + " | ".join(percent(found[name]) for name in ("target", "value", "value_165_ps"))
        + " |"
        for key, found in result["targets"].items()
    )
    confusion = "\n".join(
        f"| {truth} | "
        + " | ".join(str(row.get(name, 0)) for name in (*PAPER_PROCESSES, ""))
        + " |"
        for truth, row in result["confusion"][PAPER][f"{PAPER_END_PS:g}_ps"].items()
    )
    return f"""# {model["name"]}, version {model["version"]}

The recurrent classifier of arXiv:1907.01814: {model["features"]} sorted S_z → {model["hidden"]}
sigmoid units with a recurrent connection → {", ".join(model["classes"])}; no biases. One frame in,
probabilities out. A class is named from {model["threshold"]:g}.

**Trained on** {training["movies"]} simulated movies of 0–105 ps every 15 ps, θ = 50°, pulse widths
and dampings from the inside of the areas of the three processes. Of {training["held_out"]} more it
names {training["accuracy"]:.1%} right, {training["confident"]:.1%} with its threshold.

**Against the truth** by topology at 165 ps, cells of breathing, switching and collapse; movies that
end at 105 ps as the paper's, and at 165 ps:

| | target | to 105 ps | to 165 ps |
|---|---|---|---|
{rows}

θ = 40°, movies to 105 ps, cells by truth and label:

| truth | {" | ".join(PAPER_PROCESSES)} | none |
|---|---|---|---|---|
{confusion}

**Not for** films of other than {model["features"]} sites, films that start without a skyrmion,
cameras with noise or blur. Mixed states are not a class: two skyrmions are switching to it.

| | |
|---|---|
| training movies sha256 | `{model["data_sha256"]}` |
| file sha256 | `{model["file_sha256"]}` |
| torch against ONNX Runtime, 50 carried steps | {training["parity"]:.1e} |
"""


def _draw(
    folder: Path,
    preset: Preset,
    library: Library,
    model: MovieClassifier,
    selection: np.ndarray,
    diagram: Judgement,
    tables: dict[str, Any],
) -> None:
    from skyctl.studies import classifier_paper_figures as figures

    figures.diagrams(
        folder / "classifier-diagram.png", preset.selection, selection, preset.diagram, diagram
    )
    figures.conditions(folder / "classifier-limits.png", preset, tables)
    with closing(library.filled("examples", example_shots(preset))) as movies:
        figures.steps(folder / "classifier-steps.png", model, movies)
        figures.warm(folder / "classifier-warm.png", movies)
    with closing(library.filled("widths", width_shots(preset))) as movies:
        figures.widths(folder / "classifier-widths.png", model, movies)
