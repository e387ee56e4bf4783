"""Options, messages and checks that several commands share."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from skyctl.errors import SkyctlError

if TYPE_CHECKING:
    from skyctl.stream.keys import Keys

console = Console(width=None if sys.stdout.isatty() else 110)

complaints = Console(stderr=True)

JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the result to this file.", dir_okay=False)
]

PngFile = Annotated[
    Path | None,
    typer.Option("--png", help="Draw the result into this file.", callback=lambda p: _png(p)),
]

ModelFile = Annotated[
    Path | None, typer.Option("--model", help="Classifier (.onnx); left out: the shipped one.")
]

Provider = Annotated[
    Literal["cpu", "cuda"], typer.Option(help="What runs the classifier; no silent fall-back.")
]

Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="What runs the simulated film.")]

Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Where movies are simulated: 'local', a process a core; 'threads'; or the tcp:// "
        "address of a Dask scheduler that you trust. Left out: local for 100 movies or more."
    ),
]

MoviesFile = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Keep the movies in this HDF5 file, and go on with it.", dir_okay=False
    ),
]

MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics",
        help="Serve what is counted to Prometheus, on this port of 127.0.0.1.",
        min=1,
        max=65535,
    ),
]

KeyFile = Annotated[
    Path | None, typer.Option("--keys", help="This end's NAME.key_secret, to leave this machine.")
]

AllowedFiles = Annotated[
    list[Path] | None,
    typer.Option("--allow", help="NAME.key of a client that may connect; several times for more."),
]

Theta = Annotated[
    float, typer.Option(help="Polar angle of the pulse, degrees.", callback=lambda a: _angle(a))
]


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn an expected failure, or an interrupt, into one line and exit status 1."""
    try:
        yield
    except (SkyctlError, OSError, MemoryError) as error:
        complain(error)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        complain("interrupted")
        raise typer.Exit(1) from error


@contextlib.contextmanager
def values_checked() -> Iterator[None]:
    """Turn the refusal of a value into misuse: exit status 2."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(faults(error)) from error


def load_keys(keys: Path | None, allow: list[Path] | None) -> "Keys | None":
    """The keys of an end that binds. Misuse, one option without the other, ends with status 2."""
    from skyctl.stream.keys import Keys

    if (keys is None) != (not allow):
        raise typer.BadParameter("--keys and --allow go together: who this is, and who may connect")
    return Keys.load(keys, allow or ()) if keys else None


def complain(what: object) -> None:
    complaints.print(f"[bold red]error:[/] {escape(str(what))}", highlight=False, soft_wrap=True)


def faults(error: ValueError) -> str:
    """What is wrong with the values given, without pydantic's own words."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def _png(path: Path | None) -> Path | None:
    if path and path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path}: give a name that ends in .png")
    return path


def _angle(value: float) -> float:
    if not np.isfinite(value):
        raise typer.BadParameter(f"{value}: give a finite angle in degrees")
    return value


def numbers(text: str, name: str) -> list[float]:
    """Read "a:b:step" (b included) or "a,b,c". Misuse ends the command with status 2."""
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            if step <= 0 or last < first:
                raise ValueError
            count = int(np.floor((last - first) / step + 1e-9)) + 1
            values = [round(first + i * step, 9) for i in range(count)]
        else:
            values = [float(part) for part in text.split(",")]
        if not np.isfinite(values).all() or min(values) <= 0:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: give FIRST:LAST:STEP or A,B,C, numbers above 0", param_hint=name
        ) from None
    return values


def shot_numbers(text: str | None) -> list[int] | None:
    """Read "3,5-8", both ends included. Misuse ends the command with status 2."""
    if text is None:
        return None
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            span = range(int(first), int(last or first) + 1)
            if not span or len(span) > 1_000_000:
                raise ValueError
            numbers.extend(span)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: give numbers and FIRST-LAST, as in 3,5-8; the first shot is 0",
            param_hint="--shots",
        ) from None
    return numbers


def write_json(path: Path | None, content: Any) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")


def progress_bar(unit: str) -> Progress:
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=complaints,
    )
