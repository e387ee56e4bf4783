"""Hostile proposals to a pulser, and a judge of what its driver was sent."""

import copy
import itertools
import json
import math
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ophyd.utils import LimitError

from skyctl.devices.guard import Envelope, Guard
from skyctl.devices.pulser import Pulser
from skyctl.errors import PulseRefused
from skyctl.pulse import PULSE_NUMBERS, Pulse, Spot

_COMMANDS = 50
"""Proposals to one pulser, before the next one with another envelope."""
_LEDGERS = 0.2
"""Part of the pulsers that keep a ledger on disk, are restarted and meet a second controller."""
_ROUNDING = 1e-9
_CHANGES = 0.3
"""How often the pulse in flight is changed when a clock is read or an interlock asked."""


@dataclass(frozen=True)
class Sent:
    """What a driver was sent, and when (s). The pulse is a copy: nothing changes it any more."""

    time_s: float
    shot: str
    pulse: Any


@dataclass
class _Driver:
    """Notes what it is sent."""

    clock_s: float = 0.0
    sent: list[Sent] = field(default_factory=list)

    def fire(self, shot: str, pulse: Pulse) -> None:
        self.sent.append(Sent(self.clock_s, shot, copy.deepcopy(pulse)))


def unsafe(envelope: Envelope, sent: list[Sent]) -> list[str]:
    """What of this the envelope forbids, a line each: by its definition, not by the guard's code.

    sent : all that the driver of one pulser was sent, in order
    """
    faults = [fault for shot in sent for fault in _pulse_faults(envelope, shot)]
    return faults or _series_faults(envelope, sent)


def _pulse_faults(envelope: Envelope, sent: Sent) -> list[str]:
    pulse, spot = sent.pulse, sent.pulse.spot
    bounded = [
        (pulse.amplitude_T, envelope.amplitude_T),
        (pulse.width_ps, envelope.width_ps),
        (pulse.theta_deg, envelope.theta_deg),
        (pulse.phi_deg, envelope.phi_deg),
        (pulse.peak_ps, envelope.peak_ps),
    ]
    if spot is not None:
        bounded += [
            (spot.x, envelope.spot_x),
            (spot.y, envelope.spot_y),
            (spot.sigma, (envelope.narrowest_spot, envelope.spot_sigma[1])),
        ]
    numbers = [value for value, _ in bounded]
    if not all(type(n) is float for n in numbers):  # a subclass answers comparisons as it likes
        return [f"{sent.shot}: not a number in {numbers}"]
    if type(sent.shot) is not str:
        return [f"{sent.shot}: a name that is a {type(sent.shot).__name__}"]
    if outside := [n for n, within in bounded if not _inside(n, within)]:
        return [f"{sent.shot}: {n} outside" for n in outside]
    faults = []
    if spot is None and not pulse.amplitude_T <= envelope.uniform_amplitude_T:
        faults.append(f"{sent.shot}: {pulse.amplitude_T} T on the whole film")
    if not _dose(pulse) <= envelope.dose_T2ps * (1 + _ROUNDING):
        faults.append(f"{sent.shot}: dose {_dose(pulse)}")
    return faults


def _inside(value: float, within: tuple[float, float]) -> bool:
    return math.isfinite(value) and within[0] <= value <= within[1]


def _dose(pulse: Any) -> float:
    """∫B² dt of a Gaussian field pulse: its square is one of width t_w/√2 and peak B0²."""
    return pulse.amplitude_T * pulse.amplitude_T * (pulse.width_ps / 2**0.5) * (2 * math.pi) ** 0.5


