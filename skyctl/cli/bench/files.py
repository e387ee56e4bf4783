"""`skyctl bench files`: states, movies and films that users bring."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, console, explained, show_rows, write_json


def bench_files(
    frames: Annotated[int, typer.Option(help="Of the movie that is imported.", min=10)] = 60,
    json_file: JsonFile = None,
) -> None:
    """Reading OVF, importing movies beside a plain copy, and films beside the plain one.

    The films take turns and are timed in CPU time, so that other programs on the machine do not
    count. Takes about a minute, and 500 MB in the folder of temporary files.
    """
    from skyctl.bench.files import files_speed

    with explained():
        with console.status("") as status:
            result = files_speed(frames, progress=status.update)
        show_rows([result["ovf"]])
        show_rows(result["import"])
        show_rows(result["films"])
        write_json(json_file, result)
