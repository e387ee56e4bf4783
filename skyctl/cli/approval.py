"""The yes before a pulse, asked for at the terminal."""

import contextlib
import os
import select
import sys
import termios
import time
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from skyctl.cli.common import console, who

if TYPE_CHECKING:
    from skyctl.plans.modes import Answer, Request

_CODE_LENGTH = 4
"""Of a shot's name, drawn at random, that a yes repeats."""


def ask_at_terminal(request: "Request") -> "Answer":
    """Show a request and read the answer from standard input; silence, or no input, is a no.

    A yes names what it is for, ``y`` and the code that the question shows, and what was typed
    before the question is thrown away: no answer is taken for a question that nobody has seen.
    """
    from skyctl.plans.modes import Answer

    _show_request(request)
    code = request.shot[:_CODE_LENGTH]
    _forget_typed()
    _prompt(
        f"Fire{request.more}? Type `y {code}` for yes, n for no "
        f"({request.timeout_s:g} s, then no): "
    )
    end = time.monotonic() + request.timeout_s
    while (said := _line_from_terminal(end)) is not None:
        words = said.lower().split()
        if words in (["y", code.lower()], ["yes", code.lower()]):
            return Answer(True, who())
        if words not in (["y"], ["yes"]):
            return Answer(False, who(), f"said {said.strip() or 'nothing'!r}")
        _prompt(f"which one? `y {code}` fires this one: ")
    console.print("no answer: no")
    return Answer(False, "", "no answer at the terminal")


def _prompt(text: str) -> None:
    console.print(escape(text), end="", highlight=False)
    sys.stdout.flush()


def _show_request(request: "Request") -> None:
    table = Table("pulse", "dose (T²ps)", "chance", title=f"{request.task}: fire the first?")
    chances = {str(pulse): chance for pulse, chance in request.candidates}
    for pulse in request.shown:
        chance = chances.get(str(pulse))
        table.add_row(
            str(pulse), f"{pulse.dose_T2ps:.0f}", "" if chance is None else f"{chance:.0%}"
        )
    console.print(table)
    console.print(
        f"film: {request.film}; {request.agent}: {escape(request.reason)}", highlight=False
    )


def _forget_typed() -> None:
    """Throw away what standard input holds already: it answers nothing that is asked now."""
    try:
        source = sys.stdin.fileno()
        with contextlib.suppress(termios.error):  # no terminal: there is nothing half typed
            termios.tcflush(source, termios.TCIFLUSH)
        while select.select([source], [], [], 0)[0] and os.read(source, 4096):
            pass
    except (OSError, ValueError):
        return


def _line_from_terminal(end: float) -> str | None:
    """A line of standard input; None where none came by ``end`` (monotonic), or none can come.

    Byte by byte and never waiting longer: a read that outlived its question would take the answer
    to the next one.
    """
    try:
        source = sys.stdin.fileno()
    except (OSError, ValueError):
        return None
    line = b""
    while not line.endswith(b"\n"):
        left_s = end - time.monotonic()
        ready = left_s > 0 and select.select([source], [], [], left_s)[0]
        if not ready or not (byte := os.read(source, 1)):
            return None
        line += byte
    return line.decode(errors="replace")
