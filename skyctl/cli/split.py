"""`skyctl split`: one detector's frames for several clients."""

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

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

if TYPE_CHECKING:
    from skyctl.stream.sources.splitter import Splitter

Source = Annotated[str, typer.Option("--from", help="The detector, tcp://HOST:PORT.")]

To = Annotated[
    list[str] | None,
    typer.Option(help="Lossless output for one client; a slow one holds the detector back."),
]

Publish = Annotated[
    list[str] | None,
    typer.Option(help="Output for any number of onlookers; drops and counts what they miss."),
]


def split(
    source: Source,
    to: To = None,
    publish: Publish = None,
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
    from skyctl.cli.metrics import counts_served
    from skyctl.stream.sources.splitter import Output, Splitter

    if not to and not publish:
        raise typer.BadParameter("give at least one --to or --publish", param_hint="--to")
    outputs = [Output(address, "push") for address in to or ()]
    outputs += [Output(address, "pub") for address in publish or ()]
    with explained():
        splitter = Splitter(source, outputs, load_keys(keys, allow))
        what = "Messages by what became of them"
        try:
            with counts_served(metrics, "skyctl_split", what, lambda: splitter.counts):
                _watch(source, splitter)
        finally:
            splitter.close()
            console.print(_told(splitter.counts), soft_wrap=True)
            write_json(json_file, dict(splitter.counts))


def _watch(source: str, splitter: "Splitter") -> None:
    """Show what passes, until interrupted."""
    console.print(f"{source} to {', '.join(splitter.addresses)}", soft_wrap=True)
    with console.status("") as status, contextlib.suppress(KeyboardInterrupt):
        while splitter.alive:
            status.update(_told(splitter.counts))
            time.sleep(0.2)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in counts.items()) or "no messages yet"
