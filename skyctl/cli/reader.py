"""The film's reader: `skyctl train reader` and `skyctl bench reader`."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.bench import show_bench
from skyctl.cli.common import JsonFile, console, explained, progress_bar, write_json
from skyctl.errors import SkyctlError


def train_reader(
    out: Annotated[Path, typer.Option(help="The .json file to write.")] = Path("reader.json"),
    films: Annotated[int, typer.Option(help="Samples, three films of each.", min=20)] = 400,
    json_file: JsonFile = None,
) -> None:
    """Fit how sure the film's reader may be, on images of simulated films.

    Five minutes on a quiet core. Equal numbers of films make an equal file.
    """
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


def bench_reader(
    images: Annotated[int, typer.Option(help="Images of each noise.", min=20)] = 1000,
    json_file: JsonFile = None,
) -> None:
    """Empty films told from those of one skyrmion by one look, beside plain rules; Kerr images.

    Two minutes on a quiet core. The labelled micrographs are read where $SKYCTL_KERR has them.
    """
    from skyctl.studies.film_reader import RULES, kerr_folder, reader_table

    with explained():
        with console.status("") as status:
            result = reader_table(images, kerr_folder(), status.update)
        shown = ("noise", "cut_off", *RULES)
        show_bench([{key: row[key] for key in shown} for row in result["rates"]])
        for row in result["kerr"] or ():
            console.print(
                f"micrographs {row['images']}, {row['count']}: F1 {row['reader']['f1']:.3f}, "
                f"difference of Gaussians {row['baseline']['f1']:.3f}"
            )
        if not result["kerr"]:
            console.print("no labelled micrographs here: set SKYCTL_KERR to their folder")
        console.print(f"a read of 100 x 100 pixels: {result['read_ms']['p50']:.2f} ms")
        write_json(json_file, result)
