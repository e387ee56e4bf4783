"""Figures 2 to 5 and Note S2 of Adv. Sci. 8, 2004795 (2021), drawn from our networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_DPI = 110
_COLOURS = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1, "origin": "lower"}
_LOSSES = {"reconstruction": "L_RC", "latent": "L_KL", "energy": "L_H, a site"}


def losses(path: Path, result: Mapping[str, Any]) -> None:
    """Figure 2: each loss against β at γ = 0, and against γ beside the control."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    grid = figure.subplots(3, 2, sharex="col")
    annealed = result["annealed"]["energy"] + 2
    for axes, (loss, label) in zip(grid, _LOSSES.items(), strict=True):
        for column, (rows, by) in enumerate(
            ((result["betas"], "beta"), (result["gammas"], "gamma"))
        ):
            at = [row[by] for row in rows]
            for kind, style in (("learned", "o-"), ("held_out", "s--")):
                name = kind.replace("_", " ")
                axes[column].plot(at, [row[kind][loss] for row in rows], style, label=name)
            if by == "gamma":
                other = [row["control"]["held_out"][loss] for row in rows]
                axes[column].plot(at, other, "k:", label="γ = 0 trained as long, held out")
            if loss == "energy":
                axes[column].axhline(annealed, color="grey", linewidth=0.8, label="annealed states")
            axes[column].set(xscale="log", ylabel=label)
            if loss != "energy":
                axes[column].set_yscale("log")
    grid[2, 0].set_xlabel("β (γ = 0)")
    grid[2, 1].set_xlabel("γ")
    grid[2, 1].legend(fontsize=8)
    figure.savefig(path, dpi=_DPI)


def angles(path: Path, result: Mapping[str, Any]) -> None:
    """Figure 3: angle between a spin and its field, and energy, against γ beside the control."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    first, second = figure.subplots(1, 2)
    rows = result["gammas"]
    at = [row["gamma"] for row in rows]
    for axes, what, label in (
        (first, "angle_deg", "mean angle between spin and field, degrees"),
        (second, "energy", "energy a site, meV"),
    ):
        for kind, colour in (("reconstructed", "C0"), ("sampled", "C1")):
            axes.plot(at, [row[kind][what] for row in rows], "o-", color=colour, label=kind)
            other = [row["control"][kind][what] for row in rows]
            axes.plot(at, other, ":", color=colour, label=f"{kind}, γ = 0 trained as long")
        axes.set(xscale="log", xlabel="γ", ylabel=label)
    first.set_yscale("log")
    second.axhline(result["annealed"]["energy"], color="grey", linewidth=0.8, label="annealed")
    second.axhline(result["lowest_meV_per_site"], color="k", linewidth=0.8, label="ground state")
    second.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=_DPI)


def interpolation(
    path: Path, courses: Mapping[str, np.ndarray], first: np.ndarray, last: np.ndarray
) -> None:
    """Figure 4: energies between a lattice with an interstitial (left end) and one without."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    grid = figure.subplots(1, 3, width_ratios=(2.2, 1, 1))
    for name, energies in courses.items():
        grid[0].plot(np.linspace(0, 1, len(energies)), energies, label=name)
    grid[0].set(xlabel="share of the way", ylabel="energy of the film, meV")
    grid[0].legend(fontsize=8)
    _film(grid[1], first[2], "with an interstitial")
    _film(grid[2], last[2], "without")
    figure.savefig(path, dpi=_DPI)


def collapse(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    shown: Sequence[tuple[str, np.ndarray]],
    annealed: float,
) -> None:
    """Figure 5: samples of networks, and the spread of each's in k-space against γ."""
    figure = Figure(figsize=(11, 1.5 * len(shown)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, 1), squeeze=False)[0]
    for some, (name, films) in zip(left.subplots(len(shown), 4), shown, strict=True):
        for axes, sz in zip(some, films, strict=True):
            _film(axes, sz, "")
        some[0].set_ylabel(name, fontsize=8)
    axes = right.subplots()
    for seed in sorted({row["seed"] for row in rows}):
        own = [row for row in rows if row["seed"] == seed]
        axes.plot(
            [max(row["gamma"], 1.0) for row in own], [max(row["k_spread"], 1e-9) for row in own],
            "o-", label=f"seed {seed}",
        )  # fmt: skip
    axes.axhline(annealed, color="grey", linewidth=0.8, label="annealed states")
    axes.set(xscale="log", yscale="log", xlabel="γ (0 at 1)", ylabel="mean squared difference in k")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=_DPI)


def confined(path: Path, network: np.ndarray, annealed: np.ndarray) -> None:
    """Note S2: the lowest states of a square with open edges."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    for axes, state, name in zip(
        figure.subplots(1, 2), (network, annealed), ("network, relaxed", "best of 32 anneals"),
        strict=True,
    ):  # fmt: skip
        _film(axes, state[2], name)
    figure.savefig(path, dpi=_DPI)


def _film(axes: Axes, sz: np.ndarray, title: str) -> None:
    axes.imshow(sz, **_COLOURS)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=8)
