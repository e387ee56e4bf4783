"""`skyctl doctor`: is this installation well?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from skyctl.cli.common import JsonFile, console, explained, write_json

if TYPE_CHECKING:
    from skyctl.doctor import Report

Metrics = Annotated[
    str | None,
    typer.Option(
        help="Also what a running hub, splitter or publisher counted, and whom it let in: the URL "
        "of its metrics."
    ),
]

Recording = Annotated[
    Path | None, typer.Option(help="Also what was counted in this recording (.h5).")
]


def doctor(
    metrics: Metrics = None,
    recording: Recording = None,
    beamline: Annotated[
        Path | None,
        typer.Option(help="Ask every instrument of this beamline file instead; fires nothing."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Check this installation, and stream some frames through it to see that none is lost.

    Ends with status 0 when all is well, else 1. Frames are accounted for by name: skyctl.frame's
    Counts say what each means.
    """
    from skyctl.doctor import check_instruments, check_up

    with explained():
        with console.status("checking …"):
            report = check_instruments(beamline) if beamline else check_up(metrics, recording)
        console.print(_findings(report))
        if report.accounting:
            console.print(_counts(report))
        write_json(json_file, report.as_json())
    if not report.well:
        raise typer.Exit(1)


def _findings(report: "Report") -> Table:
    table = Table("what", "found", "")
    for finding in report.findings:
        mark = "[green]ok[/]" if finding.well else "[bold red]fault[/]"
        table.add_row(finding.what, escape(finding.found), mark)
    return table


def _counts(report: "Report") -> Table:
    table = Table("counted", *report.accounting)
    for kind in dict.fromkeys(kind for counts in report.accounting.values() for kind in counts):
        counted = (counts.get(kind) for counts in report.accounting.values())
        table.add_row(kind, *("" if count is None else f"{count:g}" for count in counted))
    return table
