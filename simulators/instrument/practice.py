"""An instrument to practise on: pulser, delay and camera of a simulated sample, as registers.

Servers put the registers behind a real protocol (`scpi`, `ioc`); tests use them as they are.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from skyctl.frame import Frame, ShotStart
from skyctl.pulse import SETTINGS, Exposure, FrameSchedule, Pulse, pulse_of

Mode = Literal["normal", "noack", "deaf", "lazy", "refuse", "slow", "frozen"]
MODES: dict[Mode, str] = {
    "normal": "does what it is asked",
    "noack": "fires, and does not answer FIRE",
    "deaf": "neither fires nor answers FIRE",
    "lazy": "answers FIRE, and does not fire",
    "refuse": "says that it cannot fire",
    "slow": "takes half a second to fire",
    "frozen": "answers nothing for three seconds, then does all it was asked meanwhile",
}
READY = "ready "
"""What a server of it says before its address, once it can be asked."""
FROZEN_S = 3.0
SLOW_S = 0.5
LATE_S = 2.0
"""Where a protocol has no way to answer never, an answer that is missing comes so late."""
WATCHDOG_S = 3.0
"""Without a BEAT for so long the output goes off."""
_BEATS_PER_S = 10


@dataclass(frozen=True)
class Register:
    """A number that an instrument holds, within (low, high); ``scpi`` is its header."""

    scpi: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    start: float = 0.0
    read_only: bool = False


REGISTERS: dict[str, Register] = {
    "AMP": Register("PULSe:AMPLitude", "T", 0.0, 12.0),
    "WIDTH": Register("PULSe:WIDTh", "ps", 1.0, 60.0, 1.0),
    "THETA": Register("PULSe:THETa", "deg", 0.0, 180.0),
    "PHI": Register("PULSe:PHI", "deg", -180.0, 360.0),
    "DELAY": Register("PULSe:DELay", "ps", 0.0, 200.0),
    "SPOT_X": Register("PULSe:SPOT:X", "sites", 0.0, 100.0),
    "SPOT_Y": Register("PULSe:SPOT:Y", "sites", 0.0, 100.0),
    "SPOT_SIGMA": Register("PULSe:SPOT:SIGMa", "sites", 0.0, 20.0),
    "REPEATS": Register("TRIGger:REPeats", "", 1, 1_000_000, 1),
    "ARM": Register("OUTPut"),
    "FIRE": Register("*TRG"),
    "ARMED": Register("OUTPut:ARMed", read_only=True),
    "FIRED": Register("TRIGger:COUNt", "", 0, 2**31 - 1, read_only=True),
    "BEAT": Register("SYSTem:BEAT", "", 0, 2**31 - 1),
    "HEARTBEAT": Register("SYSTem:HEARtbeat", "", 0, 2**31 - 1, read_only=True),
    "INTERLOCK": Register("SYSTem:INTerlock", start=1),
    "FAULT": Register("SYSTem:FAULt"),
    "CAM:ACQUIRE": Register("CAMera:ACQuire"),
    "CAM:TRIGGER": Register("CAMera:TRIGger"),
    "CAM:DURATION": Register("CAMera:DURation", "ps", 0.0, 10_000.0, 165.0),
    "CAM:INTERVAL": Register("CAMera:INTerval", "ps", 0.1, 1_000.0, 5.0),
    "CAM:QUIET": Register("CAMera:QUIet", "ps", 0.0, 10_000.0),
    "CAM:DELAY": Register("CAMera:DELay", "ps", -1.0, 10_000.0, -1.0),
    "CAM:ROWS": Register("CAMera:ROWS", "", 1, 10_000, 1, read_only=True),
    "CAM:COLUMNS": Register("CAMera:COLumns", "", 1, 10_000, 1, read_only=True),
    "CAM:TRIGGERS": Register("CAMera:TRIGger:COUNt", "", 0, 2**31 - 1, read_only=True),
    "MEASURE": Register("SIMulator:MEASure"),
    "CHARGE": Register("SIMulator:CHARge", "", -1e6, 1e6, read_only=True),
}
"""In the order of an instrument's manual. ARM 1 arms, FIRE fires what is armed, FIRED counts the
pulses. With CAM:DELAY at 0 or more the camera takes one image so long after the movie began, as in
a stroboscope; below, the whole movie. MEASURE waits until the film has settled and has its true
charge in CHARGE, which no real instrument could tell: for reports and tests."""
COMMANDS = ("ARM", "FIRE", "CAM:ACQUIRE", "MEASURE")
SETTING_REGISTERS = dict(
    zip(
        SETTINGS,
        ("AMP", "WIDTH", "THETA", "PHI", "DELAY", "SPOT_X", "SPOT_Y", "SPOT_SIGMA"),
        strict=True,
    )
)


class Sample(Protocol):
    """The simulated sample behind the registers: `skyctl.devices.simulated.SimulatedSample`."""

    shape: tuple[int, ...]

    def expose(self, run: str, exposure: Exposure, movie: FrameSchedule) -> None: ...

    def cancel(self) -> str: ...

    def finish(self, shot: str) -> None: ...

    def fire(self, shot: str, pulse: Pulse) -> None: ...

    def charge(self) -> float: ...

    def wait_settled(self) -> None: ...


class NoAnswer(TimeoutError):
    """The instrument does not answer this one."""


@dataclass(frozen=True)
class Image:
    """A frame as a detector sends it. ``number`` counts all of them from 1, ``trigger`` is the
    trigger that it was exposed on."""

    number: int
    trigger: int
    frame: Frame


class Images:
    """Where the sample's frames go: numbered, to whoever sends them on (``post``)."""

    def __init__(self) -> None:
        self.post: Callable[[Image], None] = lambda image: None
        self._number = self._trigger = 0

    def start(self, start: ShotStart) -> None:
        """A movie begins; its name is the trigger that it waits for."""
        self._trigger = int(start.shot)

    def frame(self, frame: Frame) -> None:
        """Send a frame on."""
        self._number += 1
        self.post(Image(self._number, self._trigger, frame))

    def end(self, run: str, shot: str, frames: int, *, ended_early: bool) -> None:
        """A movie is over, which such a detector does not say."""


