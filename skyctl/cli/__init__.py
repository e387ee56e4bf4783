"""The `skyctl` command. Exit status: 0 done, 1 failed, 2 misused, 130 interrupted.

A command's file has its name, in a folder where it has two: `skyctl bench cycle` is bench/cycle.py.
Whatever takes long to import, a command imports when it runs.
"""

import io
import logging
import sys
from typing import Annotated

import typer

from skyctl import __version__
from skyctl.cli import ending
from skyctl.cli.bench import bench_app
from skyctl.cli.calibration import calibration_app
from skyctl.cli.common import console
from skyctl.cli.convert import convert
from skyctl.cli.demo import demo
from skyctl.cli.diagram import diagram
from skyctl.cli.doctor import doctor
from skyctl.cli.export_recording import export_recording
from skyctl.cli.generate import generate
from skyctl.cli.ground_state import ground_state
from skyctl.cli.help_text import readable_help
from skyctl.cli.import_movie import import_movie
from skyctl.cli.keys import keys
from skyctl.cli.ledger import ledger_app
from skyctl.cli.monitor import monitor
from skyctl.cli.movies import movies
from skyctl.cli.people import people
from skyctl.cli.recover import recover
from skyctl.cli.replay import replay
from skyctl.cli.reproduce import reproduce_app
from skyctl.cli.run import run
from skyctl.cli.serve import serve_app
from skyctl.cli.simulate import simulate_app
from skyctl.cli.split import split
from skyctl.cli.steer import steer
from skyctl.cli.train import train_app
from skyctl.cli.verify import verify

app = typer.Typer(
    name="skyctl",
    help="Bluesky plans that choose the next pulse from a movie of the sample.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo, run, steer, monitor, people, movies, convert, diagram, verify, replay, recover, split,
    keys, doctor,
):  # fmt: skip
    app.command()(command)
app.add_typer(serve_app, name="serve")
app.add_typer(calibration_app, name="calibration")
app.command("import")(import_movie)
app.command()(ground_state)
app.command()(generate)
app.command("export")(export_recording)
app.add_typer(simulate_app, name="simulate")
app.add_typer(ledger_app, name="ledger")
app.add_typer(train_app, name="train")
app.add_typer(reproduce_app, name="reproduce")
app.add_typer(bench_app, name="bench")
readable_help(app)


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what happens.")] = False,
) -> None:
    level = logging.INFO if verbose else logging.ERROR
    shown = logging.StreamHandler()
    shown.setLevel(level)  # for libraries that set their loggers' levels themselves, as Dask does
    logging.basicConfig(level=level, handlers=[shown])
    if version:
        console.print(f"skyctl {__version__}")
        raise typer.Exit


def main() -> None:
    """The command as a process: Ctrl-C ends it as ``ending`` says, -v may stand anywhere, and a
    console that is not UTF-8 shows "?" for what it lacks: a failing print would end a run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with ending.on_interrupt():
        try:
            app(args=_verbose_first(sys.argv[1:]))
        except SystemExit as error:
            if error.code == ending.STATUS:
                ending.leave()
            raise


def _verbose_first(args: list[str]) -> list[str]:
    """-v is the option of no command, but of all."""
    end = args.index("--") if "--" in args else len(args)
    verbose = [arg for arg in args[:end] if arg in ("-v", "--verbose")]
    return verbose + [arg for arg in args[:end] if arg not in verbose] + args[end:]
