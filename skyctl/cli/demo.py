"""`skyctl demo`: the closed loop on a simulated film."""

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from skyctl.cli.common import (
    Device,
    JsonFile,
    MetricsPort,
    ModelFile,
    MonitorPort,
    Provider,
    console,
    explained,
    extra,
    interrupted,
    new_file,
    write_json,
)
from skyctl.cli.monitor import tell_links
from skyctl.errors import install

if TYPE_CHECKING:
    from skyctl.demo import DemoResult, ShotRow
    from skyctl.verdict import Verdict


Over = Annotated[
    Literal["epics", "scpi"] | None,
    typer.Option(help="Have the film behind this protocol, in another process."),
]


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the recording; left out: runs/demo-TIME.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Other first guesses, another place to write.", min=0)
    ] = 0,
    json_file: JsonFile = None,
    model: ModelFile = None,
    provider: Provider = "cpu",
    device: Device = "cpu",
    metrics: MetricsPort = None,
    monitor: MonitorPort = None,
    over: Over = None,
) -> None:
    """Write a skyrmion into an empty simulated film, switch its polarity, erase it.

    A Bluesky RunEngine runs it; every pulse is chosen from what the classifier saw in the streamed
    movie after the one before. The run is recorded to NeXus/HDF5, catalogued by an embedded Tiled
    server (with the extra "catalogue") and drawn as a film strip. The true charge is the
    simulator's and for your eyes only: the agent sees verdicts and what the camera shows of the
    film at rest.

    With --over the film stands in another process behind a real protocol, as an instrument does:
    every set, trigger and frame goes over it (`skyctl serve` has the same to practise on).
    """
    if over == "epics":
        _stay_on_loopback()
    from skyctl.demo import Watch, run_demo
    from skyctl.pictures import film_strip, recorded_strips
    from skyctl.recording.reader import Recording

    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = out or Path("runs") / f"demo-{now}"
    screen = _Screen()
    with explained():
        with Live(Group(screen.table, screen.status), console=console, refresh_per_second=8):
            result = run_demo(
                folder,
                seed=seed,
                model=model,
                provider=provider,
                device=device,
                watch=Watch(shot=screen.shot, frame=screen.frame, page=tell_links),
                metrics_port=metrics,
                monitor_port=monitor,
                over=over,
            )
            screen.status.plain = ""
        write_json(json_file, result.as_json())
        if result.interrupted:
            raise interrupted(result.recording)
        strip = new_file(folder / "film-strip.png")
        with Recording(result.recording) as recording:
            film_strip(recorded_strips(recording), strip)
        _tell(result, folder.resolve(), strip.resolve())
    if not result.reached:
        raise typer.Exit(1)


def _stay_on_loopback() -> None:
    """Give EPICS ports of its own on this machine. Before ophyd is imported: it reads them then."""
    from skyctl.simulators.instrument.loopback import epics_on_loopback, free_ports

    with extra("epics"):
        import softioc  # noqa: F401
    os.environ.update(epics_on_loopback(free_ports()))


class _Screen:
    """What is seen while it runs: a table of shots, and a line for the frame that is there."""

    def __init__(self) -> None:
        self.table = Table("task", "pulse", "verdict", "film at rest", "true charge", "latency")
        self.status = Text("starting: compiling the film's kernels, opening the catalogue …")

    def shot(self, row: "ShotRow") -> None:
        self.table.add_row(
            row.task,
            row.pulse,
            f"{row.label} {row.confidence:.2f}",
            row.at_rest,
            f"{row.charge:+.2f}",
            f"{row.latency_ms:.2f} ms",
        )

    def frame(self, verdict: "Verdict") -> None:
        best = int(np.argmax(verdict.probabilities))
        self.status.plain = (
            f"frame {verdict.index + 1:2d}  {verdict.movie_time_ps:5.0f} ps  "
            f"{verdict.classes[best]} {verdict.probabilities[best]:.2f}"
        )


def _tell(result: "DemoResult", folder: Path, strip: Path) -> None:
    from skyctl.demo import DOCUMENTS

    for task in result.tasks:
        done = "[green]reached[/]" if task["reached"] else f"[red]{task['reason']}[/]"
        console.print(f"{task['task']:>7}: {done}, pulses: {task['pulses']}")
    catalogue = f"none: {install('catalogue')}"
    if result.validated:
        catalogue = f"{folder / 'catalog'}, run {result.run_uid}, validated"
    latency = result.as_json()["latency_ms"]
    console.print(
        f"{result.frames} frames, {result.lost_frames} lost; receive to verdict "
        f"{latency['p50']:.2f} ms (p50), {latency['p99']:.2f} ms (p99) on {result.provider}\n"
        f"recording  {result.recording}\nfilm strip {strip}\n"
        f"documents  {folder / DOCUMENTS}\n"
        f"catalogue  {catalogue}",
        soft_wrap=True,
        markup=False,
    )
