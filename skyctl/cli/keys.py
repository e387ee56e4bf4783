"""`skyctl keys`: a key pair for a stream that leaves this machine."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import console, explained


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
