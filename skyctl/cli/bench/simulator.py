"""`skyctl bench simulator`: the film beside Spirit and numpy."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, console, explained, show_rows, write_json


def bench_simulator(
    seconds: Annotated[float, typer.Option(help="Time for each case.", min=0.1)] = 2.0,
    json_file: JsonFile = None,
) -> None:
    """Site-steps a second of the film, beside Spirit (where installed) and numpy in the same run.

    Spirit is `pip install spirit`. All cases take about two minutes and a half.
    """
    from skyctl.bench.simulator import simulator_speed

    with explained():
        with console.status("") as status:
            result = simulator_speed(seconds, status.update)
        shown = ("case", "site_steps_per_s", "times_numpy", "times_spirit", "of_memory_floor")
        show_rows([{k: row.get(k, "") for k in shown} for row in result["results"]])
        show_rows(result["scaling"])
        write_json(json_file, result)
