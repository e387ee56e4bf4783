"""`skyctl bench torque`: the time of a torque, from a network and from the electrons."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from skyctl.cli.common import JsonFile, console, explained, extra, write_json

Model = Annotated[
    Path | None,
    typer.Option(help="Torque network (.onnx); left out: an untrained one, as fast."),
]

Seconds = Annotated[float, typer.Option(help="Time for each case.", min=0.1)]

Side = Annotated[
    int, typer.Option(help="Lattice on which the truth is timed, sites a side.", min=12)
]


def bench_torque(
    model: Model = None,
    seconds: Seconds = 2.0,
    side: Side = 48,
    json_file: JsonFile = None,
) -> None:
    """Time of a torque: network, kernel polynomials, diagonalisation, bare convolution.

    One thread. At 48 sites a side diagonalisation alone takes minutes. Needs torch.
    """
    with extra("train"):
        from skyctl.bench.torque_network import torque_speed

    with explained(ValueError), console.status("") as status:
        result = torque_speed(model, seconds, side, status.update)
    table = Table("what", "sites", "ms", "ns a site", "times the network's", "error")
    for row in result["results"]:
        table.add_row(*_cells(row))
    console.print(table)
    with explained():
        write_json(json_file, result)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    took_s, sites, times = row["seconds"], row["sites"], row["times_network"]
    return (
        row["what"],
        str(sites),
        f"{took_s * 1e3:.3g}",
        f"{took_s / sites * 1e9:.3g}",
        "" if times is None else f"{times:.3g}",
        f"{row['error']:.1e}" if "error" in row else "",
    )
