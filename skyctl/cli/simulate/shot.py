"""One shot at a film that is pulsed: fired, filmed, printed, kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from skyctl.cli.common import console, progress_bar

if TYPE_CHECKING:
    from skyctl.pulse import FrameSchedule, Pulse
    from skyctl.simulators.instrument.imaging import Imaging
    from skyctl.simulators.physics.pulsed_film import PulsedFilm


@dataclass(frozen=True)
class Shot:
    """What is fired, and how it is filmed."""

    pulse: "Pulse"
    movie: "FrameSchedule"
    camera: "Imaging"


@dataclass(frozen=True)
class Filmed:
    """The frames of a shot: of each its numbers, and its image as the camera has it."""

    shot: Shot
    frames: list[dict[str, Any]]
    images: list[np.ndarray]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "pulse": self.shot.pulse.model_dump(),
            "imaging": self.shot.camera.model_dump(),
            "frames": self.frames,
        }

    def draw(self, title: str, png: Path | None) -> None:
        """Draw the images as a film strip into ``png``, where there is one."""
        from skyctl.pictures import Strip, film_strip

        if png:
            captions = [f"{time_ps:g} ps" for time_ps in self.shot.movie.times_ps]
            film_strip([Strip(title, self.images, captions)], png)


def fire(film: "PulsedFilm", shot: Shot, delivered: "Pulse", title: str) -> Filmed:
    """Fire and film a shot, and print its table. ``delivered`` : what the film gets of its pulse"""
    times_ps = shot.movie.times_ps
    table = Table("t (ps)", "<S_x>", "<S_y>", "<S_z>", "charge", title=title)
    filmed = Filmed(shot, [], [])
    with progress_bar("frames") as progress:
        bar = progress.add_task("simulating", total=len(times_ps))
        frames = film.frames(delivered, times_ps)
        for index, (time_ps, spins) in enumerate(zip(times_ps, frames, strict=True)):
            mean, charge = [float(m) for m in spins.mean((1, 2))], film.charge()
            filmed.frames.append({"time_ps": time_ps, "mean_spin": mean, "charge": charge})
            table.add_row(f"{time_ps:g}", *(f"{m:+.3f}" for m in mean), f"{charge:+.3f}")
            filmed.images.append(shot.camera.image(spins, frame=index, time_ps=time_ps))
            progress.advance(bar)
    console.print(table)
    if times_ps[-1] < delivered.peak_ps + 2 * delivered.width_ps:
        console.print("[yellow]the movie ends before the pulse does[/]")
    return filmed
