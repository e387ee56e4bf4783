"""`skyctl bench torque-quenches`: the order that networks' quenches come to, beside the truth's."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from skyctl.cli.bench.torque_energy import Models, Seed, Side
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

Data = Annotated[
    Path, typer.Option(help="Folder of the truth's quenches; gone on with.", file_okay=False)
]

Quenches = Annotated[int, typer.Option(help="Runs from random spins, of each.", min=1)]

Long = Annotated[float, typer.Option(help="How long they run, t0.", min=40)]


def bench_torque_quenches(
    model: Models = None,
    data: Data = Path("torque-quenches"),
    quenches: Quenches = 4,
    side: Side = 24,
    long: Long = 1200.0,
    seed: Seed = 0,
    json_file: JsonFile = None,
    png_file: PngFile = None,
) -> None:
    """Quenches by networks and by the truth, from the same random spins: S(q) late after them.

    Interrupt it, and the same command goes on. The truth takes eight minutes a quench of 24 x 24
    sites. Needs torch.
    """
    with extra("train"):
        from skyctl.inference.session import shipped_model
        from skyctl.inference.torque_network import SHIPPED_TORQUE, TorqueNetwork
        from skyctl.studies.torque_quenches import torque_quenches

    paths = model or [shipped_model(SHIPPED_TORQUE)]
    with explained(ValueError), progress_bar("") as bars:
        result = torque_quenches(
            {path.stem: TorqueNetwork(path) for path in paths}, data, png_file, quenches=quenches,
            side=side, long_t0=long, seed=seed, progress=a_bar_each(bars),
        )  # fmt: skip
    console.print(_table(result["quenches"]))
    write_json(json_file, result)


def _table(said: dict[str, Any]) -> Table:
    table = Table(f"after {said['t0']:g} t₀", "mean |q| / |Q|", "S(q) in the six peaks", "of six Q")
    for name in [name for name in said if name not in ("t0", "runs")]:
        row = said[name]
        spread = [f"{np.mean(row[k]):.3f} ± {np.std(row[k]):.3f}" for k in ("wave_number", "order")]
        table.add_row(name, *spread, str(row["peaks_within_one_pixel"]))
    return table
