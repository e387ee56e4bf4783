"""`skyctl calibration`: what a camera counts in the dark and of a saturated film."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from skyctl.cli.common import (
    JsonFile,
    console,
    explained,
    new_file,
    progress_bar,
    values_checked,
    who,
    write_json,
)

if TYPE_CHECKING:
    import numpy as np

    from skyctl.plans.stubs import Plan
    from skyctl.stream.sources.calibration import Calibration

calibration_app = typer.Typer(
    help="Calibrations of a camera: make one, and see who made it, when, of what.",
    no_args_is_help=True,
)
_ASKED = {
    "dark": "close the shutter: no light",
    "flat": "open it, and take the sample out of the light",
    "up": "put the sample in, and saturate the film upwards (S_z = 1)",
    "down": "saturate the film downwards (S_z = -1)",
}


@calibration_app.command("make")
def make(
    file: Annotated[Path, typer.Argument(help="The calibration to write (.npz), a new file.")],
    beamline: Annotated[Path, typer.Option(help="The beamline's file (.toml).")],
    author: Annotated[
        str | None, typer.Option(help="Who answers for it; left out: who you are here.")
    ] = None,
    looks: Annotated[int, typer.Option(help="Images to average of each state.", min=1)] = 16,
    flat: Annotated[
        bool, typer.Option("--flat", help="Also of the light alone, without the sample.")
    ] = False,
) -> None:
    """Film the dark and both saturations, and write what the camera counts. Nothing is fired.

    It says what to bring about, and waits until you press Enter. What it made is drawn beside it
    (.png): look at it. Then name the file in the beamline's: calibration = "…" under
    [camera.frames], in place of offset and scale.

    \b
    Make it:     skyctl calibration make cam.npz --beamline beamline.toml --author "Ada Lovelace"
    See it:      skyctl calibration show cam.npz
    Use it on what was recorded:  skyctl replay RUN.h5 --calibration cam.npz
    """
    from skyctl.beamline import load_beamline
    from skyctl.beamline.counting import CountsAverage
    from skyctl.interrupts import run_engine
    from skyctl.pictures import calibration_images
    from skyctl.plans.calibrate import calibrate_contrast
    from skyctl.stream.sources.calibration import Calibration

    with explained(), values_checked():
        if file.exists():
            raise ValueError(f"{file}: is there already. Choose another name")
        console.print("starting: opening the beamline …")
        with load_beamline(beamline, counts=True) as line:
            camera = line.sample.camera.table.name
            shown = _Shown(looks)
            average = CountsAverage(
                line.hub, camera=camera, author=author or who(), path=file, tell=shown.image
            )
            states = {state: _asked(state, shown) for state in _ASKED if flat or state != "flat"}
            engine = run_engine(line)
            engine(calibrate_contrast(line, average, states, looks=looks))
            average.close()
        made, picture = Calibration.read(file), new_file(file.with_suffix(".png"))
        calibration_images(made, picture)
        _tell(made)
        console.print(f"{'picture':>10}  {escape(str(picture))}", highlight=False, soft_wrap=True)


@calibration_app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="A calibration (.npz).")],
    json_file: JsonFile = None,
    png: Annotated[
        Path | None, typer.Option(help="Draw what it holds, and the contrast of each pixel.")
    ] = None,
) -> None:
    """Of which camera a calibration is, by whom, of when, and how much a saturated film changes."""
    from skyctl.stream.sources.calibration import Calibration

    with explained():
        calibration = Calibration.read(file)
        _tell(calibration)
        write_json(json_file, _facts(calibration))
        if png:
            from skyctl.pictures import calibration_images

            calibration_images(calibration, png)


class _Shown:
    """A bar a state while its images come, and their mean: a shutter left open shows at once."""

    def __init__(self, looks: int) -> None:
        self._looks = looks

    def begin(self, state: str) -> None:
        self._bars = progress_bar("images")
        self._bars.start()
        self._bar = self._bars.add_task(state, total=self._looks)

    def image(self, state: str, mean: "np.ndarray") -> None:
        """One more came."""
        self._bars.advance(self._bar)
        if self._bars.finished:
            self._bars.stop()
            console.print(f"{state}: {self._looks} images, {mean.mean():.6g} counts a pixel")


def _asked(state: str, shown: _Shown) -> "Callable[[], Plan[None]]":
    """A stub that asks a person to bring this state about, and waits until it is."""

    def reach() -> "Plan[None]":
        import bluesky.plan_stubs as bps

        yield from bps.null()
        console.input(f"[bold]{state}[/]: {_ASKED[state]}; then press Enter ")
        shown.begin(state)

    return reach


def _facts(calibration: "Calibration") -> dict[str, object]:
    told = calibration.provenance
    rows, columns = calibration.dark.shape[-2:]
    return {
        "camera": told.camera,
        "shape": [rows, columns],
        "helicities": calibration.helicities,
        "author": told.author,
        "measured": told.measured.isoformat(),
        "days_old": (datetime.datetime.now(datetime.UTC) - told.measured).days,
        "images": told.images,
        "contrast": calibration.contrast,
        "bad_pixels": int(calibration.bad.sum()),
        "run": told.run,
        "sha256": calibration.sha256(),
    }


def _tell(calibration: "Calibration") -> None:
    for name, value in _facts(calibration).items():
        console.print(f"{name:>10}  {escape(str(value))}", highlight=False, soft_wrap=True)
