"""Commands: what a driver table says, put and read over a transport; each call waits for it."""

from collections.abc import Callable, Sequence

from skyctl.devices.guard import Envelope
from skyctl.devices.instruments.table import DriverTable, Setting, Value
from skyctl.devices.instruments.transport import Puts, Reading, Transport, number
from skyctl.errors import InstrumentError, PulseRefused
from skyctl.pulse import Pulse, settings_of


class Commands:
    """One pulser's commands. All raise InstrumentSilent or InstrumentError; nothing is retried.

    fixed : settings that geometry fixes; any other value is refused
    counter : reads another instrument's count, for a pulser that has none
    """

    def __init__(
        self,
        transport: Transport,
        table: DriverTable,
        fixed: dict[str, float],
        counter: Callable[[float], int] | None,
        timeout_s: float,
    ) -> None:
        self.transport, self.table, self.fixed = transport, table, fixed
        self._counter, self._timeout_s = counter, timeout_s

    def set_up(self, pulse: Pulse, repeats: int) -> int:
        """Put a pulse's settings and read them back; what the counter says then.

        Raises PulseRefused for what this instrument cannot be set to.
        """
        wanted = self._wanted(pulse, repeats)
        told = self._put(
            {setting.put: value for setting, value in wanted},
            [*(setting.readback for setting, _ in wanted), *self._counters],
        )
        for setting, value in wanted:
            if not setting.agrees(told[setting.readback], value):
                raise InstrumentError(
                    f"{self.transport.address}, {setting.readback}: {told[setting.readback]:.9g} "
                    f"is read back where {value:.9g} was put. See the instrument's own limits for "
                    f"{setting.put}."
                )
        return self._counted(told)

    def arm(self) -> None:
        """Arm it, and read that back."""
        armed = self.table.states.armed
        told = self.order(self.table.commands.arm, [armed] if armed else [])
        if armed and not told[armed]:
            raise InstrumentError(
                f"{self.transport.address}: not armed after it was told to arm. See its interlock."
            )

    def fire(self) -> tuple[int, bool]:
        """Fire it; what the counter says then, and whether it may still be armed.

        That it answers proves nothing: only the counter does.
        """
        armed = self.table.states.armed
        told = self.order(self.table.commands.fire, [*self._counters, *([armed] if armed else [])])
        return self._counted(told), bool(not armed or told[armed])

    def disarm(self) -> None:
        """Disarm it, and read that back."""
        armed = self.table.states.armed
        told = self.order(self.table.commands.disarm, [armed] if armed else [])
        if armed and told[armed]:
            raise InstrumentError(
                f"{self.transport.address}: still armed after it was told to disarm. Switch it off "
                "by hand."
            )

    def count(self) -> int:
        """What the shot counter says."""
        return self._counted(self.read(self._counters))

    def order(self, commands: dict[str, Value], read: Sequence[str] = ()) -> dict[str, float]:
        """Put them one after the other, then read. An empty string is a command without number."""
        *first, last = commands.items()
        for name, value in first:
            self._put({name: None if value == "" else value})
        name, value = last
        return self._put({name: None if value == "" else value}, read)

    @property
    def _counters(self) -> list[str]:
        return [] if self._counter else [self.table.states.counter]

    def _counted(self, told: dict[str, float]) -> int:
        if self._counter:
            return self._counter(self._timeout_s)
        return int(told[self.table.states.counter])

    def _put(self, values: Puts, read: Sequence[str] = ()) -> dict[str, float]:
        return self._numbers(self.transport.put(values, self._timeout_s, read))

    def _numbers(self, told: dict[str, Reading]) -> dict[str, float]:
        return {name: number(self.transport.address, name, one) for name, one in told.items()}

    def read(self, names: Sequence[str]) -> dict[str, float]:
        """Numbers, afresh."""
        return self._numbers(self.transport.get(names, self._timeout_s)) if names else {}

    def faults_of_limits(self, envelope: Envelope) -> list[str]:
        """Where the instrument's limits are narrower than the envelope, or its units are others."""
        faults = []
        for name, setting in self.table.settings.items():
            faults += self._faults_of(name, setting, getattr(envelope, name))
        return faults

    def _wanted(self, pulse: Pulse, repeats: int) -> list[tuple[Setting, float]]:
        wanted = []
        if not pulse.is_plain:
            raise PulseRefused(
                f"pulse {pulse}: this instrument sends single Gaussian fields. Nothing was fired; "
                "give such a pulse.",
                "range",
            )
        for name, value in settings_of(pulse).items():
            if setting := self.table.settings.get(name):
                wanted.append((setting, value * setting.scale))
            elif value != self.fixed.get(name, 0.0):
                raise PulseRefused(
                    f"pulse {name} = {value:g}: at this instrument it is "
                    f"{self.fixed.get(name, 0.0):g}, and nothing changes it. Nothing was fired; "
                    "give the pulser equal limits for it.",
                    "range",
                )
        if self.table.repeats:
            wanted.append((self.table.repeats, repeats * self.table.repeats.scale))
        elif repeats != 1:
            raise PulseRefused(
                f"{self.table.name}: {repeats} pulses a shot: it sends one. Nothing was fired.",
                "range",
            )
        return wanted

    def _faults_of(self, name: str, setting: Setting, allowed: tuple[float, float]) -> list[str]:
        faults = []
        if setting.unit_of:
            told = self.transport.get([setting.unit_of], self._timeout_s)[setting.unit_of].value
            if told != setting.unit:
                faults.append(
                    f"{setting.put} is in {told!r}, and the driver's table says {setting.unit!r}"
                )
        for limit, value, sign in ((setting.low, allowed[0], 1), (setting.high, allowed[1], -1)):
            if not limit:
                continue
            has, needs = self.read([limit])[limit], value * setting.scale
            if (has - needs) * sign > abs(needs) * setting.tolerance:
                faults.append(
                    f"{name}: the instrument's {limit} is {has:g}, the envelope allows {needs:g}; "
                    "narrow the envelope"
                )
        return faults
