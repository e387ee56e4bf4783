"""`skyctl split`: one detector's frames for several clients."""

import contextlib
from collections import Counter
from typing import Annotated

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
