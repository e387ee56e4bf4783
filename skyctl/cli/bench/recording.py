"""`skyctl bench recording`: frames a second on disk."""

from skyctl.cli.common import JsonFile, complaints, explained, show_rows, write_json


def bench_recording(json_file: JsonFile = None) -> None:
    """Frames a second on disk, beside a plain h5py loop, and 1000 frames/s for 20 s."""
    from skyctl.bench.machine import machine
    from skyctl.bench.recording import bench_recording as measure

    with explained():
        with complaints.status("writing, reading …"):
            rows = measure()
        shown = ("what", "compression", "frames_per_s", "ratio", "lost", "behind", "handle_ms")
        show_rows([{k: row.get(k, "") for k in shown} for row in rows])
        write_json(json_file, {"machine": machine(), "results": rows})
