"""Process names, and the transitions they stand for: what a film was, what a shot made of it."""

from typing import Literal, get_args

import numpy as np

Kind = Literal["empty", "one", "other"]
"""A film at rest: nothing in it, one skyrmion and nothing else, or anything else."""
KINDS: tuple[Kind, ...] = get_args(Kind)

Outcome = Literal["breathing", "switching", "collapse", "mixed"]
"""What becomes of one skyrmion."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
BREATHING, SWITCHING, COLLAPSE, MIXED = OUTCOMES
NUCLEATION, NOTHING = "nucleation", "nothing"
PROCESSES = (BREATHING, SWITCHING, COLLAPSE, NUCLEATION, NOTHING, MIXED)

LETTERS: dict[str, str] = {outcome: outcome[0].upper() for outcome in OUTCOMES}
"""Of each outcome in a process diagram: B, S, C and M."""

TRANSITIONS = len(KINDS) * len(KINDS) * 2
"""(start kind, end kind, 0: the background kept or 1: it turned over), in C order."""


def transition(start: Kind, end: Kind, turned: bool) -> int:
    """Index of a transition."""
    return (KINDS.index(start) * len(KINDS) + KINDS.index(end)) * 2 + int(turned)


def process_of(start: Kind, end: Kind, turned: bool) -> str:
    """The process of a transition.

    From one skyrmion: *breathing* keeps it and the background, *switching* turns both over,
    *collapse* leaves nothing. From an empty film: *nucleation* leaves one skyrmion, *nothing* none.
    Everything else is *mixed*.
    """
    if start == "one" and end == "one":
        return SWITCHING if turned else BREATHING
    names = {
        ("one", "empty"): COLLAPSE,
        ("empty", "one"): NUCLEATION,
        ("empty", "empty"): NOTHING,
    }
    return names.get((start, end), MIXED)


def letter_of(process: str | None) -> str:
    """Its letter in a process diagram: M for what is no outcome of one skyrmion, and for None."""
    return LETTERS.get(process or MIXED, LETTERS[MIXED])


PROCESS_OF = np.array(
    [
        PROCESSES.index(process_of(a, b, turned))
        for a in KINDS
        for b in KINDS
        for turned in (False, True)
    ]
)
"""(TRANSITIONS,) index into PROCESSES."""


def process_probabilities(transitions: np.ndarray) -> np.ndarray:
    """Probabilities (…, TRANSITIONS) of transitions as those of processes, (…, processes)."""
    return transitions @ np.eye(len(PROCESSES), dtype=transitions.dtype)[PROCESS_OF]


def transition_probabilities(classes: tuple[str, ...], probabilities: np.ndarray) -> np.ndarray:
    """What a network that names only processes says of transitions, (TRANSITIONS,).

    classes : of its ``probabilities`` (classes,). A process that several transitions may be is
        shared out evenly among them, and a class that is none of the processes among all.
    """
    shared = np.zeros(TRANSITIONS)
    for name, probability in zip(classes, probabilities, strict=True):
        those = np.ones(TRANSITIONS, bool)
        if name in PROCESSES:
            those = np.equal(PROCESS_OF, PROCESSES.index(name))
        shared[those] += probability / those.sum()
    return shared
