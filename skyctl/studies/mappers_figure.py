"""Picture of a mapped process diagram: the truth, the shots in order, the map, how unsure it is."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from skyctl.agents.boundary_mapper import BoundaryMapper
from skyctl.agents.map_grid import Axis
from skyctl.pictures import LETTER_COLOURS
from skyctl.process import OUTCOMES
from skyctl.studies.map_scores import Score
from skyctl.studies.mapper_runs import make_agent, map_prior
from skyctl.studies.truth_maps import CLASSES, TruthMap

_COLOURS = ListedColormap([*LETTER_COLOURS.values()])


def mapped(truth: TruthMap, shots: int, *, learned: bool, seed: int = 0) -> BoundaryMapper:
    """A mapper that has fired so many shots at a truth map; ``learned`` : with the prior."""
    agent = make_agent("boundary-mapper", seed, map_prior() if learned else None)
    assert isinstance(agent, BoundaryMapper)
    while agent.shots < shots:
        (point,) = agent.suggest()
        row = agent.rows.index(point[agent.rows.name])
        column = agent.columns.index(point[agent.columns.name])
        agent.ingest([{**point, "label": CLASSES[truth.labels[row, column]]}])
    return agent


def draw_map(truth: TruthMap, agent: BoundaryMapper, path: Path) -> None:
    """Draw what an agent made of a truth map into a PNG."""
    figure = Figure(figsize=(12, 8.4), layout="constrained")
    (top, shots), (map_axes, unsure) = figure.subplots(2, 2, sharex=True, sharey=True)
    found = agent.map()
    score = Score.of(truth.labels, found.labels)
    extent = (*_reach(agent.columns), *_reach(agent.rows))

    def image(axes: Axes, values: np.ndarray, **options: object) -> object:
        return axes.imshow(values, origin="lower", aspect="auto", extent=extent, **options)  # type: ignore[arg-type]

    labels = {
        "cmap": _COLOURS,
        "vmin": -0.5,
        "vmax": len(CLASSES) - 0.5,
        "interpolation": "nearest",
    }
    image(top, truth.labels, **labels)
    top.set_title(f"truth, {truth.name}: {truth.labels.size} shots")
    image(shots, truth.labels, alpha=0.35, **labels)
    rows, columns = np.divmod(np.array(agent.cells), agent.shape[1])
    places = np.array(agent.columns.values)[columns], np.array(agent.rows.values)[rows]
    order = shots.scatter(
        *places, c=np.arange(len(rows)), cmap="viridis", s=22, edgecolors="k", linewidths=0.4
    )
    checks = agent.checks
    shots.scatter(
        places[0][checks], places[1][checks], marker="s", s=70, facecolors="none", edgecolors="k"
    )
    figure.colorbar(order, ax=shots, label="shot")
    shots.set_title(f"{len(rows)} shots; squares: fired at random places to test the map")
    image(map_axes, found.labels, **labels)
    map_axes.set_title(
        f"map: boundary error {score.boundary_cells:.2f} cells, macro-F1 {score.area_f1:.3f} over "
        f"areas, {score.macro_f1:.3f} over all cells",
        fontsize=9,
    )
    wrong = image(unsure, found.error, cmap="magma_r", vmin=0, vmax=0.6)
    figure.colorbar(wrong, ax=unsure, label="chance of a wrong label")  # type: ignore[arg-type]
    held_out, low, high = found.held_out_error
    unsure.set_title(
        f"expected wrong {found.expected_error:.3f}; test shots {held_out:.2f} "
        f"({low:.2f}–{high:.2f}); "
        f"really {np.mean(found.labels != truth.labels):.3f}",
        fontsize=9,
    )
    for axes in (map_axes, unsure):
        axes.set_xlabel("pulse width t_w (ps)")
    for axes in (top, map_axes):
        axes.set_ylabel("damping α")
    patches = [Patch(color=_COLOURS(i), label=name) for i, name in enumerate(OUTCOMES)]
    figure.legend(handles=patches, loc="outside lower center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=75)


def _reach(axis: Axis) -> tuple[float, float]:
    """From the outer edge of the first cell to that of the last."""
    half = (axis.values[1] - axis.values[0]) / 2
    return axis.values[0] - half, axis.values[-1] + half
