"""`skyctl reproduce generator`: Adv. Sci. 8, 2004795 again."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from skyctl.cli.common import a_bar_each, console, explained, extra, progress_bar

Preset = Annotated[
    Literal["quick", "paper"],
    typer.Option(help="A quarter of an hour, or the paper's sizes (days a stage on a core)."),
]

Out = Annotated[
    Path, typer.Option(help="Folder for figures, result.json and the networks.", file_okay=False)
]

Seed = Annotated[int, typer.Option(help="Of weights, batches and samples.", min=0)]


def reproduce_generator(
    preset: Preset = "quick", out: Out = Path("reproduced-generator"), seed: Seed = 0
) -> None:
    """The energy-minimising VAE of Adv. Sci. 8, 2004795 (2021): losses against β and γ, angles,
    interpolation, collapse and confined squares, each beside a network trained as long at γ = 0,
    random fields relaxed, the path of least energy, or annealing.

    Interrupt it, and the same command keeps what is annealed and trained. Needs torch: pip install
    'bluesky-skyctl[train]'.
    """
    with extra("train"):
        from skyctl.studies.generator_paper import PRESETS
        from skyctl.studies.generator_paper import reproduce_generator as reproduce

    with explained(ValueError), progress_bar("") as bars:
        result = reproduce(PRESETS[preset], out, progress=a_bar_each(bars), seed=seed)
    _show(result)
    console.print(f"{result['core_s']:.0f} core-seconds; wrote figures and result.json to {out}")


def _show(result: dict[str, Any]) -> None:
    table = Table("γ", "angle, made / drawn", "of the control", "energy drawn", "control", "L_RC")
    for row in result["gammas"]:
        made, other = ([r["reconstructed"], r["sampled"]] for r in (row, row["control"]))
        table.add_row(
            f"{row['gamma']:g}",
            " / ".join(f"{kind['angle_deg']:.2f}°" for kind in made),
            " / ".join(f"{kind['angle_deg']:.2f}°" for kind in other),
            f"{made[1]['energy']:.4f}",
            f"{other[1]['energy']:.4f}",
            f"{row['held_out']['reconstruction']:.3f}",
        )
    console.print(table)
    fields = result["random_fields"]
    console.print(
        f"random fields, relaxed: {fields['hits']} of {fields['of']} in the ground state, mean "
        f"excess {fields['mean_excess']:.1e} meV a site, {fields['core_s_a_state']:.2f} core-s each"
    )
    for row in result["collapse"]:
        minima = row["minima"]
        console.print(
            f"seed {row['seed']}, γ {row['gamma']:g}: spread in k {row['k_spread']:.1e}, "
            f"{minima['hits']} of {minima['of']} relax to the ground state",
            highlight=False,
        )
