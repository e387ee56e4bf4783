"""`skyctl bench autonomy`: what autonomy costs, and what it lets through."""

from typing import Annotated

import typer
from rich.table import Table

from skyctl.cli.common import JsonFile, complaints, console, explained, write_json

_SHOWN = ("median", "p90", "p99", "max")


def bench_autonomy(
    proposals: Annotated[
        int, typer.Option(help="Hostile proposals to the pulser's guard.", min=100)
    ] = 100_000,
    decisions: Annotated[int, typer.Option(help="Decisions to time.", min=10)] = 500,
    seed: Annotated[int, typer.Option(help="Of the hostile proposals.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Verdict to armed pulser, stop to disarmed, and unsafe proposals that get through.

    Ends with 1 when one gets through. Takes about two minutes.
    """
    import logging

    from skyctl.bench.autonomy import autonomy

    logging.getLogger("skyctl").setLevel(logging.ERROR)  # each refusal is a warning
    with explained():
        with console.status("") as status:
            result = autonomy(proposals, decisions, seed, status.update)
        table = Table("metric", *_SHOWN)
        for metric in result["metrics"]:
            for name, row in ((metric["name"], metric), *metric.get("baselines", {}).items()):
                table.add_row(name, *(f"{row[q]:.3g}" if q in row else "" for q in _SHOWN))
        console.print(table)
        write_json(json_file, result)
    fuzzed = result["proposals"]
    console.print(
        f"{fuzzed['proposals']} proposals, {fuzzed['fired']} fired, refused {fuzzed['refused']}"
    )
    if fuzzed["unsafe"] or fuzzed["second_controllers"]:
        complaints.print("[bold red]an unsafe proposal reached the driver[/]")
        raise typer.Exit(1)
