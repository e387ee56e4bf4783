"""`skyctl bench torque-scaling`: torque networks against the states they learned from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from skyctl.cli.common import (
    JsonFile,
    PngFile,
    a_bar_each,
    console,
    explained,
    extra,
    progress_bar,
    write_json,
)
from skyctl.cli.train.torque import Data, Precision, States

if TYPE_CHECKING:
    from skyctl.models.torque import Architecture

Networks = Annotated[
    list[str] | None,
    typer.Option("--network", help="equivariant, gradient or paper; several times."),
]

Counts = Annotated[
    list[int] | None,
    typer.Option("--count", help="States to learn from, several times; 0: all there are.", min=0),
]

Steps = Annotated[int, typer.Option(help="Training steps of each network.", min=2)]

Seeds = Annotated[int, typer.Option(help="Trainings of each, from other weights.", min=1)]


def bench_torque_scaling(
    network: Networks = None,
    count: Counts = None,
    states: States = None,
    data: Data = Path("torque-states"),
    steps: Steps = 2000,
    seeds: Seeds = 3,
    precision: Precision = "single",
    json_file: JsonFile = None,
    png_file: PngFile = None,
) -> None:
    """Torque networks at equal steps, on more and more states, judged on runs of the truth.

    Interrupt it, and the same command goes on. Hours: 2000 steps of the first take some three
    minutes of a core. Needs torch.
    """
    with extra("train"):
        from skyctl.models.torque_recipe import LEARNING_RATES, TorqueRecipe
        from skyctl.studies.torque_scaling import torque_scaling

    chosen = network or ["equivariant", "paper"]
    for name in chosen:
        if name not in LEARNING_RATES:
            raise typer.BadParameter(f"--network {name}: give one of {', '.join(LEARNING_RATES)}")
    names: list[Architecture] = [name for name in LEARNING_RATES if name in chosen]
    with explained(ValueError), progress_bar("") as bars:
        recipe = TorqueRecipe(steps=steps, precision=precision, rounds=0)
        result = torque_scaling(
            recipe, data, states or (), architectures=names, counts=count or [280, 1000, 0],
            seeds=seeds, png=png_file, progress=a_bar_each(bars),
        )  # fmt: skip
    table = Table("network", "states", "seed", "lattices: < 10°, > 30°", "quenches: < 10°, > 30°")
    for row in result["results"]:
        shares = [
            f"{row[kind]['within_10_deg']:.1%}, {row[kind]['beyond_30_deg']:.2%}"
            for kind in ("lattice", "quench")
        ]
        table.add_row(row["architecture"], str(row["states"]), str(row["seed"]), *shares)
    console.print(table)
    write_json(json_file, result)
