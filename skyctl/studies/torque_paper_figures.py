"""The pictures of Phys. Rev. Research 5, 033188 (2023), drawn from our networks and films."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from skyctl.models.torque_data import KINDS
from skyctl.models.torque_training import angles_deg

if TYPE_CHECKING:
    from skyctl.studies.torque_energy import EnergyCourse

_DPI = 110


def parity(path: Path, true: np.ndarray, predictions: Mapping[str, np.ndarray]) -> None:
    """Figs. 3 and 4: components and lengths beside the truth's, and angles to it.

    true, predictions : (states, 3, rows, columns), hoppings
    """
    figure = Figure(figsize=(12, 3.6 * len(predictions)), layout="constrained")
    axes = figure.subplots(len(predictions), 3, squeeze=False)
    most = float(np.abs(true).max())
    for (name, predicted), (components, lengths, angles) in zip(
        predictions.items(), axes, strict=True
    ):
        counted = components.hexbin(
            true.ravel(),
            predicted.ravel(),
            bins="log",
            gridsize=60,
            extent=(-most, most, -most, most),
        )
        components.plot([-most, most], [-most, most], "r:", linewidth=1)
        figure.colorbar(counted, ax=components, label="components")
        components.set(
            xlabel="T, truth (hoppings)",
            ylabel="T, predicted (hoppings)",
            title=f"{name}: components",
        )
        pair = [np.log10(np.linalg.norm(f, axis=1).ravel() + 1e-9) for f in (true, predicted)]
        counted = lengths.hexbin(*pair, bins="log", gridsize=60, extent=(-4, -0.5, -4, -0.5))
        figure.colorbar(counted, ax=lengths, label="sites")
        lengths.plot([-4, -0.5], [-4, -0.5], "r-", linewidth=1)
        lengths.set(
            xlabel="log₁₀ |T| / hopping, truth",
            ylabel="log₁₀ |T| / hopping, predicted",
            title="lengths",
        )
        off = angles_deg(predicted, true).ravel()
        angles.hist(off, bins=np.linspace(0, 60, 61), density=True)
        angles.set(
            xlabel="angle to the truth, degrees",
            ylabel="share of the sites, 1/degree",
            title=f"{(off < 10).mean():.1%} under 10°, {(off > 30).mean():.2%} over 30°",
        )
    figure.savefig(path, dpi=_DPI)


def influence(path: Path, influences: Mapping[str, np.ndarray]) -> None:
    """Fig. 10: what each spin means to the middle site's torque, (rows, columns)."""
    figure = Figure(figsize=(4.6 * len(influences), 3.8), layout="constrained")
    for axes, (name, total) in zip(
        figure.subplots(1, len(influences), squeeze=False)[0], influences.items(), strict=True
    ):
        drawn = _lattice(axes, np.log10(total / total.max() + 1e-6), "magma", (-3, 0))
        axes.set_title(name)
        figure.colorbar(drawn, ax=axes, label="log₁₀ of Σ|∂T/∂S| over the largest")
    figure.savefig(path, dpi=_DPI)


