"""`skyctl generate`: states of a film, drawn by a network."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from skyctl.cli.common import (
    JsonFile,
    PngFile,
    console,
    explained,
    new_file,
    show_rows,
    values_checked,
    write_json,
)
from skyctl.cli.simulate.lattice_film import (
    FilmSize,
    Periodic,
    Seed,
    Settings,
    read_settings,
    read_size,
)

if TYPE_CHECKING:
    from skyctl.inference.state_generator import StateGenerator
    from skyctl.simulators.lattice.film import FilmParameters

Out = Annotated[
    Path,
    typer.Option(
        help="The film: all of it (.h5), or its spins (.ovf), for --start and --target; several "
        "are numbered."
    ),
]

Field = Annotated[
    float | None,
    typer.Option(help="Along z, T; left out: the middle of what the generator saw."),
]

Number = Annotated[
    int | None,
    typer.Option(help="Skyrmions; left out: as many as cost least energy.", min=1),
]

AsAnnealed = Annotated[
    bool, typer.Option("--as-annealed", help="As many, and as disordered, as annealing leaves.")
]

Order = Annotated[
    int | None,
    typer.Option(help="Steps by which they push each other apart; left out: 400.", min=0),
]

Count = Annotated[int, typer.Option(help="How many states.", min=1)]

Relax = Annotated[int, typer.Option(help="Sweeps downhill after the network.", min=0)]

Temperature = Annotated[float, typer.Option(help="Of the film, K: Monte Carlo at it follows.")]

Model = Annotated[Path | None, typer.Option(help="An .onnx file; left out: the shipped one.")]

_DRAWN = 8


def generate(
    out: Out = Path("drawn.h5"),
    size: FilmSize = None,
    settings: Settings = None,
    periodic: Periodic = False,
    field: Field = None,
    number: Number = None,
    as_annealed: AsAnnealed = False,
    order: Order = None,
    temperature: Temperature = 0.0,
    count: Count = 1,
    relax: Relax = 50,
    seed: Seed = 0,
    model: Model = None,
    png: PngFile = None,
    json_file: JsonFile = None,
) -> None:
    """Draw states of a film: skyrmions, as many and as ordered as you like, by a network that
    learned from annealed films, on films of any size.

    The film is the default one without its anisotropy, of which the generator knows nothing; --set
    makes it another. Drawn in milliseconds where annealing takes seconds.

    Twelve:       skyctl generate --size 128 --periodic --number 12 --png 12.png
    As annealed:  skyctl generate --size 128 --periodic --as-annealed --count 8
    Pulse it:     skyctl generate --size 100 --field 0.95 --number 8 --out 8.h5
                  skyctl simulate lattice --resume 8.h5
    """
    from skyctl.inference.session import shipped_model
    from skyctl.inference.state_generator import SHIPPED_GENERATOR, StateGenerator
    from skyctl.simulators.lattice.states import check_state_target

    with explained(), values_checked():
        check_state_target(out)
        generator = StateGenerator(model or shipped_model(SHIPPED_GENERATOR))
        film = _film(generator, size, settings, periodic, field)
        spins = generator.draw(
            film, count, number=number, as_annealed=as_annealed, order=order,
            temperature_K=temperature, relax=relax, seed=seed,
        )  # fmt: skip
        rows = _saved(film, spins, out)
        show_rows(rows)
        console.print(f"film in {film.bias_T[2]:.4g} T", highlight=False)
        if png:
            _draw(rows, spins, png)
        write_json(json_file, {"film": film.as_dict(), "states": rows})


def _film(
    generator: "StateGenerator",
    size: str | None,
    settings: list[str] | None,
    periodic: bool,
    field: float | None,
) -> "FilmParameters":
    from skyctl.simulators.lattice.film import FilmParameters

    rows, columns = read_size(size or "128")
    given: dict[str, Any] = {"anisotropy_meV": 0.0, **read_settings(settings or ())}
    if field is not None and "bias_T" in given:
        raise ValueError(f"--field {field:g} and --set bias_T: give one of them")
    film = FilmParameters(rows, columns, periodic=periodic, **given)
    if "bias_T" in given:
        return film
    tesla = generator.middle_field_T(film) if field is None else field
    return replace(film, bias_T=(0.0, 0.0, tesla))


def _saved(film: "FilmParameters", spins: np.ndarray, out: Path) -> list[dict[str, Any]]:
    """Write each state; what each is."""
    from skyctl.simulators.lattice.film import Film
    from skyctl.simulators.lattice.states import save_state

    rows = []
    for k, state in enumerate(spins):
        path = new_file(out if len(spins) == 1 else out.with_stem(f"{out.stem}-{k}"))
        whole = Film(film)
        whole.spins = state
        save_state(whole, path)
        energy = whole.energy_meV() / (film.rows * film.columns)
        rows.append(
            {"file": str(path), "meV a site": energy, "charge": whole.charge(),
             "torque T": whole.max_torque_T()}
        )  # fmt: skip
    return rows


def _draw(rows: list[dict[str, Any]], spins: np.ndarray, png: Path) -> None:
    from skyctl.pictures import Strip, film_strip

    captions = [f"Q {row['charge']:.1f}" for row in rows[:_DRAWN]]
    film_strip([Strip("S_z", [state[2] for state in spins[:_DRAWN]], captions)], png)
