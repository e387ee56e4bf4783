"""`skyctl bench characterise`: how well a sample that was never seen is told."""

from typing import Annotated, Any

import typer
from rich.table import Table

from skyctl.cli.common import JsonFile, a_bar_each, console, explained, progress_bar, write_json

Samples = Annotated[int, typer.Option(help="Samples never seen, at each condition.", min=1)]

Seed = Annotated[int, typer.Option(help="Of the first sample.", min=0)]


def bench_characterise(
    samples: Samples = 12,
    seed: Seed = 9000,
    json_file: JsonFile = None,
) -> None:
    """Error of what the plan characterise says of samples never seen. Half a minute a sample."""
    from skyctl.studies.characteriser_judged import CONDITIONS, characterising

    with explained():
        with progress_bar("samples") as progress:
            characterised = a_bar_each(progress)("characterising", samples * len(CONDITIONS))

            def so_far(result: dict[str, Any]) -> None:
                write_json(json_file, result)
                characterised()

            result = characterising(samples, seed, so_far)
        console.print(_table(result["metrics"]))


def _table(metrics: list[dict[str, Any]]) -> Table:
    table = Table("relative error", "median", "p90", "max", "within 2 σ", "σ before")
    for row in metrics:
        if row["samples"]:
            table.add_row(
                row["name"],
                *(f"{row[k]:.2%}" for k in ("median", "p90", "max")),
                f"{row['within_2_deviations']:.0%}",
                f"{row['baselines']['before any shot']['deviation']:.0%}",
            )
    return table
