"""`skyctl reproduce latent`: arXiv:1903.09499 again."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from skyctl.cli.common import a_bar_each, console, explained, extra, progress_bar
from skyctl.cli.train.latent import scores_table

Preset = Annotated[
    Literal["quick", "paper"],
    typer.Option(help="Ten minutes of two cores, or the paper's sizes (a night and more)."),
]

Out = Annotated[
    Path,
    typer.Option(
        help="Folder for figures, result.json, networks and trajectories.", file_okay=False
    ),
]

Scheduler = Annotated[
    str, typer.Option(help="Where films are simulated: here, local, or a Dask tcp://… .")
]

Seed = Annotated[int, typer.Option(help="Of weights and batches.", min=0)]


def reproduce_latent(
    preset: Preset = "quick",
    out: Out = Path("reproduced-latent"),
    scheduler: Scheduler = "local",
    seed: Seed = 0,
) -> None:
    """Latent magnetisation dynamics of arXiv:1903.09499: a thin film in a few numbers.

    Our networks, the paper's and baselines beside them, judged in fields that none has seen, and
    its Figures 1 to 5. Interrupt it, and the same command goes on where it was. Needs torch: pip
    install 'bluesky-skyctl[train]'.
    """
    with extra("train"):
        from skyctl.studies.latent_paper import reproduce_latent as reproduce

    with explained(ValueError), progress_bar("") as bars:
        result = reproduce(preset, out, scheduler=scheduler, seed=seed, progress=a_bar_each(bars))
    console.print(scores_table(result["predicted"]))
    table = Table("encoded and decoded: ⟨m⟩ off by", "field 1", "field 2")
    for name, row in result["coded"].items():
        table.add_row(name, f"{row['field_1']:.4f}", f"{row['field_2']:.4f}")
    console.print(table)
    console.print(
        f"{result['seconds']:.0f} s ({result['cpu_seconds']:.0f} of this process's CPU); wrote "
        f"figures, result.json and networks to {out}"
    )
