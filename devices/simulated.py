"""The simulated sample behind the pulser and the camera, and a whole simulated beamline."""

import logging
import queue
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np

from skyctl import __version__
from skyctl.devices.camera import CameraDriver, FilmCamera
from skyctl.devices.classifier import StreamClassifier
from skyctl.devices.decisions import DecisionLog
from skyctl.devices.guard import Envelope, Guard, Spent
from skyctl.devices.pulser import PulseDriver, Pulser
from skyctl.errors import PulseRefused, StreamError
from skyctl.frame import Frame, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import Exposure, Movie, Pulse
from skyctl.recording.files import Storage
from skyctl.simulators.film import Film, FilmParameters
from skyctl.simulators.imaging import Imaging
from skyctl.simulators.sample_film import SampleFilm
from skyctl.simulators.spread import Sample
from skyctl.stream.hub import Hub
from skyctl.stream.metrics import HubCollector, MetricsServer
from skyctl.stream.publisher import Publisher

_log = logging.getLogger(__name__)
SETTLE_PS = 600.0
_SETTLED_T = 0.01
_THERMAL_PS = 20.0


class SampleDriver(CameraDriver, PulseDriver, Protocol):
    """The camera's and the pulser's driver in one."""

    def close(self) -> None:
        """Finish what was fired and stop."""
        ...


class SimulatedSample:
    """A simulated film under a camera; its pulse and camera drivers in one.

    Frames are published while the simulation runs. After a movie the film settles, as a real one
    would between two shots: precession damps out, up to ``settle_ps``.

    film : what is pulsed and filmed (``Film``, ``TorqueFilm``); publisher : where frames go
    component : "sz" sends S_z (H, W), "spins" all three components (3, H, W)
    imaging : the camera's optical path, which makes the images of S_z and may lose some of them;
        None is a perfect one. Its random numbers count the movies from 0
    field_calibration : what a pulse delivers, over what it was asked for

    Raises ValueError for imaging of all three components, or a calibration that is not positive.
    """

    def __init__(
        self,
        film: SampleFilm,
        publisher: Publisher,
        *,
        component: Literal["sz", "spins"] = "sz",
        settle_ps: float = SETTLE_PS,
        imaging: Imaging | None = None,
        field_calibration: float = 1.0,
    ) -> None:
        if imaging and component == "spins":
            raise ValueError('imaging shows S_z only: leave component at "sz", or imaging out')
        p = film.parameters
        self.shape: tuple[int, ...] = (p.rows, p.columns)
        if component == "spins":
            self.shape = (3, p.rows, p.columns)
        elif imaging:
            self.shape = imaging.image_shape(p.rows, p.columns)
        self._imaging, self._movies = imaging, 0
        self._sample = Sample(p, field_calibration)
        self.error: Exception | None = None
        self._film, self._publisher, self._settle_ps = film, publisher, settle_ps
        self._armed: tuple[str, Exposure, Movie] | None = None
        self._jobs: queue.Queue[tuple[Pulse | None, tuple[str, Exposure, Movie] | None] | None]
        self._jobs = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="skyctl-sample", daemon=True)
        self._thread.start()

    def describe(self) -> dict[str, Any]:
        """Facts for a recording's header."""
        return {
            "sample": self._film.parameters.as_dict(),
            "simulator": f"skyctl {__version__}",
            "imaging": self._imaging.model_dump() if self._imaging else None,
            "field_calibration": self._sample.field_calibration,
        }

    def expose(self, run: str, exposure: Exposure, movie: Movie) -> None:
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

    def fire(self, shot: str, pulse: Pulse) -> None:
        """Pulser: send the pulse; the camera films it if it was readied for this shot."""
        if self.error or not self._thread.is_alive():
            raise PulseRefused(
                f"simulated sample: stopped ({self.error}). Nothing was fired; build it again."
            )
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

    def _run(self, pulse: Pulse | None, job: tuple[str, Exposure, Movie] | None) -> None:
        if job:
            self._film_movie(pulse, *job)
        elif pulse:
            for _ in self._film.frames(self._sample.delivered(pulse), [_pulse_end_ps(pulse)]):
                pass
        if pulse:
            self._film.relax(self._settle_ps, _SETTLED_T)
            if self._film.parameters.temperature_K > 0:
                self._film.advance(_THERMAL_PS)  # relaxing took the heat out

    def _film_movie(self, pulse: Pulse | None, run: str, exposure: Exposure, movie: Movie) -> None:
        times = movie.times_ps if pulse else [0.0]
        shot = exposure.shot
        # A movie may be shorter than its pulse, which acts to its end all the same.
        unfilmed = [_pulse_end_ps(pulse)] if pulse and _pulse_end_ps(pulse) > times[-1] else []
        self._publisher.start(
            ShotStart(
                run=run,
                shot=shot,
                pulse=pulse,
                movie=movie,
                expected_frames=len(times),
                shape=self.shape,
            )
        )
        delivered = self._sample.delivered(pulse) if pulse else None
        number, self._movies = self._movies, self._movies + 1
        for index, spins in enumerate(self._film.frames(delivered, times + unfilmed)):
            if index == len(times):
                break
            if self._imaging and not self._imaging.arrives(shot=number, frame=index):
                continue
            self._publisher.frame(
                Frame(
                    run=run,
                    shot=shot,
                    index=index,
                    movie_time_ps=times[index],
                    source_time_ns=time.time_ns(),
                    data=self._image(spins, number, index, times[index]),
                )
            )
        self._publisher.end(run, shot, len(times))

    def _image(self, spins: np.ndarray, movie: int, index: int, time_ps: float) -> np.ndarray:
        if self._imaging:
            return self._imaging.image(spins, shot=movie, frame=index, time_ps=time_ps)
        return spins[2] if len(self.shape) == 2 else spins


