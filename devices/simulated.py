"""The simulated sample behind the pulser and the camera."""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np

from skyctl import __version__
from skyctl.devices.camera import CameraDriver
from skyctl.devices.pulser import PulseDriver
from skyctl.errors import PulseRefused
from skyctl.frame import Frame, ShotStart
from skyctl.pulse import Exposure, FrameSchedule, Pulse

_log = logging.getLogger(__name__)
_THERMAL_PS = 20.0

Component = Literal["sx", "sy", "sz", "spins"]
_ROWS = {"sx": 0, "sy": 1, "sz": 2}


class SampleDriver(CameraDriver, PulseDriver, Protocol):
    """The camera's and the pulser's driver in one."""

    def close(self) -> None:
        """Finish what was fired and stop."""
        ...


class FilmUnderPulse(Protocol):
    """A film that can be pulsed, as `skyctl.simulators.physics.pulsed_film.PulsedFilm` is one.

    parameters : a frozen dataclass with rows, columns, damping, temperature_K and ``as_dict``
    """

    parameters: Any

    sites: np.ndarray | None
    """(rows, columns), where there is a spin; None is everywhere."""

    @property
    def spins(self) -> np.ndarray:
        """A copy of the spins, (3, rows, columns)."""
        ...

    def charge(self) -> float:
        """Topological charge."""
        ...

    def advance(self, span_ps: float) -> None:
        """Let time pass without a pulse."""
        ...

    def refuses(self, pulse: Pulse) -> str:
        """Why it cannot be driven so, or ""."""
        ...

    def settle(self, max_ps: float = ...) -> None:
        """Come to rest, within ``max_ps``."""
        ...

    def frames(self, pulse: Pulse | None, times_ps: Sequence[float]) -> Iterator[np.ndarray]:
        """Fire a pulse and yield the spins, (3, rows, columns), at each of ``times_ps``."""
        ...


class FrameSink(Protocol):
    """Where the film's frames go: a `Publisher`, or what pretends to be a detector."""

    def start(self, start: ShotStart) -> None:
        """A movie begins."""
        ...

    def frame(self, frame: Frame) -> None:
        """Its next frame."""
        ...

    def end(self, run: str, shot: str, frames: int, *, ended_early: bool) -> None:
        """It is over, after so many frames."""
        ...


class Optics(Protocol):
    """The optical path to the image, as `skyctl.simulators.instrument.imaging.Imaging` is one."""

    def image_shape(self, rows: int, columns: int) -> tuple[int, int]:
        """Shape of the image of a film."""
        ...

    def image(
        self, spins: np.ndarray, *, shot: int = ..., frame: int = ..., time_ps: float = ...
    ) -> np.ndarray:
        """The image of spins (3, rows, columns), in units of S_z."""
        ...

    def arrives(self, *, shot: int = ..., frame: int = ...) -> bool:
        """Whether this frame arrives at all."""
        ...

    def model_dump(self) -> dict[str, Any]:
        """Its settings, as plain facts."""
        ...


