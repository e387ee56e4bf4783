"""PulseInstrument: the driver behind the pulser, over any transport and by any driver table."""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn

from ophyd.status import Status

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.instruments.account import ShotAccount
from skyctl.devices.instruments.commands import Commands
from skyctl.devices.instruments.health import Health
from skyctl.devices.instruments.table import DriverTable
from skyctl.devices.instruments.transport import Transport
from skyctl.errors import (
    FireUnknown,
    InstrumentError,
    InstrumentSilent,
    NotFired,
    PartlyFired,
    PulseRefused,
)
from skyctl.pulse import Pulse

_log = logging.getLogger(__name__)
_BETWEEN_COUNTS_S = 0.002
_OFF_AGAIN_S = 0.01
"""An output that could not be switched off is told again so soon: the line may have been cut."""


def _nothing() -> None:
    """Nothing is done before it fires."""


@dataclass(frozen=True)
class _Ready:
    """The shot that the instrument is armed for; ``count`` is its counter before."""

    shot: str
    repeats: int
    count: int
    mark: int
    connections: int

    @property
    def due(self) -> int:
        """What the counter says once it was fired."""
        return self.count + self.repeats


class PulseInstrument:
    """Sets an instrument up, arms it and fires it; its own counter alone proves a shot.

    ``ready`` puts the settings, reads them back afresh, arms and reads that back. ``fire`` fires
    and reads the counter: it rose by the shot's pulses (fired); the instrument answered, is
    disarmed and its counter stands where it stood (NotFired); anything else is FireUnknown. Then
    nothing is fired until the counter is seen to have risen by just that much, or a person says
    what became of it (``reconcile``, or `skyctl ledger outcomes`); it counts as fired meanwhile.

    All of it happens in a thread. Another one asks every ``beat_s`` how the instrument is, tells
    it that we live, and disarms: so a stop does not wait for a shot that is under way.

    transport, table : how, and what to say
    fixed : settings that geometry fixes; the driver refuses any other value
    timeout_s : longest wait for one answer; fire_s : for the counter after FIRE
    oldest_s, envelope : as `Health` has them
    """

    def __init__(
        self,
        transport: Transport,
        table: DriverTable,
        *,
        fixed: dict[str, float] | None = None,
        counter: Callable[[float], int] | None = None,
        timeout_s: float = 1.0,
        fire_s: float = 2.0,
        beat_s: float = 0.2,
        oldest_s: float = 1.0,
        envelope: Envelope | None = None,
    ) -> None:
        self.transport, self.table = transport, table
        self.commands = Commands(transport, table, dict(fixed or {}), counter, timeout_s)
        self.account = ShotAccount(table.name)
        self.health = Health(self.commands, oldest_s, envelope)
        self._fire_s, self._beat_s = fire_s, beat_s
        self._tell: Callable[[str], object] = lambda reason: None
        self._lock = threading.RLock()
        self._control = threading.RLock()
        self._mark = 0
        self._disarm_due = self._maybe_armed = True
        self._shots = 0
        self._busy = False
        self._ready: _Ready | None = None
        self._closed = threading.Event()
        self._wake = threading.Event()
        self._asked = threading.Event()
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="skyctl-instrument")
        self._watcher = threading.Thread(target=self._watch, name="skyctl-watch", daemon=True)
        self._watcher.start()

    def wait_asked(self, timeout_s: float) -> None:
        """Return once it is known how the instrument is: ``hold_reason`` says it."""
        self._asked.wait(timeout_s)

    @property
    def answers(self) -> bool:
        """Whether it answered when it was last asked."""
        return not self.health.fault

    def attach(self, guard: Guard, disarm: Callable[[str], object]) -> None:
        """Know the ledger, and hold fire where its last shot has no outcome."""
        self._tell = disarm
        self.account.attach(guard)

    def describe(self) -> dict[str, Any]:
        """Facts for a recording's header."""
        told = {"instrument": self.table.name, "address": self.transport.address}
        return {**told, "fixed": self.commands.fixed}

    def hold_reason(self) -> str:
        """Interlock: why nothing may be fired, or ""."""
        if held := self.account.hold_reason():
            return held
        held = self.health.hold_reason()
        return held and f"{self.table.name}: {held}"

    def ready(self, shot: str, pulse: Pulse, repeats: int = 1) -> Status:
        """Set up, read back, arm; the status is done when the instrument is armed."""
        mark = self._mark
        return self.do(lambda: self._set_up(shot, pulse, repeats, mark))

    def fire(
        self,
        shot: str,
        pulse: Pulse,  # noqa: ARG002 - it was set up by `ready`
        parts: Sequence[Callable[[], None]] = (_nothing,),
    ) -> Status:
        """Fire what it is armed for; the status fails with NotFired or FireUnknown.

        parts : what is done before it fires, and raises InstrumentError where it must not; of
            several, it arms and fires after each, with PartlyFired where it does not come to the
            end
        """
        return self.do(lambda: self._send(shot, parts))

    def not_sent(self, shot: str, why: str) -> None:
        """Write down that a booked shot is not fired: it never came here."""
        self.do(lambda: self.account.note(shot, "not fired", why=why))

    def disarm(self) -> None:
        """Switch the output off; at once where the instrument listens."""
        with self._lock:
            self._mark += 1
        self._disarm_soon()

    def reconcile(self, became: Literal["fired", "not fired"], who: str, why: str) -> None:
        """A person says what became of the shot that is not known. Raises ValueError."""
        self.account.say(became, who, why)

    def do(self, job: Callable[[], None]) -> Status:
        """Have something done in the instrument's thread, after what was asked before."""
        status = Status(self)

        def run() -> None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whoever waits for the status gets it
                status.set_exception(error)
            else:
                status.set_finished()

        self._jobs.submit(run)
        return status

    def close(self) -> None:
        """Disarm and hang up."""
        if self._closed.is_set():
            return
        self.disarm()
        self._jobs.shutdown(wait=True)
        self._closed.set()
        self._wake.set()
        self._watcher.join()
        try:
            self._disarm_now()
        except InstrumentError as error:
            _log.warning("not disarmed: %s", error)
        self.transport.close()

    def _set_up(self, shot: str, pulse: Pulse, repeats: int, mark: int) -> None:
        self._ready = None
        try:
            self._disarm_now(force=self._maybe_armed)
            count = self.commands.set_up(pulse, repeats)
            self._refuse_stray(count)
            self._refuse_disarmed(shot, mark)
            self._maybe_armed = True
            self.commands.arm()
        except InstrumentError as error:
            self._disarm_soon()
            raise PulseRefused(f"{error} Nothing was fired.") from error
        self._ready = _Ready(shot, repeats, count, mark, self.transport.connections)
        if self._mark != mark:
            self._disarm_soon()
        self._refuse_disarmed(shot, mark)

    def _send(self, shot: str, parts: Sequence[Callable[[], None]]) -> None:
        ready, self._ready = self._ready, None
        if ready is None or ready.shot != shot:
            self._fell_short(shot, None, 0, "it was disarmed before it was sent")
        first = ready
        try:
            whole = ready.repeats * len(parts)
            self.account.note(shot, "sent", before=ready.count, repeats=whole)
        except InstrumentError as error:
            self._fell_short(shot, first, ready.count, str(error))
        with self._lock:
            self._busy, self._shots = True, self._shots + 1
        try:
            for number, part in enumerate(parts):
                ready = replace(ready, count=ready.due) if number else ready
                self._prepare(part, first, ready)
                self._judge(first, ready, *self._fired(ready))
            self.account.note(shot, "fired", before=first.count, after=ready.due, repeats=whole)
        finally:
            with self._lock:
                self._busy, self._shots = False, self._shots + 1
            if self._maybe_armed:  # some stay armed after a shot
                self._disarm_soon()

    def _prepare(self, part: Callable[[], None], first: _Ready, ready: _Ready) -> None:
        """What comes before the pulses of a part. Raises NotFired or PartlyFired."""
        try:
            part()
            if ready.mark == self._mark and ready.count != first.count:
                self._maybe_armed = True
                self.commands.arm()
        except InstrumentError as error:
            self._fell_short(ready.shot, first, ready.count, str(error))
        if ready.mark != self._mark:
            self._fell_short(ready.shot, first, ready.count, "it was disarmed before it was sent")

    def _fell_short(self, shot: str, first: _Ready | None, count: int, why: str) -> NoReturn:
        """Say that no, or not all, pulses of a shot were fired, which the counter proves."""
        self._disarm_soon()
        before = first.count if first else count
        told = {"before": before, "after": count, "repeats": first.repeats if first else 1}
        if count == before:
            with contextlib.suppress(InstrumentError):  # then fire is held
                self.account.note(shot, "not fired", **told, why=why)
            raise NotFired(f"shot {shot}: not fired by {self.table.name}, and spent. {why}")
        with contextlib.suppress(InstrumentError):
            self.account.note(shot, "partly", **told, why=why)
        raise PartlyFired(
            f"shot {shot}: {count - before} pulses of it were fired and no more. All are booked. "
            f"{why}"
        )

    def _fired(self, ready: _Ready) -> tuple[bool, int | None, str]:
        """Whether FIRE was answered, what the counter then says, and what went wrong."""
        answered, fault, count = True, "", None
        due_s = time.monotonic() + self._fire_s
        try:
            count, self._maybe_armed = self.commands.fire()
        except InstrumentSilent as error:
            answered, fault = False, str(error)
        except InstrumentError as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it was, FIRE may have been sent
            answered, fault = False, repr(error)
        while count != ready.due:
            try:
                count = self.commands.count()
            except InstrumentError as error:
                fault = fault or str(error)
            if time.monotonic() >= due_s or ready.mark != self._mark or (answered and fault):
                break
            time.sleep(_BETWEEN_COUNTS_S)
        return answered, count, fault

    def _judge(
        self, first: _Ready, ready: _Ready, answered: bool, count: int | None, fault: str
    ) -> None:
        """Return where the counter proves the pulses. Raises NotFired or FireUnknown."""
        if count == ready.due:
            return
        if answered and self._stands_still(ready):
            why = f"It answered, is disarmed, and its counter still says {ready.count}. {fault}"
            self._fell_short(ready.shot, first, ready.count, why)
        why = fault or f"the counter says {count}, after {ready.count}"
        with contextlib.suppress(InstrumentError):  # then fire is held for that as well
            self.account.note(
                ready.shot, "unknown", before=ready.count, after=count, repeats=ready.repeats,
                why=why,
            )  # fmt: skip
        self._tell(f"what became of shot {ready.shot} is not known")
        self.disarm()
        raise FireUnknown(
            f"shot {ready.shot}: may have been fired ({why}). It counts as fired, and nothing more "
            "is fired until that is known: see `skyctl ledger outcomes --help`."
        )

    def _stands_still(self, ready: _Ready) -> bool:
        """Whether it is disarmed, and its counter stands, over the connection that fired."""
        self._disarm_soon()
        try:
            self._disarm_now()
            still = self.commands.count() == ready.count
        except InstrumentError:
            return False
        return still and self.transport.connections == ready.connections

    def _refuse_stray(self, count: int) -> None:
        with self._lock:
            self.account.compare(count)
        if held := self.account.hold_reason():
            raise PulseRefused(f"{held}. Nothing was fired.", "interlock")

    def _refuse_disarmed(self, shot: str, mark: int) -> None:
        if self._mark != mark:
            raise PulseRefused(
                f"{self.table.name}: disarmed while shot {shot} was prepared. Nothing was fired; "
                "set the pulse again.",
                "unarmed",
            )

    def _disarm_soon(self) -> None:
        with self._lock:
            self._disarm_due = True
        self._wake.set()

    def _disarm_now(self, *, force: bool = False) -> None:
        """Put it off and read that back, if that is due. Raises InstrumentError."""
        with self._control:
            with self._lock:
                due, self._disarm_due = self._disarm_due or force, False
            if not due:
                return
            try:
                self.commands.disarm()
                self._maybe_armed = False
            except InstrumentError:
                with self._lock:
                    self._disarm_due = True  # the watcher tries again
                raise

    def _watch(self) -> None:
        was, looked_s = "", -math.inf
        while not self._closed.is_set():
            rest_s = max(0.0, looked_s + self._beat_s - time.monotonic())
            self._wake.wait(min(rest_s, _OFF_AGAIN_S) if self._disarm_due else rest_s)
            self._wake.clear()
            try:
                self._disarm_now()
                if time.monotonic() < looked_s + self._beat_s:
                    continue
                self.health.fault = self._look()
            except InstrumentError as error:
                self.health.fault = str(error)
            except Exception as error:  # noqa: BLE001 - whatever its fault, fire is held
                fault = f"could not be asked ({error!r})"
                if fault != self.health.fault:
                    _log.exception("%s could not be asked", self.table.name)
                self.health.fault = fault
            looked_s = time.monotonic()
            self._asked.set()
            held = self.hold_reason()
            if held and not was:
                self._tell(held)
            was = held

    def _look(self) -> str:
        """Ask the instrument how it is; why it must not fire, or ""."""
        shots = self._shots
        fault = self.health.ask()
        count = self.commands.count()
        with self._lock:
            if not self._busy and shots == self._shots:
                self.account.compare(count)
        return fault
