"""`skyctl recover`: what a killed recorder left, as a whole file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skyctl.cli.common import JsonFile, console, explained, write_json

if TYPE_CHECKING:
    from skyctl.recording.recover import Recovery

File = Annotated[Path, typer.Argument(help="A recording (.h5) that was never closed, or cut.")]

Out = Annotated[
    Path | None, typer.Option(help="The new file; left out: FILE-recovered.h5.", dir_okay=False)
]


def recover(
    file: File,
    out: Out = None,
    json_file: JsonFile = None,
) -> None:
    """Copy what is whole in a damaged recording into a plain one; the original is not touched.

    After a kill of its writer, or of a copy that was cut short. Says how many shots and frames are
    whole and which were cut. Ends with status 0 when the new file is written, or when there is
    nothing to do. Example: skyctl recover runs/demo-TIME/RUN.h5
    """
    from skyctl.recording.recover import recover as run

    with explained():
        result = run(file, out)
        write_json(json_file, result.as_json())
    _tell(file, result)


def _tell(file: Path, result: "Recovery") -> None:
    if result.state == "closed":
        console.print(f"{file}: was closed as it should be; nothing to recover")
    else:
        left = {
            "killed": "is not closed, its writer was killed or still has it open",
            "truncated": "is not whole",
        }[result.state]
        console.print(f"{file} {left}; recovered into {result.recovered}", soft_wrap=True)
    console.print(
        f"{result.whole_shots} of {result.shots} shots whole, {result.frames} frames, "
        f"{result.verdicts} verdicts; {result.cut_frames} frames have a row and no image"
    )
    for cut in result.cut_shots:
        of = cut.expected_frames if cut.received is None else cut.received
        console.print(f"shot {cut.number} ({cut.shot[:8]}): {cut.frames} of {of} frames")
