"""`skyctl bench classifier`: accuracy and time a frame of the classifiers."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, console, explained, show_rows, write_json


def bench_classifier(
    model: Annotated[
        list[Path] | None, typer.Option(help="Classifiers (.onnx) beside those that ship.")
    ] = None,
    lives: Annotated[int, typer.Option(help="Lives of ten movies to judge with.", min=1)] = 14,
    frames: Annotated[int, typer.Option(help="Frames to time.", min=20)] = 500,
    json_file: JsonFile = None,
) -> None:
    """Accuracy and time a frame of each classifier and its 8-bit twin, at 100 frames/s and hot.

    One thread, features included. Two minutes; 8 bits need the extra "train".
    """
    from skyctl.bench.verdicts import classifier_table

    with explained():
        with console.status("") as status:
            result = classifier_table(model or [], lives, frames, status.update)
        show_rows(result["results"])
        write_json(json_file, result)
