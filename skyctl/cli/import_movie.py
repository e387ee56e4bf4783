"""`skyctl import`: a movie of another program as a recording."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skyctl.cli.common import (
    JsonFile,
    ModelFile,
    Provider,
    console,
    explained,
    progress_bar,
    values_checked,
    write_json,
)

if TYPE_CHECKING:
    from skyctl.formats.movies import Movie
    from skyctl.recording.imported import MovieFacts

Source = Annotated[
    Path,
    typer.Argument(
        help="TIFF stack, HDF5 or NeXus file (areaDetector, DECTRIS), numpy array (.npy), or a "
        "folder of TIFF, PNG or OVF files.",
        metavar="MOVIE",
    ),
]

Target = Annotated[
    Path | None, typer.Argument(help="The new recording (.h5); left out: MOVIE-recording.h5.")
]

FrameInterval = Annotated[
    float | None,
    typer.Option("--interval", help="Between two frames, ps; OVF states and ImageJ may say it."),
]

PeakTime = Annotated[
    float | None, typer.Option("--peak", help="The pulse's peak, ps after the first frame.")
]

PulseWidth = Annotated[float | None, typer.Option("--width", help="Pulse width t_w, ps.")]

PulseField = Annotated[float | None, typer.Option("--amplitude", help="Peak field, T.")]

PulseTheta = Annotated[
    float | None, typer.Option("--theta", help="Polar angle of the pulse, degrees.")
]

PulsePhi = Annotated[float | None, typer.Option("--phi", help="Azimuth of the pulse, degrees.")]

Levels = Annotated[
    str | None,
    typer.Option(help="DOWN,UP: what pixels hold where S_z is -1 and +1; of counts, always."),
]

PerShot = Annotated[
    int | None,
    typer.Option("--frames-per-shot", help="Of a file with several movies in a row.", min=1),
]

Dataset = Annotated[
    str | None, typer.Option(help="Where the frames are in an HDF5 file: /entry/data/data.")
]

Verdicts = Annotated[
    bool, typer.Option("--verdicts/--no-verdicts", help="Classify, so that replay can compare.")
]

_PULSE = {
    "peak": "peak_ps", "width": "width_ps", "amplitude": "amplitude_T", "theta": "theta_deg",
    "phi": "phi_deg",
}  # fmt: skip


def import_movie(
    source: Source,
    target: Target = None,
    interval: FrameInterval = None,
    peak: PeakTime = None,
    width: PulseWidth = None,
    amplitude: PulseField = None,
    theta: PulseTheta = None,
    phi: PulsePhi = None,
    levels: Levels = None,
    frames_per_shot: PerShot = None,
    dataset: Dataset = None,
    verdicts: Verdicts = True,
    model: ModelFile = None,
    provider: Provider = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Make a recording of a movie, which replay, the classifier and any plan take.

    Nothing is guessed: what the file does not say is asked for. A big stack is read piece by piece.
    Example: skyctl import stack.tif --interval 15 --peak 40 --width 28 --amplitude 2 --theta 40
    --phi 0 --levels 200,3800
    Another: skyctl import run.out/ --peak 40 --width 8 --amplitude 2 --theta 40 --phi 0
    (a folder of mumax3's states, which know their time)
    """
    from skyctl.formats.movies import open_movie

    given = {"peak": peak, "width": width, "amplitude": amplitude, "theta": theta, "phi": phi}
    target = target or source.with_name(f"{source.stem}-recording.h5")
    if target.suffix != ".h5":
        raise typer.BadParameter(f"{target}: a recording is HDF5; give a name that ends in .h5")
    with explained(), values_checked(), open_movie(source, dataset) as movie:
        facts = _facts(movie, interval, given, levels, frames_per_shot)
        _import(movie, target, facts, verdicts, model, provider, json_file)


def _facts(
    movie: "Movie",
    interval: float | None,
    given: dict[str, float | None],
    levels: str | None,
    frames_per_shot: int | None,
) -> "MovieFacts":
    """Raises ValueError for what is missing, all of it at once, and for what cannot be."""
    from skyctl.pulse import Pulse
    from skyctl.recording.imported import MovieFacts

    interval = movie.interval_ps if interval is None else interval
    asked = {"interval": interval, **given}
    if missing := [f"--{name}" for name, value in asked.items() if value is None]:
        raise ValueError(f"{movie.name} does not say it, so give {', '.join(missing)}")
    if not (interval and interval > 0):
        raise ValueError(f"--interval {interval}: give a time above 0, ps")
    pulse = Pulse.model_validate({_PULSE[name]: value for name, value in given.items()})
    return MovieFacts(interval, pulse, _scaling(levels), frames_per_shot)


def _scaling(text: str | None) -> Any:
    """Read "DOWN,UP"."""
    from skyctl.stream.sources.pixels import Scaling

    if text is None:
        return None
    try:
        down, up = (float(part) for part in text.split(","))
        return Scaling(offset=(up + down) / 2, scale=2 / (up - down))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"--levels {text}: give DOWN,UP, two different numbers") from None


def _import(
    movie: "Movie",
    target: Path,
    facts: "MovieFacts",
    verdicts: bool,
    model: Path | None,
    provider: Provider,
    json_file: Path | None,
) -> None:
    from skyctl.inference.model import MovieClassifier
    from skyctl.recording.imported import import_movie as run

    with progress_bar("frames") as progress:
        bar = progress.add_task("importing", total=movie.frames)
        classifier = MovieClassifier(model, provider) if verdicts else None
        done = run(movie, target, facts, classifier, lambda n: progress.advance(bar, n))
    size = int(movie.dtype.itemsize * done.frames)
    for side in movie.shape:
        size *= side
    rate = size / done.seconds / 1e6
    console.print(f"{done.frames} frames in {done.seconds:.2f} s ({rate:.0f} MB/s of the source)")
    for number, label in enumerate(done.labels):
        console.print(f"shot {number}: {label}")
    console.print(f"recording: {target}", soft_wrap=True)
    told = {**vars(done), "bytes": size, "recording": str(target)}
    write_json(json_file, told)
