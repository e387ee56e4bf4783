"""`skyctl bench stream`: the stream beside bare ZeroMQ."""

from skyctl.cli.common import JsonFile, ModelFile, console, explained, show_rows, write_json


def bench_stream(model: ModelFile = None, json_file: JsonFile = None) -> None:
    """Throughput beside bare ZeroMQ, and what the stream adds to ONNX Runtime's call. Two minutes.

    Source and hub are two processes. A throughput ratio is the median of pairs that take turns.
    """
    from skyctl.bench.stream import stream_speed

    with explained():
        with console.status("") as status:
            result = stream_speed(model, status.update)
        show_rows(result["throughput"])
        show_rows(result["overhead_ms"])
        write_json(json_file, result)
