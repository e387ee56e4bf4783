"""InstrumentSample: pulser and camera of a real sample, as one driver."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ophyd.status import Status

from skyctl.devices.guard import Guard
from skyctl.devices.instruments.camera import InstrumentCamera
from skyctl.devices.instruments.presence import Presence
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.errors import InstrumentError
from skyctl.pulse import Exposure, FrameSchedule, Pulse
from skyctl.stream.sources.triggers import Triggers

_log = logging.getLogger(__name__)


class InstrumentSample:
    """What a beamline is assembled around. Camera and pulser share one thread, so a pulse comes
    only once the camera is ready for it.

    facts : of the sample, for the recording's header; ``pixel_sites`` among them is the size of a
        pixel, in sites
    triggers : told which trigger of the camera's is which shot's
    presences : of what a movie needs besides the pulser
    frames_fault : why no frame can come, or "", once that is known, at the latest after so long
    """

    def __init__(
        self,
        pulser: PulseInstrument,
        camera: InstrumentCamera,
        facts: dict[str, Any] | None = None,
        triggers: Triggers | None = None,
        *,
        presences: Sequence[Presence] = (),
        frames_fault: Callable[[float], str] = lambda timeout_s: "",
    ) -> None:
        self._triggers = triggers
        self.presences, self.frames_fault = presences, frames_fault
        self.pulser, self.camera, self._facts = pulser, camera, dict(facts or {})
        self.shape: tuple[int, ...] = camera.shape
        self._waiting = self._filming = ""
        self._not_ready = ""

    def describe(self) -> dict[str, Any]:
        """Facts for a recording's header."""
        return {
            **self.pulser.describe(),
            "camera": self.camera.table.name,
            "camera_address": self.camera.transport.address,
            **self._facts,
        }

    def absent(self) -> str:
        """Camera: why nothing can be filmed, or ""; it changes when what was missing is there."""
        faults = [*(presence.fault() for presence in self.presences), self.frames_fault(0.0)]
        return "; ".join(filter(None, faults))

    def expose(self, run: str, exposure: Exposure, movie: FrameSchedule) -> None:  # noqa: ARG002
        """Camera: film at once, or with the pulse of this shot."""
        self._waiting = exposure.shot if exposure.pulsed else ""

        def start() -> None:
            self._not_ready = f"the camera is not ready for shot {exposure.shot}"
            try:
                if self._triggers:
                    self._triggers.assign(exposure.shot, self.camera.next_trigger())
                self.camera.start(movie, pulsed=exposure.pulsed)
            except InstrumentError as error:
                self._not_ready = str(error)
                raise
            self._not_ready, self._filming = "", exposure.shot

        self._in_turn(start)

    def cancel(self) -> str:
        """Camera: stop waiting for a pulse; the shot it waited for, or ""."""
        waiting, self._waiting = self._waiting, ""
        if waiting:
            self._in_turn(self.camera.stop)
        return waiting

    def finish(self, shot: str) -> None:
        """Camera: expose no more frames of this movie, if it is the one under way."""

        def stop() -> None:
            if shot == self._filming:
                self.camera.stop()

        self._in_turn(stop)

    def attach(self, guard: Guard, disarm: Callable[[str], object]) -> None:
        """Pulser: as PulseInstrument."""
        self.pulser.attach(guard, disarm)

    def hold_reason(self) -> str:
        """Pulser: as PulseInstrument."""
        return self.pulser.hold_reason()

    def ready(self, shot: str, pulse: Pulse, repeats: int) -> Status:
        """Pulser: as PulseInstrument."""
        return self.pulser.ready(shot, pulse, repeats)

    def not_sent(self, shot: str, why: str) -> None:
        """Pulser: as PulseInstrument."""
        self.pulser.not_sent(shot, why)

    def disarm(self) -> None:
        """Pulser: as PulseInstrument."""
        self.pulser.disarm()

    def fire(self, shot: str, pulse: Pulse) -> Status:
        """Pulser: as PulseInstrument, unless the camera could not be readied."""
        fired = self.pulser.fire(shot, pulse, (self._refuse_unready,))
        fired.add_callback(self._was_fired)
        return fired

    def close(self) -> None:
        """Disarm and hang up."""
        for presence in self.presences:
            presence.close()
        self.pulser.close()
        self.camera.transport.close()

    def _refuse_unready(self) -> None:
        if self._not_ready:
            raise InstrumentError(self._not_ready)

    def _was_fired(self, status: Status) -> None:
        if status.success:
            self._waiting = ""

    def _in_turn(self, job: Callable[[], None]) -> None:
        def say(status: Status) -> None:
            if error := status.exception(timeout=0):
                _log.warning("camera %s: %s", self.camera.table.name, error)

        self.pulser.do(job).add_callback(say)
