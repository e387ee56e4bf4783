"""`skyctl bench loop`: from a frame's arrival to its verdict."""

from typing import Annotated

import typer

from skyctl.cli.common import (
    JsonFile,
    ModelFile,
    Provider,
    complaints,
    explained,
    show_rows,
    write_json,
)


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
        with complaints.status("streaming, classifying …"):
            result = loop_latency(rate, frames, model, provider)
        show_rows(result["results"])
        write_json(json_file, result)
