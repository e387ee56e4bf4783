"""`skyctl bench soak`: the stream for minutes, and nothing lost."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, complaints, console, explained, show_rows, write_json


def bench_soak(
    minutes: Annotated[float, typer.Option(help="How long.", min=0.05)] = 10.0,
    rate: Annotated[float, typer.Option(help="Frames a second.", min=1)] = 1000.0,
    json_file: JsonFile = None,
) -> None:
    """Stream 40 kB frames for minutes; ends with 1 when a frame is lost or not accounted for."""
    from skyctl.bench.soak import soak

    with explained():
        with console.status("") as status:
            result = soak(minutes, rate, say=status.update)
        show_rows(result["rows"])
        console.print(f"sent {result['sent']}, received {result['received']}")
        write_json(json_file, result)
    if result["unaccounted"] or result["received"] != result["sent"]:
        complaints.print("[bold red]frames were lost[/]")
        raise typer.Exit(1)
