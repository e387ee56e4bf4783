"""Outcomes: beside the ledger, what the instrument's counter said of each booked shot.

The ledger has a shot before it is sent, the file ``LEDGER.outcomes`` what became of it. The last
booked shot without an outcome there is unknown: a crash came between. Lines are only added.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from skyctl.errors import InstrumentError

Became = Literal["sent", "fired", "partly", "not fired", "unknown"]


class Outcome(BaseModel):
    """What is known of a shot.

    before, after : the instrument's counter, None where it was not read; repeats : what it should
        rise by. who, why : the person that says so, or what did
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shot: str
    became: Became
    before: int | None = None
    after: int | None = None
    repeats: int = 1
    time: float = 0.0
    who: str = ""
    why: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nobody knows yet."""
        return self.became in ("sent", "unknown")


class Outcomes:
    """The file, or only memory where ``path`` is None. Raises InstrumentError: cannot be read."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._last: dict[str, Outcome] = {}
        self._read_bytes = 0
        self.refresh()

    def of(self, shot: str) -> Outcome:
        """What is known of a booked shot; unknown where nothing is."""
        return self._last.get(shot) or Outcome(
            shot=shot, became="unknown", why="nothing was written down of it: a crash?"
        )

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self._last.values())

    def note(self, outcome: Outcome) -> None:
        """Write it down. Raises InstrumentError."""
        outcome = outcome.model_copy(update={"time": time.time()})
        self._last[outcome.shot] = outcome
        if self.path is None:
            return
        line = outcome.model_dump_json(exclude_defaults=True) + "\n"
        try:
            with self.path.open("a") as file:
                file.write(line)
        except OSError as error:
            raise InstrumentError(f"{self.path}: cannot be written ({error})") from error

    def say(self, shot: str, became: Became, who: str, why: str) -> None:
        """A person says what became of a shot, by name and with a reason. It stays booked.

        Raises ValueError for a shot that is not open, or without a name or a reason.
        """
        known = self.of(shot)
        if not who.strip() or not why.strip():
            raise ValueError(f"shot {shot}: say who knows what became of it, and how")
        if not known.is_open:
            raise ValueError(f"shot {shot}: is known to be {known.became}, nothing is to say")
        self.note(known.model_copy(update={"became": became, "who": who, "why": why}))

    def refresh(self) -> None:
        """Read what others added: a person, at another terminal."""
        if self.path is None:
            return
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # cut by a crash, or still being written
                self._take(line)
                self._read_bytes += len(line)

    def _take(self, line: bytes) -> None:
        try:
            outcome = Outcome.model_validate(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise InstrumentError(
                f"{self.path}: a line of it is no outcome ({line[:60]!r}). Move the file away; "
                "then a person says what became of the last shot."
            ) from error
        self._last[outcome.shot] = outcome


def outcomes_beside(ledger: Path | None) -> Path | None:
    """Where the outcomes of a ledger's shots are."""
    return None if ledger is None else ledger.with_name(f"{ledger.name}.outcomes")
