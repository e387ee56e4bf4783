"""`skyctl ledger`: see whether a ledger is as it was written, and accept one that is not."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from skyctl.cli.common import console, explained, show_rows, values_checked, who

ledger_app = typer.Typer(
    help="What was fired: is it as it was written, and accept it where it is not.",
    no_args_is_help=True,
)
LedgerFile = Annotated[Path, typer.Argument(help="The file, runs/…/ledger.jsonl.")]


@ledger_app.command("check")
def check_ledger(ledger: LedgerFile) -> None:
    """Say what a ledger sums up to; status 1 where it is not as it was written."""
    from skyctl.devices.ledger_accept import inspect

    with explained():
        found = inspect(ledger)
    console.print(
        f"{found.spent.shots} shots, {found.spent}; unreadable lines: "
        f"{len(found.unreadable)}; shots noted and gone: {found.missing}",
        highlight=False,
    )
    if found.fault:
        console.print(escape(found.fault), highlight=False, soft_wrap=True)
        raise typer.Exit(1)


@ledger_app.command("outcomes")
def outcomes_of_ledger(
    ledger: LedgerFile,
    shot: Annotated[str | None, typer.Argument(help="The one whose fate you know.")] = None,
    became: Annotated[
        Literal["fired", "not fired"] | None, typer.Option(help="What became of it.")
    ] = None,
    why: Annotated[str, typer.Option(help="How you know; stands in the file.")] = "",
) -> None:
    """What an instrument's counter said of each shot; or say yourself what became of one.

    A shot that may have been fired holds fire until its counter proves it, or a person says what
    became of it. It stays booked. A run that holds goes on by itself.

    \b
    See them:    skyctl ledger outcomes runs/tonight/ledger.jsonl
    Say it:      skyctl ledger outcomes runs/tonight/ledger.jsonl SHOT --became "not fired" \\
                 --why "the oscilloscope shows no pulse"
    """
    from skyctl.devices.instruments.outcomes import Outcomes, outcomes_beside

    with explained(), values_checked():
        outcomes = Outcomes(outcomes_beside(ledger))
        if shot and became:
            outcomes.say(shot, became, who(), why)
        elif shot or became:
            raise ValueError("give a shot and --became together, or neither")
    rows = [
        {
            "shot": known.shot,
            "became": known.became,
            "counter": f"{known.before} → {known.after}",
            "who": known.who,
            "why": known.why,
        }
        for known in outcomes
    ]
    if rows:
        show_rows(rows)
    if any(known.is_open for known in outcomes):
        raise typer.Exit(1)


@ledger_app.command("accept")
def accept_ledger(
    ledger: LedgerFile,
    why: Annotated[str, typer.Option(help="Why it may be believed; stands in the ledger.")],
    shots: Annotated[
        int | None, typer.Option(help="Shots spent so far; left out: what `check` says.", min=0)
    ] = None,
    dose: Annotated[
        float | None, typer.Option(help="T²ps spent so far; left out: what `check` says.", min=0)
    ] = None,
    current_dose: Annotated[
        float | None, typer.Option(help="A²s/m⁴ of currents; left out: what `check` says.", min=0)
    ] = None,
) -> None:
    """Let a ledger go on that is not as it was written. You say what was spent.

    Your name and reason stand in its new first line; the old file is kept beside it.

    \b
    See first:   skyctl ledger check runs/tonight/ledger.jsonl
    Then:        skyctl ledger accept runs/tonight/ledger.jsonl --why "edited by mistake, restored"
    """
    from skyctl.devices.ledger_accept import accept

    with explained(), values_checked():
        spent = accept(
            ledger, who(), why, shots=shots, dose_T2ps=dose, dose_A2s_per_m4=current_dose
        )
    console.print(f"accepted: {spent.shots} shots and {spent} are spent", highlight=False)
