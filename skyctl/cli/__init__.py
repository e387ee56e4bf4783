"""The `skyctl` command. Exit status: 0 done, 1 failed, 2 misused.

A file holds a command or a few that belong together; here they are put in the order of `--help`.
Whatever takes long to import, a command imports when it runs.
"""

import logging
from typing import Annotated

import typer

from skyctl import __version__
from skyctl.cli.autonomy import bench_autonomy, bench_maps
from skyctl.cli.bench import bench_app
from skyctl.cli.common import console
from skyctl.cli.cycle import bench_characterise, bench_cycle
from skyctl.cli.demo import demo
from skyctl.cli.ledger import ledger_app
from skyctl.cli.movies import diagram, movies
from skyctl.cli.reader import bench_reader, train_reader
from skyctl.cli.recordings import recover, replay
from skyctl.cli.reproduce import reproduce_app
from skyctl.cli.run import run
from skyctl.cli.seeking import train_seeker
from skyctl.cli.simulate import simulate
from skyctl.cli.stream import doctor, keys, split
from skyctl.cli.torque_network import bench_torque, reproduce_torque, train_torque
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
    demo, run, simulate, movies, diagram, verify, replay, recover, split, keys, doctor
):  # fmt: skip
    app.command()(command)
app.add_typer(ledger_app, name="ledger")
app.add_typer(train_app, name="train")
app.add_typer(reproduce_app, name="reproduce")
bench_app.command("maps")(bench_maps)
train_app.command("seeker")(train_seeker)
train_app.command("torque")(train_torque)
train_app.command("reader")(train_reader)
reproduce_app.command("torque")(reproduce_torque)
bench_app.command("torque")(bench_torque)
bench_app.command("reader")(bench_reader)
bench_app.command("autonomy")(bench_autonomy)
bench_app.command("cycle")(bench_cycle)
bench_app.command("characterise")(bench_characterise)
app.add_typer(bench_app, name="bench")


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what happens.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR)
    if version:
        console.print(f"skyctl {__version__}")
        raise typer.Exit
