"""`skyctl reproduce`: papers done again, with their figures and numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from skyctl.cli.common import Device, complain, console, explained, progress_bar
from skyctl.errors import SkyctlError

reproduce_app = typer.Typer(
    help="Do a paper again: simulate, train, judge, draw.", no_args_is_help=True
)


@reproduce_app.command("classifier")
def reproduce_classifier(
    preset: Annotated[
        Literal["quick", "paper"],
        typer.Option(help="Minutes on two cores, or the paper's whole grid (an hour)."),
    ] = "quick",
    out: Annotated[
        Path, typer.Option(help="Folder for figures, result.json and paper.onnx.", file_okay=False)
    ] = Path("reproduced-classifier"),
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the simulated movies; left out: OUT/data.", file_okay=False),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Judge this classifier (.onnx) beside the paper's; may be repeated."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Where movies are simulated: local, threads, or a Dask tcp://… ."),
    ] = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="Of training movies and thermal noise.", min=0)] = 2019,
) -> None:
    """The movie classifier of arXiv:1907.01814: training set, network, diagram and tests.

    Interrupt it, and the same command goes on: movies that are simulated are kept. Needs torch:
    install skyctl with its extra "train".
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        complain(f"{error}: install skyctl with its extra 'train' (in a checkout: make test)")
        raise typer.Exit(1) from error
    from skyctl.studies.classifier_paper import reproduce_classifier as reproduce
    from skyctl.studies.classifier_paper_movies import PRESETS

    with explained(), progress_bar("") as bars:

        def progress(what: str, steps: int) -> Callable[[], None]:
            bar = bars.add_task(what, total=steps)
            return lambda: bars.advance(bar)

        try:
            result = reproduce(
                PRESETS[preset], out, data=data, others=model or (), scheduler=scheduler,
                device=device, seed=seed, progress=progress,
            )  # fmt: skip
        except ValueError as error:
            raise SkyctlError(str(error)) from error
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
