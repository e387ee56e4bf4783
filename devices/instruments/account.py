"""ShotAccount: what was booked beside what the instrument's counter says."""

import logging

from skyctl.devices.guard import Guard
from skyctl.devices.instruments.outcomes import Became, Outcome, Outcomes, outcomes_beside
from skyctl.errors import InstrumentError

_log = logging.getLogger(__name__)


class ShotAccount:
    """Knows the shot of which nobody knows what became, and whether somebody else fires.

    name : of the instrument, for what is told. One thread at a time.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.open: Outcome | None = None
        self.counted: int | None = None
        self._outcomes = Outcomes(None)
        self._fault = ""

    def attach(self, guard: Guard) -> None:
        """Know the ledger; its last shot is open where it has no outcome."""
        self._outcomes = Outcomes(outcomes_beside(guard.ledger_path))
        last = guard.last_shot
        if last and (known := self._outcomes.of(last)).is_open:
            self.open = known

    def hold_reason(self) -> str:
        """Why nothing may be fired, or ""."""
        if self.open:
            return (
                f"what became of shot {self.open.shot} is not known ({self.open.why}); see "
                "`skyctl ledger outcomes --help`"
            )
        return self._fault and f"{self.name}: {self._fault}"

    def note(
        self,
        shot: str,
        became: Became,
        *,
        before: int | None = None,
        after: int | None = None,
        repeats: int = 1,
        why: str = "",
    ) -> None:
        """Write down what became of a shot. Raises InstrumentError, and then holds fire."""
        told = Outcome(
            shot=shot, became=became, before=before, after=after, repeats=repeats, why=why
        )
        if became == "unknown":
            self.open = told
        elif became in ("fired", "partly"):
            self.counted = after
        try:
            self._outcomes.note(told)
        except InstrumentError as error:
            self._fault = str(error)
            raise

    def became(self, shot: str) -> Became:
        """What became of a booked shot."""
        return self._outcomes.of(shot).became

    def compare(self, count: int) -> None:
        """Whether the counter says what was booked; it may begin anew when the instrument does."""
        if self.open:
            self._look_up(self.open, count)
        elif self.counted is not None and count > self.counted:
            self._fault = (
                f"its counter went from {self.counted} to {count} and nothing was booked: somebody "
                "else fires it. Find out who, then start skyctl again"
            )
        if not self._fault:
            self.counted = count

    def say(self, became: Became, who: str, why: str) -> None:
        """A person says what became of the open shot; noticed at the next `compare`."""
        if not self.open:
            raise ValueError("nothing is unknown: there is nothing to say")
        self._outcomes.say(self.open.shot, became, who, why)

    def _look_up(self, shot: Outcome, count: int) -> None:
        """Close the open shot if the counter proves it, whatever is said; or if a person said."""
        self._outcomes.refresh()
        known = self._outcomes.of(shot.shot)
        proved = shot.before is not None and count == shot.before + shot.repeats
        if proved and known.became != "fired":
            known = shot.model_copy(update={"became": "fired", "after": count, "who": self.name})
            self._outcomes.note(known)
        if not known.is_open:
            _log.warning("shot %s: %s, says %s", known.shot, known.became, known.who)
            self.open = None
