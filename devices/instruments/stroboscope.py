"""Stroboscope: a movie of many shots, each image the sum over repeats at one delay.

A stroboscopic movie is one shot to guard and ledger, of repeats × delays × helicities pulses. It is
only true where the sample is back where it was before each pulse: that is the physicist's to know.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ophyd.status import Status
from pydantic import Field, model_validator

from skyctl.devices.instruments.camera import InstrumentCamera
from skyctl.devices.instruments.commands import Commands
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.sample import InstrumentSample
from skyctl.devices.instruments.table import Setting, Strict, Value
from skyctl.devices.instruments.transport import Transport, number
from skyctl.errors import InstrumentError, PulseRefused
from skyctl.pulse import Exposure, FrameSchedule, Pulse
from skyctl.stream.sources.triggers import Triggers

Order = Literal["ascending", "coarse-to-fine"]


class DelayTable(Strict):
    """How the time of the probe after the start of the movie is set, and the light's helicity.

    delay : in ps; plus, minus : what is put for either helicity; left out where there is one alone
    """

    name: str = Field(min_length=1)
    source: str
    delay: Setting
    low_ps: float
    high_ps: float
    plus: dict[str, Value] = Field(default={})
    minus: dict[str, Value] = Field(default={})

    @model_validator(mode="after")
    def _both(self) -> "DelayTable":
        if bool(self.plus) != bool(self.minus):
            raise ValueError("plus, minus: say how either helicity is set, or leave both out")
        return self

    @property
    def helicities(self) -> int:
        """How many images a delay needs."""
        return 2 if self.minus else 1


def delay_of(transport: Transport, table: DelayTable, timeout_s: float) -> float:
    """The delay that it has, in the instrument's own unit. Raises InstrumentError."""
    name = table.delay.readback
    return number(transport.address, name, transport.get([name], timeout_s)[name])


def in_order(count: int, order: Order) -> list[int]:
    """Indices of so many delays, in the order in which they are taken.

    Coarse to fine: the ends, then the middle, then the quarters; what is seen early is spread over
    the whole movie.
    """
    if order == "ascending" or count < 3:
        return list(range(count))
    taken, step = [0, count - 1], count - 1
    while len(taken) < count:
        step = max(1, step // 2)
        taken += [i for i in range(0, count, step) if i not in taken]
    return taken


class Stroboscope(InstrumentSample):
    """An InstrumentSample whose movies are lists of delays.

    delays : the delay generator; repeats : pulses of each image; order : of the delays
    The rest is as in InstrumentSample. Triggers tells the parser which image is which.
    """

    def __init__(
        self,
        pulser: PulseInstrument,
        camera: InstrumentCamera,
        delays: tuple[Transport, DelayTable],
        *,
        triggers: Triggers,
        repeats: int = 1,
        order: Order = "ascending",
        facts: dict[str, Any] | None = None,
        **missing: Any,
    ) -> None:
        super().__init__(pulser, camera, facts, triggers, **missing)
        transport, self.table = delays
        self._delays = Commands(transport, pulser.table, {}, None, camera.timeout_s)
        self._book, self._repeats = triggers, repeats
        self._order: Order = order
        self._movie = FrameSchedule()

    def describe(self) -> dict[str, Any]:
        """Facts for a recording's header."""
        strobe = {"delays": self.table.name, "repeats": self._repeats, "order": self._order}
        return {**super().describe(), "stroboscope": strobe}

    def pulses(self, movie: FrameSchedule) -> int:
        """How many pulses a movie takes."""
        return len(movie.times_ps) * self.table.helicities * self._repeats

    def expose(self, run: str, exposure: Exposure, movie: FrameSchedule) -> None:
        """Camera: remember the movie until its pulse; a look is one image at once, of either
        helicity."""
        if exposure.pulsed:
            self._waiting, self._movie, self._not_ready = exposure.shot, movie, ""
        elif self.table.helicities == 2:
            self._waiting = ""
            self._in_turn(lambda: self._look(exposure.shot, movie))
        else:
            super().expose(run, exposure, movie)

    def ready(self, shot: str, pulse: Pulse, repeats: int) -> Status:
        """Pulser: set up for the pulses of one image."""
        if repeats % self._repeats:
            raise PulseRefused(
                f"{repeats} pulses: this stroboscope sends {self._repeats} an image. Nothing was "
                "fired; let the camera say how many (camera.pulses_per_shot).",
                "range",
            )
        return self.pulser.ready(shot, pulse, self._repeats)

    def fire(self, shot: str, pulse: Pulse) -> Status:
        """Pulser: all images of the movie, one after the other."""
        fired = self.pulser.fire(shot, pulse, self._parts(shot))
        fired.add_callback(self._was_fired)
        return fired

    def _look(self, shot: str, movie: FrameSchedule) -> None:
        """One image of either helicity, which is switched once the first has come."""
        for side, helicity in enumerate((self.table.plus, self.table.minus)):
            self._delays.order(helicity)
            trigger = self.camera.next_trigger()
            self._book.assign(shot, trigger, (0, side))
            self.camera.start(movie, pulsed=False)
            if not self._book.wait_come(trigger, self.camera.timeout_s):
                raise InstrumentError(
                    f"{self.table.name}: no image of trigger {trigger} within "
                    f"{self.camera.timeout_s:g} s. See the camera; where an exposure takes longer, "
                    "raise the camera's timeout_s."
                )

    def _parts(self, shot: str) -> list[Callable[[], None]]:
        """What is done before the pulses of each image."""
        movie, waiting = self._movie, self._waiting
        if waiting != shot:

            def no_movie() -> None:
                raise InstrumentError("its movie was not prepared")

            return [no_movie]
        places = in_order(len(movie.times_ps), self._order)
        sides: Sequence[dict[str, Value]] = (self.table.plus, self.table.minus)
        each = itertools.product(places, range(self.table.helicities))
        return [self._part(shot, movie.times_ps[i], i, side, sides[side]) for i, side in each]

    def _part(
        self, shot: str, delay_ps: float, index: int, side: int, helicity: dict[str, Value]
    ) -> Callable[[], None]:
        def prepare() -> None:
            self._set_delay(delay_ps)
            if helicity:
                self._delays.order(helicity)
            self._book.assign(shot, self.camera.next_trigger(), (index, side))
            self.camera.start(FrameSchedule(delays_ps=(delay_ps,)), pulsed=True)

        return prepare

    def _set_delay(self, delay_ps: float) -> None:
        setting, table = self.table.delay, self.table
        if not table.low_ps <= delay_ps <= table.high_ps:
            raise InstrumentError(
                f"{table.name}: delay {delay_ps:g} ps is outside {table.low_ps:g} … "
                f"{table.high_ps:g}. Choose other delays."
            )
        wanted = delay_ps * setting.scale
        told = self._delays.order({setting.put: wanted}, [setting.readback])
        if not setting.agrees(told[setting.readback], wanted):
            raise InstrumentError(
                f"{table.name}, {setting.readback}: {told[setting.readback]:.9g} is read back "
                f"where {wanted:.9g} was put"
            )

    def close(self) -> None:
        """Disarm and hang up."""
        super().close()
        self._delays.transport.close()
