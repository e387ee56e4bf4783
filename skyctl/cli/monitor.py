"""`skyctl monitor`: a recording on a page; and the page of what another command runs."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from skyctl.cli.common import JsonFile, PeopleFile, console, explained, write_json

if TYPE_CHECKING:
    from skyctl.beamline import Beamline
    from skyctl.monitor import Monitor, People
    from skyctl.monitor.view import View

RecordingFile = Annotated[Path, typer.Argument(help="A recording (.h5) that skyctl wrote.")]

Port = Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.", min=0, max=65535)]


def monitor(
    file: RecordingFile, port: Port = 0, people: PeopleFile = None, json_file: JsonFile = None
) -> None:
    """Look at a recording on a web page: every shot as a film strip, its movie and its verdicts.

    Nothing can be fired from there. Ctrl-C ends it. The page of an experiment that runs is
    served by the experiment: skyctl run … --monitor 8010, or Monitor(beamline) in your own
    RunEngine.
    """
    import threading

    from skyctl.monitor import RecordedView

    with explained(), served(RecordedView(file), port, people_of(people)) as links:
        write_json(json_file, {"links": links})
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def people_of(file: Path | None) -> "People":
    """Who may see and act. Raises MonitorError."""
    from skyctl.monitor import People

    return People.load(file) if file else People.only_me()


@contextlib.contextmanager
def served(view: "View", port: int, people: "People") -> Iterator[dict[str, str]]:
    """Serve a page without controls meanwhile, and say where. Raises MonitorError."""
    from skyctl.monitor import PageServer

    server = PageServer(view, people, port)
    try:
        server.start()
        tell_links(server.links)
        yield server.links
    finally:
        server.close()


@contextlib.contextmanager
def watched(
    line: "Beamline[Any]", port: int | None, people: Path | None
) -> Iterator["Monitor | None"]:
    """Serve the live page of a beamline meanwhile, and say where; without a port, nothing.

    Raises MonitorError.
    """
    from skyctl.monitor import Monitor

    if port is None and people:
        raise typer.BadParameter("--people is for --monitor: give a port")
    if port is None:
        yield None
        return
    with Monitor(line, port=port, people=people_of(people)) as page:
        tell_links(page.links)
        yield page


def tell_links(links: Mapping[str, str]) -> None:
    """Say where the page is, for each person. Whoever has a link is that person."""
    for name, link in links.items():
        console.print(f"page for {escape(name)}: {link}", soft_wrap=True, highlight=False)
