"""`skyctl train reader`: how sure the film's reader may be."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, console, explained, extra, progress_bar, write_json
from skyctl.errors import SkyctlError

Out = Annotated[Path, typer.Option(help="The .json file to write.")]

Films = Annotated[int, typer.Option(help="Samples, three films of each.", min=20)]


def train_reader(
    out: Out = Path("reader.json"),
    films: Films = 400,
    json_file: JsonFile = None,
) -> None:
    """Fit how sure the film's reader may be, on images of simulated films.

    Five minutes on a quiet core. Equal numbers of films make an equal file.
    """
    with extra("train"):
        from skyctl.models.reader_calibration import fit, readings

    with explained(), progress_bar("samples") as progress:
        bar = progress.add_task("reading films", total=films)
        read = readings(films, progress=lambda done: progress.update(bar, completed=done))
        try:
            report = fit(read, out, command=f"skyctl train reader --films {films}")
        except ValueError as error:
            raise SkyctlError(f"{films} samples are too few to fit: {error}") from error
    write_json(json_file, report)
    console.print(
        f"{len(read)} images, {read.unreadable} unreadable; {report['about']['log_loss']:.3f} nats "
        f"an image. Wrote {out}"
    )
