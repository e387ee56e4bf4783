"""`skyctl reproduce`: papers done again, with their figures and numbers; a file for each."""

import typer

from skyctl.cli.reproduce.classifier import reproduce_classifier
from skyctl.cli.reproduce.generator import reproduce_generator
from skyctl.cli.reproduce.latent import reproduce_latent
from skyctl.cli.reproduce.torque import reproduce_torque

reproduce_app = typer.Typer(
    help="Do a paper again: simulate, train, judge, draw.", no_args_is_help=True
)
reproduce_app.command("classifier")(reproduce_classifier)
reproduce_app.command("torque")(reproduce_torque)
reproduce_app.command("generator")(reproduce_generator)
reproduce_app.command("latent")(reproduce_latent)
