"""`skyctl replay` and `skyctl recover`: what to do with a recording."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from skyctl.stream.publisher import Publisher


def replay(
    file: Annotated[Path, typer.Argument(help="A recording (.h5) that skyctl wrote.")],
    model: ModelFile = None,
    provider: Provider = "cpu",
    rate: Annotated[float | None, typer.Option(help="Frames a second.", min=0.1, max=1e6)] = None,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="At the times the source sent them.")
    ] = False,
    fastest: Annotated[
        bool, typer.Option("--max", help="As fast as they are taken (also when nothing is said).")
    ] = False,
    shots: Annotated[
        str | None, typer.Option(help="Only these, as in 3,5-8; the first shot is 0.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Publish here, tcp://127.0.0.1:PORT say, and classify nothing."),
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option(help="The run's documents (JSON lines): make its decisions once more."),
    ] = None,
    keys: KeyFile = None,
    allow: AllowedFiles = None,
    metrics: MetricsPort = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Stream a recording through the same hub and classifier and compare the verdicts.

    Ends with status 0 when every verdict and look comes out as recorded, bit for bit, and nothing
    is missing on either side, else 1 (of a killed run, what was on disk is compared); with another
    model (--model) too, and lists where the two differ. With --to it is a source for a hub or
    beamline that connects there, and ends with 0 when everything was taken. With --documents the
    run's plan, agent and guard decide again from these frames; ends with 0 when every decision
    comes out as recorded.
    Example: skyctl replay RUN.h5 --as-recorded --shots 0-3 --model other.onnx --json r.json
    """
    if sum((rate is not None, as_recorded, fastest)) > 1:
        raise typer.BadParameter("choose one of --rate, --as-recorded and --max")
    if to and (model or png):
        raise typer.BadParameter("--to classifies and draws nothing: leave --model and --png out")
    if documents:
        if to or png or shots or rate is not None or as_recorded:
            raise typer.BadParameter("--documents goes with --model, --provider and --json only")
        _replay_decisions(file, documents, model, provider, json_file)
        return
    if not to and (keys or allow or metrics):
        raise typer.BadParameter("--keys, --allow and --metrics are for --to: give an address")
    numbers = shot_numbers(shots)
    pace: Any = rate or ("recorded" if as_recorded else "max")
    if to:
        from skyctl.stream.publisher import Publisher

        with explained():
            publisher = Publisher(to, keys=load_keys(keys, allow))
        _publish_recording(file, publisher, metrics, pace, numbers, json_file)
        return
    from skyctl.inference.model import MovieClassifier
    from skyctl.pictures import film_strip, recorded_strips
    from skyctl.recording.comparison import ReplayedShot
    from skyctl.recording.reader import Recording
    from skyctl.recording.replay import replay as run

    table = Table("shot", "name", "frames", "recorded", "replayed", "identical verdicts")

    def add(shot: ReplayedShot) -> None:
        table.add_row(
            str(shot.number),
            shot.result.shot[:8],
            f"{shot.result.counts.received} of {shot.promised}",
            shot.recorded_label or "(look)",
            shot.result.label or "(look)",
            f"{shot.identical} of {shot.recorded_verdicts}",
        )

    with explained(), Recording(file) as recording:
        with progress_bar("shots") as progress:
            bar = progress.add_task("replaying", total=len(numbers or recording.starts))

            def done(shot: ReplayedShot) -> None:
                add(shot)
                progress.advance(bar)

            report = run(recording, MovieClassifier(model, provider), pace, numbers, done)
        console.print(table)
        if not report.same_model:
            console.print("[yellow]the recording was made with another model than this one[/]")
        if png:
            film_strip(recorded_strips(recording), png)
        write_json(json_file, report.as_json())
    _show_jitter(report.frames, report.seconds, report.jitter_ms)
    if report.frames < report.frames_promised:
        console.print(f"{report.frames_promised} frames were promised")
    if recording.killed:
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


_LISTED_DIFFERENCES = 20


def _show_differences(report: Any) -> None:
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
        change = "-"
        if each.recorded and each.replayed:
            pair = (each.recorded.probabilities, each.replayed.probabilities)
            if len(pair[0]) == len(pair[1]):
                change = f"{np.abs(np.subtract(*pair)).max():.2g}"
        table.add_row(str(number), str(each.frame), *sides, change)
    console.print(table)
    if len(found) > _LISTED_DIFFERENCES:
        console.print(f"and {len(found) - _LISTED_DIFFERENCES} more; --json FILE has them all")


def _show_jitter(frames: int, seconds: float, jitter_ms: dict[str, float] | None) -> None:
    told = f"{frames} frames in {seconds:.2f} s"
    if jitter_ms:
        told += (
            f"; off their time by {jitter_ms['p50']:.2f} ms (p50), {jitter_ms['p99']:.2f} ms (p99)"
        )
    console.print(told)


def _publish_recording(
    file: Path,
    publisher: "Publisher",
    metrics: int | None,
    pace: Any,
    numbers: list[int] | None,
    json_file: Path | None,
) -> None:
    """`skyctl replay --to`: be the source of the frame stream at an address."""
    from skyctl.recording.playback import publish
    from skyctl.recording.reader import Recording
    from skyctl.stream.metrics import CountsCollector, MetricsServer

    with explained(), contextlib.closing(publisher), contextlib.ExitStack() as stack:
        if metrics is not None:
            collector = CountsCollector(
                "skyctl_published", "What was sent", lambda: publisher.counts
            )
            stack.enter_context(MetricsServer(collector, port=metrics))
        recording = stack.enter_context(Recording(file))
        with progress_bar("shots") as progress:
            bar = progress.add_task("sending", total=len(numbers or recording.starts))
            sent = publish(recording, publisher, pace, numbers, lambda _: progress.advance(bar))
        write_json(json_file, vars(sent))
    _show_jitter(sent.frames, sent.seconds, sent.jitter_ms)


def _replay_decisions(
    file: Path, documents: Path, model: Path | None, provider: str, json_file: Path | None
) -> None:
    """`skyctl replay --documents`: the decisions of a run, made once more."""
    import logging

    from skyctl.inference.model import MovieClassifier
    from skyctl.provenance import replay_decisions
    from skyctl.recording.reader import Recording

    # Where a recorded run was cut short the plan finds no more frames; bluesky tells at length.
    logging.getLogger("bluesky").setLevel(logging.CRITICAL)
    with explained(), Recording(file) as recording:
        report = replay_decisions(recording, documents, MovieClassifier(model, provider))
        write_json(json_file, report.as_json())
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


def recover(
    file: Annotated[Path, typer.Argument(help="A recording (.h5) that was never closed, or cut.")],
    out: Annotated[
        Path | None, typer.Option(help="The new file; left out: FILE-recovered.h5.", dir_okay=False)
    ] = None,
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
