"""`skyctl verify`: the simulators beside theory and other programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from skyctl.cli.common import (
    JsonFile,
    complaints,
    console,
    explained,
    progress_bar,
    write_json,
)

if TYPE_CHECKING:
    from skyctl.simulators.proof.check import Check, Outcome

Full = Annotated[
    bool,
    typer.Option("--full/--quick", help="Also what takes minutes: SP4, the Curie point."),
]

Only = Annotated[
    list[str] | None,
    typer.Option(help="Only checks whose names begin so, whatever they take; repeatable."),
]


def verify(
    full: Full = False,
    only: Only = None,
    json_file: JsonFile = None,
) -> None:
    """Check the simulator against closed forms, other programs and itself: one figure each.

    Ends with status 0 when every check that this machine can do passes, else 1.
    Example: skyctl verify --only order --only energy-drift
    """
    from skyctl.simulators.proof.table import choose

    try:
        checks = choose(full, only or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error
    with explained():
        outcomes = _measured(checks)
        console.print(_table(outcomes))
        write_json(json_file, [outcome.as_json() for outcome in outcomes])
    _judge(outcomes)


def _measured(checks: Sequence["Check"]) -> list["Outcome"]:
    outcomes = []
    with progress_bar("checks") as progress:
        bar = progress.add_task("measuring", total=len(checks))
        for check in checks:
            progress.update(bar, description=check.name)
            outcomes.append(check.run())
            progress.advance(bar)
    return outcomes


def _judge(outcomes: Sequence["Outcome"]) -> None:
    """Say how many passed; status 1 where one failed."""
    failed = [outcome.check.name for outcome in outcomes if outcome.passed is False]
    passed = sum(outcome.passed is True for outcome in outcomes)
    skipped = len(outcomes) - passed - len(failed)
    console.print(
        f"{passed} passed, {len(failed)} failed, {skipped} that this machine cannot do; "
        f"{sum(outcome.seconds for outcome in outcomes):.0f} s"
    )
    if failed:
        complaints.print(f"[bold red]failed:[/] {', '.join(failed)}")
        raise typer.Exit(1)


def _table(outcomes: Sequence["Outcome"]) -> Table:
    name = Column("check", no_wrap=True)
    table = Table(name, "what", "measured", "expected", "source", "")
    for outcome in outcomes:
        table.add_row(*_check_row(outcome))
    return table


def _check_row(outcome: "Outcome") -> tuple[str, ...]:
    check = outcome.check
    if outcome.missing:
        measured, verdict = outcome.missing, "[yellow]–[/]"
    else:
        measured = f"{outcome.measured:.6g} {check.unit}"
        verdict = "[green]pass[/]" if outcome.passed else "[bold red]FAIL[/]"
    expected = f"{check.expected:.6g} ± {check.tolerance:.2g}" if check.tolerance else "0"
    return check.name, check.what, measured, expected, check.source, verdict
