"""`skyctl bench faults`: the stream broken on purpose, and its account of it."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, complaints, console, explained, show_rows, write_json


def bench_faults(
    stop: Annotated[float, typer.Option(help="How long consumers are stopped, s.", min=0.5)] = 10.0,
    json_file: JsonFile = None,
) -> None:
    """Break the stream on purpose and compare its account with what was really sent."""
    from skyctl.bench.faults import all_faults

    with explained():
        with console.status("killing, stopping, losing …"):
            rows = [row.as_json() for row in all_faults(stop)]
        show_rows([{k: v for k, v in row.items() if k != "totals"} for row in rows])
        write_json(json_file, rows)
    if not all(row["right"] for row in rows):
        complaints.print("[bold red]an account is not what happened[/]")
        raise typer.Exit(1)
