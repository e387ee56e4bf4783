"""`skyctl run`: a plan on the simulated sample, with as much say for a person as they want."""

import contextlib
import datetime
import getpass
import logging
import os
import select
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from skyctl.cli.common import (
    Device,
    JsonFile,
    MetricsPort,
    ModelFile,
    Provider,
    complaints,
    console,
    explained,
    write_json,
)
from skyctl.interrupts import DisarmOnSignal as _CtrlC

if TYPE_CHECKING:
    from skyctl.plans.campaign import TaskReport
    from skyctl.plans.modes import Answer, Request

_CODE_LENGTH = 4
"""Of a shot's name, drawn at random, that a yes repeats."""
_CYCLE_SHOTS = 30


def run(
    plan: Annotated[
        Literal["write", "switch", "erase", "cycle", "characterise", "map"],
        typer.Argument(help="What to do."),
    ],
    mode: Annotated[
        Literal["dry-run", "shadow", "approve-each", "approve-batch", "autonomous"],
        typer.Option(
            help="dry-run: propose one pulse; shadow: propose over and over; approve-each and "
            "approve-batch: fire after your yes; autonomous: fire what the guard allows."
        ),
    ] = "approve-each",
    shots: Annotated[
        int | None, typer.Option(help="Pulses a task (of map: the map) may fire.", min=1)
    ] = None,
    cycles: Annotated[int, typer.Option(help="Of the plan cycle.", min=1)] = 1,
    batch: Annotated[int, typer.Option(help="Pulses one yes is good for.", min=1)] = 5,
    timeout: Annotated[
        float, typer.Option(help="Seconds to answer in; then it is a no.", min=0.1)
    ] = 600.0,
    sample: Annotated[
        int | None, typer.Option(help="Draw an unknown sample with this seed; left out: nominal.")
    ] = None,
    start: Annotated[
        Literal["empty", "skyrmion"], typer.Option(help="What is in the film.")
    ] = "empty",
    rehearse: Annotated[
        int, typer.Option(help="Rehearse on so many simulated twins first.", min=0)
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of recording, documents, ledger; left out: runs/run-TIME."),
    ] = None,
    model: ModelFile = None,
    provider: Provider = "cpu",
    device: Device = "cpu",
    metrics: MetricsPort = None,
    json_file: JsonFile = None,
) -> None:
    """Run a plan on the simulated sample: write, switch, erase, cycle, characterise or map.

    Before each pulse it shows what is proposed, why, what else was weighed up and the dose, and
    asks; a yes repeats the code it shows, no answer in time is a no. Ctrl-C, SIGTERM and a closed
    terminal disarm the pulser at once and end the run. What was fired is booked in the folder's
    ledger: with the same --out, budgets go on from there.

    \b
    See what it would do:       skyctl run switch --mode dry-run
    Rehearse, fire nothing:     skyctl run switch --rehearse 5 --mode dry-run
    Decide pulse by pulse:      skyctl run switch --start skyrmion
    Leave it alone for a while: skyctl run cycle --cycles 50 --mode autonomous --sample 7
    Check it afterwards:        skyctl replay RUN.h5 --documents documents.jsonl
    """
    from bluesky import RunEngine
    from bluesky.callbacks.json_writer import JSONLinesWriter
    from bluesky.utils import RunEngineInterrupted

    from skyctl.beamline import simulated_beamline
    from skyctl.demo import DOCUMENTS
    from skyctl.inference.model import MovieClassifier
    from skyctl.plans.modes import Oversight
    from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread

    folder = out or Path("runs") / f"run-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    logging.getLogger("bluesky").setLevel(logging.CRITICAL)
    logging.getLogger("skyctl").setLevel(logging.ERROR)  # what is refused, the report says
    with explained():
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        film = SampleSpread().draw(sample) if sample is not None else DrawnSample(_nominal())
        oversight = Oversight(mode, ask_at_terminal, batch=batch, timeout_s=timeout)
        with simulated_beamline(
            folder, parameters=film.parameters, field_calibration=film.field_calibration,
            start=start, model=MovieClassifier(model, provider), device=device,
            ledger=folder / "ledger.jsonl", metrics_port=metrics,
        ) as line:  # fmt: skip
            call, arguments = _plan(plan, shots, cycles)
            if rehearse:
                _rehearse(call, arguments, line, rehearse, start)
            engine = RunEngine(
                call_returns_result=True,
                context_managers=[lambda engine: _CtrlC(engine, line.pulser)],
            )
            engine.subscribe(JSONLinesWriter(str(folder), DOCUMENTS))
            try:
                result: Any = engine(
                    call(line, oversight=oversight, **arguments, md={"purpose": "skyctl run"})
                )
            except RunEngineInterrupted:
                engine.abort("interrupted by the user")
                complaints.print(
                    f"interrupted; the pulser is disarmed. Recorded so far: {line.camera.recording}"
                )
                raise typer.Exit(1) from None
            recording, spent = line.camera.recording, line.pulser.guard.spent
        report = result.plan_result
        told = report.as_json()
        _show(report)
        write_json(
            json_file,
            {
                "plan": plan, "mode": mode, "sample": str(film), **told,
                "shots_booked": spent.shots, "dose_T2ps": spent.dose_T2ps,
                "recording": str(recording), "documents": str(folder / DOCUMENTS),
            },
        )  # fmt: skip
        console.print(
            f"booked in all: {spent.shots} shots, {spent.dose_T2ps:.0f} T²ps\n"
            f"recording {recording}\ndocuments {folder / DOCUMENTS}",
            soft_wrap=True,
            highlight=False,
        )
    if not told["reached"] and mode not in ("dry-run", "shadow"):
        raise typer.Exit(1)