def _series_faults(envelope: Envelope, sent: list[Sent]) -> list[str]:
    faults = [
        f"{name}: fired {n} times" for name, n in Counter(s.shot for s in sent).items() if n > 1
    ]
    if len(sent) > max(0, envelope.shots):
        faults.append(f"{len(sent)} shots of {envelope.shots}")
    dose = math.fsum(_dose(shot.pulse) for shot in sent)
    if sent and dose > envelope.budget_T2ps * (1 + _ROUNDING):
        faults.append(f"dose {dose} in all, of {envelope.budget_T2ps}")
    for one, two in itertools.pairwise(sent):
        gap_s = (two.time_s - one.time_s) * (1 + _ROUNDING)
        on_s = one.pulse.width_ps * 1e-12 * (2 * math.pi) ** 0.5
        if gap_s < envelope.rest_s or gap_s * envelope.duty < on_s * (1 - _ROUNDING):
            faults.append(f"{two.shot}: {gap_s} s after {one.shot}")
        if abs(two.pulse.amplitude_T - one.pulse.amplitude_T) > envelope.slew_T:
            faults.append(f"{two.shot}: slew from {one.pulse.amplitude_T}")
    return faults


def unbooked(sent: list[Sent], booked: dict[str, dict[str, Any]]) -> list[str]:
    """What a driver was sent that is not so in the books, a line each.

    booked : the settings of each pulse by its shot's name, as they stand in the ledger
    """
    return [
        f"{shot.shot}: sent {shot.pulse}, booked {booked.get(shot.shot)}"
        for shot in sent
        if shot.pulse.model_dump() != booked.get(shot.shot)
    ]


def fuzz_pulser(proposals: int, seed: int) -> dict[str, Any]:
    """Throw random proposals at pulsers of random envelopes; count what came of it.

    Pulses inside and outside, on the bounds, NaN, infinite, of wrong types, made round the checks
    of Pulse, of numbers and names whose subclass answers comparisons itself, changed after they
    were armed and in flight (while interlocks are asked, while they are booked); names used before;
    interlocks that answer with anything; settings, stops and pauses between arming and firing;
    restarts on the same ledger, a second controller on it, and edits of its file.

    Returns proposals, fired, ``changed_in_flight``, ledgers ``edited``, refused by kind,
    ``unsafe`` (lines of the judges), and ``second_controllers`` let in.
    """
    rng = np.random.default_rng(seed)
    outcome: dict[str, Any] = {
        "proposals": 0,
        "fired": 0,
        "changed_in_flight": 0,
        "edited": 0,
        "unsafe": [],
        "second_controllers": 0,
    }
    refused: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in itertools.count():
            if outcome["proposals"] >= proposals:
                break
            ledger = Path(folder, f"{number}.jsonl") if rng.random() < _LEDGERS else None
            trial = _Trial(rng, ledger)
            for _ in range(min(_COMMANDS, proposals - outcome["proposals"])):
                trial.propose()
                outcome["proposals"] += 1
                if trial.over:
                    break
            trial.pulser.guard.close()
            outcome["edited"] += trial.edited_after is not None
            outcome["fired"] += len(trial.driver.sent)
            outcome["changed_in_flight"] += trial.changed_in_flight
            outcome["unsafe"] += unsafe(trial.envelope, trial.driver.sent) or unbooked(
                trial.driver.sent, trial.books()
            )
            outcome["unsafe"] += trial.held_and_fired + trial.edited_and_fired()
            outcome["second_controllers"] += trial.second_controllers
            refused += trial.refused
    return {**outcome, "refused": dict(sorted(refused.items()))}


def _drawn_envelope(rng: np.random.Generator) -> Envelope:
    return Envelope(
        amplitude_T=(float(rng.uniform(0, 1)), float(rng.uniform(3, 12))),
        width_ps=(1.0, float(rng.uniform(20, 60))),
        dose_T2ps=float(rng.uniform(100, 7000)),
        uniform_amplitude_T=float(rng.uniform(1, 6)),
        slew_T=float(rng.uniform(1, 12)),
        rest_s=float(rng.choice([0.0, 0.01, 1.0])),
        duty=float(10.0 ** rng.uniform(-11, -8)),
        shots=int(rng.integers(0, 30)),
        budget_T2ps=float(rng.uniform(500, 20_000)),
    )


