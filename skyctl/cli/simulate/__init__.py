"""`skyctl simulate`: one shot at a simulated film, looked at and kept. A file for each film."""

import typer

from skyctl.cli.simulate.itinerant import simulate_itinerant
from skyctl.cli.simulate.lattice import simulate_lattice
from skyctl.cli.simulate.thin import simulate_thin

simulate_app = typer.Typer(
    help="Film one shot at a simulated film: lattice, where skyrmions are written, switched and "
    "erased; thin, with its stray field; itinerant, whose torque a network predicts.",
    no_args_is_help=True,
)
simulate_app.command("lattice")(simulate_lattice)
simulate_app.command("thin")(simulate_thin)
simulate_app.command("itinerant")(simulate_itinerant)
