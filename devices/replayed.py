"""A recorded run in place of a sample."""

import logging
import queue
import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from skyctl.errors import PulseRefused, StreamError
from skyctl.frame import ShotStart
from skyctl.pulse import Exposure, FrameSchedule, Pulse
from skyctl.recording.playback import Clock, Pace, RecordedShot, recorded_shots
from skyctl.recording.reader import Recording
from skyctl.samples import brief_text
from skyctl.stream.publisher import Publisher

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Divergence:
    """Where a run asked for something else than was recorded.

    number : of the recorded shot, None where the recording is over
    """

    number: int | None
    asked: str
    recorded: str

    def __str__(self) -> str:
        where = "after the last shot" if self.number is None else f"shot {self.number}"
        return f"{where}: asked for {self.asked}, recorded is {self.recorded}"


class ReplayedSample:
    """Answers each look and each pulse with the movie that was recorded of it.

    Stands where `SimulatedSample` stands. What is asked for is met by the recorded shot of that
    name, else by the next one: a plan that looks and fires as when it was recorded gets its movies
    in the recorded order, under new names. Another pulse, another movie, a look where a pulse was
    recorded, or anything after the last shot is a divergence, kept in ``divergences``.

    A movie that might end early when it was recorded is sent as it then came out. Another one ends
    when the camera is told to, if this is asked for.

    recording : stays open as long as this does; publisher : where frames go
    pace : when frames are sent, see Pace
    diverging : "refuse" raises StreamError, which ends the plan, and answers nothing.
        "count" answers with the recorded pulse's movie all the same, or for a look the next
        recorded look, so that what an agent proposes can be compared shot by shot; it raises only
        where there is none left. The movie then says which pulse it is of.

    Raises RecordingError when no shot was recorded.
    """

    def __init__(
        self,
        recording: Recording,
        publisher: Publisher,
        *,
        pace: Pace = "max",
        diverging: Literal["refuse", "count"] = "refuse",
    ) -> None:
        self.shape: tuple[int, ...] = recording.shape
        self.divergences: list[Divergence] = []
        self.error: Exception | None = None
        self._recording, self._publisher, self._diverging = recording, publisher, diverging
        self._clock = Clock(pace)
        self._left = list(recorded_shots(recording))
        self._armed: tuple[str, Exposure, FrameSchedule] | None = None
        self._sending = self._finished = ""
        self._jobs: queue.Queue[tuple[RecordedShot, ShotStart] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="skyctl-replayed", daemon=True)
        self._thread.start()

    @property
    def shots_left(self) -> int:
        """Recorded shots that nothing has asked for yet."""
        return len(self._left)

    def describe(self) -> dict[str, Any]:
        """Facts for a recording's header: those of the recorded run, and which it was."""
        recorded = {k: v for k, v in self._recording.header.items() if k != "model"}
        return {**recorded, "replayed_run": self._recording.run}

    def expose(self, run: str, exposure: Exposure, movie: FrameSchedule) -> None:
        """Camera: send the recorded look, or be ready for the pulse of this shot."""
        if exposure.pulsed:
            self._armed = (run, exposure, movie)
            return
        self._send(self._next(exposure.shot, None, None), run, exposure)

    def cancel(self) -> str:
        """Camera: stop waiting for a pulse; the shot it waited for, or ""."""
        armed, self._armed = self._armed, None
        return armed[1].shot if armed else ""

    def finish(self, shot: str) -> None:
        """Camera: send no more frames of this movie, if it is the one under way."""
        if shot == self._sending:
            self._finished = shot

    def fire(self, shot: str, pulse: Pulse) -> None:
        """Pulser: send the movie of the recorded pulse; nothing where no camera was readied.

        Raises StreamError for a pulse that was not recorded (see ``diverging``); PulseRefused once
        the sample has stopped.
        """
        if self.error or not self._thread.is_alive():
            raise PulseRefused(
                f"replayed sample: stopped ({self.error}). Nothing was fired; open it again."
            )
        if self._armed is None or self._armed[1].shot != shot:
            return
        run, exposure, movie = self._armed
        recorded = self._next(shot, pulse, movie)
        self._armed = None
        self._send(recorded, run, exposure)

    def _send(self, recorded: RecordedShot, run: str, exposure: Exposure) -> None:
        may_end_early = exposure.ends_early or recorded.start.may_end_early
        start = replace(recorded.start, run=run, shot=exposure.shot, may_end_early=may_end_early)
        self._jobs.put((recorded, start))

    def wait_settled(self) -> None:
        """Return when all movies that were asked for are sent."""
        self._jobs.join()

    def close(self) -> None:
        """Send what was asked for and stop."""
        self._jobs.put(None)
        self._thread.join()

    def _next(self, name: str, pulse: Pulse | None, movie: FrameSchedule | None) -> RecordedShot:
        """Take the recorded shot that answers; StreamError where none does."""
        named = [shot for shot in self._left if shot.start.shot == name]
        candidates = named or self._left
        if not candidates:
            self._diverge(Divergence(None, _words(pulse, None), "nothing"), fatal=True)
        shot = candidates[0]
        start = shot.start
        if start.pulse != pulse or (movie and start.movie != movie):
            alike = [s for s in candidates if (s.start.pulse is None) == (pulse is None)]
            other_movie = movie if movie != start.movie else None
            asked = _words(pulse, other_movie)
            recorded = _words(start.pulse, start.movie if other_movie else None)
            self._diverge(Divergence(shot.number, asked, recorded), fatal=not alike)
            shot = alike[0]
        self._left = self._left[self._left.index(shot) + 1 :]
        return shot

    def _diverge(self, divergence: Divergence, fatal: bool) -> None:
        self.divergences.append(divergence)
        _log.warning("%s: %s", self._recording.path, divergence)
        if fatal or self._diverging == "refuse":
            raise StreamError(
                f"recording {self._recording.path}: {divergence}. Nothing was fired; run the plan, "
                "the seed and the memory that were recorded, or let divergences be counted."
            )

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            recorded, start = job
            as_it_was = recorded.start.may_end_early
            self._sending, self._finished = "" if as_it_was else start.shot, ""
            try:
                told = partial(self._is_finished, start.shot)
                recorded.send(self._publisher, self._clock, start, told)
            except Exception as error:  # noqa: BLE001 - kept; the next fire() is refused with it
                _log.exception("replayed sample stopped")
                self.error = error
            finally:
                self._jobs.task_done()
        self._jobs.task_done()

    def _is_finished(self, shot: str) -> bool:
        return self._finished == shot


def _words(pulse: Pulse | None, movie: FrameSchedule | None) -> str:
    if pulse is None:
        return "a look"
    # every digit: two pulses that print alike would make a riddle of the message
    settings = brief_text(pulse)
    return f"pulse {settings}" + (f", movie {movie.model_dump_json()}" if movie else "")
