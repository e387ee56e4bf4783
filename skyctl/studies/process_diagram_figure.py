"""Picture of a process diagram: the truth and the classifier's labels, side by side."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from skyctl.pictures import LETTER_COLOURS
from skyctl.process import LETTERS, MIXED
from skyctl.studies.process_diagram import Diagram

_NAMES = {letter: name for name, letter in LETTERS.items()} | {
    LETTERS[MIXED]: f"{MIXED}, or no verdict"
}


def draw_diagram(diagram: Diagram, path: Path) -> None:
    """Draw the truth and the classifier's labels side by side into a PNG."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    agree, cells = diagram.agreement
    _draw_labels(left, diagram, diagram.truth, "truth (topology)")
    unnamed, mixed = diagram.abstention
    named = f"classifier: {agree} of {cells} B, S, C as the truth, {unnamed} of {mixed} M unnamed"
    _draw_labels(right, diagram, diagram.classifier, named)
    left.set_ylabel("damping α")
    figure.legend(
        handles=[Patch(color=LETTER_COLOURS[k], label=_NAMES[k]) for k in LETTER_COLOURS],
        loc="outside lower center",
        ncols=4,
    )
    figure.suptitle(f"Process diagram, θ = {diagram.theta:g}°")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_labels(axes: Axes, diagram: Diagram, rows: list[list[str]], title: str) -> None:
    letters = list(LETTER_COLOURS)
    codes = np.array([[letters.index(letter) for letter in row] for row in rows])
    axes.imshow(
        codes, cmap=ListedColormap(list(LETTER_COLOURS.values())), vmin=-0.5, vmax=3.5,
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
