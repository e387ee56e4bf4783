"""`skyctl bench cycle`: write, switch, erase with nobody watching and faults put in."""

import logging
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from skyctl.cli.common import JsonFile, a_bar_each, console, explained, progress_bar, write_json

Cycles = Annotated[int, typer.Option(help="Write, switch, erase so often.", min=1)]

Seed = Annotated[int, typer.Option(help="Of the unknown sample.", min=0)]

DriftAt = Annotated[
    int | None, typer.Option(help="Cycle before which the damping falls to 0.6 of its value.")
]

Faults = Annotated[
    bool,
    typer.Option(
        help="Lose a frame, delay the stream, hang the classifier, refuse a pulse, pause: in "
        "turn, every sixth pulse."
    ),
]


def bench_cycle(
    cycles: Cycles = 50,
    seed: Seed = 6,
    drift_at: DriftAt = None,
    faults: Faults = True,
    json_file: JsonFile = None,
) -> None:
    """Cycle unattended on a sample never seen, with faults put in: success, pulses, what came up.

    Ends with 1 when a pulse was fired twice or outside the envelope. Ten minutes.
    """
    from skyctl.studies.faulty_cycle import cycle_with_faults

    logging.getLogger("skyctl").setLevel(logging.ERROR)  # each refusal and change is a warning
    with explained(), tempfile.TemporaryDirectory() as folder, progress_bar("tasks") as progress:
        cycled = a_bar_each(progress)("cycling", 3 * cycles)
        result = cycle_with_faults(
            cycles,
            Path(folder),
            seed=seed,
            drift_at=drift_at,
            faults=faults,
            done=lambda task: cycled(),
            say=lambda what: progress.console.print(escape(what)),
        )
        write_json(json_file, result)
    _show(result, cycles)
    if result["shots_fired_twice"] or result["unsafe_pulses"]:
        raise typer.Exit(1)


def _show(result: dict[str, Any], cycles: int) -> None:
    table = Table("from cycle", "done", "success", "pulses a cycle", "most")
    for row in result["over_time"]:
        table.add_row(
            f"{row['first_cycle']}",
            f"{row['done']}",
            f"{row['success']:.0%}",
            f"{row['pulses_median']:g}",
            f"{row['pulses_most']}",
        )
    console.print(table)
    console.print(
        f"{result['succeeded']} of {cycles} cycles; {result['tasks_reached']} tasks reached, "
        f"{result['tasks_verified']} truly so; {result['pulses_at_the_sample']} pulses, "
        f"{result['shots_fired_twice']} fired twice, {result['unsafe_pulses']} unsafe\n"
        f"put in: {result['faults_injected']}; came up: {result['problems']}",
        highlight=False,
    )
