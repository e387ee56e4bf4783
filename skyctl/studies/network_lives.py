"""Lives of the loop: with the network, with something else in its place, without looks.

A life is write, switch and erase; one task that fails ends it. What truly happened is judged from
the film, and no decision sees it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from skyctl.agents.campaign import Campaign
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.agents.tasks import Task
from skyctl.inference.model import MovieClassifier
from skyctl.process import (
    PROCESSES,
    TRANSITIONS,
    process_probabilities,
    transition_probabilities,
)
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.studies.network_shots import Judged
from skyctl.studies.rig import MOVIE, SPARING, Conditions, Rig, filmed, run_campaign
from skyctl.studies.seekers import AT_MOST, TASKS

Variant = Literal[
    "network",
    "every frame",
    "whole movies",
    "random labels",
    "uniform",
    "another shot's",
    "looks blinded",
]
"""network: the loop as it is, with few frames before the pulse's peak. every frame: one each 5 ps
there as well. whole movies: that, no movie ends early, and a look follows each.
random labels, uniform, another shot's: the network is replaced by one that names a transition at
random with p = 0.99, by one that finds all alike, or by one that says what it said of another shot.
looks blinded: the network is kept, and every look is a blank image."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)
NOISES = (0.05, 0.5, 1.0)
"""Of a pixel, in units of S_z."""
_SURE = 0.99
"""What "random labels" says of the transition that it draws."""
_OTHERS = 30
"""Shots that "another shot's" verdicts come from."""


@dataclass(frozen=True)
class LifeReport:
    """What came of a life.

    reached : how many tasks were; false : reported reached and were not
    pulses : of each task that was tried; frames : of all; frames_reached : of the reached tasks
    held : why it ended, if fire was held; held_after : shots until then, None where it was not
    verdicts : of each shot
    """

    variant: Variant
    noise: float
    sample_seed: int
    reached: int
    false: int
    pulses: tuple[int, ...]
    frames: int
    frames_reached: int
    held: str
    held_after: int | None
    verdicts: tuple[Judged, ...]
    reason: str = ""


def live(variant: Variant, noise: float, sample_seed: int) -> LifeReport:
    """Write, switch and erase at one sample that starts empty."""
    sample = SampleSpread().draw(sample_seed)
    with filmed(
        sample,
        Conditions(noise=noise),
        sample_seed,
        model=in_its_place(variant, sample_seed),
        ends_early=variant != "whole movies",
        blind=variant == "looks blinded",
        movie=MOVIE if variant in ("every frame", "whole movies") else SPARING,
    ) as rig:
        return _lived(rig, variant, noise, sample_seed)


def _lived(rig: Rig, variant: Variant, noise: float, sample_seed: int) -> LifeReport:
    memory, pulses = PulseMemory(), []
    reached = false = frames_reached = 0
    reason = ""
    for task in TASKS:
        before, frames = rig.truth(), rig.frames
        campaign = Campaign(TargetSeeker(task, (49.5, 49.5), memory), AT_MOST["switch"])
        end = run_campaign(campaign, rig, look_after_each=variant == "whole movies")
        pulses.append(campaign.pulses)
        if not end.reached:
            reason = f"{task}: {end.reason}"
            break
        if _truly(task, before, rig.truth()):
            reached += 1
            frames_reached += rig.frames - frames
        else:
            false += 1
    held = rig.held
    return LifeReport(
        variant=variant, noise=noise, sample_seed=sample_seed, reached=reached, false=false,
        pulses=tuple(pulses), frames=rig.frames, frames_reached=frames_reached, held=held,
        held_after=len(rig.fired) if held else None,
        verdicts=tuple((f.process, f.label, f.early, f.right) for f in rig.fired),
        reason=reason,
    )  # fmt: skip


def _truly(task: Task, before: tuple[str, int], after: tuple[str, int]) -> bool:
    wanted = {
        "write": after[0] == "one",
        "erase": after[0] == "empty",
        "switch": after[0] == "one" and after[1] != before[1],
    }
    return wanted[task]


class _Replaced(MovieClassifier, ABC):
    """A network whose answers are not its own: ``answer`` gives transitions a movie."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        super().__init__()

    @abstractmethod
    def answer(self) -> np.ndarray:
        """(TRANSITIONS,) of the next movie."""

    def begin(self, first: np.ndarray, pulse: Pulse | None = None) -> None:
        super().begin(first, pulse)
        self._answer = self.answer()

    def step(self, sz: np.ndarray, time_ps: float = 0.0) -> np.ndarray:
        super().step(sz, time_ps)
        self.novelty = -np.inf
        self.transitions = self._answer
        return process_probabilities(self._answer)


class RandomNetwork(_Replaced):
    def answer(self) -> np.ndarray:
        said = np.full(TRANSITIONS, (1 - _SURE) / (TRANSITIONS - 1))
        said[self._rng.integers(TRANSITIONS)] = _SURE
        return said


class _Uniform(_Replaced):
    def answer(self) -> np.ndarray:
        return transition_probabilities(PROCESSES, np.full(len(PROCESSES), 1 / len(PROCESSES)))


class _Anothers(_Replaced):
    def answer(self) -> np.ndarray:
        return np.array(_of_other_shots()[self._rng.integers(_OTHERS)])


@lru_cache(maxsize=1)
def _of_other_shots() -> tuple[tuple[float, ...], ...]:
    """What the network itself said at the end of the shots of lives at other samples."""
    said: list[tuple[float, ...]] = []
    seed = 10_000
    while len(said) < _OTHERS:
        with filmed(SampleSpread().draw(seed), Conditions(noise=0.05), seed) as rig:
            memory = PulseMemory()
            for task in TASKS:
                campaign = Campaign(TargetSeeker(task, (49.5, 49.5), memory), AT_MOST[task])
                run_campaign(campaign, rig)
            said += rig.said
        seed += 1
    return tuple(said[:_OTHERS])


_MODELS: dict[Variant, Callable[[int], MovieClassifier]] = {
    "random labels": RandomNetwork,
    "uniform": _Uniform,
    "another shot's": _Anothers,
}


def in_its_place(variant: Variant, seed: int) -> MovieClassifier | None:
    """What stands in the network's place; None where the network does."""
    make = _MODELS.get(variant)
    return make(seed) if make else None
