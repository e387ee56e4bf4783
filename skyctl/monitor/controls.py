"""Controls: what a person may do from the page, and when it is refused.

Nothing here fires. A yes goes to the approval desk, whose plan then asks the pulser's guard and
interlocks as after any other approver's; STOP is one interlock more.
"""

import time
from collections.abc import Callable
from threading import Lock

from skyctl.devices.pulser import Pulser
from skyctl.monitor.action_log import ActionLog
from skyctl.monitor.latch import Latch, Stopped
from skyctl.monitor.people import Person
from skyctl.plans.modes import Answer, ApprovalDesk

SETTLE_S = 0.5
"""After a request changed: a click that comes sooner was meant for what stood there before."""
FRESH_S = 2.0
"""How old the state may be that a person saw when they answered."""
_COMMENT = 200


class Refused(Exception):
    """What was asked for is not done. status : of HTTP"""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Controls:
    """STOP, RELEASE, approve and deny; each is written to the log.

    STOP latches (`Latch`), also over a restart, as the log says. clock : monotonic, s
    """

    def __init__(
        self,
        pulser: Pulser,
        desk: ApprovalDesk,
        log: ActionLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pulser, self._desk, self.log, self._clock = pulser, desk, log, clock
        self._answering = Lock()
        self._latch = Latch.of(pulser)
        if last := log.last_stop:
            left = Stopped(last["who"], last["time"], last["number"])
            self._latch.recall(left, released=left.number in log.released)

    @property
    def stopped(self) -> Stopped | None:
        """The stop that holds."""
        return self._latch.stopped

    def stop(self, person: Person) -> Stopped:
        """Disarm and hold, at once and whoever asks. It waits for no disk: write it down after,
        with `note_stop`."""
        stopped = self._latch.stop(person.name)
        self._pulser.disarm(f"stopped by {person.name}")
        return stopped

    def note_stop(self, stopped: Stopped) -> None:
        """Write a stop down. Raises Refused (507) where that cannot be: it holds all the same."""
        self._write("stop", stopped.who, number=stopped.number)

    def release(self, person: Person, number: int, seen_s: float) -> None:
        """Let fire again what guard and approver let; nothing is armed by it.

        number : of the stop that the person saw; a later one holds. Raises Refused.
        """
        self._must_act(person)
        with self._answering:
            self._must_be_fresh(seen_s)
            stopped = self.stopped
            if stopped is None:
                raise Refused(409, "nothing is stopped")
            if stopped.number == number:
                self._write("release", person.name, number=number)
            if not self._latch.release(number):
                raise Refused(409, "somebody has stopped again since: look again")

    def answer(
        self, person: Person, shot: str, *, approved: bool, comment: str, seen_s: float
    ) -> None:
        """Give the desk a person's answer for a shot; the name is that of the token.

        seen_s : on our clock, when the state was made that the person saw

        Raises Refused: 403 for a viewer, 409 where the answer comes too late, too soon after a
        change, from an old page, or says yes to a pulser that is stopped.
        """
        self._must_act(person)
        with self._answering:
            self._must_be_fresh(seen_s)
            asked = self._desk.asked
            if asked is None or asked.request.shot != shot:
                raise Refused(409, "too late: nobody waits for an answer for this shot any more")
            since_s = self._clock() - asked.since_s
            if since_s < SETTLE_S:
                raise Refused(
                    409, f"the question changed {since_s:.1f} s ago: read it, then answer again"
                )
            if approved and self.stopped:
                raise Refused(409, f"{self.stopped.who} has stopped: release first")
            comment = comment[:_COMMENT]
            self._write("approve" if approved else "deny", person.name, shot=shot, comment=comment)
            try:
                self._desk.answer(shot, Answer(approved, person.name, comment))
            except LookupError as error:
                self._write("late", person.name, shot=shot)
                raise Refused(409, "too late: nobody waits for this answer any more") from error

    def _must_act(self, person: Person) -> None:
        if not person.may_act:
            raise Refused(403, f"{person.name} is a {person.role}: only an operator may do this")

    def _must_be_fresh(self, seen_s: float) -> None:
        age_s = self._clock() - seen_s
        if not 0 <= age_s <= FRESH_S:
            raise Refused(409, f"what your page showed is {age_s:.1f} s old: look again")

    def _write(self, action: str, who: str, **more: object) -> None:
        try:
            self.log.append(action, who, **more)
        except OSError as error:
            raise Refused(
                507, f"{self.log.path} cannot be written ({error.strerror}): make room"
            ) from error