def structure_factors(
    path: Path, quenched: Mapping[str, Sequence[np.ndarray]], times_t0: Sequence[float]
) -> None:
    """Fig. 5: mean S(q) of quenches, (rows, columns) at each time, truth beside networks."""
    figure = Figure(figsize=(3.6 * len(quenched), 3.2 * len(times_t0)), layout="constrained")
    grid = figure.subplots(len(times_t0), len(quenched), squeeze=False)
    for column, (name, factors) in enumerate(quenched.items()):
        for row, (s, when) in enumerate(zip(factors, times_t0, strict=True)):
            axes = grid[row][column]
            rows, columns = s.shape
            b, a = np.mgrid[:rows, :columns] - np.array([rows // 2, columns // 2])[:, None, None]
            # Reciprocal of a1 = (1, 0), a2 = (1/2, √3/2).
            qx = 2 * np.pi * a / columns
            qy = (2 * np.pi * b / rows - qx / 2) * 2 / np.sqrt(3)
            drawn = axes.scatter(
                qx, qy, c=np.fft.fftshift(s), s=2**15 / s.size, marker="H", cmap="magma"
            )
            figure.colorbar(drawn, ax=axes, label="S(q)")
            turns = np.pi / 3 * np.arange(6)
            axes.plot(np.pi / 3 * np.cos(turns), np.pi / 3 * np.sin(turns), "c+", markersize=5)
            axes.set(
                aspect="equal", xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), title=f"{name}\nt = {when:g} t₀"
            )
        grid[-1][column].set_xlabel("q_x a")
    for row in grid:
        row[0].set_ylabel("q_y a")
    figure.savefig(path, dpi=_DPI)


def snapshots(path: Path, shown: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """Figs. 6 and 7: S_z after a quench; of a perturbed skyrmion lattice, before and after.

    shown : of each network, three states (3, rows, columns)
    """
    figure = Figure(figsize=(13, 3.8 * len(shown)), layout="constrained")
    titles = ("after a quench", "perturbed skyrmion lattice", "restored")
    for row, (name, states) in zip(
        figure.subplots(len(shown), 3, squeeze=False), shown.items(), strict=True
    ):
        for axes, spins, title in zip(row, states, titles, strict=True):
            _lattice(axes, spins[2], "RdBu", (-1, 1))
            axes.set_title(f"{name}: {title}")
        figure.colorbar(row[0].collections[0], ax=list(row), label="S_z")
    figure.savefig(path, dpi=_DPI)


def long_runs(
    path: Path,
    times_t0: Sequence[float],
    histories: Mapping[str, Sequence[float]],
    perfect: float,
) -> None:
    """Fig. 8: the peaks of S(q) of a skyrmion lattice over a long run.

    histories : of each network, sites times S(q); perfect : of the lattice that is to come back
    """
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, history in histories.items():
        axes.plot(times_t0, history, label=name)
    axes.axhline(perfect, color="k", linestyle=":", label="perfect lattice")
    axes.set(xlabel="t / t₀", ylabel="N S(Q), mean of the six peaks", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=_DPI)


def energies(path: Path, courses: "Mapping[str, Mapping[str, EnergyCourse]]") -> None:
    """Energy of films that nothing damps, of each kind of run, by what drives them."""
    figure = Figure(figsize=(5.4 * len(courses), 3.6), layout="constrained")
    for axes, (kind, drivers) in zip(
        figure.subplots(1, len(courses), squeeze=False)[0], courses.items(), strict=True
    ):
        for name, course in drivers.items():
            gained = 1e3 * (np.array(course.energy) - course.energy[0])
            style = {"damped": "k:", "truth": "k-"}.get(name, "o-")
            axes.plot(course.times_t0, gained, style, markersize=3, label=name)
        axes.set(xlabel="t / t₀", ylabel="E - E(0), 10⁻³ hoppings a site", title=kind)
        axes.legend()
    figure.savefig(path, dpi=_DPI)


def scaling(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Share of angles under 10° against the states learned from, a line for each architecture."""
    figure = Figure(figsize=(5.4 * len(KINDS), 3.6), layout="constrained")
    for axes, kind in zip(figure.subplots(1, len(KINDS), squeeze=False)[0], KINDS, strict=True):
        for name in dict.fromkeys(row["architecture"] for row in rows):
            cells = [row for row in rows if row["architecture"] == name]
            counts = sorted({row["states"] for row in cells})
            means = [
                100
                * np.mean([row[kind]["within_10_deg"] for row in cells if row["states"] == count])
                for count in counts
            ]
            axes.plot(counts, means, "o-", label=name)
            axes.set_xscale("log")
            axes.set_xticks(counts, map(str, counts))
            axes.set_xticks([], minor=True)
        axes.set(xlabel="states learned from", ylabel="angles under 10°, %", title=kind)
        axes.legend()
    figure.savefig(path, dpi=_DPI)


def _lattice(
    axes: Axes, values: np.ndarray, cmap: str, limits: tuple[float, float]
) -> PathCollection:
    """Values (rows, columns) on the triangular lattice; what a colour bar is made of."""
    row, column = np.mgrid[: values.shape[0], : values.shape[1]]
    drawn = axes.scatter(
        column + row / 2,
        row * np.sqrt(3) / 2,
        c=values,
        s=7,
        marker="H",
        cmap=cmap,
        vmin=limits[0],
        vmax=limits[1],
    )
    axes.set(aspect="equal", xticks=[], yticks=[])
    return drawn
