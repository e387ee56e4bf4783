"""InstrumentCamera: what exposes, over any transport and by any camera table."""

import time

from pydantic import Field

from skyctl.devices.instruments.table import Name, Setting, Strict, Value
from skyctl.devices.instruments.transport import Transport, number
from skyctl.errors import InstrumentError
from skyctl.pulse import FrameSchedule

_BETWEEN_S = 0.005


class CameraTable(Strict):
    """How one make of camera is told what to film.

    rows, columns : where it tells the size of its image
    schedule : settings by name: duration_ps, interval_ps, quiet_ps; frames, how many; delay_ps, of
        a movie of one image at a delay, -1 for one that is filmed as it happens
    pulsed, at_once : what is put for a movie that waits for the pulse, and for one that does not
    start, stop : what is put to begin and to end; start_at_once : also for one without a pulse
    begin : is put after ``start``, and done only when the movie is over; acquiring : is then not 0
        once the camera films, or waits for its trigger
    triggers : counts the movies that were started
    """

    name: Name
    source: str = Field(
        description="where its commands are documented, and whether they were tried"
    )
    rows: Name
    columns: Name
    schedule: dict[str, Setting]
    pulsed: dict[Name, Value]
    at_once: dict[Name, Value]
    start: dict[Name, Value]
    start_at_once: dict[Name, Value] = Field(default={})
    stop: dict[Name, Value]
    begin: dict[Name, Value] = Field(default={})
    acquiring: str = ""
    triggers: str = ""


class InstrumentCamera:
    """A camera; every call waits for it.

    shape : of its image, (rows, columns); left out, it is asked at once. Given, it is not asked
        before `confirm`: it may be dead

    Raises InstrumentError, InstrumentSilent.
    """

    def __init__(
        self,
        transport: Transport,
        table: CameraTable,
        *,
        shape: tuple[int, int] | None = None,
        timeout_s: float = 2.0,
    ) -> None:
        self.transport, self.table, self.timeout_s = transport, table, timeout_s
        self.shape = shape or self._told_shape()

    def confirm(self) -> None:
        """Ask it. Raises InstrumentSilent, and InstrumentError for a camera of another size."""
        told = self._told_shape()
        if told != self.shape:
            raise InstrumentError(
                f"camera {self.table.name} at {self.transport.address}: its image is {told[0]} × "
                f"{told[1]}, the beamline's file says {self.shape[0]} × {self.shape[1]}. Correct "
                "the file, or the camera's region of interest."
            )

    def next_trigger(self) -> int:
        """The number that the next movie's trigger will have; 0 where it counts none."""
        triggers = self.table.triggers
        return int(self._read([triggers])[triggers]) + 1 if triggers else 0

    def start(self, movie: FrameSchedule, *, pulsed: bool) -> None:
        """Film at once or with the next pulse.

        Raises InstrumentError where it cannot film like this, or does not answer.
        """
        self._set_up(movie, len(movie.times_ps) if pulsed else 1)
        self._order(self.table.pulsed if pulsed else self.table.at_once)
        self._order(self.table.start)
        if self.table.begin:
            self._begin()
        if not pulsed:
            self._order(self.table.start_at_once)

    def stop(self) -> None:
        """Film no more. Raises InstrumentError."""
        self._order(self.table.stop)

    def _set_up(self, movie: FrameSchedule, frames: int) -> None:
        wanted: dict[str, float] = {
            **movie.model_dump(exclude={"delays_ps"}),
            "frames": frames,
            "delay_ps": movie.delays_ps[0] if movie.delays_ps else -1.0,
        }
        settings = self.table.schedule
        puts = {setting.put: wanted[name] * setting.scale for name, setting in settings.items()}
        self.transport.put(puts, self.timeout_s)
        told = self._read([setting.readback for setting in settings.values()])
        for name, setting in settings.items():
            if not setting.agrees(told[setting.readback], wanted[name] * setting.scale):
                raise InstrumentError(
                    f"camera {self.table.name}, {setting.readback}: {told[setting.readback]:g} is "
                    f"read back where {wanted[name] * setting.scale:g} was put ({name}). Choose a "
                    "movie that it can film."
                )

    def _begin(self) -> None:
        """Return when it films, or waits for its trigger: no pulse comes before."""
        self.transport.begin(self.table.begin, self.timeout_s)
        due_s, acquiring = time.monotonic() + self.timeout_s, self.table.acquiring
        while acquiring and not self._read([acquiring])[acquiring]:
            if time.monotonic() > due_s:
                raise InstrumentError(
                    f"camera {self.table.name} at {self.transport.address}: {acquiring} is 0 "
                    f"{self.timeout_s:g} s after it was told to film. See its own screen."
                )
            time.sleep(_BETWEEN_S)

    def _order(self, commands: dict[str, Value]) -> None:
        for name, value in commands.items():
            self.transport.put({name: None if value == "" else value}, self.timeout_s)

    def _told_shape(self) -> tuple[int, int]:
        told = self._read([self.table.rows, self.table.columns])
        return int(told[self.table.rows]), int(told[self.table.columns])

    def _read(self, names: list[str]) -> dict[str, float]:
        told = self.transport.get(names, self.timeout_s)
        return {name: number(self.transport.address, name, told[name]) for name in names}
