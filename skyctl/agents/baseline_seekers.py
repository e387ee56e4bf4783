"""Seekers to compare with: they switch without knowing anything of how films switch."""

from typing import Any

import numpy as np

from skyctl.agents.seeker import TargetSeeker
from skyctl.agents.tasks import Proposal, Task, against
from skyctl.belief import Belief
from skyctl.pulse import Pulse

PAPER_SWITCH = Pulse(amplitude_T=2.0, theta_deg=40.0, width_ps=28.0)
"""What switched the film of arXiv:1907.01814 at a damping of 0.36."""


class RecipeSeeker(TargetSeeker):
    """Switches with one and the same pulse; writes and erases as `TargetSeeker`."""

    name = "recipe"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.library_sha256 = ""

    def _switch(self, belief: Belief) -> Proposal:
        pulse = against(belief.background, PAPER_SWITCH)
        return Proposal("switch", pulse, "what switched in the paper")


class RandomSeeker(TargetSeeker):
    """Switches with pulses drawn uniformly; writes and erases as `TargetSeeker`.

    seed : of the pulses; the ranges are those of `skyctl.simulators.instrument.spread.PulseSpread`
    """

    name = "random"

    def __init__(self, *arguments: Any, seed: int = 0) -> None:
        super().__init__(*arguments)
        self.library_sha256 = ""
        self.seed = seed
        self._rng = np.random.default_rng(seed)

    def _switch(self, belief: Belief) -> Proposal:
        pulse = Pulse(
            amplitude_T=self._rng.uniform(1.0, 3.0),
            theta_deg=self._rng.uniform(20.0, 60.0),
            width_ps=self._rng.uniform(4.0, 48.0),
        )
        return self._drawn("switch", against(belief.background, pulse))

    def _drawn(self, action: Task, pulse: Pulse) -> Proposal:
        return Proposal(action, self._allowed.clamp(pulse), "drawn at random")


class RandomSearch(RandomSeeker):
    """Draws every pulse, also those that write (1–12 T, on the same spot) and erase (any angle)."""

    name = "random-search"

    def _choose(self, action: Task, belief: Belief) -> Proposal:
        if action == "switch":
            return self._switch(belief)
        draw = self._rng.uniform
        if action == "write":
            drawn = {"width_ps": draw(4.0, 48.0), "theta_deg": draw(20.0, 60.0)}
            pulse = self._writing_pulse(draw(1.0, 12.0)).model_copy(update=drawn)
            return self._drawn(action, against(belief.background, pulse))
        pulse = Pulse(
            amplitude_T=draw(1.0, 3.0), theta_deg=draw(0.0, 180.0), width_ps=draw(4.0, 48.0)
        )
        return self._drawn(action, pulse)
