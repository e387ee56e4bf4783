"""`skyctl bench cycle` and `skyctl bench characterise`: plans that run with nobody watching."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from skyctl.cli.common import JsonFile, console, explained, progress_bar, write_json


def bench_cycle(
    cycles: Annotated[int, typer.Option(help="Write, switch, erase so often.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Of the unknown sample.")] = 6,
    drift_at: Annotated[
        int | None, typer.Option(help="Cycle before which the damping falls to 0.6 of its value.")
    ] = None,
    faults: Annotated[
        bool,
        typer.Option(
            help="Lose a frame, delay the stream, hang the classifier, refuse a pulse, pause: in "
            "turn, every sixth pulse."
        ),
    ] = True,
    json_file: JsonFile = None,
) -> None:
    """Cycle unattended on a sample never seen, with faults put in: success, pulses, what came up.

    Ends with 1 when a pulse was fired twice or outside the envelope. Ten minutes.
    """
    from skyctl.studies.faulty_cycle import cycle_with_faults

    with explained(), tempfile.TemporaryDirectory() as folder, progress_bar("tasks") as progress:
        bar = progress.add_task("cycling", total=3 * cycles)
        result = cycle_with_faults(
            cycles, Path(folder), seed=seed, drift_at=drift_at, faults=faults,
            done=lambda task: progress.advance(bar),
            say=lambda what: progress.console.print(escape(what)),
        )  # fmt: skip
        write_json(json_file, result)
    table = Table("from cycle", "done", "success", "pulses a cycle", "most")
    for row in result["over_time"]:
        table.add_row(
            f"{row['first_cycle']}", f"{row['done']}", f"{row['success']:.0%}",
            f"{row['pulses_median']:g}", f"{row['pulses_most']}",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{result['succeeded']} of {cycles} cycles; {result['tasks_reached']} tasks reached, "
        f"{result['tasks_verified']} truly so; {result['pulses_at_the_sample']} pulses, "
        f"{result['shots_fired_twice']} fired twice, {result['unsafe_pulses']} unsafe\n"
        f"put in: {result['faults_injected']}; came up: {result['problems']}",
        highlight=False,
    )
    if result["shots_fired_twice"] or result["unsafe_pulses"]:
        raise typer.Exit(1)


def bench_characterise(
    samples: Annotated[
        int, typer.Option(help="Samples never seen, at each condition.", min=1)
    ] = 12,
    seed: Annotated[int, typer.Option(help="Of the first sample.")] = 9000,
    json_file: JsonFile = None,
) -> None:
    """Error of what the plan characterise says of samples never seen. Half a minute a sample."""
    from skyctl.studies.characteriser import CONDITIONS, characterising

    with explained():
        with progress_bar("samples") as progress:
            bar = progress.add_task("characterising", total=samples * len(CONDITIONS))

            def so_far(result: dict[str, Any]) -> None:
                write_json(json_file, result)
                progress.advance(bar)

            result = characterising(samples, seed, so_far)
        table = Table("relative error", "median", "p90", "max", "within 2 σ", "σ before")
        for row in result["metrics"]:
            if row["samples"]:
                table.add_row(
                    row["name"], *(f"{row[k]:.2%}" for k in ("median", "p90", "max")),
                    f"{row['within_2_deviations']:.0%}",
                    f"{row['baselines']['before any shot']['deviation']:.0%}",
                )  # fmt: skip
        console.print(table)
