"""Pictures: film strips of recordings and movies, maps, calibrations, and standard problem 4."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from skyctl.agents.wanted import COMPONENTS, WantedPicture
from skyctl.frame import Frame
from skyctl.plans.mapping import MapReport
from skyctl.process import LETTERS, OUTCOMES
from skyctl.recording.reader import Recording
from skyctl.simulators.thin.standard_problem import Sp4Run
from skyctl.stream.sources.calibration import Calibration

_FRAMES = 8
_BEFORE_TARGET = 4
LETTER_COLOURS = dict(
    zip(LETTERS.values(), ("#4477aa", "#ee6677", "#ccbb44", "#dddddd"), strict=True)
)
"""Of the cells of a process diagram."""


@dataclass(frozen=True)
class Strip:
    """One movie to draw: what to write beside it, its frames of S_z (H, W), and over each.

    at_rest : the film as it settled after the movie, drawn last
    """

    title: str
    sz: Sequence[np.ndarray]
    captions: Sequence[str]
    at_rest: np.ndarray | None = None


def recorded_strips(recording: Recording, only: Collection[int] | None = None) -> list[Strip]:
    """The movies of a recording's pulsed shots, each with the look that followed it.

    only : the numbers of these shots; None for all
    """
    labels = {int(row["shot_number"]): bytes(row["label"]).decode() for row in recording.results}
    strips: list[Strip] = []
    drawn = False
    for number, (start, frames, _) in enumerate(recording.shots()):
        if start.pulse is not None:
            drawn = only is None or number in only
        if not drawn:
            continue
        movie = list(frames)
        if start.pulse is not None:
            title = f"{start.pulse}\n{labels.get(number, '')}"
            captions = [f"{frame.movie_time_ps:g} ps" for frame in movie]
            strips.append(Strip(title, [frame.sz for frame in movie], captions))
        elif strips and movie:
            strips[-1] = replace(strips[-1], at_rest=movie[0].sz)
    return strips


def film_strip(strips: Sequence[Strip], path: Path) -> None:
    """Draw movies as rows of up to eight frames and the film at rest into a PNG.

    Raises ValueError when there is nothing to draw.
    """
    strips = [strip for strip in strips if len(strip.sz)]
    if not strips:
        raise ValueError("no frames to draw: the movies are empty")
    columns = min(_FRAMES, max(len(strip.sz) for strip in strips))
    rest = any(strip.at_rest is not None for strip in strips)
    width = 1.25 * (columns + rest) + 2.6
    figure = Figure(figsize=(width, 1.5 * len(strips) + 0.4), layout="constrained")
    grid = figure.subplots(len(strips), columns + rest, squeeze=False)
    colours = ScalarMappable(Normalize(-1, 1), "RdBu_r")
    figure.colorbar(colours, ax=grid, label="S_z", shrink=min(1.0, 3 / len(strips)), aspect=15)
    for row, strip in zip(grid, strips, strict=True):
        shown = np.linspace(0, len(strip.sz) - 1, columns).round().astype(int)
        images = [(strip.captions[i], strip.sz[i]) for i in shown]
        if strip.at_rest is not None:
            images.append(("at rest", strip.at_rest))
        for axes in row[len(images) :]:
            axes.set_visible(False)
        for axes, (caption, image) in zip(row, images, strict=False):
            axes.imshow(image, cmap=colours.cmap, norm=colours.norm, origin="lower")
            axes.set(xticks=[], yticks=[])
            axes.set_title(caption, fontsize=8)
        row[0].set_ylabel(strip.title, rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def beside_target(wanted: WantedPicture, movie: Sequence[Frame], title: str, path: Path) -> None:
    """Draw a shot's movie up to the wanted time, what was reached, the target, and how far one is
    from the other, each component that the target shows in a row of its own, into a PNG."""
    shown = [frame for frame in movie if frame.movie_time_ps <= wanted.at_ps + 1e-6]
    chosen = np.unique(np.linspace(0, len(shown) - 1, _BEFORE_TARGET + 1).round().astype(int))
    names = COMPONENTS if wanted.shown == "spins" else (wanted.shown,)
    targets = wanted.image.reshape(len(names), *wanted.image.shape[-2:])
    figure = Figure(
        figsize=(2.1 * (len(chosen) + 2) + 0.8, 0.75 * len(names) + 0.6), layout="constrained"
    )
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(len(names), len(chosen) + 2, squeeze=False)
    colours = ScalarMappable(Normalize(-1, 1), "RdBu_r")
    for row, name, target in zip(grid, names, targets, strict=True):
        k = COMPONENTS.index(name)
        images = [(f"{shown[i].movie_time_ps:g} ps", shown[i].data[k]) for i in chosen]
        images += [("target", target), ("reached - target", images[-1][1] - target)]
        for axes, (caption, image) in zip(row, images, strict=True):
            axes.imshow(image, cmap=colours.cmap, norm=colours.norm, origin="lower")
            axes.set(xticks=[], yticks=[])
            if name == names[0]:
                axes.set_title(caption, fontsize=8)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    figure.colorbar(colours, ax=grid, aspect=12)
    figure.savefig(path, dpi=110)


def process_map(report: MapReport, path: Path) -> None:
    """Draw a map's outcomes with its shots, and how sure each cell is, into a PNG.

    Raises ValueError for a map without a shot.
    """
    if report.map is None:
        raise ValueError("no map to draw: no shot was fired")
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    named, unsure = figure.subplots(1, 2, sharey=True)
    colours = list(LETTER_COLOURS.values())
    drawn = {"origin": "lower", "aspect": "auto"}
    named.imshow(report.map.labels, cmap=ListedColormap(colours), vmin=-0.5, vmax=3.5, **drawn)
    wrong = unsure.imshow(report.map.error, cmap="magma_r", vmin=0, vmax=0.6, **drawn)
    figure.colorbar(wrong, ax=unsure, label="chance that the cell is named wrongly")
    rows, columns = report.rows, report.columns
    fired = [[axis.index(point[axis.name]) for point in report.points] for axis in (columns, rows)]
    for axes in (named, unsure):
        axes.plot(*fired, "k.", markersize=4)
        axes.set_xticks(range(len(columns.values)), [f"{value:g}" for value in columns.values])
        axes.set_yticks(range(len(rows.values)), [f"{value:g}" for value in rows.values])
        axes.set_xlabel(columns.name)
    named.set_ylabel(rows.name)
    named.set_title(f"{report.shots} shots (dots)")
    unsure.set_title(f"expected wrong: {report.map.expected_error:.1%} of the cells")
    patches = [Patch(color=c, label=name) for c, name in zip(colours, OUTCOMES, strict=True)]
    figure.legend(handles=patches, loc="outside lower center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def standard_problem(runs: Sequence[Sp4Run], path: Path) -> None:
    """Draw ⟨m⟩ over time, the reference as dots, and the film at its zero crossing into a PNG."""
    figure = Figure(figsize=(11, 3.4 * len(runs)), layout="constrained")
    colours = ScalarMappable(Normalize(-1, 1), "RdBu_r")
    for row, run in zip(figure.subfigures(len(runs), squeeze=False)[:, 0], runs, strict=True):
        grid = row.add_gridspec(2, 2, width_ratios=(3, 2))
        axes = row.add_subplot(grid[:, 0])
        for k, name in enumerate("xyz"):
            (line,) = axes.plot(run.times_ps, run.mean[:, k], label=f"⟨m_{name}⟩")
            axes.plot(run.times_ps, run.reference[:, k], ".", color=line.get_color(), markersize=4)
        axes.axvline(run.crossing_ps, color="grey", linewidth=0.8, linestyle=":")
        axes.set(xlabel="t (ps)", ylabel="⟨m⟩", ylim=(-1.05, 1.05))
        axes.set_title(
            f"field {run.field}, {run.start} S-state: at most "
            f"{run.difference:.2g} from the reference (dots)",
            fontsize=9,
        )
        axes.legend(loc="upper right", fontsize=8)
        for k, name in enumerate("xy"):
            axes = row.add_subplot(grid[k, 1])
            axes.imshow(run.at_crossing[k], cmap=colours.cmap, norm=colours.norm, origin="lower")
            axes.set(xticks=[], yticks=[])
            axes.set_title(
                f"m_{name} at {run.at_crossing_ps:g} ps (⟨m_x⟩ = 0 at {run.crossing_ps:.2f} ps)",
                fontsize=9,
            )
        row.colorbar(colours, ax=row.axes[1:], aspect=15)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def calibration_images(calibration: Calibration, path: Path) -> None:
    """Draw what a calibration holds: mean counts of each state, and the contrast of each pixel; of
    two helicities plus above minus."""
    states = {name: getattr(calibration, name) for name in ("dark", "flat", "up", "down")}
    images = {name: image for name, image in states.items() if image is not None}
    figure = Figure(figsize=(3.2 * (len(images) + 1), 3.4), layout="constrained")
    axes = figure.subplots(1, len(images) + 1)
    for axis, (name, each) in zip(axes, images.items(), strict=False):
        image = _above_each_other(each)
        shown = axis.imshow(
            image, vmin=np.nanpercentile(image, 1), vmax=np.nanpercentile(image, 99)
        )
        axis.set_title(f"{name}, counts")
        figure.colorbar(shown, ax=axis, shrink=0.7)
    ratio, most = _above_each_other(calibration.contrasts), 2 * abs(calibration.contrast)
    shown = axes[-1].imshow(ratio, vmin=-most, vmax=most, cmap="RdBu_r")
    axes[-1].set_title("(up - down) / (up + down)")
    figure.colorbar(shown, ax=axes[-1], shrink=0.7)
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)


def _above_each_other(images: np.ndarray) -> np.ndarray:
    """The images of either helicity, (2, H, W), as one."""
    return images.reshape(-1, images.shape[-1])
