"""`skyctl ground-state`: the lowest state of a film."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skyctl.cli.common import (
    JsonFile,
    PngFile,
    console,
    explained,
    progress_bar,
    values_checked,
    write_json,
)
from skyctl.cli.simulate.lattice_film import (
    FilmSize,
    Periodic,
    Seed,
    Settings,
    ShapeOfFilm,
    Threads,
    read_settings,
    read_size,
    shape_of,
)

if TYPE_CHECKING:
    from skyctl.simulators.lattice.ground_states import GroundState

Save = Annotated[
    Path | None,
    typer.Option(help="Write the film: all of it (.h5), or its spins (.ovf), for --start."),
]

RandomFields = Annotated[int, typer.Option(help="Random fields to relax.", min=0)]

Anneals = Annotated[int, typer.Option(help="Films to cool down and relax.", min=0)]

_PARTS = 100


def ground_state(
    size: FilmSize = None,
    settings: Settings = None,
    shape: ShapeOfFilm = None,
    periodic: Periodic = False,
    random_fields: RandomFields = 32,
    anneals: Anneals = 32,
    seed: Seed = 0,
    threads: Threads = 1,
    save: Save = None,
    png: PngFile = None,
    json_file: JsonFile = None,
) -> None:
    """Look for the lowest state of a film: lattices that fit it, random fields and annealed films,
    each relaxed; and tell how often each kind led there.

    Nothing proves that there is nothing lower: what was found often, from different starts, is it.

    A skyrmion lattice:  skyctl ground-state --size 32 --periodic --set dmi_meV=0.6 \\
                         --set exchange_meV=1 --set anisotropy_meV=0 --set bias_T=0,0,5.76
    Begin with it:       skyctl ground-state --save ground.h5
                         skyctl run erase --start ground.h5
    """
    from skyctl.simulators.lattice import ground_states
    from skyctl.simulators.lattice.film import Film, FilmParameters
    from skyctl.simulators.lattice.states import check_state_target, save_state

    with explained(), values_checked():
        if save:
            check_state_target(save)
        rows, columns = read_size(size or "64")
        p = FilmParameters(rows, columns, periodic=periodic, **read_settings(settings or ()))
        sites = shape_of(shape, rows, columns)
        with progress_bar("%") as bars:
            bar = bars.add_task("relaxing", total=_PARTS)
            found = ground_states.ground_state(
                p, random_fields=random_fields, anneals=anneals, seed=seed, threads=threads,
                sites=sites, on_step=lambda share: bars.update(bar, completed=_PARTS * share),
            )  # fmt: skip
        _show(found, rows * columns if sites is None else int(sites.sum()))
        if save:
            film = Film(p, sites=sites)
            film.spins = found.spins
            save_state(film, save)
        if png:
            _draw(found, png)
        write_json(json_file, _told(found, rows * columns))


def _show(found: "GroundState", sites: int) -> None:
    console.print(
        f"energy {found.energy_meV:.6f} meV, {found.energy_meV / sites:.9f} meV a site; "
        f"topological charge {found.charge:.2f}; from {found.start}"
    )
    for kind, (hits, tried) in found.found.items():
        console.print(f"  {kind}: {hits} of {tried} led there")
    for energy, charge, start in found.others:
        console.print(f"  next: {energy:.9f} meV a site, charge {charge:.2f}, from {start}")


def _told(found: "GroundState", sites: int) -> dict[str, Any]:
    return {
        "energy_meV": found.energy_meV,
        "energy_meV_per_site": found.energy_meV / sites,
        "charge": found.charge,
        "start": found.start,
        "found": {kind: {"hits": h, "tried": n} for kind, (h, n) in found.found.items()},
        "others": [
            {"energy_meV_per_site": e, "charge": q, "start": start} for e, q, start in found.others
        ],
    }


def _draw(found: "GroundState", png: Path) -> None:
    from skyctl.pictures import Strip, film_strip

    title = f"E {found.energy_meV:.3f} meV\nQ {found.charge:.2f}"
    film_strip([Strip(title, [found.spins[2]], ["S_z of the ground state"])], png)
