"""`skyctl replay`: a recording through the stream, the classifier or the plan once more."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from skyctl.cli.common import (
    AllowedFiles,
    JsonFile,
    KeyFile,
    MetricsPort,
    ModelFile,
    MonitorPort,
    PngFile,
    Provider,
    complaints,
    console,
    explained,
    load_keys,
    progress_bar,
    shot_numbers,
    write_json,
)
from skyctl.cli.monitor import people_of, served

if TYPE_CHECKING:
    from skyctl.inference.streaming import StreamingClassifier
    from skyctl.provenance import DecisionReplay
    from skyctl.recording.comparison import Difference, ReplayedShot
    from skyctl.recording.playback import Pace
    from skyctl.recording.reader import Recording
    from skyctl.recording.recount import Recount
    from skyctl.recording.replay import ReplayReport
    from skyctl.stream.hub import Hub
    from skyctl.stream.publisher import Publisher


_LISTED_DIFFERENCES = 20

RecordingFile = Annotated[Path, typer.Argument(help="A recording (.h5) that skyctl wrote.")]

Rate = Annotated[float | None, typer.Option(help="Frames a second.", min=0.1, max=1e6)]

AsRecorded = Annotated[
    bool, typer.Option("--as-recorded", help="At the times the source sent them.")
]

Fastest = Annotated[
    bool, typer.Option("--max", help="As fast as they are taken (also when nothing is said).")
]

Shots = Annotated[str | None, typer.Option(help="Only these, as in 3,5-8; the first shot is 0.")]

To = Annotated[
    str | None,
    typer.Option(help="Publish here, tcp://127.0.0.1:PORT say, and classify nothing."),
]

Documents = Annotated[
    Path | None,
    typer.Option(help="The run's documents (JSON lines): make its decisions once more."),
]

CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Compute S_z again from the recorded counts, with this calibration (.npz).",
    ),
]


def replay(
    file: RecordingFile,
    model: ModelFile = None,
    provider: Provider = "cpu",
    rate: Rate = None,
    as_recorded: AsRecorded = False,
    fastest: Fastest = False,
    shots: Shots = None,
    to: To = None,
    documents: Documents = None,
    keys: KeyFile = None,
    allow: AllowedFiles = None,
    metrics: MetricsPort = None,
    monitor: MonitorPort = None,
    json_file: JsonFile = None,
    png: PngFile = None,
    calibration: CalibrationFile = None,
) -> None:
    """Stream a recording through the same hub and classifier and compare the verdicts.

    Ends with status 0 when every verdict and look comes out as recorded, bit for bit, and nothing
    is missing on either side, else 1 (of a killed run, what was on disk is compared); with another
    model (--model), or S_z of another --calibration, too, and lists where the two differ. With --to
    it is a source for a hub or beamline that connects there, and ends with 0 when everything was
    taken. With --documents the run's plan, agent and guard decide again from these frames; ends
    with 0 when every decision comes out as recorded.
    With --monitor a page shows the frames as they are streamed, at the recorded pace unless told
    otherwise.
    Example: skyctl replay RUN.h5 --as-recorded --shots 0-3 --model other.onnx --json r.json
    """
    if sum((rate is not None, as_recorded, fastest)) > 1:
        raise typer.BadParameter("choose one of --rate, --as-recorded and --max")
    if to and (model or png):
        raise typer.BadParameter("--to classifies and draws nothing: leave --model and --png out")
    if documents and (to or png or shots or rate is not None or as_recorded):
        raise typer.BadParameter("--documents goes with --model, --provider and --json only")
    if not (to or documents) and (keys or allow or metrics):
        raise typer.BadParameter("--keys, --allow and --metrics are for --to: give an address")
    if monitor is not None and (to or documents):
        raise typer.BadParameter("--monitor goes with neither --to nor --documents")
    numbers = shot_numbers(shots)
    as_recorded = as_recorded or (monitor is not None and not fastest)
    pace = rate or ("recorded" if as_recorded else "max")
    if calibration and (to or documents):
        raise typer.BadParameter("--calibration goes with neither --to nor --documents")
    if documents:
        _replay_decisions(file, documents, model, provider, json_file)
    elif to:
        publisher = _publisher(to, keys, allow)
        _publish_recording(file, publisher, metrics, pace, numbers, json_file)
    else:
        _replay_verdicts(file, model, provider, pace, numbers, json_file, png, monitor, calibration)


def _replay_verdicts(
    file: Path,
    model: Path | None,
    provider: Provider,
    pace: "Pace",
    numbers: list[int] | None,
    json_file: Path | None,
    png: Path | None,
    monitor: int | None,
    calibration: Path | None,
) -> None:
    """`skyctl replay`: the verdicts of a recording, given once more."""
    from skyctl.beamline.states import recorded_check
    from skyctl.inference.model import MovieClassifier
    from skyctl.pictures import film_strip, recorded_strips
    from skyctl.recording.reader import Recording
    from skyctl.recording.replay import replay as run

    table = Table("shot", "name", "frames", "recorded", "replayed", "identical verdicts")
    with explained(), Recording(file) as recording, _recount(recording, calibration) as recount:
        with progress_bar("shots") as progress:
            bar = progress.add_task("replaying", total=len(numbers or recording.starts))

            def done(shot: "ReplayedShot") -> None:
                table.add_row(*_cells(shot))
                progress.advance(bar)

            report = run(
                recording, MovieClassifier(model, provider), pace, numbers, done,
                partial(_page, monitor, file), recount or (lambda shot: shot),
                recorded_check(recording.header),
            )  # fmt: skip
        console.print(table)
        if not report.same_model:
            console.print("[yellow]the recording was made with another model than this one[/]")
        if png:
            film_strip(recorded_strips(recording, numbers), png)
        write_json(json_file, report.as_json())
    _tell(report, recording.killed)


def _recount(
    recording: "Recording", calibration: Path | None
) -> "contextlib.AbstractContextManager[Recount | None]":
    """What computes S_z again, if that was asked for; says with whose calibration."""
    if calibration is None:
        return contextlib.nullcontext()
    from skyctl.recording.recount import Recount

    recount = Recount(recording, calibration)
    told = recount.provenance
    console.print(
        f"S_z from counts: {told.camera}, by {escape(told.author)}, {told.measured:%Y-%m-%d}"
    )
    return recount


@contextlib.contextmanager
def _page(
    port: int | None, file: Path, hub: "Hub", streaming: "StreamingClassifier"
) -> Iterator[None]:
    """Show what is streamed on a page meanwhile; without a port, nothing."""
    if port is None:
        yield
        return
    from skyctl.monitor import Watch

    watch = Watch(hub, streaming, "replay", file.name)
    try:
        with served(watch, port, people_of(None)):
            yield
    finally:
        watch.close()


def _cells(shot: "ReplayedShot") -> tuple[str, ...]:
    return (
        str(shot.number),
        shot.result.shot[:8],
        f"{shot.result.counts.received} of {shot.promised}",
        shot.recorded_label or "(look)",
        shot.result.label or "(look)",
        f"{shot.identical} of {shot.recorded_verdicts}",
    )


def _tell(report: "ReplayReport", killed: bool) -> None:
    """Say how a replay went; status 1 where a verdict came out otherwise than recorded."""
    _show_jitter(report.frames, report.seconds, report.jitter_ms)
    if report.frames < report.frames_promised:
        console.print(f"{report.frames_promised} frames were promised")
    if killed:
        console.print(
            f"the run was killed: its last {report.cut} frames have no verdict on disk, the rest "
            "is compared"
        )
    if not report.identical:
        _show_differences(report)
        complaints.print("[bold red]the verdicts differ from the recorded ones[/]")
        raise typer.Exit(1)
    verdicts = sum(shot.identical for shot in report.shots)
    console.print(f"{verdicts} verdicts, all as recorded, bit for bit")


def _show_differences(report: "ReplayReport") -> None:
    """The first verdicts that differ, a line each; all of them are in the JSON."""
    for fault in report.as_json()["faults"][:_LISTED_DIFFERENCES]:
        console.print(escape(fault), highlight=False)
    table = Table("shot", "frame", "recorded", "replayed", "largest |Δp|", title="differences")
    found = [(shot.number, each) for shot in report.shots for each in shot.differences]
    for number, each in found[:_LISTED_DIFFERENCES]:
        sides = [
            "no verdict" if said is None else said.label or "(abstains)"
            for said in (each.recorded, each.replayed)
        ]
        table.add_row(str(number), str(each.frame), *sides, _change(each))
    console.print(table)
    if len(found) > _LISTED_DIFFERENCES:
        console.print(f"and {len(found) - _LISTED_DIFFERENCES} more; --json FILE has them all")


def _change(each: "Difference") -> str:
    """The largest change of a probability; "-" where the two cannot be compared."""
    if not (each.recorded and each.replayed):
        return "-"
    recorded, replayed = each.recorded.probabilities, each.replayed.probabilities
    if len(recorded) != len(replayed):
        return "-"
    return f"{np.abs(np.subtract(recorded, replayed)).max():.2g}"


def _show_jitter(frames: int, seconds: float, jitter_ms: dict[str, float] | None) -> None:
    told = f"{frames} frames in {seconds:.2f} s"
    if jitter_ms:
        told += (
            f"; off their time by {jitter_ms['p50']:.2f} ms (p50), {jitter_ms['p99']:.2f} ms (p99)"
        )
    console.print(told)


def _publisher(address: str, keys: Path | None, allow: list[Path] | None) -> "Publisher":
    from skyctl.stream.publisher import Publisher

    with explained():
        return Publisher(address, keys=load_keys(keys, allow))


def _publish_recording(
    file: Path,
    publisher: "Publisher",
    metrics: int | None,
    pace: "Pace",
    numbers: list[int] | None,
    json_file: Path | None,
) -> None:
    """`skyctl replay --to`: be the source of the frame stream at an address."""
    from skyctl.cli.metrics import counts_served
    from skyctl.recording.playback import publish
    from skyctl.recording.reader import Recording

    with (
        explained(),
        contextlib.closing(publisher),
        counts_served(metrics, "skyctl_published", "What was sent", lambda: publisher.counts),
        Recording(file) as recording,
    ):
        with progress_bar("shots") as progress:
            bar = progress.add_task("sending", total=len(numbers or recording.starts))
            sent = publish(recording, publisher, pace, numbers, lambda _: progress.advance(bar))
        write_json(json_file, vars(sent))
    _show_jitter(sent.frames, sent.seconds, sent.jitter_ms)


def _replay_decisions(
    file: Path, documents: Path, model: Path | None, provider: Provider, json_file: Path | None
) -> None:
    """`skyctl replay --documents`: the decisions of a run, made once more."""

    from skyctl.inference.model import MovieClassifier
    from skyctl.provenance import replay_decisions
    from skyctl.recording.reader import Recording

    with explained(), Recording(file) as recording:
        report = replay_decisions(recording, documents, MovieClassifier(model, provider))
        write_json(json_file, report.as_json())
    _tell_decisions(report)


def _tell_decisions(report: "DecisionReplay") -> None:
    """Say how it went; status 1 where a decision came out otherwise than recorded."""
    if report.ended:
        console.print(f"the replayed run ended early: {report.ended}")
    if report.more:
        console.print(
            f"the recorded run was cut short; {report.more} decisions more than it recorded were "
            "made again"
        )
    if not report.identical:
        for each in report.differences[:_LISTED_DIFFERENCES]:
            console.print(str(each), highlight=False)
        complaints.print("[bold red]the decisions differ from the recorded ones[/]")
        raise typer.Exit(1)
    console.print(f"{report.decisions} decisions, all as recorded, bit for bit")
