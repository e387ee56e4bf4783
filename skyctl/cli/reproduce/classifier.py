"""`skyctl reproduce classifier`: arXiv:1907.01814 again."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from skyctl.cli.common import Device, a_bar_each, console, explained, extra, progress_bar

Preset = Annotated[
    Literal["quick", "paper"],
    typer.Option(help="Minutes on two cores, or the paper's whole grid (an hour)."),
]

Out = Annotated[
    Path, typer.Option(help="Folder for figures, result.json and paper.onnx.", file_okay=False)
]

Data = Annotated[
    Path | None,
    typer.Option(help="Folder of the simulated movies; left out: OUT/data.", file_okay=False),
]

Model = Annotated[
    list[Path] | None,
    typer.Option(help="Judge this classifier (.onnx) beside the paper's; may be repeated."),
]

Scheduler = Annotated[
    str | None,
    typer.Option(help="Where movies are simulated: local, threads, or a Dask tcp://… ."),
]

Seed = Annotated[int, typer.Option(help="Of training movies and thermal noise.", min=0)]


def reproduce_classifier(
    preset: Preset = "quick",
    out: Out = Path("reproduced-classifier"),
    data: Data = None,
    model: Model = None,
    scheduler: Scheduler = None,
    device: Device = "cpu",
    seed: Seed = 2019,
) -> None:
    """The movie classifier of arXiv:1907.01814: training set, network, diagram and tests.

    Interrupt it, and the same command goes on: movies that are simulated are kept. Needs torch:
    pip install
    'bluesky-skyctl[train]'.
    """
    with extra("train"):
        import torch  # noqa: F401
    from skyctl.studies.classifier_paper import reproduce_classifier as reproduce
    from skyctl.studies.classifier_paper_movies import PRESETS

    with explained(ValueError), progress_bar("") as bars:
        result = reproduce(
            PRESETS[preset],
            out,
            data=data,
            others=model or (),
            scheduler=scheduler,
            device=device,
            seed=seed,
            progress=a_bar_each(bars),
        )
    _show(result)
    console.print(f"{result['seconds']:.0f} s; wrote figures, result.json and paper.onnx to {out}")


def _show(result: dict[str, Any]) -> None:
    from skyctl.studies.classifier_paper import percent

    found = {"paper": result["targets"], **result["targets_of_others"]}
    table = Table("named as the truth", "target")
    for name in found:
        table.add_column(f"{name}, to 105 ps", justify="right")
        table.add_column("to 165 ps", justify="right")
    for key, target in result["targets"].items():
        cells = []
        for targets in found.values():
            for value, reached in (("value", "reached"), ("value_165_ps", "reached_165_ps")):
                colour = "green" if targets[key][reached] else "red"
                cells.append(f"[{colour}]{percent(targets[key][value])}[/]")
        table.add_row(key.replace("_", " "), f"{target['target']:.1%}", *cells)
    console.print(table)
