"""`skyctl bench torque-energy`: the energy that a network's torque pumps into a film."""

from pathlib import Path
from typing import Annotated

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

Models = Annotated[
    list[Path] | None,
    typer.Option("--model", help="Torque network (.onnx); several times. Left out: the shipped."),
]

Side = Annotated[int, typer.Option(help="Sites a side, a multiple of 12.", min=12)]

Long = Annotated[float, typer.Option(help="How long the films run, t0.", min=1)]

Seed = Annotated[int, typer.Option(help="Of the films' first spins.", min=0)]


def bench_torque_energy(
    model: Models = None,
    side: Side = 24,
    long: Long = 100.0,
    seed: Seed = 0,
    json_file: JsonFile = None,
    png_file: PngFile = None,
) -> None:
    """Energy of films that nothing damps, by the truth: moved by networks, and by the truth.

    A torque that is no gradient of an energy pumps. The truth is diagonalised some eighty times:
    minutes for 24 sites a side. Needs torch.
    """
    with extra("train"):
        from skyctl.inference.session import shipped_model
        from skyctl.inference.torque_network import SHIPPED_TORQUE, TorqueNetwork
        from skyctl.studies.torque_energy import torque_energy

    paths = model or [shipped_model(SHIPPED_TORQUE)]
    with explained(ValueError), progress_bar("") as bars:
        networks = {path.stem: TorqueNetwork(path) for path in paths}
        result = torque_energy(
            networks, png_file, side=side, long_t0=long, seed=seed, progress=a_bar_each(bars)
        )
    table = Table("run", "driven by", "energy gained, a site", "pumped, of what α dissipates")
    for kind, drivers in result["runs"].items():
        for name, run in drivers.items():
            table.add_row(kind, name, f"{run['gained']:+.1e}", f"{run['pumped_share']:+.2%}")
    console.print(table)
    write_json(json_file, result)
