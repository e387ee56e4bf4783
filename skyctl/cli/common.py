"""Options, messages and checks that several commands share."""

import contextlib
import datetime
import getpass
import itertools
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from skyctl.cli import ending
from skyctl.errors import SkyctlError, needs
from skyctl.strict_json import strict_json

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
    Path | None,
    typer.Option(
        "--model",
        help="Classifier: a file (.onnx), or another package's by its name; left out: the shipped.",
    ),
]

Provider = Annotated[
    Literal["cpu", "cuda"], typer.Option(help="What runs the classifier; no silent fall-back.")
]

Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="What runs the simulated film.")]

MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics",
        help="Serve what is counted to Prometheus, on this port of 127.0.0.1.",
        min=1,
        max=65535,
    ),
]

MonitorPort = Annotated[
    int | None,
    typer.Option(
        "--monitor",
        help="Serve the live page on this port of 127.0.0.1; 0 takes a free one.",
        min=0,
        max=65535,
        metavar="PORT",
    ),
]

PeopleFile = Annotated[
    Path | None,
    typer.Option(
        help="Who may see the page and act on it (`skyctl people`); left out: you.", dir_okay=False
    ),
]

KeyFile = Annotated[
    Path | None, typer.Option("--keys", help="This end's NAME.key_secret, to leave this machine.")
]

AllowedFiles = Annotated[
    list[Path] | None,
    typer.Option("--allow", help="NAME.key of a client that may connect; several times for more."),
]

FilmStart = Annotated[
    str,
    typer.Option(
        "--start",
        help="What the film holds before: empty, skyrmion, ground-state, annealed (many skyrmions "
        "or stripes), or a file of spins (.ovf, .omf, .h5).",
    ),
]

Theta = Annotated[
    float, typer.Option(help="Polar angle of the pulse, degrees.", callback=lambda a: _angle(a))
]

Duration = Annotated[float, typer.Option(help="Length of a movie, ps.")]

Interval = Annotated[float, typer.Option(help="Between two frames, ps.")]


@contextlib.contextmanager
def explained(*also: type[Exception]) -> Iterator[None]:
    """Turn an expected failure (``also`` are too) into one line and status 1."""
    # Its own account of an abort is a traceback.
    logging.getLogger("bluesky").setLevel(logging.CRITICAL)
    try:
        yield
    except (SkyctlError, OSError, MemoryError, *also) as error:
        complain(error)
        raise typer.Exit(1) from error


@contextlib.contextmanager
def values_checked() -> Iterator[None]:
    """Turn the refusal of a value into misuse: exit status 2."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(faults(error)) from error


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports that an extra installs: where they fail, say what to type, with status 1."""
    with explained(), needs(name):
        yield


def interrupted(recording: object) -> typer.Exit:
    """To be raised where a run was interrupted, which it says, with what was recorded of it."""
    ending.say(f"interrupted; the pulser is disarmed. Recorded so far: {recording}")
    return typer.Exit(ending.STATUS)


def who() -> str:
    """Who sits here; the number of a user that has no name, as in many a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


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


def write_json(path: Path | None, content: Any) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(strict_json(content, indent=2) + "\n", encoding="utf-8")


def new_file(path: Path) -> Path:
    """The path, or the same with a number where there is a file already: none is overwritten."""
    names = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain([path], names) if not name.exists())


class _TimeLeft(ProgressColumn):
    """Time left, as long for each step as so far. Rich's own takes the speed of the last steps, and
    of two that end together promises a second for what takes minutes."""

    def __init__(self) -> None:
        super().__init__()
        self._begun: dict[TaskID, float] = {}

    def render(self, task: Task) -> Text:
        done = task.completed - self._begun.setdefault(task.id, task.completed)
        if task.remaining is None or not task.elapsed or done <= 0:
            return Text("-:--:--", style="progress.remaining")
        seconds = math.ceil(task.remaining * task.elapsed / done)
        return Text(str(datetime.timedelta(seconds=seconds)), style="progress.remaining")


def progress_bar(unit: str) -> Progress:
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        _TimeLeft(),
        console=complaints,
    )


def a_bar_each(bars: Progress) -> Callable[[str, int], Callable[[], None]]:
    """For work that comes in parts: called with a part's name and steps, gives what counts them."""

    def begin(what: str, steps: int) -> Callable[[], None]:
        bar = bars.add_task(what, total=steps)
        return lambda: bars.advance(bar)

    return begin


def show_rows(rows: list[dict[str, Any]]) -> None:
    """Print rows of one form as a table."""
    table = Table(*rows[0])
    for row in rows:
        table.add_row(
            *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values())
        )
    console.print(table)


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
