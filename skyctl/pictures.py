"""Pictures: the film strip of a recording or a movie, and the process diagram."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from skyctl.diagram import Diagram
from skyctl.recording.reader import Recording

_FRAMES = 8
_COLOURS = {"B": "#4477aa", "S": "#ee6677", "C": "#ccbb44", "M": "#dddddd"}
_NAMES = {"B": "breathing", "S": "switching", "C": "collapse", "M": "mixed, or no verdict"}


@dataclass(frozen=True)
class Strip:
    """One movie to draw: its frames of S_z (H, W), their times, and what to write beside it."""

    title: str
    sz: Sequence[np.ndarray]
    times_ps: Sequence[float]


def recorded_strips(recording: Recording) -> list[Strip]:
    """The movies of a recording's pulsed shots."""
    labels = {int(row["shot_number"]): bytes(row["label"]).decode() for row in recording.results}
    strips = []
    for number, (start, frames, _) in enumerate(recording.shots()):
        if start.pulse is None:
            continue
        movie = list(frames)
        title = f"{start.pulse}\n{labels.get(number, '')}"
        strips.append(Strip(title, [f.sz for f in movie], [f.movie_time_ps for f in movie]))
    return strips


def film_strip(strips: Sequence[Strip], path: Path) -> None:
    """Draw movies as rows of up to eight frames, S_z from -1 (blue) to +1 (red), into a PNG.

    Raises ValueError when there is nothing to draw.
    """
    strips = [strip for strip in strips if len(strip.sz)]
    if not strips:
        raise ValueError("no frames to draw: the movies are empty")
    columns = min(_FRAMES, max(len(strip.sz) for strip in strips))
    figure = Figure(figsize=(1.25 * columns + 1.9, 1.5 * len(strips) + 0.4), layout="constrained")
    grid = figure.subplots(len(strips), columns, squeeze=False)
    for row, strip in zip(grid, strips, strict=True):
        shown = np.linspace(0, len(strip.sz) - 1, columns).round().astype(int)
        for axes, i in zip(row, shown, strict=True):
            axes.imshow(strip.sz[i], cmap="RdBu_r", vmin=-1, vmax=1, origin="lower")
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{strip.times_ps[i]:g} ps", fontsize=8)
        row[0].set_ylabel(strip.title, rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    figure.savefig(path, dpi=110)


def process_diagram(diagram: Diagram, path: Path) -> None:
    """Draw the truth and the classifier's labels side by side into a PNG."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    agree, cells = diagram.agreement
    _draw_labels(left, diagram, diagram.truth, "truth (topology)")
    named = f"classifier: {agree} of {cells} B, S, C cells as the truth"
    _draw_labels(right, diagram, diagram.classifier, named)
    left.set_ylabel("damping α")
    figure.legend(
        handles=[Patch(color=_COLOURS[k], label=_NAMES[k]) for k in _COLOURS],
        loc="outside lower center",
        ncols=4,
    )
    figure.suptitle(f"Process diagram, θ = {diagram.theta:g}°")
    figure.savefig(path, dpi=110)


def _draw_labels(axes: Axes, diagram: Diagram, rows: list[list[str]], title: str) -> None:
    letters = list(_COLOURS)
    codes = np.array([[letters.index(letter) for letter in row] for row in rows])
    axes.imshow(
        codes, cmap=ListedColormap(list(_COLOURS.values())), vmin=-0.5, vmax=3.5,
        origin="lower", aspect="auto",
    )  # fmt: skip
    if codes.size <= 400:
        for (i, j), code in np.ndenumerate(codes):
            axes.text(j, i, letters[code], ha="center", va="center", fontsize=8)
    step = max(1, len(diagram.widths) // 12)
    axes.set_xticks(range(0, len(diagram.widths), step), [f"{w:g}" for w in diagram.widths[::step]])
    step = max(1, len(diagram.alphas) // 12)
    axes.set_yticks(range(0, len(diagram.alphas), step), [f"{a:g}" for a in diagram.alphas[::step]])
    axes.set(title=title, xlabel="pulse width t_w (ps)")
