"""`skyctl steer`: a thin film brought where it is wanted, by fields that are imagined first."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from skyctl.cli.approval import ask_at_terminal
from skyctl.cli.common import (
    JsonFile,
    console,
    explained,
    new_file,
    values_checked,
    write_json,
)
from skyctl.cli.run import Mode, OutFolder, carry_out, kept_of, new_folder

if TYPE_CHECKING:
    from skyctl.agents.wanted import Goal, WantedPicture
    from skyctl.plans.steer import SteerReport

GoalName = Annotated[
    Literal["switch", "hold", "mean", "picture"],
    typer.Argument(
        help="switch: reversed and quiet from 0.5 ns on; hold: back and quiet after 0.2 ns of a "
        "field that would switch it; mean: the ⟨m⟩ of --mean; picture: the state of --target."
    ),
]

Mean = Annotated[str | None, typer.Option(help="Of the goal mean: X,Y,Z of ⟨m⟩.")]

From = Annotated[float, typer.Option("--from", help="⟨m⟩ is wanted from so many ps on.", min=0)]

To = Annotated[float, typer.Option("--to", help="And up to so many ps.", min=0)]

TargetFile = Annotated[
    Path | None,
    typer.Option(
        help="Of the goal picture: spins (.ovf, .omf, .npy), or one component (.npy, or a grey "
        ".png: black -1, white +1, the lowest row at y = 0), a number a cell.",
        dir_okay=False,
    ),
]

At = Annotated[
    float | None, typer.Option(help="Of the goal picture: when, ps; a frame's time.", min=0)
]

ShownPart = Annotated[
    Literal["sx", "sy", "sz"] | None,
    typer.Option("--component", help="What the picture shows; left out: all three, of spins."),
]

Shots = Annotated[int, typer.Option(help="Sequences that may be fired.", min=1)]

Sample = Annotated[
    int | None,
    typer.Option(
        help="Draw a film whose M_s, A and α are up to 5 % off, with this seed; left out: nominal.",
        min=0,
    ),
]

Network = Annotated[
    Path | None,
    typer.Option(help="NAME-encoder.onnx of a latent network; left out: the shipped one."),
]

Seed = Annotated[int, typer.Option(help="Of the sequences that are drawn.", min=0)]


def steer(
    goal: GoalName,
    mean: Mean = None,
    start: From = 500.0,
    end: To = 1000.0,
    target: TargetFile = None,
    at: At = None,
    component: ShownPart = None,
    shots: Shots = 5,
    mode: Mode = "approve-each",
    sample: Sample = None,
    network: Network = None,
    seed: Seed = 0,
    out: OutFolder = None,
    json_file: JsonFile = None,
) -> None:
    """Steer a thin film: imagine 2,000 sequences of two fields, fire the best, see, learn, again.

    The film is a simulated beamline's, which the network has not seen where --sample is given. The
    cost of a shot is how far ⟨m⟩ is from what is wanted, root mean square over the time in which
    it is wanted; of a picture, how far m is from it, root mean square over the cells. At 0.15 it
    is reached. A strong field brings the film back before each shot. All pulses go through the
    guard and are booked in the folder's ledger.

    \b
    Switch, without ringing: skyctl steer switch --mode autonomous --sample 3
    Keep it from switching:  skyctl steer hold --mode autonomous
    Any other course:        skyctl steer mean --mean 0,0.9,0 --from 300 --to 400
    Make it look like this:  skyctl steer picture --target state.ovf --at 330
    """
    from skyctl.agents.wanted import WantedPicture
    from skyctl.beamline.thin import thin_film_beamline
    from skyctl.inference.latent_film import LatentFilm
    from skyctl.plans.modes import Oversight
    from skyctl.plans.steer import steer_film
    from skyctl.simulators.thin.film import ThinFilmParameters, s_state
    from skyctl.simulators.thin.spread import drawn_film

    with explained(), values_checked():
        wanted = _wanted(goal, mean, start, end, target, at, component)
    with explained(ValueError):
        imagines = LatentFilm(network)
        nominal = ThinFilmParameters.from_dict(imagines.card.film)
        film = nominal if sample is None else drawn_film(nominal, sample)
        folder = new_folder(out)
        with thin_film_beamline(folder, film, ledger=folder / "ledger.jsonl") as line:
            plan = steer_film(
                line, wanted, imagines, s_state(nominal), shots=shots, seed=seed,
                oversight=Oversight(mode, ask_at_terminal), md={"purpose": "skyctl steer"},
            )  # fmt: skip
            report = carry_out(line, plan, folder)
            kept = kept_of(line, folder)
        picture = isinstance(wanted, WantedPicture)
        drawn = _drawn(wanted, report, kept["recording"], folder) if picture else None
    costs = ", ".join(f"{cost:.3f}" for cost in report.costs) or "none"
    done = "[green]reached[/]" if report.reached else f"[red]{escape(report.task.reason)}[/]"
    field, time = report.factors
    console.print(
        f"{goal}: {done}; costs of the shots: {costs}. Learned: field x {field:.2f}, time x "
        f"{time:.2f}",
        highlight=False,
    )
    where = f"picture    {drawn}\n" if drawn else ""
    console.print(
        f"{where}recording  {kept['recording']}", soft_wrap=True, markup=False, highlight=False
    )
    wants = {name: value for name, value in wanted.as_json().items() if name != "image"}
    told = {"goal": goal, "wanted": {**wants, "target": target and str(target)}}
    write_json(json_file, {**told, **report.as_json(), **kept})
    if not report.reached and mode not in ("dry-run", "shadow"):
        raise typer.Exit(1)


def _wanted(
    goal: str, mean: str | None, start: float, end: float, target: Path | None, at: float | None,
    component: "Literal['sx', 'sy', 'sz'] | None",
) -> "Goal":  # fmt: skip
    from skyctl.agents.wanted import HOLD, SWITCH, Wanted

    if (goal == "mean") != bool(mean):
        raise ValueError("--mean X,Y,Z goes with the goal mean, and that goal needs it")
    if (goal == "picture") != (target is not None) or (target is None) != (at is None):
        raise ValueError("--target FILE and --at PS go with the goal picture, and it needs both")
    if target and at is not None:
        return _picture(target, at, component)
    if component:
        raise ValueError("--component goes with the goal picture")
    if not mean:
        return {"switch": SWITCH, "hold": HOLD}[goal]
    try:
        x, y, z = (float(part) for part in mean.split(","))
    except ValueError:
        raise ValueError(f"--mean {mean!r}: give X,Y,Z, such as 0,0.9,0") from None
    return Wanted((x, y, z), start, end)


def _picture(
    target: Path, at: float, component: "Literal['sx', 'sy', 'sz'] | None"
) -> "WantedPicture":
    from skyctl.agents.wanted import COMPONENTS, WantedPicture
    from skyctl.formats.still import read_still

    image = read_still(target)
    if image.ndim == 2 and not component:
        raise ValueError(f"{target} shows one component: say which, --component sx, sy or sz")
    try:
        if image.ndim == 3 and component:
            image = WantedPicture(image, at).image[COMPONENTS.index(component)]
        return WantedPicture(image, at, component or "spins")
    except ValueError as error:
        raise ValueError(f"{target}: {error}") from None


def _drawn(
    wanted: "WantedPicture", report: "SteerReport", recording: str, folder: Path
) -> Path | None:
    """Where the best shot was drawn beside the target; None where no shot was seen."""
    from skyctl.pictures import beside_target
    from skyctl.recording.reader import Recording

    if not report.costs:
        return None
    best = min(range(len(report.costs)), key=report.costs.__getitem__)
    with Recording(recording) as opened:
        movie = next(
            [*frames] for start, frames, _ in opened.shots() if start.shot == report.shots[best]
        )
    title = f"shot {best + 1} of {len(report.costs)}, cost {report.costs[best]:.3f}"
    beside_target(wanted, movie, title, drawn := new_file(folder / "target.png"))
    return drawn
