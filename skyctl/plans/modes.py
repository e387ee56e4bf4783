"""Modes: how far a plan goes on its own, and who lets it fire."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from bluesky.simulators import check_limits

from skyctl.plans.stubs import Plan
from skyctl.plans.threads import in_thread
from skyctl.pulse import SETTINGS, Pulse, settings_of

_log = logging.getLogger(__name__)

Mode = Literal["dry-run", "shadow", "approve-each", "approve-batch", "autonomous"]
"""dry-run: look, propose one pulse, say what it would be, fire nothing.
shadow: look and propose, over and over, record each proposal, fire nothing.
approve-each, approve-batch: an approver is asked before each pulse, or before each few.
autonomous: what the guard allows is fired."""

MODES: tuple[Mode, ...] = get_args(Mode)


SHOWN_CANDIDATES = 5
"""How many other pulses that were weighed up a question shows."""
_UP_TO = ("amplitude_T", "width_ps", "dose_T2ps", "spot_sigma")
_WITHIN = tuple(name for name in SETTINGS if name not in _UP_TO)


@dataclass(frozen=True)
class Cover:
    """The pulses that one yes is good for: nothing stronger or elsewhere than what was shown.

    highest : of amplitude, width, dose and size of the spot (infinite on the whole film), by name
    within : (lowest, highest) of the angles, the time of the peak and the spot's place, by name
    """

    highest: dict[str, float]
    within: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, pulses: Sequence[Pulse]) -> "Cover":
        """What these pulses span."""
        known = [_extent(pulse) for pulse in pulses]
        spans: dict[str, list[float]] = {
            name: [each[name] for each in known if name in each] for name in (*_UP_TO, *_WITHIN)
        }
        return cls(
            {name: max(spans[name]) for name in _UP_TO},
            {name: (min(spans[name]), max(spans[name])) for name in _WITHIN if spans[name]},
        )

    def holds(self, pulse: Pulse) -> bool:
        """Whether the pulse is inside."""
        extent = _extent(pulse)
        return all(extent[name] <= self.highest[name] for name in _UP_TO) and all(
            name in self.within and self.within[name][0] <= extent[name] <= self.within[name][1]
            for name in _WITHIN
            if name in extent
        )

    def __str__(self) -> str:
        most = self.highest
        size = "on the whole film" if math.isinf(most["spot_sigma"]) else "on a spot"
        ranges = ", ".join(
            f"{name} {low:g}" if low == high else f"{name} {low:g} … {high:g}"
            for name, (low, high) in self.within.items()
        )
        return (
            f"each at most {most['amplitude_T']:g} T, {most['width_ps']:g} ps and "
            f"{most['dose_T2ps']:.0f} T²ps, {size}, {ranges}"
        )


def _extent(pulse: Pulse) -> dict[str, float]:
    extent = {**settings_of(pulse), "dose_T2ps": pulse.dose_T2ps}
    if pulse.spot is None:
        del extent["spot_x"], extent["spot_y"]
        extent["spot_sigma"] = math.inf
    return extent


@dataclass(frozen=True)
class Request:
    """What an approver is asked for.

    pulse : the next one; reason : of the agent; film : what was seen of it
    candidates : other pulses that were weighed up, with the probability of success given to each
    shots : how many pulses a yes is good for, the first being ``pulse``, the others inside `cover`
    timeout_s : after which nobody waits for the answer any more
    """

    task: str
    agent: str
    shot: str
    pulse: Pulse
    reason: str
    film: str
    shots: int
    timeout_s: float
    candidates: tuple[tuple[Pulse, float], ...] = ()

    @property
    def shown(self) -> tuple[Pulse, ...]:
        """The pulse, and the first few others that were weighed up."""
        others = [pulse for pulse, _ in self.candidates if pulse != self.pulse]
        return (self.pulse, *others[:SHOWN_CANDIDATES])

    @property
    def cover(self) -> Cover:
        """What the others that a yes is good for stay inside."""
        return Cover.of(self.shown)

    @property
    def more(self) -> str:
        """What a yes is good for beyond the pulse, or ""."""
        if self.shots <= 1:
            return ""
        return f", and up to {self.shots - 1} more without asking, {self.cover}"

    def __str__(self) -> str:
        return (
            f"{self.task}: fire {self.pulse} ({self.pulse.dose_T2ps:.0f} T²ps){self.more}? "
            f"The film has {self.film}; {self.agent} says: {self.reason}"
        )


@dataclass(frozen=True)
class Answer:
    """What an approver said.

    approved : exactly True or False; approver : who; comment : why, most of all why not

    Raises ValueError for anything else, and for a yes without a name.
    """

    approved: bool
    approver: str
    comment: str = ""

    def __post_init__(self) -> None:
        if type(self.approved) is not bool:
            raise ValueError(f"approved = {self.approved!r}: give True or False itself")
        if type(self.approver) is not str or type(self.comment) is not str:
            raise ValueError("approver and comment: give a str each")
        if self.approved and not _is_name(self.approver):
            raise ValueError(
                f"an approval without a name ({self.approver!r}): say who approves, in printable "
                "characters without a blank at either end"
            )

    def __str__(self) -> str:
        said = "approved" if self.approved else "not approved"
        by = f" by {self.approver}" if self.approver else ""
        return f"{said}{by}" + (f": {self.comment}" if self.comment else "")


def _is_name(who: str) -> bool:
    return who.isprintable() and who == who.strip() and any(map(str.isalnum, who))


Approver = Callable[[Request], Answer]
"""Called in a thread of its own; returns when there is an answer, and may take its time."""


@dataclass(frozen=True)
class Oversight:
    """A mode, and what it needs.

    mode : see Mode
    approver : who is asked in the two approve modes
    batch : how many pulses one yes is good for in approve-batch
    timeout_s : how long an answer may take; then nothing is fired

    Raises ValueError for an unknown mode, an approve mode without approver, or no pulses a batch.
    """

    mode: Mode = "autonomous"
    approver: Approver | None = None
    batch: int = 5
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode {self.mode!r}: choose one of {', '.join(MODES)}")
        if self.mode.startswith("approve") and self.approver is None:
            raise ValueError(f"mode {self.mode}: nobody can be asked; give an approver")
        if self.batch < 1 or not self.timeout_s > 0:
            raise ValueError(
                f"batch {self.batch}, timeout {self.timeout_s:g} s: give 1 or more, and above 0"
            )


@dataclass
class Permission:
    """Says pulse by pulse, over one task, whether the mode lets it be fired."""

    oversight: Oversight
    _left: int = field(default=0, init=False)
    _answer: Answer = field(default=Answer(False, ""), init=False)
    _cover: Cover | None = field(default=None, init=False)

    def request(
        self,
        task: str,
        agent: str,
        shot: str,
        pulse: Pulse,
        reason: str,
        film: str,
        candidates: tuple[tuple[Pulse, float], ...] = (),
    ) -> Request:
        """What is asked for when this pulse is to be fired.

        It holds a copy of the pulse: fire that one, the agent's may change while somebody is asked.
        """
        o, pulse = self.oversight, pulse.model_copy(deep=True)
        shots = o.batch if o.mode == "approve-batch" else 1
        return Request(task, agent, shot, pulse, reason, film, shots, o.timeout_s, candidates)

    def ask(self, request: Request) -> Plan[Answer]:
        """The answer for one pulse; asks somebody only where the mode wants it."""
        mode = self.oversight.mode
        if mode == "autonomous":
            return Answer(True, mode)
        if not mode.startswith("approve"):
            return Answer(False, "", f"{mode}, nothing is fired")
        if not (self._left and self._cover and self._cover.holds(request.pulse)):
            cover, pulse = request.cover, request.pulse.model_copy(deep=True)
            self._answer = yield from self._asked(request)
            if request.pulse != pulse:
                self._answer = Answer(False, "", "the pulse was changed while it was asked for")
            self._cover = cover
            self._left = request.shots if self._answer.approved else 0
        self._left = max(0, self._left - 1)
        return self._answer

    def _asked(self, request: Request) -> Plan[Answer]:
        approver = self.oversight.approver

        def ask() -> Answer:
            try:
                answer: Any = approver(request) if approver else None
                if type(answer) is not Answer:
                    raise TypeError(f"{answer!r} is no Answer")
                return Answer(answer.approved, answer.approver, answer.comment)  # checked anew
            except BaseException as error:  # noqa: BLE001 - whatever its fault, it is no yes
                _log.exception("the approver failed")
                return Answer(False, "", f"the approver failed ({error!r})")

        answer, _ = yield from in_thread(ask, request.timeout_s)
        return answer or Answer(False, "", f"no answer within {request.timeout_s:g} s")


@dataclass(frozen=True)
class Asked:
    """A request that waits for its answer. since_s : monotonic clock, when it was asked."""

    request: Request
    since_s: float


class ApprovalDesk:
    """An approver that is answered from elsewhere: a web page, a queue server's function.

    ``asked`` is what is asked for now, and since when; None while nothing is. An answer names its
    shot, so that a late one is not taken for the next pulse's.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answer: Answer | None = None
        self._listeners: tuple[Callable[[Asked | None], None], ...] = ()
        self.asked: Asked | None = None

    @property
    def pending(self) -> Request | None:
        """What is asked for now."""
        asked = self.asked
        return asked.request if asked else None

    def subscribe(self, listener: Callable[[Asked | None], None]) -> None:
        """Call ``listener`` whenever something is asked, and with None when it is over.

        In the thread that asks or answers: it returns at once. One that fails is logged.
        """
        self._listeners = (*self._listeners, listener)

    def unsubscribe(self, listener: Callable[[Asked | None], None]) -> None:
        """Stop calling ``listener``."""
        self._listeners = tuple(known for known in self._listeners if known != listener)

    def _tell(self) -> None:
        for listener in self._listeners:
            try:
                listener(self.asked)
            except Exception:  # noqa: BLE001 - the question stands, heard of or not
                _log.exception("a listener of the approval desk failed")

    def __call__(self, request: Request) -> Answer:
        """Wait for the answer, as long as the request may wait."""
        with self._changed:
            asked = self.asked = Asked(request, time.monotonic())
            self._answer = None
            self._tell()
            if not self._changed.wait_for(lambda: self.asked is not asked, request.timeout_s):
                self.asked = None
                self._tell()
            answer, self._answer = self._answer, None
        return answer or Answer(False, "", f"no answer within {request.timeout_s:g} s")

    def answer(self, shot: str, answer: Answer) -> None:
        """Answer the request for this shot. Raises LookupError when there is none (any more)."""
        with self._changed:
            if self.asked is None or self.asked.request.shot != shot:
                raise LookupError(
                    f"shot {shot}: no answer is waited for. See `pending` for what is asked now."
                )
            self._answer, self.asked = answer, None
            self._changed.notify_all()
            self._tell()


@dataclass(frozen=True)
class DryRun:
    """What a plan would fire."""

    pulses: tuple[Pulse, ...]

    @property
    def dose_T2ps(self) -> float:
        """∫B² dt of all its pulses, T²·ps."""
        return sum(pulse.dose_T2ps for pulse in self.pulses)


def dry_run(plan: Plan[Any]) -> DryRun:
    """Go through a plan without doing anything: its pulses, all checked with ``check_limits``.

    For plans that are settled beforehand, `classify_shot` and `fire`. What an agent would choose
    depends on the film: run its task with the mode "dry-run".

    Raises PulseRefused, or LimitError, for the first value that a device would refuse. Needs a
    RunEngine, as bluesky.simulators does.
    """
    pulses: list[Pulse] = []

    def noted() -> Plan[None]:
        for message in plan:
            if message.command == "set" and isinstance(message.args[0], Pulse):
                pulses.append(message.args[0])
            yield message

    check_limits(noted())
    return DryRun(tuple(pulses))
