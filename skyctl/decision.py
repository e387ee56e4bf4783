"""Decision: what an agent chose next, from which belief and verdict, and what was said to it."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from skyctl.belief import Belief
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

CANDIDATES_AT_MOST = 16
"""How many of the pulses that an agent weighed up are written down, the likeliest."""


@dataclass(frozen=True)
class Shown:
    """How a field is shown: the data type of its signal, and what it means.

    is_name : of a shot; another one each time
    """

    dtype_numpy: str
    doc: str = ""
    is_name: bool = False


@dataclass(frozen=True)
class Decision:
    """One decision. Signals, events and what a replay compares are made of these fields.

    belief : what it was made from; from_shot, from_label, from_probabilities : the last verdict, or
        the look before the first; from_state : the film, in words
    candidates : pulses that were weighed up, with the probability of success given to each
    guard_answer : "allowed", or why not; approved : by the approver, with the guard's leave
    """

    task: Annotated[str, Shown("<U32")]
    agent: Annotated[str, Shown("<U64")]
    seed: Annotated[int | None, Shown("<i8", "the agent's, -1: draws none")]
    shot: Annotated[str, Shown("<U64", "the shot it is for", is_name=True)]
    from_shot: Annotated[str, Shown("<U64", is_name=True)]
    from_label: Annotated[str, Shown("<U16")]
    from_probabilities: Annotated[dict[str, float], Shown("<U512", "JSON")]
    belief: Annotated[Belief, Shown("<U512", "about film and network, JSON")]
    from_state: Annotated[str, Shown("<U64")]
    reason: Annotated[str, Shown("<U256")]
    proposal: Annotated[Pulse, Shown("<U512", "the pulse, JSON")]
    candidates: Annotated[
        tuple[tuple[Pulse, float], ...],
        Shown("<U8192", "the pulses weighed up, each with its probability of success, JSON"),
    ]
    guard_answer: Annotated[str, Shown("<U512")]
    mode: Annotated[str, Shown("<U16")]
    approver: Annotated[str, Shown("<U64")]
    approval: Annotated[str, Shown("<U256")]
    approved: Annotated[bool, Shown("<i8")]
    model_sha256: Annotated[str, Shown("<U64")]
    library_sha256: Annotated[str, Shown("<U64", "of what the agent knew beforehand, or none")]

    def readings(self) -> dict[str, str | int]:
        """Each field as the plain value that its signal has."""
        return {name: _plain(getattr(self, name)) for name in READINGS}


READINGS: dict[str, Shown] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Decision, include_extras=True).items()
}
"""How each field is shown."""

NAMES = tuple(name for name, shown in READINGS.items() if shown.is_name)
"""Fields that are names of shots: other ones each time, the same from one to the next."""


def probabilities_of(result: ShotResult) -> dict[str, float]:
    """What a verdict says of each class; nothing where there is no verdict."""
    verdict = result.verdict
    return dict(zip(verdict.classes, verdict.probabilities, strict=True)) if verdict else {}


def _plain(value: Any) -> str | int:
    if value is None:
        return -1
    if isinstance(value, str | int):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, Pulse):
        return json.dumps(value.model_dump())
    if isinstance(value, Belief):
        return json.dumps(value.as_json())
    if isinstance(value, dict):
        return json.dumps(value)
    likeliest = sorted(value, key=lambda candidate: -candidate[1])[:CANDIDATES_AT_MOST]
    return json.dumps(
        [{"pulse": pulse.model_dump(), "probability": chance} for pulse, chance in likeliest]
    )
