"""`skyctl train classifier`: the movie classifier, from simulated lives."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import (
    Device,
    JsonFile,
    console,
    explained,
    extra,
    progress_bar,
    write_json,
)

Out = Annotated[Path, typer.Option(help="The .onnx file to write; its card beside it.")]

Data = Annotated[
    Path | None,
    typer.Option(help="Folder of lives, lived where missing. Left out: beside the model."),
]

Lives = Annotated[
    int,
    typer.Option(help="Of ten shots: seven in ten to learn from, two to calibrate.", min=20),
]

Epochs = Annotated[int, typer.Option(help="Passes over them.", min=1)]

Hidden = Annotated[int, typer.Option(help="Hidden units.", min=1)]

Seed = Annotated[int, typer.Option(help="Of lives, cameras and weights.", min=0)]

Workers = Annotated[int, typer.Option(help="Processes that simulate.", min=1)]


def train_classifier(
    out: Out = Path("skyrmion-process.onnx"),
    data: Data = None,
    lives: Lives = 1000,
    epochs: Epochs = 16,
    hidden: Hidden = 128,
    seed: Seed = 2026,
    workers: Workers = 2,
    device: Device = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Simulate lives, train the movie classifier, calibrate and test it, write it with its card.

    An hour and a half on two quiet cores. Interrupted, the same command goes on where it was, and
    ends with the same model. Needs torch: pip install
    'bluesky-skyctl[train]'.
    """
    with extra("train"):
        from skyctl.models import recipe
    from skyctl.models.lives import JUDGES, fill_lives
    from skyctl.models.training import Settings

    data = data or out.with_suffix(".lives")
    settings = Settings(hidden=hidden, epochs=epochs, seed=seed)
    command = (
        f"skyctl train classifier --lives {lives} --epochs {epochs} --hidden {hidden} --seed {seed}"
    )
    with explained(ValueError, RuntimeError), progress_bar("") as progress:
        bar = progress.add_task("simulating lives", total=lives + JUDGES)

        def show(what: str, done: int, total: int) -> None:
            progress.update(bar, description=what, completed=done, total=total)

        def lived(done: int) -> None:
            progress.update(bar, completed=done)

        found = fill_lives(data, lives, seed, workers=workers, progress=lived)
        results = recipe.make_classifier(
            found, out, settings=settings, device=device, command=command, progress=show
        )
    write_json(json_file, results)
    test = results["test"]
    console.print(
        f"{test['named']:.1%} of {test['movies']} test movies named, "
        f"{test['accuracy_named']:.1%} of those right; "
        f"wrote {out} and {out.with_suffix('.md')}"
    )
