"""The pictures of the classifier's paper (arXiv:1907.01814), drawn from our movies."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from skyctl.inference.model import MovieClassifier
from skyctl.models.movie_set import MovieSet
from skyctl.pictures import Strip, film_strip
from skyctl.process import MIXED
from skyctl.studies.classifier_judged import ENDS_PS, PAPER_END_PS, Judgement, watch
from skyctl.studies.classifier_paper_movies import (
    EXAMPLE_DAMPING,
    EXAMPLE_WIDTHS_PS,
    PAPER_K,
    Preset,
    angle_set,
    peak_set,
    temperature_set,
)
from skyctl.studies.process_map import PAPER_PROCESSES, Grid

_COLOURS = dict(zip(PAPER_PROCESSES, ("#4477aa", "#ee6677", "#ccbb44"), strict=True))
_OTHER = "#dddddd"
_MARKERS = dict(zip(PAPER_PROCESSES, "so^", strict=True))
_BOUNDARY = "#663300"
_DPI = 110
_SHORT_PS = 90.0


def diagrams(
    path: Path, selection_grid: Grid, selection: np.ndarray, grid: Grid, judgement: Judgement
) -> None:
    """Fig. 11, the map at θ = 50° with the areas trained on, and Fig. 3, the diagram at θ = 40°
    with the classifier's boundaries, for movies that end at 105 and at 165 ps.

    selection : (cells,) str, truth at 50°; judgement : of the diagram at 40°
    """
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    left, *right = figure.subplots(1, 3, sharey=True)
    _draw_map(left, selection_grid, selection)
    chosen = selection_grid.inside(selection) & np.isin(selection, PAPER_PROCESSES)
    _outline(left, selection_grid, chosen, "black")
    left.set_title("θ = 50°, truth; outlined: trained on", fontsize=10)
    left.set_ylabel("damping α")
    for axes, end_ps in zip(right, ENDS_PS, strict=True):
        _draw_map(axes, grid, judgement.truth)
        for name in PAPER_PROCESSES:
            _outline(axes, grid, judgement.named[end_ps] == name, _BOUNDARY)
        found = judgement.agreement(end_ps)
        axes.set_title(
            f"θ = 40°, truth; network to {end_ps:g} ps: {found.right} of {found.cells} alike",
            fontsize=10,
        )
    for axes in (left, *right):
        axes.set_xlabel("pulse width t_w (ps)")
    figure.legend(
        handles=[
            *(Patch(color=colour, label=name) for name, colour in _COLOURS.items()),
            Patch(color=_OTHER, label=MIXED),
            Patch(facecolor="none", edgecolor=_BOUNDARY, label="boundary by the network"),
        ],
        loc="outside lower center",
        ncols=5,
    )
    _save(figure, path)


def _draw_map(axes: Axes, grid: Grid, labels: np.ndarray) -> None:
    codes = np.full(labels.shape, len(PAPER_PROCESSES))
    for code, name in enumerate(PAPER_PROCESSES):
        codes[labels == name] = code
    axes.pcolormesh(
        grid.widths_ps,
        grid.dampings,
        codes.reshape(grid.shape),
        shading="nearest",
        cmap=ListedColormap([*_COLOURS.values(), _OTHER]),
        vmin=-0.5,
        vmax=len(PAPER_PROCESSES) + 0.5,
    )


def _outline(axes: Axes, grid: Grid, mask: np.ndarray, colour: str) -> None:
    """Draw the edges between the cells of ``mask``, (cells,) bool, and the others."""
    cells = np.pad(mask.reshape(grid.shape), 1, mode="edge")
    # A cell's corners, in cells; then in damping and width.
    edges = [
        *(((j, i), (j, i + 1)) for i, j in np.argwhere(cells[1:-1, 1:] != cells[1:-1, :-1])),
        *(((j, i), (j + 1, i)) for i, j in np.argwhere(cells[1:, 1:-1] != cells[:-1, 1:-1])),
    ]
    height, width = grid.cell
    corner = np.array([grid.widths_ps[0] - width / 2, grid.dampings[0] - height / 2])
    lines = [np.array(edge) * (width, height) + corner for edge in edges]
    axes.add_collection(LineCollection(lines, colors=colour))


def steps(path: Path, model: MovieClassifier, examples: MovieSet) -> None:
    """Fig. 6 and 7: outputs, mean spin and skyrmion number at each step of the three examples.

    examples : the set of ``movies.example_shots``
    """
    figure = Figure(figsize=(10, 8.4), layout="constrained")
    grid = figure.subplots(4, len(EXAMPLE_WIDTHS_PS), sharex=True, sharey="row")
    for row, column in enumerate(grid.T):
        times_ps = examples.times_ps(row)
        shown = times_ps <= PAPER_END_PS
        for axes, interval_ps, end_ps in (
            (column[0], 15.0, PAPER_END_PS),
            (column[3], 5.0, _SHORT_PS),
        ):
            due_ps, outputs = _watched(model, examples, row, interval_ps)
            for name in PAPER_PROCESSES:
                axes.plot(
                    due_ps[due_ps <= end_ps],
                    outputs[due_ps <= end_ps, model.card.classes.index(name)],
                    color=_COLOURS[name],
                    marker=_MARKERS[name],
                    markersize=4,
                    label=name,
                )
        for k, name in enumerate("xyz"):
            column[1].plot(times_ps[shown], examples.mean_spin(row)[shown, k], label=f"⟨S_{name}⟩")
        column[2].plot(times_ps[shown], examples.charge(row)[shown], color="black")
        column[0].set_title(f"α = {EXAMPLE_DAMPING:g}, t_w = {EXAMPLE_WIDTHS_PS[row]:g} ps")
        column[3].set_xlabel("t (ps)")
        for axes in column:
            axes.axvline(40, color="grey", linewidth=0.8, linestyle=":")
    names = ("outputs, every 15 ps", "mean spin", "skyrmion number", "outputs, every 5 ps")
    for axes, name in zip(grid[:, 0], names, strict=True):
        axes.set_ylabel(name)
    grid[0, 0].legend(fontsize=8)
    grid[1, 0].legend(fontsize=8)
    _save(figure, path)


def warm(path: Path, examples: MovieSet) -> None:
    """Fig. 8: the same pulse at 0 and at 1.5 K.

    examples : the set of ``movies.example_shots``
    """
    strips, truth = [], examples.labels
    for row in range(len(EXAMPLE_WIDTHS_PS), len(examples)):
        shot, times_ps, sz = examples.shot(row), examples.times_ps(row), examples.sz(row)
        seen = int((times_ps <= PAPER_END_PS).sum())
        strips.append(
            Strip(
                f"{shot.parameters.temperature_K:g} K\n{truth[row]}",
                list(sz[:seen]),
                [f"{time_ps:g} ps" for time_ps in times_ps[:seen]],
                at_rest=sz[-1],
            )
        )
    film_strip(strips, path)


def widths(path: Path, model: MovieClassifier, movies: MovieSet) -> None:
    """Fig. 9: outputs at 105 ps over the pulse width, at 0 and 1.5 K; the truth as a band below.

    movies : the set of ``movies.width_shots``
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    half, truth = len(movies) // 2, movies.labels
    panels = figure.subplots(2, 1, sharex=True)
    for part, axes in enumerate(panels):
        rows = range(part * half, (part + 1) * half)
        shots = [movies.shot(row) for row in rows]
        widths_ps = [shot.pulse.width_ps for shot in shots if shot.pulse]
        ends = []
        for row in rows:
            times_ps, outputs = _watched(model, movies, row, 15.0)
            ends.append(outputs[times_ps <= PAPER_END_PS][-1])
        for name in PAPER_PROCESSES:
            values = np.array(ends)[:, model.card.classes.index(name)]
            axes.plot(
                widths_ps,
                values,
                color=_COLOURS[name],
                marker=_MARKERS[name],
                markersize=4,
                label=name,
            )
        colours = [_COLOURS.get(truth[row], _OTHER) for row in rows]
        axes.scatter(widths_ps, [-0.12] * half, c=colours, marker="s")
        axes.set(ylabel=f"outputs at {shots[0].parameters.temperature_K:g} K", ylim=(-0.2, 1.05))
    panels[1].set_xlabel(
        f"pulse width t_w (ps), α = {EXAMPLE_DAMPING:g}; squares: truth, grey mixed"
    )
    panels[1].legend(fontsize=8)
    _save(figure, path)


