"""`skyctl train`: a shipped model trained again; a file for each."""

import typer

from skyctl.cli.train.classifier import train_classifier
from skyctl.cli.train.generator import train_generator
from skyctl.cli.train.imagined_film import train_imagined_film
from skyctl.cli.train.latent import train_latent
from skyctl.cli.train.reader import train_reader
from skyctl.cli.train.seeker import train_seeker
from skyctl.cli.train.torque import train_torque

train_app = typer.Typer(help="Train a shipped model again.", no_args_is_help=True)
train_app.command("classifier")(train_classifier)
train_app.command("seeker")(train_seeker)
train_app.command("imagined-film")(train_imagined_film)
train_app.command("torque")(train_torque)
train_app.command("reader")(train_reader)
train_app.command("generator")(train_generator)
train_app.command("latent")(train_latent)
