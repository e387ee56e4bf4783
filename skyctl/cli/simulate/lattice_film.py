"""Options of the atomistic film: which one it is, what it is made of, where it starts."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from skyctl.cli.common import console
from skyctl.simulators.physics.schemes import Integrator

if TYPE_CHECKING:
    from skyctl.simulators.instrument.spread import DrawnSample
    from skyctl.simulators.lattice.film import Film, FilmParameters

Damping = Annotated[
    float | None, typer.Option(help="Damping α of the film; left out: 0.36, or the sample's.")
]

FilmName = Annotated[
    Literal["paper", "fege", "pdfeir", "ptco"],
    typer.Option(
        "--film",
        help="A published film: arXiv:1907.01814's, FeGe, Pd/Fe/Ir(111) or Pt/Co; --size and --set "
        "change it.",
    ),
]

FilmSize = Annotated[
    str | None, typer.Option("--size", help="Sites along an edge, or ROWSxCOLUMNS: 60x120.")
]

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any number of the film: NAME=VALUE, as dmi_meV=0.2 or bias_T=0,0,1; several times.",
    ),
]

ShapeOfFilm = Annotated[
    str | None,
    typer.Option(
        "--shape",
        help="Sites that there are: disc:RADIUS, ring:RADIUS,INNER, hole:RADIUS, "
        "vacancies:PERCENT[,SEED], or a .png, .npy or .ovf file.",
    ),
]

Periodic = Annotated[bool, typer.Option(help="Periodic instead of open edges.")]

Precision = Annotated[Literal["f8", "f4"], typer.Option(help="Double or single.")]

Threads = Annotated[int, typer.Option(help="CPU threads for the film.")]

IntegratorName = Annotated[
    Integrator,
    typer.Option(help="rk4 and dormand-prince: at 0 K, on the CPU."),
]

Pinning = Annotated[
    str | None,
    typer.Option(help="Defects: COUNT,STRENGTH,RADIUS (sites); K is 1 + STRENGTH times there."),
]

Resume = Annotated[
    Path | None,
    typer.Option(
        help="Start from the film in this file (.h5, see --save), or from the spins of an OVF file "
        "(.ovf, .omf) of mumax3, OOMMF, ubermag or Spirit."
    ),
]

Layer = Annotated[
    int | None, typer.Option(help="Which layer of the OVF file, where it has several; first: 0.")
]

Seed = Annotated[int, typer.Option(help="Other noise of film and camera, other defects.", min=0)]

SampleSeed = Annotated[
    int | None,
    typer.Option(help="Draw a sample: α, K, D, moment, field calibration.", min=0),
]

_IN_FILM_FILES = (
    "damping", "size", "shape", "start", "periodic", "precision", "integrator", "temperature",
    "pinning", "sample_seed", "settings", "layer", "name",
)  # fmt: skip
_IN_OVF_FILES = ("size", "shape", "start")
_DEFAULT_SIZE = "100"


@dataclass(frozen=True)
class FilmOptions:
    """What the options say of a film, unread; the names are the options'."""

    name: str
    size: str | None
    settings: list[str] | None
    shape: str | None
    start: str
    periodic: bool
    damping: float | None
    temperature: float
    pinning: str | None
    sample_seed: int | None
    resume: Path | None
    layer: int | None
    precision: Literal["f8", "f4"]
    integrator: Integrator
    device: Literal["cpu", "cuda"]
    threads: int
    seed: int

    def film(self) -> tuple["Film", "DrawnSample"]:
        """The film that is asked for, and the sample that it is.

        Raises ValueError for what cannot be, and as the readers of its files.
        """
        from skyctl.simulators.instrument.spread import DrawnSample
        from skyctl.simulators.lattice.begin import begin
        from skyctl.simulators.lattice.files import load_film
        from skyctl.simulators.lattice.states import is_ovf

        if self.resume and is_ovf(self.resume):
            return self._film_of_spins(self.resume)
        if self.layer is not None:
            raise ValueError("--layer is of an OVF file: give one with --resume")
        if self.resume:
            film = load_film(self.resume, device=self.device, threads=self.threads)
            return film, DrawnSample(film.parameters)
        rows, columns = read_size(self.size or _DEFAULT_SIZE)
        sample = self._sample(self._nominal(rows, columns))
        film = self._film(sample, shape_of(self.shape, rows, columns))
        begin(film, self.start, seed=self.seed)
        return film, sample

    def _film_of_spins(self, path: Path) -> tuple["Film", "DrawnSample"]:
        from skyctl.simulators.lattice.states import read_state, sites_or_none

        state = read_state(path, self.layer)
        nominal = self._nominal(*state.sites.shape)
        if nominal.lattice_nm is None:
            nominal = replace(nominal, lattice_nm=state.lattice_nm)
        sample = self._sample(nominal)
        film = self._film(sample, sites_or_none(state))
        film.spins = state.spins
        return film, sample

    def _nominal(self, rows: int, columns: int) -> "FilmParameters":
        from skyctl.simulators.lattice.presets import film_named

        asked = {"rows": rows, "columns": columns, "periodic": self.periodic}
        asked |= {"temperature_K": self.temperature, **read_settings(self.settings or ())}
        return replace(film_named(self.name), **asked)

    def _sample(self, nominal: "FilmParameters") -> "DrawnSample":
        """The nominal film, or a sample drawn round it; a damping asked for is not drawn."""
        from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread

        spread = SampleSpread()
        if self.damping is not None:
            nominal, spread = replace(nominal, damping=self.damping), SampleSpread(damping=None)
        if self.sample_seed is None:
            return DrawnSample(nominal)
        sample = spread.draw(self.sample_seed, nominal)
        console.print(f"sample {self.sample_seed}: {sample}")
        return sample

    def _film(self, sample: "DrawnSample", sites: np.ndarray | None) -> "Film":
        from skyctl.simulators.lattice.film import Film

        return Film(
            sample.parameters,
            precision=self.precision,
            device=self.device,
            threads=self.threads,
            integrator=self.integrator,
            seed=self.seed,
            anisotropy_map=_pinning(self.pinning, sample.parameters, self.seed),
            sites=sites,
        )