def _pulse_end_ps(pulse: Pulse) -> float:
    """Movie time when the pulse has fallen to 3e-4 of its peak, ps."""
    return pulse.peak_ps + 4 * pulse.width_ps


SampleT = TypeVar("SampleT", bound=SampleDriver)


@dataclass(frozen=True)
class Beamline(Generic[SampleT]):
    """Everything between a plan and a sample, wired together; a context manager."""

    pulser: Pulser
    camera: FilmCamera
    classifier: StreamClassifier
    decisions: DecisionLog
    sample: SampleT
    streaming: StreamingClassifier
    hub: Hub
    publisher: Publisher
    metrics: MetricsServer | None = None

    def __enter__(self) -> "Beamline[SampleT]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disarm, finish what was fired, release threads and port."""
        self.pulser.disarm("the beamline closes")
        self.sample.close()
        self.pulser.guard.close()
        if self.metrics:
            self.metrics.close()
        self.hub.close()
        self.classifier.close()
        self.publisher.close()


def simulated_beamline(
    folder: Path,
    *,
    parameters: FilmParameters | None = None,
    start: Literal["empty", "skyrmion"] = "empty",
    model: MovieClassifier | None = None,
    envelope: Envelope | None = None,
    ledger: Path | None = None,
    spent: Spent | None = None,
    address: str = "tcp://127.0.0.1:*",
    device: Literal["cpu", "cuda"] = "cpu",
    imaging: Imaging | None = None,
    field_calibration: float = 1.0,
    anisotropy_map: np.ndarray | None = None,
    seed: int = 0,
    film: SampleFilm | None = None,
    component: Literal["sz", "spins"] = "sz",
    settle_ps: float = SETTLE_PS,
    storage: Storage | None = None,
    metrics_port: int | None = None,
    timeout_s: float = 60.0,
) -> Beamline[SimulatedSample]:
    """Build a beamline around a simulated film; recordings go to ``folder``.

    ``film`` is a film of one's own (a ``TorqueFilm``, say), as it stands; left out, a ``Film`` is
    made of ``parameters``, ``start``, ``device``, ``anisotropy_map`` and ``seed``. The sample's
    are ``component`` and ``settle_ps``.
    ``imaging`` and ``field_calibration`` are the sample's, as in SimulatedSample; a Sample drawn
    from skyctl.simulators.spread.SampleSpread has parameters and calibration. ``anisotropy_map``
    (pinning defects) and ``seed`` (thermal noise) are the film's. ``spent`` is what was fired
    before, besides what the ledger says. ``storage`` says how recordings
    store their frames: compressed, in several files. ``metrics_port`` and ``timeout_s`` are as in
    ``wire``.

    Raises StreamError (port in use), ModelError (no such model), PulseRefused (bad ledger) or
    ValueError (a calibration that is not positive).
    """
    if film is None:
        film = Film(
            parameters, precision="f4", device=device, threads=2, seed=seed,
            anisotropy_map=anisotropy_map,
        )  # fmt: skip
        if start == "skyrmion":
            film.set_skyrmion()
        else:
            film.relax(torque_T=_SETTLED_T)  # the DMI tilts its edges
    streaming = StreamingClassifier(model or MovieClassifier())
    guard = Guard(envelope or Envelope(), ledger, spent=spent)
    publisher = Publisher(address)
    try:
        sample = SimulatedSample(
            film, publisher, component=component, settle_ps=settle_ps, imaging=imaging,
            field_calibration=field_calibration,
        )  # fmt: skip
    except ValueError:
        publisher.close()
        raise
    return wire(
        sample, publisher, folder, streaming=streaming, guard=guard, storage=storage,
        metrics_port=metrics_port, timeout_s=timeout_s,
    )  # fmt: skip


def wire(
    sample: SampleT,
    publisher: Publisher,
    folder: Path,
    *,
    streaming: StreamingClassifier,
    guard: Guard,
    storage: Storage | None = None,
    metrics_port: int | None = None,
    timeout_s: float = 60.0,
) -> Beamline[SampleT]:
    """The devices around a sample that films into ``publisher``; recordings go to ``folder``.

    metrics_port : on 127.0.0.1, where Prometheus can ask what the hub counts; 0 takes a free one
    (``metrics.url`` of the beamline), None serves nothing
    timeout_s : how long camera and classifier wait for a movie

    Raises StreamError when that port is taken; all that was given is closed then.
    """
    hub = Hub(publisher.address)
    metrics = None
    if metrics_port is not None:
        latencies = {"received_to_verdict": streaming.latency, "source_to_verdict": streaming.age}
        try:
            metrics = MetricsServer(HubCollector(hub, latencies), port=metrics_port)
        except StreamError:
            sample.close()
            guard.close()
            hub.close()
            publisher.close()
            raise
    classifier = StreamClassifier(
        name="classifier", streaming=streaming, hub=hub, timeout_s=timeout_s
    )
    camera = FilmCamera(
        name="camera", driver=sample, hub=hub, folder=folder, classifier=streaming,
        timeout_s=timeout_s, storage=storage,
    )  # fmt: skip
    pulser = Pulser(name="pulser", driver=sample, guard=guard)
    for interlock in (camera.hold_reason, classifier.hold_reason):
        pulser.add_interlock(interlock)
    return Beamline(
        pulser=pulser,
        camera=camera,
        classifier=classifier,
        decisions=DecisionLog(name="decisions", model=asdict(streaming.model.card)),
        sample=sample,
        streaming=streaming,
        hub=hub,
        publisher=publisher,
        metrics=metrics,
    )
