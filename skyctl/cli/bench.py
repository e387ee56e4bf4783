"""`skyctl bench`: speed, beside a floor measured in the same run."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from skyctl.cli.common import (
    JsonFile,
    ModelFile,
    Provider,
    complaints,
    console,
    explained,
    write_json,
)

bench_app = typer.Typer(
    help="Measure speed, beside a floor measured in the same run.", no_args_is_help=True
)


@bench_app.command("loop")
def bench_loop(
    rate: Annotated[float, typer.Option(help="Frames a second.", min=1)] = 100.0,
    frames: Annotated[int, typer.Option(help="Frames to stream.", min=10)] = 1500,
    model: ModelFile = None,
    provider: Provider = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Receive-to-verdict latency at a steady frame rate, source in a process of its own."""
    from skyctl.bench.loop import loop_latency

    with explained():
        result = loop_latency(rate, frames, model, provider)
        show_bench(result["results"])
        write_json(json_file, result)


@bench_app.command("stream")
def bench_stream(model: ModelFile = None, json_file: JsonFile = None) -> None:
    """Throughput beside bare ZeroMQ, and what the stream adds to ONNX Runtime's call. Two minutes.

    Source and hub are two processes. A throughput ratio is the median of pairs that take turns.
    """
    from skyctl.bench.stream import stream_speed

    with explained():
        with console.status("") as status:
            result = stream_speed(model, status.update)
        show_bench(result["throughput"])
        show_bench(result["overhead_ms"])
        write_json(json_file, result)


@bench_app.command("soak")
def bench_soak(
    minutes: Annotated[float, typer.Option(help="How long.", min=0.05)] = 10.0,
    rate: Annotated[float, typer.Option(help="Frames a second.", min=1)] = 1000.0,
    json_file: JsonFile = None,
) -> None:
    """Stream 40 kB frames for minutes; ends with 1 when a frame is lost or not accounted for."""
    from skyctl.bench.soak import soak

    with explained():
        with console.status("") as status:
            result = soak(minutes, rate, say=status.update)
        show_bench(result["rows"])
        console.print(f"sent {result['sent']}, received {result['received']}")
        write_json(json_file, result)
    if result["unaccounted"] or result["received"] != result["sent"]:
        complaints.print("[bold red]frames were lost[/]")
        raise typer.Exit(1)


@bench_app.command("faults")
def bench_faults(
    stop: Annotated[float, typer.Option(help="How long consumers are stopped, s.", min=0.5)] = 10.0,
    json_file: JsonFile = None,
) -> None:
    """Break the stream on purpose and compare its account with what was really sent."""
    from skyctl.bench.faults import all_faults

    with explained():
        with console.status("killing, stopping, losing …"):
            rows = [row.as_json() for row in all_faults(stop)]
        show_bench([{k: v for k, v in row.items() if k != "totals"} for row in rows])
        write_json(json_file, rows)
    if not all(row["right"] for row in rows):
        complaints.print("[bold red]an account is not what happened[/]")
        raise typer.Exit(1)


@bench_app.command("recording")
def bench_recording_command(json_file: JsonFile = None) -> None:
    """Frames a second on disk, beside a plain h5py loop, and 1000 frames/s for 20 s."""
    from skyctl.bench.machine import machine
    from skyctl.bench.recording import bench_recording

    with explained():
        rows = bench_recording()
        shown = ("what", "compression", "frames_per_s", "ratio", "lost", "behind", "handle_ms")
        show_bench([{k: row.get(k, "") for k in shown} for row in rows])
        write_json(json_file, {"machine": machine(), "results": rows})


@bench_app.command("classifier")
def bench_classifier(
    model: Annotated[
        list[Path] | None, typer.Option(help="Classifiers (.onnx) beside those that ship.")
    ] = None,
    lives: Annotated[int, typer.Option(help="Lives of ten movies to judge with.", min=1)] = 14,
    frames: Annotated[int, typer.Option(help="Frames to time.", min=20)] = 500,
    json_file: JsonFile = None,
) -> None:
    """Accuracy and time a frame of each classifier and its 8-bit twin, at 100 frames/s and hot.

    One thread, features included. Two minutes; 8 bits need the extra "train".
    """
    from skyctl.bench.verdicts import classifier_table

    with explained():
        with console.status("") as status:
            result = classifier_table(model or [], lives, frames, status.update)
        show_bench(result["results"])
        write_json(json_file, result)


@bench_app.command("simulator")
def bench_simulator(
    seconds: Annotated[float, typer.Option(help="Time for each case.", min=0.1)] = 2.0,
    json_file: JsonFile = None,
) -> None:
    """Site-steps a second of the film, beside Spirit (where installed) and numpy in the same run.

    Spirit is `pip install spirit`. All cases take about two minutes and a half.
    """
    from skyctl.bench.simulator import simulator_speed

    with explained():
        with console.status("") as status:
            result = simulator_speed(seconds, status.update)
        shown = ("case", "site_steps_per_s", "times_numpy", "times_spirit", "of_memory_floor")
        show_bench([{k: row.get(k, "") for k in shown} for row in result["results"]])
        show_bench(result["scaling"])
        write_json(json_file, result)


@bench_app.command("thinfilm")
def bench_thin_film(
    peer_ps: Annotated[
        float, typer.Option(help="Time for the peer to simulate; the rest is extrapolated.", min=10)
    ] = 100.0,
    json_file: JsonFile = None,
) -> None:
    """One nanosecond of standard problem 4 on one thread, beside magnum.np where it is there."""
    from skyctl.bench.thin_film import thin_film_speed

    with explained():
        result = thin_film_speed(peer_ps)
        show_bench(result["results"])
        console.print(f"magnum.np: {result['peer']}")
        write_json(json_file, result)


def show_bench(rows: list[dict[str, Any]]) -> None:
    """Print rows of one form as a table."""
    table = Table(*rows[0])
    for row in rows:
        table.add_row(
            *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values())
        )
    console.print(table)
