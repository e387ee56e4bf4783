"""`skyctl train`: a shipped model trained again."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import (
    Device,
    JsonFile,
    Scheduler,
    complain,
    console,
    explained,
    progress_bar,
    write_json,
)
from skyctl.errors import SkyctlError

train_app = typer.Typer(help="Train a shipped model again.", no_args_is_help=True)


@train_app.command("classifier")
def train_classifier(
    out: Annotated[Path, typer.Option(help="The .onnx file to write; its card beside it.")] = Path(
        "skyrmion-process.onnx"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="Movies (HDF5), simulated where missing. Left out: beside the model."),
    ] = None,
    movies: Annotated[
        int, typer.Option(help="Movies: four in seven to learn from, two to calibrate.", min=70)
    ] = 2500,
    views: Annotated[
        int, typer.Option(help="How often each is seen: as it is, then by random cameras.", min=2)
    ] = 3,
    epochs: Annotated[int, typer.Option(help="Passes over them.", min=1)] = 15,
    hidden: Annotated[int, typer.Option(help="Hidden units.", min=1)] = 128,
    seed: Annotated[int, typer.Option(help="Of shots, cameras and weights.", min=0)] = 2019,
    device: Device = "cpu",
    scheduler: Scheduler = None,
    json_file: JsonFile = None,
) -> None:
    """Simulate movies, train the movie classifier, calibrate and test it, write it with its card.

    Half an hour on two quiet cores. Interrupted, the same command goes on where it was, and ends
    with the same model. Needs torch: install skyctl with its extra "train".
    """
    try:
        from skyctl.models import recipe
    except ImportError as error:
        complain(f"{error}: install skyctl with its extra 'train' (in a checkout: make test)")
        raise typer.Exit(1) from error
    from skyctl.models.movie_set import MovieSet
    from skyctl.models.scale_out import fill
    from skyctl.models.shots import classifier_shots
    from skyctl.models.training import Settings

    data = data or out.with_suffix(".h5")
    settings = Settings(hidden=hidden, epochs=epochs, seed=seed)
    command = (
        f"skyctl train classifier --movies {movies} --views {views} --epochs {epochs} "
        f"--hidden {hidden} --seed {seed}"
    )
    with explained(), progress_bar("") as progress:
        bar = progress.add_task("planning movies", total=movies)

        def show(what: str, done: int, total: int) -> None:
            progress.update(bar, description=what, completed=done, total=total)

        try:
            with MovieSet.plan(data, list(classifier_shots(movies, seed))) as set_:
                show("simulating movies", int(set_.done.sum()), movies)
                fill(
                    set_, scheduler=scheduler, device=device,
                    progress=lambda: progress.advance(bar),
                )  # fmt: skip
                results = recipe.make_classifier(
                    set_, out, settings=settings, views=views, device=device, command=command,
                    progress=show,
                )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            raise SkyctlError(str(error)) from error
    write_json(json_file, results)
    test = results["test"]
    console.print(
        f"{test['accuracy']:.1%} of {test['movies']} test movies right, "
        f"{test['accuracy_cameras']:.1%} in random cameras; "
        f"wrote {out} and {out.with_suffix('.md')}"
    )
