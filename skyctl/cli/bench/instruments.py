"""`skyctl bench instruments`: a proved shot beside bare puts, and shots at failing instruments."""

import os
import tempfile
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from skyctl.cli.common import (
    JsonFile,
    complain,
    complaints,
    console,
    explained,
    show_rows,
    write_json,
)
from skyctl.errors import install

_RATE, _IMAGES = 250.0, 2500


class Over(StrEnum):
    """How the instrument is reached."""

    SCPI = "scpi"
    CA = "ca"
    PVA = "pva"


def bench_instruments(
    over: Annotated[
        list[Over] | None,
        typer.Option(help="Only over this; several times for more. Left out: all."),
    ] = None,
    shots: Annotated[
        int, typer.Option(help="While the instrument is killed, frozen, cut off.", min=1)
    ] = 2000,
    timed: Annotated[int, typer.Option(help="Shots to measure the time of.", min=10)] = 300,
    seed: Annotated[int, typer.Option(help="Of the faults' moments.", min=0)] = 0,
    json_file: JsonFile = None,
) -> None:
    """Fire at an instrument in another process that is killed, frozen and cut off meanwhile.

    With PV Access also: 250 images a second of 512 × 512 pixels, as areaDetector sends them, to a
    verdict each, beside our own stream. With the extra 'counts' also: S_z of a sample that drifts,
    registered and not.

    Status 1 where a shot was fired twice or unbooked, or its outcome is not what the instrument
    itself wrote down. Channel Access and PV Access need skyctl's extra 'epics'.
    """
    from skyctl.simulators.instrument.loopback import epics_on_loopback, free_ports

    os.environ.update(epics_on_loopback(free_ports()))  # before ophyd is imported
    try:
        import softioc  # noqa: F401
    except ImportError as error:
        if over != [Over.SCPI]:
            complain(f"{error}: {install('epics')}, or give --over scpi")
            raise typer.Exit(1) from error
    from skyctl.bench.detector import detector_to_verdict
    from skyctl.bench.instruments import broken, latency

    kinds = [one.value for one in over or Over]
    rows, accounts = [], []
    with explained(TimeoutError), tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            with console.status(f"{kind}: timing …"):
                rows.append(vars(latency(kind, Path(folder), timed)))
        show_rows(rows)
        with console.status("images …"):
            images = detector_to_verdict(_RATE, _IMAGES) if "pva" in kinds else []
        if images:
            show_rows(images)
        counts = _counts_to_sz()
        for kind in kinds:
            place = Path(folder) / f"{kind}-broken"
            place.mkdir()
            with console.status(f"{kind}: killing, freezing, cutting off …"):
                accounts.append(broken(kind, place, shots, seed=seed).as_json())
            console.print(accounts[-1], highlight=False)
    write_json(json_file, {"latency": rows, "images": images, "counts": counts, "faults": accounts})
    if not all(account["right"] for account in accounts):
        complaints.print("[bold red]an account is not what happened[/]")
        raise typer.Exit(1)


def _counts_to_sz() -> list[dict[str, Any]]:
    if find_spec("skimage") is None:
        console.print(f"counts to S_z: not measured, scikit-image: {install('counts')}")
        return []
    from skyctl.bench.registration import drifting_session

    with console.status("a sample that drifts …"):
        rows = drifting_session()
    show_rows(rows)
    return rows
