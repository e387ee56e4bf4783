"""`skyctl run`: a plan on the simulated sample, with as much say for a person as they want."""

import datetime
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from skyctl.cli.approval import ask_at_terminal
from skyctl.cli.common import (
    Device,
    FilmStart,
    JsonFile,
    MetricsPort,
    ModelFile,
    MonitorPort,
    PeopleFile,
    Provider,
    console,
    explained,
    interrupted,
    new_file,
    values_checked,
    write_json,
)
from skyctl.cli.monitor import watched
from skyctl.cli.run_film import RunFilm
from skyctl.cli.simulate.lattice_film import FilmName, FilmSize, Settings, ShapeOfFilm
from skyctl.cli.target import wanted_state
from skyctl.errors import install
from skyctl.interrupts import run_engine

if TYPE_CHECKING:
    from skyctl.beamline import Beamline
    from skyctl.inference.state_check import StateCheck
    from skyctl.monitor import Monitor
    from skyctl.plans.campaign import TaskReport
    from skyctl.plans.characterise import CharacteriseReport
    from skyctl.plans.mapping import MapReport
    from skyctl.plans.reports import CycleReport
    from skyctl.plans.stubs import Plan

    Report = TaskReport | CycleReport | CharacteriseReport | MapReport

T = TypeVar("T")

_CYCLE_SHOTS = 30

PlanName = Annotated[
    Literal["write", "switch", "erase", "reach", "cycle", "characterise", "map"],
    typer.Argument(help="What to do."),
]

Mode = Annotated[
    Literal["dry-run", "shadow", "approve-each", "approve-batch", "autonomous"],
    typer.Option(
        help="dry-run: propose one pulse; shadow: propose over and over; approve-each and "
        "approve-batch: fire after your yes; autonomous: fire what the guard allows."
    ),
]

Shots = Annotated[int | None, typer.Option(help="Pulses a task (of map: the map) may fire.", min=1)]

Cycles = Annotated[int, typer.Option(help="Of the plan cycle.", min=1)]

Batch = Annotated[int, typer.Option(help="Pulses one yes is good for.", min=1)]

Timeout = Annotated[float, typer.Option(help="Seconds to answer in; then it is a no.", min=0.1)]

SampleSeed = Annotated[
    int | None,
    typer.Option(help="Draw an unknown sample with this seed; left out: nominal.", min=0),
]

Rehearse = Annotated[int, typer.Option(help="Rehearse on so many simulated twins first.", min=0)]

Places = Annotated[
    list[str] | None,
    typer.Option("--place", help="Of the plan reach: X,Y of a skyrmion, sites; may be repeated."),
]

TargetFile = Annotated[
    Path | None,
    typer.Option(
        help="Of the plan reach: a state to bring the film to (.ovf, .omf, .h5).",
        dir_okay=False,
    ),
]

Up = Annotated[bool, typer.Option("--up", help="Of the plan reach: the background points up.")]

CheckStates = Annotated[
    bool,
    typer.Option(
        "--check-states",
        help="Abstain where the film at rest looks like no state of this sample (1 % false alarms; "
        "the limit of a film takes twenty seconds to find, once).",
    ),
]

OutFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of recording, documents, ledger; left out: runs/run-TIME."),
]


AgentName = Annotated[
    str | None,
    typer.Option(
        "--agent",
        help="What chooses the pulses of write, switch, erase and cycle: seeker, imagining (probes "
        "an unknown sample first, then switches it), recipe, random, random-search, or another "
        "package's. Left out: the beamline file's, or seeker.",
    ),
]

BeamlineFile = Annotated[
    Path | None,
    typer.Option("--beamline", help="Instruments, from this file (.toml); else a simulated one."),
]

Mock = Annotated[
    bool, typer.Option("--mock", help="With --beamline: a simulated film in their place.")
]


