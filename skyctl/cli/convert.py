"""`skyctl convert`: states of films from one format into another."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skyctl.cli.common import console, explained, values_checked

if TYPE_CHECKING:
    from skyctl.formats.ovf import VectorField

Files = Annotated[
    list[Path],
    typer.Argument(
        help="Sources: .ovf, .omf (mumax3, OOMMF, ubermag, Spirit), .npy (3, rows, columns), .h5 "
        "(a film of skyctl). Target: an .ovf, .omf or .npy file, or a folder.",
        metavar="SOURCE... TARGET",
    ),
]

DataKind = Annotated[
    Literal["text", "4", "8"] | None,
    typer.Option("--data", help="OVF: text or binary of so many bytes; left out: as precise."),
]

Version = Annotated[int, typer.Option("--ovf", help="Version of OVF to write.", min=1, max=2)]

LayerOption = Annotated[int | None, typer.Option(help="Only this layer; the first is 0.", min=0)]

Unit = Annotated[
    str | None,
    typer.Option(help="What the values are in, where the file does not say or is wrong."),
]

Lattice = Annotated[
    float | None, typer.Option(help="From one site to the next, nm, where the file does not say.")
]


def convert(
    files: Files,
    data: DataKind = None,
    version: Version = 2,
    layer: LayerOption = None,
    unit: Unit = None,
    lattice: Lattice = None,
) -> None:
    """Write fields and films as OVF 1.0 or 2.0, or as numpy arrays; mesh and units are kept.

    Several sources into one .ovf file become its segments; into a folder, a file each. A film that
    is to be gone on with: skyctl simulate lattice --resume.
    Example: skyctl convert relaxed.omf relaxed.ovf --data text
    Another: skyctl convert m000*.ovf states.ovf && skyctl convert states.ovf apart/
    """
    if len(files) < 2:
        raise typer.BadParameter("give one source or more, and then the target")
    *sources, target = files
    with explained(), values_checked():
        named = [
            (name, _changed(each, layer, unit, lattice))
            for source in sources
            for name, each in _fields(source)
        ]
        _write(named, target, data, version)


def _fields(path: Path) -> list[tuple[str, "VectorField"]]:
    """The fields of a file, each with a name of its own."""
    from skyctl.formats.ovf import SUFFIXES, read_segments
    from skyctl.simulators.lattice.states import FILM_SUFFIXES

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        segments = read_segments(path)
        names = [path.stem] if len(segments) == 1 else []
        names = names or [f"{path.stem}-{number:04}" for number in range(len(segments))]
        return list(zip(names, segments, strict=True))
    if suffix == ".npy":
        return [(path.stem, _array_field(path))]
    if suffix in FILM_SUFFIXES:
        return [(path.stem, _film_field(path))]
    raise ValueError(f"{path}: give files that end in .ovf, .omf, .ohf, .oef, .npy, .h5 or .hdf5")


def _array_field(path: Path) -> "VectorField":
    import numpy as np

    from skyctl.formats.spin_states import SpinState, field_of

    spins = np.load(path, allow_pickle=False)
    if spins.ndim != 3 or spins.shape[0] != 3 or spins.dtype.kind != "f":
        raise ValueError(f"{path}: holds {spins.dtype} of {spins.shape}: give (3, rows, columns)")
    return field_of(SpinState(spins if spins.dtype.itemsize == 4 else spins.astype(np.float64)))


def _film_field(path: Path) -> "VectorField":
    from skyctl.formats.spin_states import SpinState, field_of
    from skyctl.simulators.lattice.files import load_film

    film = load_film(path)
    return field_of(SpinState(film.spins, film.parameters.lattice_nm))


def _changed(
    each: "VectorField", layer: int | None, unit: str | None, lattice: float | None
) -> "VectorField":
    layers, _, _, components = each.values.shape
    if layer is not None:
        if layer >= layers:
            raise ValueError(f"--layer {layer}: there are {layers}, the first is 0")
        x, y, z = each.base
        base = (x, y, z + layer * each.step[2])
        each = replace(each, values=each.values[layer : layer + 1], base=base)
    if unit is not None:
        each = replace(each, units=(unit,) * components)
    if lattice is not None:
        if not lattice > 0:
            raise ValueError(f"--lattice {lattice}: give a length above 0, nm")
        step = lattice / 1e9
        each = replace(each, step=(step,) * 3, base=(step / 2,) * 3, mesh_unit="m")
    return each


def _write(
    named: list[tuple[str, "VectorField"]],
    target: Path,
    data: Literal["text", "4", "8"] | None,
    version: int,
) -> None:
    import numpy as np

    from skyctl.formats.ovf import SUFFIXES
    from skyctl.formats.ovf_writer import write_ovf
    from skyctl.formats.spin_states import spins_of

    if target.suffix.lower() in SUFFIXES:
        write_ovf(target, [each for _, each in named], data=data, version=version)
        written = [target]
    elif target.suffix == ".npy":
        if len(named) != 1:
            raise ValueError(f"{target}: holds one state, and there are {len(named)}")
        np.save(target, spins_of(named[0][1]).spins)
        written = [target]
    elif target.suffix:
        raise ValueError(f"{target}: give a name that ends in .ovf, .omf or .npy, or a folder")
    else:
        target.mkdir(parents=True, exist_ok=True)
        written = [target / f"{name}.ovf" for name, _ in named]
        if len(set(written)) < len(written):
            raise ValueError(f"{target}: two sources have one name. Give a folder for each.")
        for path, (_, each) in zip(written, named, strict=True):
            write_ovf(path, [each], data=data, version=version)
    for path in written:
        console.print(f"written: {path}", soft_wrap=True)
