"""`skyctl bench imagining`: pulses of the seeker that imagines before it fires, beside others'."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, console, explained, progress_bar, show_rows, write_json

Lives = Annotated[
    int, typer.Option(help="Unseen samples, each switched once by each seeker.", min=1, max=1000)
]
BaselineLives = Annotated[
    int, typer.Option(help="Samples for oracle, random and the ablations.", min=0)
]
Kept = Annotated[
    Path | None,
    typer.Option(help="File: lives are kept here, and not lived again.", dir_okay=False),
]


def bench_imagining(
    lives: Lives = 100,
    baseline_lives: BaselineLives = 25,
    seed: Annotated[int, typer.Option(help="Another one: other samples.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    kept: Kept = None,
    json_file: JsonFile = None,
) -> None:
    """How many pulses it takes to switch one skyrmion of a sample that nobody pulsed before.

    Probes count, and so does what empties the film and writes anew after a miss. Cold; at 1 K with
    5 % camera noise; with a noise of half the signal; and cold with a damping below 0.1, where a
    strong probe breaks skyrmions. Beside the library's seeker: one that may not probe, one whose
    classifier answers at random, an oracle that tries pulses on copies of the film, and random
    pulses. Half an hour of two cores.
    """
    with explained():
        from skyctl.studies.imagining_judged import imagining_metrics

        with progress_bar("") as progress:
            bar = progress.add_task("switching", total=None)
            result = imagining_metrics(
                lives,
                seed=seed,
                baseline_lives=baseline_lives,
                workers=workers,
                kept=kept,
                progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )
        rows = []
        for metric in result["metrics"]:
            told = {"imagining": metric, **metric["baselines"]}
            rows += [
                {"": metric["name"], "agent": who, **_told(each)} for who, each in told.items()
            ]
        show_rows(rows)
        console.print("pulses; 31 where it was not reached, or not truly")
        write_json(json_file, result)


def _told(row: dict[str, object]) -> dict[str, object]:
    shown = ("lives", "median", "mean", "p90", "success", "falsely_reached", "probes")
    return {name: row.get(name, "") for name in shown}
