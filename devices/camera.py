"""FilmCamera: films the sample; its frames go to a file, its readings to the event."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ophyd import Component, Device, Kind
from ophyd.status import Status

from skyctl.devices.camera_driver import CameraDriver, MayBeAbsent, Strobed
from skyctl.devices.frame_stream import FrameStream, check_folder
from skyctl.devices.pending import PendingShots
from skyctl.devices.signals import LimitedSignal, StateSignal, SwitchSignal, counters
from skyctl.errors import InstrumentSilent, StreamError
from skyctl.frame import COUNTS, Frame, ShotEnd, ShotStart
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import Exposure, FrameSchedule
from skyctl.recording.files import Storage
from skyctl.recording.writer import Recorder
from skyctl.stream.hub import Consumer, Hub
from skyctl.verdict import ShotResult, Verdict

_log = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 15.0
_NOT_MEASURED = (-1.0, -1.0)
"""JSON, in which documents are kept, knows no NaN."""


class FilmCamera(Device):
    """A camera whose frames arrive through a hub.

    ``stage()`` opens a recording, ``prepare(Exposure)`` names the next movie, ``trigger()`` readies
    the camera and is done when every frame of that movie is on disk or known to be lost. The frames
    are documents of the stream ``frames``: collect ``camera.frames``.

    Plans that know no exposures (``count``, ``grid_scan``, a baseline) only trigger and read: once
    a movie was read, the next trigger films the film as it is now, without a pulse. Not staged, it
    films nothing, and ``shot`` in its reading is "".

    With ``ends_early`` on, the first verdict of a movie that is certain ends its exposure: frames
    cost beam time. ``frames_exposed`` of ``frames_promised`` were then exposed.

    driver : what exposes; hub : where its frames arrive
    folder : where recordings go; classifier : its verdicts are recorded with the frames
    timeout_s : longest wait for a movie
    storage : of the recordings' frames, compressed or in several files; documents name the master
    """

    duration_ps = Component(LimitedSignal, value=165.0, units="ps", kind=Kind.config)
    interval_ps = Component(LimitedSignal, value=5.0, units="ps", kind=Kind.config)
    quiet_ps = Component(LimitedSignal, value=0.0, units="ps", kind=Kind.config)
    ends_early = Component(SwitchSignal, value=1, kind=Kind.config)
    delays = Component(
        StateSignal, value="", dtype_numpy="<U512", kind=Kind.config,
        doc="ps, of a movie with times of its own; then duration and interval are not used",
    )  # fmt: skip
    shot = Component(StateSignal, value="", dtype_numpy="<U64")
    frames_promised = Component(StateSignal, value=0, dtype_numpy="<i8", doc="of a whole movie")
    frames_exposed = Component(StateSignal, value=0, dtype_numpy="<i8", doc="came, or missing")
    ended_early = Component(StateSignal, value=0, dtype_numpy="<i8", doc="1: by a certain verdict")
    # A class body's names are its attributes.
    vars().update(counters(dict.fromkeys(COUNTS), hinted=("missing", "unrecorded")))
    transit_p50 = Component(
        StateSignal, value=-1.0, dtype_numpy="<f8", units="ms", doc="-1: not measured"
    )
    transit_max = Component(
        StateSignal, value=-1.0, dtype_numpy="<f8", units="ms", doc="-1: not measured"
    )

    def __init__(
        self, prefix: str = "", *, name: str, driver: CameraDriver, hub: Hub, folder: Path,
        classifier: StreamingClassifier | None = None, timeout_s: float = 60.0,
        storage: Storage | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(prefix, name=name, **kwargs)
        self.duration_ps.set_limits((0.0, 10_000.0))
        self.interval_ps.set_limits((0.1, 1_000.0))
        self.quiet_ps.set_limits((0.0, 10_000.0))
        self.frames = FrameStream(f"{name}_frames", driver.shape)
        self._driver, self._hub, self._folder = driver, hub, folder
        self._classifier = classifier
        self._timeout_s, self._storage = timeout_s, storage
        self._movies = PendingShots(self)
        self._exposure: Exposure | None = None
        self._delays_ps: tuple[float, ...] = ()
        self._recorder: Recorder | None = None
        self._consumer: Consumer | None = None
        self._ender: Consumer | None = None
        self._may_end = ""
        self._hold = ""
        self._read_shot = ""
        self._tell_look: Callable[[Exposure], object] = lambda look: None

    def tell_looks(self, listener: Callable[[Exposure], object]) -> None:
        """Whom to tell of a look that the camera takes by itself: ``ClassifierDevice.prepare``."""
        self._tell_look = listener

    def __repr__(self) -> str:
        shape = " × ".join(str(n) for n in self._driver.shape)
        movie = f"{self.duration_ps.get():g} ps every {self.interval_ps.get():g}"
        state = f"recording {self.recording}" if self._consumer else "not staged"
        return f"FilmCamera({self.name}: {shape}, {movie}, {state})"

    @property
    def movie(self) -> FrameSchedule:
        """What is filmed after a pulse."""
        duration: Any = self.duration_ps.get()
        interval: Any = self.interval_ps.get()
        quiet: Any = self.quiet_ps.get()
        return FrameSchedule(
            duration_ps=duration, interval_ps=interval, quiet_ps=quiet, delays_ps=self._delays_ps
        )

    @property
    def pulses_per_shot(self) -> int:
        """Pulses that one movie takes: more than one where it is stroboscopic."""
        return self._driver.pulses(self.movie) if isinstance(self._driver, Strobed) else 1

    def film_like(self, movie: FrameSchedule) -> None:
        """Film as in this movie from now on."""
        self.duration_ps.put(movie.duration_ps)
        self.interval_ps.put(movie.interval_ps)
        self.quiet_ps.put(movie.quiet_ps)
        self._delays_ps = movie.delays_ps
        self.delays.update(" ".join(f"{delay:g}" for delay in movie.delays_ps))

    @property
    def recording(self) -> Path | None:
        """The file of the open, or the last, run."""
        return self._recorder.path if self._recorder else None

    @property
    def film_centre(self) -> tuple[float, float]:
        """(x, y) of the film's middle, sites: of the film that the driver describes, else of its
        image, a site a pixel."""
        film: Any = self._driver.describe().get("sample")
        rows, columns = self._driver.shape[-2:]
        if not isinstance(film, dict):
            film = {}
        return (film.get("columns", columns) - 1) / 2, (film.get("rows", rows) - 1) / 2

    def describe_sample(self) -> dict[str, Any]:
        """Plain facts of the sample, for a start document."""
        return self._driver.describe()

    def stage(self) -> list[object]:
        """Open a recording. Raises RecordingError, StreamError where the hub is closed and no frame
        can arrive, InstrumentSilent where a device is not there; then nothing is staged."""
        if not self._hub.alive:
            raise StreamError(
                f"{self.name}: the frame stream {self._hub.address} is closed, no frame can "
                "arrive. Make the beamline anew, and run plans inside its `with` block."
            )
        if absent := self._absent():
            raise InstrumentSilent(f"{self.name}: nothing can be filmed. {absent}")
        check_folder(self._folder)
        staged = super().stage()
        try:
            self._open_recording()
        except Exception:
            super().unstage()
            raise
        return staged

    def _open_recording(self) -> None:
        run = uuid.uuid4().hex
        classifier = self._classifier
        card = classifier.model.card if classifier else None
        self._recorder = Recorder(
            self._folder / f"{run}.h5",
            run,
            self._driver.shape,
            classes=card.classes if card else (),
            header={
                "model": asdict(card) if card else {},
                "state_check": classifier.check.facts if classifier and classifier.check else None,
                **self._driver.describe(),
            },
            on_end=self._movie_written,
            storage=self._storage,
        )
        self._run, self._hold = run, ""
        self._exposure, self._read_shot = None, ""
        self._consumer = Consumer("recorder", self._record, self._recorder.flush, self._movies.fail)
        self._ender = Consumer("camera-finish", self._end_exposure)
        self._hub.subscribe(self._consumer)
        if classifier:
            classifier.subscribe(self._consumer.put)
            classifier.subscribe(self._end_if_certain)
        self.frames.begin(self._recorder)

    def unstage(self) -> list[object]:
        """Wait for the open movie, then close the recording; nothing received is lost."""
        try:
            self.stop()
            self._close_recording()
        finally:
            unstaged = super().unstage()
        return unstaged

    def _close_recording(self) -> None:
        if self._consumer and self._recorder:
            if self._classifier:
                self._classifier.unsubscribe(self._consumer.put)
                self._classifier.unsubscribe(self._end_if_certain)
            self._hub.unsubscribe(self._consumer)
            self._consumer.close()
            self._consumer = None
            if self._ender:
                self._ender.close()
            self._recorder.close()

    def stop(self, *, success: bool = False) -> None:
        """Give up an exposure whose pulse has not come; wait for the movie under way."""
        if cancelled := self._driver.cancel():
            self._movies.finish(cancelled)
        if not self._movies.wait_idle(_CLOSE_TIMEOUT_S):
            self._movies.fail(
                StreamError(
                    f"{self.name}: the movie under way did not end within {_CLOSE_TIMEOUT_S:g} s. "
                    f"See whether the source at {self._hub.address} runs and sends."
                )
            )
        super().stop(success=success)

    def pause(self) -> None:
        """Go on filming, and wait for the movie as long as the pause may last."""
        self._movies.pause()
        super().pause()

    def resume(self) -> None:
        """Count the time again that a movie may take."""
        self._movies.resume()
        super().resume()

    def prepare(self, value: Exposure) -> Status:
        """Name the next movie, and say whether it waits for a pulse. Whether it may end early is
        the camera's to say."""
        wanted = value.pulsed and value.ends_early and bool(self.ends_early.get())
        ends_early = wanted and self._classifier is not None
        self._exposure = value.model_copy(update={"ends_early": ends_early})
        self._read_shot = ""
        self.shot.update(value.shot)
        return _finished(self)

    def trigger(self) -> Status:
        """Film what is prepared, or, where that was read already, the film as it is now."""
        if self._consumer is None:
            self.shot.update("")
            return _finished(self)
        self.look_unless_new(self._read_shot)
        return self.movie_over()

    def look_unless_new(self, read: str) -> Exposure | None:
        """What is filmed: what is prepared, or a look that begins now where nothing is, or only the
        movie called ``read``. None where the camera is not staged."""
        if self._consumer is None:
            return None
        if self._exposure is None or self._exposure.shot == read:
            look = Exposure(shot=uuid.uuid4().hex, pulsed=False)
            self.prepare(look)
            self._tell_look(look)  # before it is over
            self.movie_over()
        return self._exposure

    def read(self) -> dict[str, Any]:
        """The signals. A movie that is over and was read is not shown a second time."""
        reading: Any = super().read()
        if self._exposure and self._movies.is_over(self._exposure.shot):
            self._read_shot = self._exposure.shot
        return reading

    def movie_over(self) -> Status:
        """Ready the camera (or, for a look, film at once); done when the movie is on disk.

        Asking again for a movie that is under way or over starts nothing new. Raises StreamError
        where nothing is staged or prepared.
        """
        if self._exposure is None or self._consumer is None:
            raise StreamError(
                f"{self.name}: not staged, or no exposure prepared. Stage the camera and prepare "
                "an Exposure first (the plans of skyctl.plans do)."
            )
        if self._consumer.error:
            raise self._consumer.error
        exposure = self._exposure
        if not self._movies.knows(exposure.shot):
            self._may_end = exposure.shot if exposure.ends_early else ""
            self._hub.expect(self._start(exposure))
            self._driver.expose(self._run, exposure, self.movie)
        return self._movies.expect(exposure.shot, self._timeout_s, self._hub.address)

    def _end_if_certain(self, news: Verdict | ShotResult) -> None:
        """Have the exposure ended, once a movie. The classifier's thread does not wait for it."""
        if not (
            isinstance(news, Verdict)
            and news.early
            and (news.run, news.shot) == (self._run, self._may_end)
        ):
            return
        self._may_end = ""
        if self._ender:
            self._ender.put(news.shot)

    def _end_exposure(self, shot: str) -> None:
        self._hub.finish(shot)
        try:
            self._driver.finish(shot)
        except Exception:  # noqa: BLE001 - the movie then has all its frames, which is no harm
            _log.exception("%s: shot %s could not be ended early", self.name, shot)

    def _record(self, event: ShotStart | Frame | ShotEnd | Verdict | ShotResult) -> None:
        if isinstance(event, ShotStart) and event.run == self._run:
            self.frames_promised.update(event.expected_frames)
        if self._recorder:
            self._recorder.handle(event)

    def _start(self, exposure: Exposure) -> ShotStart:
        if exposure.pulsed and exposure.pulse is None and not self._hub.names_shots:
            raise StreamError(
                f"{self.name}: shot {exposure.shot} waits for a pulse that is not named, and "
                f"{self._hub.address} does not say it of its frames. Prepare the camera with "
                "Exposure(shot=…, pulse=…)."
            )
        frames = len(self.movie.times_ps) if exposure.pulsed else 1
        return ShotStart(
            self._run,
            exposure.shot,
            exposure.pulse,
            self.movie,
            frames,
            self._driver.shape,
            may_end_early=exposure.ends_early,
        )

    def _movie_written(self, end: ShotEnd) -> None:
        self.frames_exposed.update(end.counts.received + end.counts.missing)
        self.ended_early.update(int(end.ended_early))
        for name, value in vars(end.counts).items():
            getattr(self, name).update(value)
        for signal, value in zip(
            (self.transit_p50, self.transit_max), end.transit_ms or _NOT_MEASURED, strict=True
        ):
            signal.update(value)
        lost = end.counts.unrecorded
        self._hold = (
            f"{lost} frames of shot {end.shot} were received and are not recorded, they have "
            f"another shape than {self._driver.shape}; see the camera's settings, then look again"
            if lost
            else ""
        )
        self._movies.finish(end.shot)

    def _absent(self) -> str:
        return self._driver.absent() if isinstance(self._driver, MayBeAbsent) else ""

    def hold_reason(self) -> str:
        """Interlock: why nothing may be fired as far as the camera knows."""
        if not self._hub.alive:
            return f"the frame stream {self._hub.address} is closed"
        if absent := self._absent():
            return absent
        if self._consumer is None:
            return "no recording is open"
        if self._consumer.error:
            return f"the recorder stopped ({self._consumer.error})"
        return self._hold


def _finished(device: Device) -> Status:
    status = Status(device)
    status.set_finished()
    return status