class PracticeInstrument:
    """The registers, and what they do to the sample. From any thread.

    sample : under the pulser and the camera; None is a pulser with nothing behind it
    log : a line of JSON for each pulse, on disk before it is counted: what was really fired; and
        one for each time that it was told to switch off, when (``off_ns``, this machine's clock)
    """

    def __init__(self, sample: Sample | None = None, log: Path | None = None) -> None:
        self.mode: Mode = "normal"
        self._sample, self._log = sample, log
        self._lock = threading.RLock()
        self._values = {name: register.start for name, register in REGISTERS.items()}
        self._triggers = 0
        self._beaten_s = time.monotonic()
        self._thaws_s = 0.0
        if sample:
            self._values["CAM:ROWS"], self._values["CAM:COLUMNS"] = sample.shape[-2:]

    def set_mode(self, mode: str) -> None:
        """Behave so from now on. Raises ValueError."""
        if mode not in MODES:
            raise ValueError(f"mode {mode!r}: give one of {', '.join(MODES)}")
        self.mode = mode
        if mode == "frozen":
            self._thaws_s, self.mode = time.monotonic() + FROZEN_S, "normal"

    def wait_thawed(self) -> None:
        """Return when it is not frozen."""
        while (left_s := self._thaws_s - time.monotonic()) > 0:
            time.sleep(left_s)

    def get(self, name: str) -> float:
        """A register's value. Raises KeyError."""
        if name == "HEARTBEAT":
            return int(time.monotonic() * _BEATS_PER_S) % 2**31
        with self._lock:
            self._watchdog()
            return self._values[name]

    def put(self, name: str, value: float) -> None:
        """Write a register, which ARM, FIRE and CAM:ACQUIRE act on.

        Raises KeyError, ValueError for what it refuses, NoAnswer where it keeps silent.
        """
        register = REGISTERS[name]
        if register.read_only:
            raise ValueError(f"{name} is read only")
        if not register.low <= value <= register.high:
            raise ValueError(f"{name} = {value:g}: outside {register.low:g} … {register.high:g}")
        if name == "MEASURE" and self._sample:
            self._sample.wait_settled()
            self._values["CHARGE"] = float(self._sample.charge())
        with self._lock:
            self._watchdog()
            if name == "ARM":
                self._arm(bool(value))
            elif name == "FIRE":
                self._fire()
            elif name == "CAM:ACQUIRE":
                self._acquire(bool(value))
            elif name in SETTING_REGISTERS.values():
                self._values["ARMED"] = 0
            if name == "BEAT":
                self._beaten_s = time.monotonic()
            self._values[name] = value

    def _watchdog(self) -> None:
        if time.monotonic() - self._beaten_s > WATCHDOG_S:
            self._values["ARMED"] = 0

    def _arm(self, on: bool) -> None:
        if on and not self._values["INTERLOCK"]:
            raise ValueError("the interlock is open")
        if on and self._values["FAULT"]:
            raise ValueError("the amplifier reports a fault")
        self._values["ARMED"] = int(on)
        if not on:
            self._note({"off_ns": time.monotonic_ns()})

    def _fire(self) -> None:
        if self.mode == "deaf":
            raise NoAnswer
        if self.mode == "lazy":
            return
        if self.mode == "refuse":
            raise ValueError("the amplifier is not ready")
        if self.mode == "slow":
            time.sleep(SLOW_S)
        if not self._values["ARMED"]:
            raise ValueError("not armed")
        self._values["ARMED"] = 0
        pulse = pulse_of({name: self._values[reg] for name, reg in SETTING_REGISTERS.items()})
        repeats = int(self._values["REPEATS"])
        told = {"count": self._values["FIRED"] + repeats, "repeats": repeats}
        self._note({**told, "pulse": pulse.model_dump()})
        self._values["FIRED"] += repeats
        if self._sample:
            self._sample.fire(str(self._triggers), pulse)
        if self.mode == "noack":
            raise NoAnswer

    def _note(self, what: dict[str, Any]) -> None:
        if self._log:
            with self._log.open("a") as file:
                file.write(json.dumps(what) + "\n")

    def _acquire(self, on: bool) -> None:
        if not self._sample:
            raise ValueError("there is no camera")
        if not on:
            self._sample.cancel()
            self._sample.finish(str(self._triggers))
            return
        self._triggers += 1
        self._values["CAM:TRIGGERS"] = self._triggers
        exposure = Exposure(
            shot=str(self._triggers), pulsed=bool(self._values["CAM:TRIGGER"]), ends_early=False
        )
        delay = self._values["CAM:DELAY"]
        movie = FrameSchedule(
            duration_ps=self._values["CAM:DURATION"],
            interval_ps=self._values["CAM:INTERVAL"],
            quiet_ps=self._values["CAM:QUIET"],
            delays_ps=(delay,) if delay >= 0 else (),
        )
        self._sample.expose("practice", exposure, movie)