def conditions(path: Path, preset: Preset, tables: dict[str, Any]) -> None:
    """Agreement over frame interval, peak time, angle and temperature.

    tables : of each condition what ``Judgement.table`` gives
    """
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    kelvins = sorted((PAPER_K, *preset.temperatures_K))
    panels = (
        ("frame interval (ps)", {x: f"interval-{x:g}ps" for x in (5, 10, 15)}),
        ("peak time (ps)", {x: peak_set(x) for x in preset.peaks_ps}),
        ("pulse angle θ (°)", {x: angle_set(x) for x in preset.angles_deg}),
        ("temperature (K)", {x: temperature_set(x) for x in kelvins}),
    )
    for axes, (name, sets) in zip(figure.subplots(1, 4, sharey=True), panels, strict=True):
        for end_ps, colour in zip(ENDS_PS, ("#994455", "#004488"), strict=True):
            for where, line in (("whole", "-"), ("inside", "--")):
                shares = [tables[key][f"{end_ps:g}_ps"][where] for key in sets.values()]
                known = np.array(shares, dtype=float)  # None becomes NaN, which is not drawn
                axes.plot(
                    list(sets),
                    known,
                    line,
                    color=colour,
                    marker="o",
                    markersize=4,
                    label=f"{where.replace('_', ' ')}, to {end_ps:g} ps",
                )
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("B, S, C cells named as the truth")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)
    _save(figure, path)


def _watched(
    model: MovieClassifier, movies: MovieSet, row: int, interval_ps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Times of the frames shown, (T,), ps, and the outputs after each, (T, classes)."""
    pulse = movies.shot(row).pulse
    shown = list(watch(model, movies.sz(row), movies.times_ps(row), interval_ps, pulse))
    return np.array([time_ps for time_ps, _ in shown]), np.array([p for _, p in shown])


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)