def run(
    plan: PlanName,
    mode: Mode = "approve-each",
    shots: Shots = None,
    cycles: Cycles = 1,
    batch: Batch = 5,
    timeout: Timeout = 600.0,
    sample: SampleSeed = None,
    name: FilmName = "paper",
    size: FilmSize = None,
    settings: Settings = None,
    shape: ShapeOfFilm = None,
    start: FilmStart = "empty",
    rehearse: Rehearse = 0,
    check_states: CheckStates = False,
    place: Places = None,
    target: TargetFile = None,
    up: Up = False,
    out: OutFolder = None,
    model: ModelFile = None,
    agent: AgentName = None,
    provider: Provider = "cpu",
    device: Device = "cpu",
    metrics: MetricsPort = None,
    monitor: MonitorPort = None,
    people: PeopleFile = None,
    json_file: JsonFile = None,
    beamline: BeamlineFile = None,
    mock: Mock = False,
) -> None:
    """Run a plan: write, switch, erase, reach, cycle, characterise or map.

    On the simulated sample, or on the instruments of a --beamline file: try that with --mock first,
    and `skyctl doctor --beamline FILE` asks all of them and fires nothing.

    Before each pulse it shows what is proposed, why, what else was weighed up and the dose, and
    asks; a yes repeats the code it shows, no answer in time is a no. With --monitor it asks on the
    live page instead. Ctrl-C, SIGTERM and a closed terminal disarm the pulser at once and end the
    run. What was fired is booked in the folder's ledger: with the same --out, budgets go on from
    there.

    \b
    See what it would do:       skyctl run switch --mode dry-run
    Rehearse, fire nothing:     skyctl run switch --rehearse 5 --mode dry-run
    Decide pulse by pulse:      skyctl run switch --start skyrmion
    Decide on the page:         skyctl run switch --start skyrmion --monitor 8010
    Three skyrmions, there:     skyctl run reach --place 30,30 --place 70,35 --place 50,72
    Leave it alone for a while: skyctl run cycle --cycles 50 --mode autonomous --sample 7
    At another film:            skyctl run write --film pdfeir --set bias_T=0,0,-3
    At a beamline, on its twin: skyctl run switch --beamline beamline.toml --mock
    Check it afterwards:        skyctl replay RUN.h5 --documents documents.jsonl
    """
    from skyctl.agents.named import SEEKER, agent_maker
    from skyctl.beamline.file import read_beamline
    from skyctl.plans.modes import Oversight

    film = RunFilm(name, size, settings, shape, sample, start)
    if beamline and (film != RunFilm() or device != "cpu" or check_states):
        raise typer.BadParameter(
            "--film, --size, --set, --shape, --sample, --start, --check-states and --device are of "
            "the simulated sample: with --beamline its file says them, in [film], [states], [twin]"
        )
    if fault := "" if beamline else film.forbids(plan, rehearse):
        raise typer.BadParameter(fault)
    if agent and plan in ("characterise", "map", "reach"):
        raise typer.BadParameter(f"--agent chooses pulses of tasks; {plan} has an agent of its own")
    if mock and not beamline:
        raise typer.BadParameter("--mock is for a --beamline file; without one all is simulated")
    if check_states and film.sites is not None:
        raise typer.BadParameter("--check-states is for a whole film: leave --shape out")
    wanted = wanted_state(plan, film.nominal, place, target, up)

    logging.getLogger("skyctl").setLevel(logging.ERROR)  # what is refused, the report says
    with explained():
        if outside := "" if beamline else film.outside_library:
            console.print(f"[yellow]{escape(outside)}: the agent learns it from more shots[/]")
        console.print("starting: compiling kernels, opening the beamline …")
        chooses = agent or (read_beamline(beamline).agent if beamline else SEEKER)
        agent_maker(chooses)  # raises where it is not there, before anything is opened
        if beamline:
            opened = _of_file(beamline, mock, out, model, provider, metrics)
        else:
            check = _check(film) if check_states else None
            opened = _simulated(out, film, model, provider, device, metrics, check)
        folder = opened.folder
        with opened as line, watched(line, monitor, people) as page:
            ask = page.desk if page else ask_at_terminal
            oversight = Oversight(mode, ask, batch=batch, timeout_s=timeout)
            call, arguments = _plan(plan, shots, cycles, chooses)
            if wanted:
                arguments["target"] = wanted
            if rehearse:
                _rehearse(call, arguments, line, rehearse, film)
            md = {"purpose": "skyctl run"}
            plan_of_it = call(line, oversight=oversight, **arguments, md=md)
            report = carry_out(line, plan_of_it, folder, page)
            kept = kept_of(line, folder)
        _show(report)
        told = {
            "plan": plan,
            "mode": mode,
            "sample": str(beamline or film.sample),
            "outside_library": outside,
            **report.as_json(),
        }
        write_json(json_file, {**told, **kept})
        console.print(
            f"booked in all: {kept['shots_booked']} shots, {kept['dose_T2ps']:.0f} T²ps\n"
            f"recording  {kept['recording']}\n{_pictures(report, kept['recording'], folder)}"
            f"documents  {kept['documents']}\n"
            f"catalogue  {kept['catalogue'] or 'none: ' + install('catalogue')}",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
    if not told["reached"] and mode not in ("dry-run", "shadow"):
        raise typer.Exit(1)


def _simulated(
    out: Path | None,
    film: RunFilm,
    model: Path | None,
    provider: Provider,
    device: Device,
    metrics: int | None,
    check: "StateCheck | None",
) -> "Beamline":
    from skyctl.beamline import simulated_beamline
    from skyctl.inference.model import MovieClassifier

    folder = new_folder(out)
    with values_checked():
        return simulated_beamline(
            folder,
            parameters=film.sample.parameters,
            sites=film.sites,
            field_calibration=film.sample.field_calibration,
            start=film.start,
            model=MovieClassifier(model, provider),
            envelope=film.envelope,
            device=device,
            ledger=folder / "ledger.jsonl",
            metrics_port=metrics,
            check=check,
        )


def _check(film: RunFilm) -> "StateCheck":
    """Of the nominal film: nobody knows the drawn sample's parameters."""
    from skyctl.beamline.states import kept_check

    with console.status("finding the limit of the state check …"):
        return kept_check(film.nominal)


def _of_file(
    file: Path,
    mock: bool,
    out: Path | None,
    model: Path | None,
    provider: Provider,
    metrics: int | None,
) -> "Beamline":
    """The beamline of a file, in its own folder unless ``out`` is given."""
    from skyctl.beamline import load_beamline
    from skyctl.beamline.file import read_beamline
    from skyctl.inference.model import MovieClassifier

    chosen = MovieClassifier(model or read_beamline(file).model, provider)
    return load_beamline(
        file, mock=mock, folder=out and out.resolve(), model=chosen, metrics_port=metrics
    )


def new_folder(out: Path | None) -> Path:
    folder = out or Path("runs") / f"run-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def carry_out(line: "Beamline", plan: "Plan[T]", folder: Path, page: "Monitor | None" = None) -> T:
    """The report of a plan that a RunEngine has run, its documents written to ``folder``.

    Ctrl-C, SIGTERM and a closed terminal disarm the pulser and end the command with status 1.
    """
    from bluesky.callbacks.json_writer import JSONLinesWriter
    from bluesky.utils import RunEngineInterrupted

    from skyctl.catalogue import catalogue_if_installed
    from skyctl.demo import DOCUMENTS

    engine = run_engine(line, call_returns_result=True)
    engine.subscribe(JSONLinesWriter(str(folder), DOCUMENTS))
    if page:
        engine.subscribe(page)
    with catalogue_if_installed(folder) as catalog:
        if catalog:
            engine.subscribe(catalog.writer)
        try:
            result: Any = engine(plan)
        except RunEngineInterrupted:
            engine.abort("interrupted by the user")
            raise interrupted(line.camera.recording) from None
    return result.plan_result


def kept_of(line: "Beamline", folder: Path) -> dict[str, Any]:
    """What was booked of a run, and where it is to be found."""
    from skyctl.catalogue import FOLDER
    from skyctl.demo import DOCUMENTS

    spent, catalogue = line.pulser.guard.spent, folder / FOLDER
    return {
        "shots_booked": spent.shots,
        "dose_T2ps": spent.dose_T2ps,
        "recording": str(line.camera.recording),
        "documents": str(folder / DOCUMENTS),
        "catalogue": str(catalogue) if catalogue.exists() else "",
    }


def _pictures(report: "Report", recording: str, folder: Path) -> str:
    """Lines that say where a map, or else a strip of each pulse's movie was drawn; "" where nothing
    was fired."""
    from skyctl.pictures import film_strip, process_map, recorded_strips
    from skyctl.plans.mapping import MapReport
    from skyctl.recording.reader import Recording

    if isinstance(report, MapReport):
        if report.map is None:
            return ""
        process_map(report, drawn := new_file(folder / "map.png"))
        return f"map        {drawn}\n"
    with Recording(recording) as opened:
        if not (strips := recorded_strips(opened)):
            return ""
    film_strip(strips, strip := new_file(folder / "film-strip.png"))
    return f"film strip {strip}\n"


def _plan(
    name: str, shots: int | None, cycles: int, agent: str
) -> tuple[Callable[..., "Plan"], dict[str, Any]]:
    """The plan of a name, and what it is called with besides devices and oversight."""
    from skyctl import plans
    from skyctl.plans.characterise import characterise
    from skyctl.plans.mapping import map_process_diagram
    from skyctl.rehearsal import twin_mean_sz

    arguments: dict[str, Any] = {} if shots is None else {"shots": shots}
    if name == "reach":
        return plans.reach_state, arguments
    if name == "cycle":
        told = {"on_task": _say_task, "on_change": _say_change}
        arguments = {"shots": _CYCLE_SHOTS, **arguments, "cycles": cycles, "agent": agent}
        return plans.cycle, {**arguments, **told}
    if name == "characterise":
        return characterise, {**arguments, "predict": twin_mean_sz}
    if name == "map":
        return map_process_diagram, arguments
    return getattr(plans, name), {**arguments, "agent": agent}


def _rehearse(
    call: Callable[..., "Plan"],
    arguments: dict[str, Any],
    line: "Beamline",
    twins: int,
    film: RunFilm,
) -> None:
    """Say what to expect. A plan that its limits forbid ends the command with status 1."""
    from skyctl.rehearsal import guesses, rehearse

    with console.status(f"rehearsing on {twins} simulated twins …"):
        twins_of_it = guesses(twins, film=film.nominal)
        report = rehearse(call, arguments, line, twins_of_it, start=film.start)
    console.print(f"rehearsed: {escape(str(report))}", highlight=False)
    if report.refused:
        raise typer.Exit(1)


def _show(report: "Report") -> None:
    """Print what came of a plan."""
    from skyctl.plans.characterise import CharacteriseReport
    from skyctl.plans.mapping import MapReport
    from skyctl.plans.reports import CycleReport

    if isinstance(report, MapReport):
        _show_map(report)
    elif isinstance(report, CycleReport):
        told = report.as_json()
        console.print(
            f"{told.get('succeeded', 0)} of {told['cycles']} cycles, pulses a cycle: median "
            f"{told.get('pulses_median', 0):g}, most {told.get('pulses_most', 0)}; "
            f"{escape(report.reason)}",
            highlight=False,
        )
    elif isinstance(report, CharacteriseReport):
        console.print(escape(str(report.found or report.reason)), highlight=False)
    else:
        _say_task(report)


def _show_map(report: "MapReport") -> None:
    table = Table(report.rows.name, *(f"{width:g}" for width in report.columns.values))
    for value, row in zip(report.rows.values, report.named, strict=False):
        table.add_row(f"{value:g}", *(outcome[0].upper() for outcome in row))
    console.print(table)
    console.print(
        f"{report.shots} shots, {report.prepared} more to bring the skyrmion back; "
        f"{escape(report.reason)}",
        highlight=False,
    )


def _say_change(what: str) -> None:
    console.print(f"[yellow]{escape(what)}[/]")


def _say_task(task: "TaskReport") -> None:
    done = "[green]reached[/]" if task.reached else f"[red]{escape(task.reason)}[/]"
    proposed = ", ".join(str(pulse) for pulse in task.proposed) or "nothing"
    console.print(
        f"{task.task}: {done}, pulses: {task.pulses}, proposed: {proposed} "
        f"({task.proposed_dose_T2ps:.0f} T²ps)",
        highlight=False,
    )
