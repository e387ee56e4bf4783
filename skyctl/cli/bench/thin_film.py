"""`skyctl bench thinfilm`: standard problem 4 beside magnum.np."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, complaints, console, explained, show_rows, write_json


def bench_thin_film(
    peer_ps: Annotated[
        float, typer.Option(help="Time for the peer to simulate; the rest is extrapolated.", min=10)
    ] = 100.0,
    json_file: JsonFile = None,
) -> None:
    """One nanosecond of standard problem 4 on one thread, beside magnum.np where it is there."""
    from skyctl.bench.thin_film import thin_film_speed

    with explained():
        with complaints.status("integrating the film, then its peer …"):
            result = thin_film_speed(peer_ps)
        show_rows(result["results"])
        console.print(f"magnum.np: {result['peer']}")
        write_json(json_file, result)