def _nominal() -> Any:
    from skyctl.simulators.lattice.film import FilmParameters

    return FilmParameters()


def _plan(name: str, shots: int | None, cycles: int) -> tuple[Any, dict[str, Any]]:
    """The plan of a name, and what it is called with besides devices and oversight."""
    from skyctl import plans
    from skyctl.plans.characterise import characterise
    from skyctl.plans.mapping import map_process_diagram
    from skyctl.rehearsal import twin_mean_sz

    arguments: dict[str, Any] = {} if shots is None else {"shots": shots}
    if name == "cycle":
        return plans.cycle, {
            "shots": _CYCLE_SHOTS, **arguments, "cycles": cycles,
            "on_task": lambda task: console.print(_line(task), highlight=False),
            "on_change": lambda what: console.print(f"[yellow]{escape(what)}[/]"),
        }  # fmt: skip
    if name == "characterise":
        return characterise, {**arguments, "predict": twin_mean_sz}
    if name == "map":
        return map_process_diagram, arguments
    return getattr(plans, name), arguments


def _rehearse(call: Any, arguments: dict[str, Any], line: Any, twins: int, start: Any) -> None:
    """Say what to expect. A plan that its limits forbid ends the command with status 1."""
    from skyctl.rehearsal import guesses, rehearse

    with console.status(f"rehearsing on {twins} simulated twins …"):
        report = rehearse(call, arguments, line, guesses(twins), start=start)
    console.print(f"rehearsed: {escape(str(report))}", highlight=False)
    if report.refused:
        raise typer.Exit(1)


def ask_at_terminal(request: "Request") -> "Answer":
    """Show a request and read the answer from standard input; silence, or no input, is a no.

    A yes names what it is for, ``y`` and the code that the question shows, and what was typed
    before the question is thrown away: no answer is taken for a question that nobody has seen.
    """
    from skyctl.plans.modes import Answer

    _show_request(request)
    code = request.shot[:_CODE_LENGTH]
    _forget_typed()
    console.print(
        escape(
            f"Fire{request.more}? Type `y {code}` for yes, n for no "
            f"({request.timeout_s:g} s, then no): "
        ),
        end="",
        highlight=False,
    )
    sys.stdout.flush()
    end = time.monotonic() + request.timeout_s
    while (said := _line_from_terminal(end)) is not None:
        words = said.lower().split()
        if words in (["y", code.lower()], ["yes", code.lower()]):
            return Answer(True, getpass.getuser())
        if words not in (["y"], ["yes"]):
            return Answer(False, getpass.getuser(), f"said {said.strip() or 'nothing'!r}")
        console.print(escape(f"which one? `y {code}` fires this one: "), end="", highlight=False)
        sys.stdout.flush()
    console.print("no answer: no")
    return Answer(False, "", "no answer at the terminal")


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


def _show(report: Any) -> None:
    """Print what came of a plan."""
    from skyctl.plans.characterise import CharacteriseReport
    from skyctl.plans.mapping import MapReport
    from skyctl.plans.reports import CycleReport

    if isinstance(report, CycleReport):
        told = report.as_json()
        console.print(
            f"{told.get('succeeded', 0)} of {told['cycles']} cycles, pulses a cycle: median "
            f"{told.get('pulses_median', 0):g}, most {told.get('pulses_most', 0)}; "
            f"{escape(report.reason)}",
            highlight=False,
        )
    elif isinstance(report, CharacteriseReport):
        console.print(escape(str(report.found or report.reason)), highlight=False)
    elif isinstance(report, MapReport):
        table = Table(report.rows.name, *(f"{width:g}" for width in report.columns.values))
        for value, row in zip(report.rows.values, report.named, strict=False):
            table.add_row(f"{value:g}", *(outcome[0].upper() for outcome in row))
        console.print(table)
        console.print(
            f"{report.shots} shots, {report.prepared} more to bring the skyrmion back; "
            f"{escape(report.reason)}",
            highlight=False,
        )
    else:
        console.print(_line(report), highlight=False)


def _line(task: "TaskReport") -> str:
    done = "[green]reached[/]" if task.reached else f"[red]{escape(task.reason)}[/]"
    proposed = ", ".join(str(pulse) for pulse in task.proposed) or "nothing"
    return (
        f"{task.task}: {done}, pulses: {task.pulses}, proposed: {proposed} "
        f"({task.proposed_dose_T2ps:.0f} T²ps)"
    )