class _Trial:
    """One pulser of a random envelope under fire."""

    def __init__(self, rng: np.random.Generator, ledger: Path | None) -> None:
        self.rng, self.ledger = rng, ledger
        self.envelope = _drawn_envelope(rng)
        self.driver = _Driver()
        self.refused: Counter[str] = Counter()
        self.second_controllers = 0
        self.used: list[tuple[str, Any]] = []
        self.changed_in_flight = 0
        self.edited_after: int | None = None
        self.over = False
        self.held_and_fired: list[str] = []
        self._in_flight: Any = None
        self._interlock: Any = ""
        self.pulser = self._pulser()

    def _pulser(self) -> Pulser:
        guard = Guard(self.envelope, self.ledger, clock=self._clock)
        pulser = Pulser(name="pulser", driver=self.driver, guard=guard)
        pulser.add_interlock(self._asked)
        return pulser

    def _clock(self) -> float:
        self._change_in_flight()  # it is read between the check and the ledger
        return self.driver.clock_s

    def _asked(self) -> Any:
        self._change_in_flight()
        return self._interlock

    def _change_in_flight(self) -> None:
        if self._in_flight is not None and self.rng.random() < _CHANGES:
            self._change(self._in_flight)
            self.changed_in_flight += 1

    def _change(self, pulse: Pulse) -> None:
        """Round pydantic's freezing."""
        wild: tuple[Any, ...] = (math.nan, 1e9, 2.0, _Obliging(1000.0), "2")
        vars(pulse)["amplitude_T"] = wild[self.rng.integers(len(wild))]

    def books(self) -> dict[str, dict[str, Any]]:
        """The settings of what was booked: as the ledger's file has them, where there is one."""
        if self.ledger is None or self.edited_after is not None:
            guard = self.pulser.guard
            return {sent.shot: guard.booked(sent.shot).model_dump() for sent in self.driver.sent}
        lines = map(json.loads, self.ledger.read_text().splitlines())
        return {line["shot"]: line["pulse"] for line in lines}

    def edited_and_fired(self) -> list[str]:
        """What was fired after the ledger's file was edited, a line each."""
        if self.edited_after is None:
            return []
        late = self.driver.sent[self.edited_after :]
        return [f"{sent.shot}: fired with an edited ledger" for sent in late]

    def _edit(self, ledger: Path) -> None:
        """Another program changes a byte, cuts lines or doubles one."""
        content = ledger.read_bytes()
        if not content or self.edited_after is not None:
            return
        lines = content.splitlines(keepends=True)
        place = int(self.rng.integers(len(content)))
        changed = bytes([content[place] ^ 1]) + content[place + 1 :]
        edits = (content[:place] + changed, b"".join(lines[:-1]), content + lines[0])
        ledger.write_bytes(edits[self.rng.integers(len(edits))])
        self.edited_after = len(self.driver.sent)

    def _restart(self) -> None:
        self.pulser.guard.close()
        try:
            self.pulser = self._pulser()
        except PulseRefused as error:
            self.refused[error.kind] += 1
            self.over = True

    def propose(self) -> None:
        """One proposal, and what may happen on the way to the driver."""
        rng = self.rng
        shot, pulse = f"s{len(self.used)}", self._pulse()
        if self.used and rng.random() < 0.1:
            shot, earlier = self.used[rng.integers(len(self.used))]
            pulse = earlier if rng.random() < 0.5 else pulse
        if rng.random() < 0.02:
            shot = rng.choice(np.array(["", "a\n", None, 5, "x" * 65, b"s", []], dtype=object))
        elif rng.random() < 0.02:
            shot = _Nobody(self.used[-1][0] if self.used else shot)
        self.used.append((shot, pulse)) if type(shot) is str else None
        self._interlock = _ANSWERS[rng.integers(len(_ANSWERS))] if rng.random() < 0.05 else ""
        self._in_flight = pulse if type(pulse) is Pulse and rng.random() < 0.1 else None
        sent = len(self.driver.sent)
        if rng.random() < 0.8:
            self.driver.clock_s += float(rng.choice([0.001, 0.1, 20.0]))
        self._try(lambda: self.pulser.set(pulse, shot=shot))
        self._disturb(pulse)
        for _ in range(1 + (rng.random() < 0.1)):
            self._try(self.pulser.trigger)
        if len(self.driver.sent) > sent and self._interlock != "":
            self.held_and_fired.append(f"{shot}: fired while held by {self._interlock!r}")

    def _try(self, action: Any) -> None:
        try:
            action()
        except PulseRefused as error:
            self.refused[error.kind] += 1
        except LimitError:
            self.refused["range"] += 1

    def _disturb(self, pulse: Any) -> None:
        kind = self.rng.random()
        if kind < 0.03:
            self.pulser.stop()
        elif kind < 0.06:
            self.pulser.pause()
        elif kind < 0.09:
            self._try(lambda: self.pulser.amplitude_T.put(float(self.rng.uniform(-20, 20))))
        elif kind < 0.12 and isinstance(pulse, Pulse):
            self._change(pulse)
        elif kind < 0.15 and self.ledger:
            self._second_controller(self.ledger)
        elif kind < 0.2 and self.ledger:
            self._restart()
        elif kind < 0.21 and self.ledger:
            self._edit(self.ledger)

    def _second_controller(self, ledger: Path) -> None:
        try:
            Guard(self.envelope, ledger).close()
            self.second_controllers += 1
        except PulseRefused as error:
            self.refused[error.kind] += 1

    def _pulse(self) -> Any:
        rng = self.rng
        kind = rng.random()
        if kind < 0.05:
            return _NO_PULSES[rng.integers(len(_NO_PULSES))]
        wild = rng.random() < 0.5
        values = {name: self._number(name, wild) for name in PULSE_NUMBERS}
        spot = None
        if rng.random() < 0.5:
            x, y = self._number("spot_x", wild), self._number("spot_y", wild)
            sigma = self._number("spot_sigma", wild)
            spot = Spot.model_construct(x=x, y=y, sigma=sigma) if rng.random() < 0.97 else "here"
        if kind < 0.07:
            values.pop("width_ps")
        if kind > 0.98:
            return _Disguised.model_construct(**values, spot=spot)
        return Pulse.model_construct(**values, spot=spot)

    def _number(self, name: str, wild: bool) -> Any:
        rng = self.rng
        low, high = getattr(self.envelope, name)
        if not wild or rng.random() < 0.7:
            return float(rng.choice([rng.uniform(low, high), rng.uniform(low, high), low, high]))
        return _WILD[rng.integers(len(_WILD))]