def refuse_options_of_the_file(context: typer.Context, resume: Path) -> None:
    """An option that would change nothing, for the film in a file has its own, is misuse."""
    from skyctl.simulators.lattice.states import is_ovf

    has = _IN_OVF_FILES if is_ovf(resume) else _IN_FILM_FILES
    for option in context.command.params:
        given = str(context.get_parameter_source(str(option.name))).endswith("COMMANDLINE")
        if given and option.name in has:
            raise typer.BadParameter(
                f"{option.opts[0]} changes nothing with --resume: the film in the file has its "
                "own; leave it out"
            )


def named_film(name: str, size: str | None, settings: list[str] | None) -> "FilmParameters":
    """The film of --film, --size and --set. Raises ValueError."""
    from skyctl.simulators.lattice.presets import film_named

    rows, columns = read_size(size or _DEFAULT_SIZE)
    return replace(film_named(name), rows=rows, columns=columns, **read_settings(settings or ()))


def shape_of(text: str | None, rows: int, columns: int) -> np.ndarray | None:
    """The sites of --shape, None where it is left out. Raises as ``shapes.sites_of``."""
    from skyctl.simulators.lattice.shapes import sites_of

    return sites_of(text, rows, columns) if text else None


def read_size(text: str) -> tuple[int, int]:
    """Rows and columns of "100" or "60x120". Raises ValueError."""
    try:
        sides = [int(side) for side in text.lower().split("x")]
        rows, columns = sides * 2 if len(sides) == 1 else sides
    except ValueError:
        raise ValueError(f"--size {text}: give sites along an edge, or ROWSxCOLUMNS") from None
    return rows, columns


def read_settings(texts: Any) -> dict[str, Any]:
    """The numbers of a film in "NAME=VALUE"s. Raises ValueError for what is none of a film's."""
    from skyctl.simulators.lattice.film import FilmParameters

    elsewhere = {"rows": "--size", "columns": "--size", "periodic": "--periodic"}
    names = [field.name for field in fields(FilmParameters) if field.name not in elsewhere]
    settings: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names:
            remedy = elsewhere.get(name) or f"one of {', '.join(names)}"
            raise ValueError(f"--set {text}: give {remedy}")
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            raise ValueError(f"--set {text}: give NAME=NUMBER, or NAME=X,Y,Z") from None
        settings[name] = numbers[0] if len(numbers) == 1 else numbers
    return settings


def _pinning(text: str | None, parameters: "FilmParameters", seed: int) -> np.ndarray | None:
    """Read "COUNT,STRENGTH,RADIUS" into an anisotropy map."""
    from skyctl.simulators.instrument.spread import pinning_map

    if text is None:
        return None
    try:
        count, strength, radius = text.split(",")
        numbers = int(count), float(strength), float(radius)
    except ValueError:
        raise ValueError(f"--pinning {text}: give COUNT,STRENGTH,RADIUS: 20,0.5,2") from None
    return pinning_map(parameters, *numbers, seed)
