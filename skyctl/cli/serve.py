"""`skyctl serve`: instruments to practise on, the simulated sample behind real protocols."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skyctl.cli.common import Device, console, explained, extra

if TYPE_CHECKING:
    from skyctl.simulators.instrument.practice import Images, PracticeInstrument

serve_app = typer.Typer(
    help="Instruments to practise on: the simulated sample behind SCPI or EPICS.",
    no_args_is_help=True,
)
Start = Annotated[Literal["empty", "skyrmion"], typer.Option(help="What is in the film.")]
SampleSeed = Annotated[
    int | None,
    typer.Option(help="Draw an unknown sample with this seed; left out: nominal.", min=0),
]
LogFile = Annotated[
    Path | None, typer.Option("--log", help="A line for each pulse that is really fired.")
]
NoFilm = Annotated[bool, typer.Option("--no-film", help="A pulser alone, with no sample behind.")]


@serve_app.command("scpi")
def serve_scpi(
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")] = 0,
    start: Start = "empty",
    sample: SampleSeed = None,
    log: LogFile = None,
    no_film: NoFilm = False,
    device: Device = "cpu",
) -> None:
    """Pulser and camera behind SCPI on a plain TCP socket, until Ctrl-C.

    SIM:MODE noack|deaf|lazy|refuse|slow|frozen has it fail in these ways; SIM:MODE normal ends it.

    \b
    Serve it:      skyctl serve scpi --port 5025
    Talk to it:    printf 'PULS:AMPL 2;:PULS:AMPL?\\n' | nc 127.0.0.1 5025
    Experiment:    skyctl run switch --beamline docs/beamlines/scpi.toml
    """
    from skyctl.simulators.instrument.scpi import ScpiServer

    with explained():
        instrument, images = _instrument(start, sample, log, no_film, device)
        server = ScpiServer(instrument, port)
        images.post = server.post
    _serve_until_told(server.address)


@serve_app.command("ioc")
def serve_ioc(
    prefix: Annotated[str, typer.Option(help="Of all PVs.")] = "SKY",
    port: Annotated[
        int | None,
        typer.Option(help="First of six ports on 127.0.0.1; left out: as EPICS_… says."),
    ] = None,
    start: Start = "empty",
    sample: SampleSeed = None,
    log: LogFile = None,
    no_film: NoFilm = False,
    device: Device = "cpu",
    environment: Annotated[
        bool, typer.Option("--environment", help="Print what its clients need, and serve nothing.")
    ] = False,
) -> None:
    """Pulser and camera as an EPICS IOC, until Ctrl-C. Needs skyctl's extra 'epics'.

    Records are served by Channel Access and PV Access, images as NTNDArray in PREFIX:CAM:IMAGE.
    PREFIX:MODE has it fail in several ways.

    \b
    Serve it:      skyctl serve ioc --port 25064
    Its clients:   eval "$(skyctl serve ioc --port 25064 --environment)"
    """
    from skyctl.simulators.instrument.loopback import epics_on_loopback

    if port is not None:
        os.environ.update(epics_on_loopback(port))
    if environment:
        if port is None:
            raise typer.BadParameter("--environment is of a --port")
        for name, value in epics_on_loopback(port).items():
            sys.stdout.write(f"export {name}={value}\n")
        return
    with extra("epics"):
        from skyctl.simulators.instrument.ioc import PracticeIoc
    with explained():
        instrument, images = _instrument(start, sample, log, no_film, device)
        ioc = PracticeIoc(instrument, prefix)
        ioc.start()
        images.post = ioc.post
    _serve_until_told(prefix)


def _instrument(
    start: Literal["empty", "skyrmion"],
    sample: int | None,
    log: Path | None,
    no_film: bool,
    device: Literal["cpu", "cuda"],
) -> "tuple[PracticeInstrument, Images]":
    from skyctl.simulators.instrument.practice import Images, PracticeInstrument

    images = Images()
    if no_film:
        return PracticeInstrument(None, log), images
    os.environ["OPHYD_CONTROL_LAYER"] = "dummy"  # a server is nobody's client
    from skyctl.beamline.simulated import simulated_sample
    from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
    from skyctl.simulators.lattice.film import FilmParameters

    drawn = DrawnSample(FilmParameters()) if sample is None else SampleSpread().draw(sample)
    film = simulated_sample(
        images, drawn.parameters, start=start, device=device,
        field_calibration=drawn.field_calibration,
    )  # fmt: skip
    return PracticeInstrument(film, log), images


def _serve_until_told(address: str) -> None:
    """Say where it serves; then wait for a signal, or for whoever started it to be gone."""
    from skyctl.simulators.instrument.practice import READY

    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    if not sys.stdin.isatty():
        threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
    sys.stdout.write(f"{READY}{address}\n")
    sys.stdout.flush()
    told.wait()
    console.print("ended")
    os._exit(0)  # an IOC cannot be ended but with its process
