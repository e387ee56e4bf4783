"""`skyctl bench torque-floor`: what no torque network can better."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from skyctl.cli.common import (
    JsonFile,
    a_bar_each,
    console,
    explained,
    extra,
    progress_bar,
    write_json,
)
from skyctl.cli.train.torque import Data

States = Annotated[int, typer.Option(help="States labelled again, of each kind.", min=1)]

Spins = Annotated[int, typer.Option(help="Spins whose surroundings change, of each kind.", min=1)]


def bench_torque_floor(
    data: Data = Path("torque-states"),
    states: States = 8,
    spins: Spins = 40,
    json_file: JsonFile = None,
) -> None:
    """How far a torque network's labels are to be trusted, and what lies beyond its reach.

    Other boundaries that are as good say something else, and spins far away count; who is as near
    to the truth as that has learned all. Minutes. Needs torch.
    """
    with extra("train"):
        from skyctl.models.torque_recipe import TorqueRecipe
        from skyctl.studies.torque_floor import torque_floor

    with explained(ValueError), progress_bar("") as bars:
        result = torque_floor(
            TorqueRecipe(), data, states=states, spins=spins, progress=a_bar_each(bars)
        )
    console.print(_labels(result["labels"]))
    console.print(_reach(result["reach"]))
    write_json(json_file, result)


def _labels(said: dict[str, Any]) -> Table:
    table = Table("labels beside", "states", "angle < 10°", "> 30°", "error / mean field")
    for kind, boundaries in said.items():
        for name, s in boundaries.items():
            shares = (f"{s['within_10_deg']:.1%}", f"{s['beyond_30_deg']:.2%}")
            table.add_row(f"boundaries: {name}", kind, *shares, f"{s['error']:.3f}")
    return table


def _reach(said: dict[str, Any]) -> Table:
    table = Table("another state beyond", *(f"{reach} sites" for reach in said["reaches"]))
    for kind, changes in said["changes"].items():
        table.add_row(kind, *(f"{change:.1%}" for change in changes))
    return table
