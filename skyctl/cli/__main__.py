"""`python -m skyctl.cli`, where the command itself is not on the path."""

from skyctl.cli import app

app()
