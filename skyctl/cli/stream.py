"""`skyctl split`, `skyctl keys` and `skyctl doctor`: the frame stream looked after."""

import contextlib
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from skyctl.cli.common import (
    AllowedFiles,
    JsonFile,
    KeyFile,
    MetricsPort,
    console,
    explained,
    load_keys,
    write_json,
)


def split(
    source: Annotated[str, typer.Option("--from", help="The detector, tcp://HOST:PORT.")],
    to: Annotated[
        list[str] | None,
        typer.Option(help="Lossless output for one client; a slow one holds the detector back."),
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(help="Output for any number of onlookers; drops and counts what they miss."),
    ] = None,
    keys: KeyFile = None,
    allow: AllowedFiles = None,
    metrics: MetricsPort = None,
    json_file: JsonFile = None,
) -> None:
    """Stand behind a detector that pushes, and pass all its frames on to several clients.

    Such a detector deals its frames out: a second client would take half of them. Runs until it is
    interrupted. Example: skyctl split --from tcp://eiger:31001 --to tcp://127.0.0.1:31001
    --publish tcp://127.0.0.1:31002

    Outputs that leave this machine need --keys and --allow (see skyctl keys), and then all do.
    """
    import time

    from skyctl.stream.metrics import CountsCollector, MetricsServer
    from skyctl.stream.sources.splitter import Output, Splitter

    if not to and not publish:
        raise typer.BadParameter("give at least one --to or --publish", param_hint="--to")
    outputs = [Output(address, "push") for address in to or ()]
    outputs += [Output(address, "pub") for address in publish or ()]
    with explained(), contextlib.ExitStack() as stack:
        splitter = Splitter(source, outputs, load_keys(keys, allow))
        try:
            if metrics is not None:
                collector = CountsCollector(
                    "skyctl_split", "Messages by what became of them", lambda: splitter.counts
                )
                stack.enter_context(MetricsServer(collector, port=metrics))
            console.print(f"{source} to {', '.join(splitter.addresses)}", soft_wrap=True)
            with console.status("") as status, contextlib.suppress(KeyboardInterrupt):
                while splitter.alive:
                    status.update(_split_counts(splitter.counts))
                    time.sleep(0.2)
        finally:
            splitter.close()
            console.print(_split_counts(splitter.counts), soft_wrap=True)
            write_json(json_file, dict(splitter.counts))


def _split_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in counts.items()) or "no messages yet"


def keys(
    name: Annotated[Path, typer.Argument(help="Makes NAME.key and NAME.key_secret.")],
) -> None:
    """Make a CURVE key pair for one end of a frame stream that leaves this machine.

    Give the other end NAME.key. NAME.key_secret stays here, readable by you alone.
    Example: skyctl keys ~/.skyctl/hutch-3
    """
    from skyctl.stream.keys import make_keys

    with explained():
        public, secret = make_keys(name)
        console.print(f"{public} for the other end\n{secret} for this one", soft_wrap=True)


def doctor(
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Also what a running hub, splitter or publisher counted, and whom it let in: the "
            "URL of its metrics."
        ),
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Also what was counted in this recording (.h5).")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Check this installation, and stream some frames through it to see that none is lost.

    Ends with status 0 when all is well, else 1. Frames are accounted for by name: skyctl.frame's
    Counts say what each means.
    """
    from skyctl.doctor import check_up

    with explained():
        with console.status("checking …"):
            report = check_up(metrics, recording)
        table = Table("what", "found", "")
        for finding in report.findings:
            mark = "[green]ok[/]" if finding.well else "[bold red]fault[/]"
            table.add_row(finding.what, escape(finding.found), mark)
        console.print(table)
        kinds = dict.fromkeys(kind for counts in report.accounting.values() for kind in counts)
        table = Table("counted", *report.accounting)
        for kind in kinds:
            counted = (counts.get(kind) for counts in report.accounting.values())
            table.add_row(kind, *("" if count is None else f"{count:g}" for count in counted))
        console.print(table)
        write_json(json_file, report.as_json())
    if not report.well:
        raise typer.Exit(1)