class SimulatedSample:
    """A simulated film under a camera; its pulse and camera drivers in one.

    Frames are published while the simulation runs. After a movie the film settles, as a real one
    would between two shots: precession damps out, up to ``settle_ps`` (None: the film's own).

    film : what is pulsed and filmed (``Film``, ``TorqueFilm``); publisher : where frames go
    component : "sz" sends S_z (H, W), "sx" and "sy" the others, "spins" all three (3, H, W)
    imaging : the camera's optical path, which makes the images of S_z and may lose some of them;
        None is a perfect one. Its random numbers count the movies from 0
    field_calibration : what a pulse delivers, over what it was asked for

    Raises ValueError for imaging of all three components, or a calibration that is not positive.
    """

    def __init__(
        self,
        film: FilmUnderPulse,
        publisher: FrameSink,
        *,
        component: Component = "sz",
        settle_ps: float | None = None,
        imaging: Optics | None = None,
        field_calibration: float = 1.0,
    ) -> None:
        if imaging and component != "sz":
            raise ValueError('imaging shows S_z only: leave component at "sz", or imaging out')
        self._component = component
        if not 0 < field_calibration < np.inf:
            raise ValueError(f"field calibration {field_calibration}: give a factor above 0")
        p = film.parameters
        self.shape: tuple[int, ...] = (p.rows, p.columns)
        if component == "spins":
            self.shape = (3, p.rows, p.columns)
        elif imaging:
            self.shape = imaging.image_shape(p.rows, p.columns)
        self._imaging, self._movies = imaging, 0
        self._field_calibration = field_calibration
        self.error: Exception | None = None
        self._film, self._publisher, self._settle_ps = film, publisher, settle_ps
        self._armed: tuple[str, Exposure, FrameSchedule] | None = None
        self._filming = self._finished = ""
        self._jobs: queue.Queue[
            tuple[Pulse | None, tuple[str, Exposure, FrameSchedule] | None] | None
        ]
        self._jobs = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="skyctl-sample", daemon=True)
        self._thread.start()

    def describe(self) -> dict[str, Any]:
        """Facts for a recording's header."""
        sites = self._film.sites
        return {
            "sample": self._film.parameters.as_dict(),
            **({} if sites is None else {"sites": int(sites.sum())}),
            "simulator": f"skyctl {__version__}",
            "component": self._component,
            "imaging": self._imaging.model_dump() if self._imaging else None,
            "pixel_sites": self._film.parameters.rows / self.shape[-2],
            "field_calibration": self._field_calibration,
        }

    def expose(self, run: str, exposure: Exposure, movie: FrameSchedule) -> None:
        """Camera: film at once, or with the pulse of this shot."""
        job = (run, exposure, movie)
        if exposure.pulsed:
            self._armed = job
        else:
            self._jobs.put((None, job))

    def cancel(self) -> str:
        """Camera: stop waiting for a pulse; the shot it waited for, or ""."""
        armed, self._armed = self._armed, None
        return armed[1].shot if armed else ""

    def finish(self, shot: str) -> None:
        """Camera: expose no more frames of this movie, if it is the one under way."""
        if shot == self._filming:
            self._finished = shot

    def fire(self, shot: str, pulse: Pulse) -> None:
        """Pulser: send the pulse; the camera films it if it was readied for this shot."""
        if self.error or not self._thread.is_alive():
            raise PulseRefused(
                f"simulated sample: stopped ({self.error}). Nothing was fired; build it again."
            )
        if fault := self._film.refuses(pulse):
            raise PulseRefused(f"simulated sample: {fault}. Nothing was fired.", "driver")
        armed, self._armed = self._armed, None
        self._jobs.put((pulse, armed if armed and armed[1].shot == shot else None))

    def spins(self) -> np.ndarray:
        """The true spins, (3, H, W), once the film has settled. For reports, never decisions."""
        with self._lock:
            return self._film.spins

    def charge(self) -> float:
        """The true topological charge. For reports and tests, never for a decision."""
        with self._lock:
            return self._film.charge()

    def set_damping(self, damping: float) -> None:
        """Change the film's damping, once what was fired has settled."""
        self._jobs.join()
        with self._lock:
            self._film.parameters = replace(self._film.parameters, damping=damping)

    def wait_settled(self) -> None:
        """Return when all that was fired has been filmed and the film has settled."""
        self._jobs.join()

    def close(self) -> None:
        """Finish what was fired and stop."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                with self._lock:
                    self._run(*job)
            except Exception as error:  # noqa: BLE001 - kept; the next fire() is refused with it
                _log.exception("simulated sample stopped")
                self.error = error
            finally:
                self._jobs.task_done()
        self._jobs.task_done()

    def _run(self, pulse: Pulse | None, job: tuple[str, Exposure, FrameSchedule] | None) -> None:
        if job:
            self._film_movie(pulse, *job)
        elif pulse:
            for _ in self._film.frames(self._delivered(pulse), [_over_ps(pulse)]):
                pass
        if pulse:
            if self._settle_ps is None:
                self._film.settle()
            else:
                self._film.settle(self._settle_ps)
            if self._film.parameters.temperature_K > 0:
                self._film.advance(_THERMAL_PS)  # relaxing took the heat out

    def _film_movie(
        self, pulse: Pulse | None, run: str, exposure: Exposure, movie: FrameSchedule
    ) -> None:
        times = movie.times_ps if pulse else [0.0]
        shot = exposure.shot
        # A movie may end before its pulse, which acts to its end all the same.
        unfilmed = [_over_ps(pulse)] if pulse and _over_ps(pulse) > times[-1] else []
        self._filming, self._finished = shot, ""
        self._publisher.start(
            ShotStart(
                run=run,
                shot=shot,
                pulse=pulse,
                movie=movie,
                expected_frames=len(times),
                shape=self.shape,
                may_end_early=exposure.ends_early,
            )
        )
        delivered = self._delivered(pulse) if pulse else None
        number, self._movies = self._movies, self._movies + 1
        film, exposed = self._film.frames(delivered, times + unfilmed), 0
        for index, (time_ps, spins) in enumerate(zip(times, film, strict=False)):
            if self._finished == shot:
                break
            exposed += 1
            if self._imaging and not self._imaging.arrives(shot=number, frame=index):
                continue
            self._publisher.frame(
                Frame(
                    run=run,
                    shot=shot,
                    index=index,
                    movie_time_ps=time_ps,
                    source_time_ns=time.time_ns(),
                    data=self._image(spins, number, index, time_ps),
                )
            )
        self._filming = ""
        self._publisher.end(run, shot, exposed, ended_early=exposed < len(times))
        for _ in film:  # to the end of movie and pulse: what the film does is not the camera's
            pass

    def _delivered(self, pulse: Pulse) -> Pulse:
        return pulse.scaled(self._field_calibration)

    def _image(self, spins: np.ndarray, movie: int, index: int, time_ps: float) -> np.ndarray:
        if self._imaging:
            return self._imaging.image(spins, shot=movie, frame=index, time_ps=time_ps)
        return spins if self._component == "spins" else spins[_ROWS[self._component]]


def _over_ps(pulse: Pulse) -> float:
    """Movie time at which the pulse is over, ps."""
    return max(0.0, pulse.corners_ps[-1])