class _Obliging(float):
    """A number that is inside whatever limits it is compared with, and makes no dose."""

    def __le__(self, _: object) -> bool:
        return True

    __lt__ = __ge__ = __gt__ = __le__

    def __pow__(self, *_: object) -> float:
        return 0.0

    __sub__ = __rsub__ = __mul__ = __rmul__ = __pow__


class _Nobody(str):
    """A name that equals no other."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return False

    def __hash__(self) -> int:
        return id(self)


_NO_PULSES: tuple[Any, ...] = (
    2.0,
    None,
    "2 T",
    {"width_ps": 4.0},
    Pulse,
    np.zeros(3),
    Spot(x=1, y=1, sigma=1),
)
_WILD: tuple[Any, ...] = (
    math.nan, math.inf, -math.inf, -0.0, -1.0, 1e-300, 1e300, -1e300, 61.0, 12.0000001, 10**400,
    10**5000, True, False, "3", None, [1.0], np.float32(2), np.float64(2), np.array(2.0), 2 + 0j,
    _Obliging(1000.0), _Obliging(2.0),
)  # fmt: skip
_ANSWERS: tuple[Any, ...] = (None, False, True, 0, 1.0, [], "the shutter is closed", _Nobody(""))
"""What interlocks say that is no empty string: each holds fire."""


class _Disguised(Pulse):
    """A pulse that tells another dose than it has."""

    @property
    def dose_T2ps(self) -> float:
        return 0.0
