"""`skyctl bench reader`: what one look at a film tells, beside plain rules."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, console, explained, extra, show_rows, write_json


def bench_reader(
    images: Annotated[int, typer.Option(help="Images of each noise.", min=20)] = 1000,
    json_file: JsonFile = None,
) -> None:
    """Empty films told from those of one skyrmion by one look, beside plain rules; Kerr images.

    Two minutes on a quiet core. The labelled micrographs are read where $SKYCTL_KERR has them.
    """
    with extra("train"):
        from skyctl.studies.film_reader_judged import RULES, kerr_folder, reader_table

    with explained():
        with console.status("") as status:
            result = reader_table(images, kerr_folder(), status.update)
        shown = ("noise", "cut_off", *RULES)
        show_rows([{key: row[key] for key in shown} for row in result["rates"]])
        for row in result["kerr"] or ():
            console.print(
                f"micrographs {row['images']}, {row['count']}: F1 {row['reader']['f1']:.3f}, "
                f"difference of Gaussians {row['baseline']['f1']:.3f}"
            )
        if not result["kerr"]:
            console.print("no labelled micrographs here: set SKYCTL_KERR to their folder")
        console.print(f"a read of 100 x 100 pixels: {result['read_ms']['p50']:.2f} ms")
        write_json(json_file, result)
