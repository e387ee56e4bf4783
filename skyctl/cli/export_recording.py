"""`skyctl export`: a recording in files of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import console, explained, progress_bar, shot_numbers

RecordingFile = Annotated[Path, typer.Argument(help="A recording (.h5) that skyctl wrote.")]

Target = Annotated[
    Path,
    typer.Argument(
        help=".tif (a stack), .gif or .mp4 (for a talk), .csv (the verdicts), or a folder (an OVF "
        "file a frame)."
    ),
]

Shots = Annotated[str | None, typer.Option(help="Only these, as in 3,5-8; the first shot is 0.")]

FramesPerSecond = Annotated[
    float, typer.Option("--fps", help="GIF and MP4: frames a second.", min=0.1, max=100)
]

Lattice = Annotated[
    float | None, typer.Option(help="OVF: from one site to the next, nm.", min=1e-6)
]


def export_recording(
    file: RecordingFile,
    target: Target,
    shots: Shots = None,
    frames_per_s: FramesPerSecond = 10.0,
    lattice: Lattice = None,
) -> None:
    """Write a recording as a TIFF stack, an OVF series, a film or a table of verdicts.

    The name says which. Numbers come out as they were recorded, float32; colours of a film go from
    blue (S_z = -1) to red (+1), and y goes up.
    Example: skyctl export RUN.h5 talk.gif --shots 0-3 --fps 15
    """
    from skyctl.recording.exported import export
    from skyctl.recording.reader import Recording

    numbers = shot_numbers(shots)
    with explained(), Recording(file) as recording, progress_bar("frames") as progress:
        bar = progress.add_task("exporting", total=recording.frame_count)
        count = export(
            recording, target, numbers, frames_per_s=frames_per_s, lattice_nm=lattice,
            progress=lambda n: progress.advance(bar, n),
        )  # fmt: skip
    what = "verdicts" if target.suffix.lower() == ".csv" else "frames"
    console.print(f"{count} {what}: {target}", soft_wrap=True)
