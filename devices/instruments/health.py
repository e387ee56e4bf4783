"""Health: what an instrument says of itself, asked over and over; why it must not fire."""

import time
from typing import Any

from skyctl.devices.guard import Envelope
from skyctl.devices.instruments.commands import Commands


class Health:
    """Interlock, fault, heartbeat, and once whether it can do all that the envelope allows.

    oldest_s : a heartbeat that has not changed for so long holds fire
    envelope : compared with the instrument's own limits when it first answers; None: with nothing
    misfit : where those are narrower, or its units are others
    """

    def __init__(self, commands: Commands, oldest_s: float, envelope: Envelope | None) -> None:
        self.fault = "not asked yet"
        self.misfit = ""
        self._commands, self._oldest_s, self._envelope = commands, oldest_s, envelope
        self._heartbeat: Any = None
        self._beaten_s = time.monotonic()
        self._beats = 0

    def hold_reason(self) -> str:
        """Why it must not fire, or ""."""
        if fault := self.fault or self.misfit:
            return fault
        age_s = time.monotonic() - self._beaten_s
        if self._commands.table.states.heartbeat and age_s > self._oldest_s:
            return f"no heartbeat for {age_s:.1f} s; it is frozen, or cut off"
        return ""

    def ask(self) -> str:
        """Tell it that we live, ask how it is; its fault, or "". Raises InstrumentError."""
        states = self._commands.table.states
        if self._envelope:  # first: all those channels may take longer than a heartbeat lasts
            self.misfit = "; ".join(self._commands.faults_of_limits(self._envelope))
            self._envelope = None
        if states.beat:
            self._beats = (self._beats + 1) % 2**31
            self._commands.order({states.beat: self._beats})
        told = self._commands.read(
            [name for name in (states.heartbeat, states.interlock, states.fault) if name]
        )
        if states.heartbeat and told[states.heartbeat] != self._heartbeat:
            self._heartbeat, self._beaten_s = told[states.heartbeat], time.monotonic()
        if states.interlock and not told[states.interlock]:
            return "its hardware interlock is open"
        if states.fault and told[states.fault]:
            return f"it reports fault {told[states.fault]:g}"
        return ""
