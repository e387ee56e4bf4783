"""Help as a terminal of any width shows it: prose flows, an example stays on a line of its own."""

import inspect
import re

import typer
from rich.markup import escape

_EXAMPLE = re.compile(r"^\s|^[^.]*: +skyctl ")
"""A line that begins anew: indented, or with a command after what it is for."""


def readable_help(app: typer.Typer) -> None:
    """Let the help of every command of ``app`` and below flow; of itself typer keeps a docstring's
    line ends after the first paragraph, and takes ``[train]`` for a colour."""
    for command in app.registered_commands:
        text = command.help or inspect.getdoc(command.callback)
        command.help = flowing(text or "")
    for group in app.registered_groups:
        if group.typer_instance:
            readable_help(group.typer_instance)


def flowing(text: str) -> str:
    """``text`` with the lines of its prose joined; those of examples stay."""
    return escape("\n\n".join(map(_joined, text.split("\n\n"))))


def _joined(paragraph: str) -> str:
    lines: list[str] = []
    for line in paragraph.splitlines():
        after_example = lines and _EXAMPLE.search(lines[-1]) and not line.startswith("--")
        if not lines or _EXAMPLE.search(line) or after_example:
            lines.append(line)
        else:
            lines[-1] += f" {line}"
    return "\n".join(lines)
