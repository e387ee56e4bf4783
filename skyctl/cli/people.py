"""`skyctl people`: who may see the live page, and who may act on it."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from skyctl.cli.common import console, explained, values_checked

Name = Annotated[str, typer.Argument(help="What the person's answers are signed with.")]

Role = Annotated[
    Literal["viewer", "operator"],
    typer.Option(help="A viewer sees and may STOP; an operator approves and releases too."),
]

File = Annotated[Path, typer.Option(help="Where the tokens are kept; only you can read it.")]


def people(name: Name, role: Role = "viewer", file: File = Path("people.json")) -> None:
    """Give a person a token for the live page; a new one replaces the old.

    \b
    skyctl people Ada --role operator
    skyctl people Grace
    skyctl run cycle --monitor 8010 --people people.json
    """
    from skyctl.monitor.people import invite

    with explained(), values_checked():
        token = invite(file, name, role)
    console.print(
        f"{escape(name)} is a {role} in {file}; add ?token={token} to the page's address",
        soft_wrap=True,
        highlight=False,
    )
