"""The pictures of arXiv:1903.09499, drawn from our networks and films."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_DPI = 110
_COMPONENTS = "xyz"
_COLOURS = ("tab:red", "tab:blue", "tab:green")
_ARROWS = 4


def courses(
    path: Path, times_ps: np.ndarray, truth: Sequence[np.ndarray],
    others: Mapping[str, Sequence[np.ndarray]], what: str,
) -> None:  # fmt: skip
    """Figs. 1 and 4: ⟨m⟩ in fields 1 and 2, (frames, 3) each; the film dashed, others as dots."""
    figure = Figure(figsize=(12, 3.6 * len(others)), layout="constrained")
    grid = figure.subplots(len(others), 2, squeeze=False)
    for row, (name, found) in zip(grid, others.items(), strict=True):
        for field, (axes, true, mean) in enumerate(zip(row, truth, found, strict=True), 1):
            for k, colour in enumerate(_COLOURS):
                axes.plot(times_ps, true[:, k], "--", color=colour, linewidth=1)
                label = f"⟨m_{_COMPONENTS[k]}⟩"
                axes.plot(times_ps[1::2], mean[1::2, k], ".", color=colour, label=label)
            axes.set(
                xlabel="time (ps)", ylabel="⟨m⟩", ylim=(-1.05, 1.05),
            )  # fmt: skip
            title = f"{name}, field {field}: {what} (dots), film (dashed)"
            axes.set_title(title, fontsize="small")
            axes.legend(loc="lower left", fontsize="small")
    figure.savefig(path, dpi=_DPI)


def states(
    path: Path, times_ps: Sequence[float], columns: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Figs. 2 and 5: states (3, rows, columns) at some times, the film's beside another's."""
    figure = Figure(figsize=(5.2 * len(columns), 1.7 * len(times_ps)), layout="constrained")
    grid = figure.subplots(len(times_ps), len(columns), squeeze=False)
    for column, (name, found) in enumerate(columns.items()):
        for row, (m, when) in enumerate(zip(found, times_ps, strict=True)):
            _draw(grid[row][column], m, f"{name}, {when:g} ps")
    figure.savefig(path, dpi=_DPI)


def units(path: Path, decoded: Mapping[str, np.ndarray]) -> None:
    """Fig. 3: what single latent units decode to, (3, rows, columns) each."""
    figure = Figure(figsize=(10.4, 1.7 * ((len(decoded) + 1) // 2)), layout="constrained")
    grid = figure.subplots((len(decoded) + 1) // 2, 2, squeeze=False).ravel()
    for axes, (name, m) in zip(grid, decoded.items(), strict=False):
        _draw(axes, m, name)
    figure.savefig(path, dpi=_DPI)


def table(path: Path, rows: Mapping[str, Mapping[str, float | None]]) -> None:
    """What is off by how much: a bar for each predictor, of fields 1, 2 and the others' median."""
    figure = Figure(figsize=(8, 0.6 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))
    for k, (key, name) in enumerate(
        {"field_1": "field 1", "field_2": "field 2", "others_median": "held-out, median"}.items()
    ):
        values = [row.get(key) or np.nan for row in rows.values()]
        axes.barh(places + 0.27 * (k - 1), values, 0.25, label=name)
    axes.set_yticks(places, list(rows))
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="largest error of a component of ⟨m⟩, 50 ps to 1 ns")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=_DPI)


def _draw(axes: Axes, m: np.ndarray, title: str) -> None:
    """A state: m_x as colour, the direction in the plane as arrows."""
    _, rows, columns = m.shape
    axes.imshow(m[0], cmap="RdBu_r", vmin=-1, vmax=1, origin="lower", aspect="equal")
    step = max(1, rows // 8, _ARROWS)
    y, x = np.mgrid[step // 2 : rows : step, step // 2 : columns : step]
    axes.quiver(x, y, m[0, y, x], m[1, y, x], scale=1.2 / step, scale_units="xy", width=2e-3)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize="small")
