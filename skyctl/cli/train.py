"""`skyctl train`: a shipped model trained again."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from skyctl.cli.common import (
    JsonFile,
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
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")] = Path(
        "skyrmion-process.onnx"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Training movies (.npz); made and kept there if missing.")
    ] = None,
    shots: Annotated[int, typer.Option(help="Shots at a skyrmion to simulate.", min=10)] = 3000,
    empty_shots: Annotated[
        int, typer.Option(help="Shots at an empty film to simulate.", min=10)
    ] = 800,
    features: Annotated[
        Literal["quantiles", "sorted"],
        typer.Option(help="Network input: 256 quantiles (any lattice), or the paper's sorted S_z."),
    ] = "quantiles",
    epochs: Annotated[int, typer.Option(help="Passes over the movies.", min=1)] = 40,
    hidden: Annotated[int, typer.Option(help="Hidden units.", min=1)] = 512,
    seed: Annotated[int, typer.Option(help="Of the shots that are drawn.")] = 2019,
    json_file: JsonFile = None,
) -> None:
    """Simulate movies, train the recurrent classifier, export it to ONNX with a model card.

    Twenty minutes on two cores. Needs torch: install skyctl with its extra "train".
    """
    try:
        from skyctl.models import export, training
    except ImportError as error:
        complain(f"{error}: install skyctl with its extra 'train' (in a checkout: make test)")
        raise typer.Exit(1) from error
    from skyctl.models.dataset import Dataset, make_dataset, training_shots

    count = 256 if features == "quantiles" else 100 * 100
    with explained(), progress_bar("") as progress:
        try:
            if data and data.exists():
                movies = Dataset.load(data)
            else:
                planned = list(training_shots(shots, empty_shots, seed))
                bar = progress.add_task("simulating movies", total=len(planned))
                movies = make_dataset(
                    planned,
                    count,
                    features,
                    os.cpu_count() or 1,
                    progress=lambda: progress.advance(bar),
                )
                if data:
                    movies.save(data)
            if movies.features.shape[2] != count:
                raise ValueError(
                    f"training data {data}: {movies.features.shape[2]} features, {features} has "
                    f"{count}. Give another --data or --features."
                )
            bar = progress.add_task("training", total=epochs)
            network, report = training.train_classifier(
                movies,
                hidden=hidden,
                epochs=epochs,
                progress=lambda _, accuracy: progress.update(
                    bar, advance=1, description=f"training ({accuracy:.1%} of held-out movies)"
                ),
            )
        except ValueError as error:
            raise SkyctlError(str(error)) from error
        difference = export.export_classifier(network, out, movies, features)
    card = export.model_card(out, movies, report, difference)
    out.with_suffix(".md").write_text(card)
    write_json(json_file, {"accuracy": report.accuracy, "held_out": report.held_out})
    console.print(
        f"{report.accuracy:.1%} of {report.held_out} held-out movies named right; wrote {out} and "
        f"{out.with_suffix('.md')}"
    )
