"""An agent: raises the amplitude step by step until the film is what the task wants."""

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.seeker import PulseMemory
from skyctl.agents.tasks import Proposal, Task, TaskSeeker, against
from skyctl.belief import Belief
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

FIRST_T = {"write": 6.0, "switch": 2.0, "erase": 2.5}
STEP_T = 0.4
STEPS = 8


class StepsSeeker(TaskSeeker):
    """TaskSeeker says what is to be done next; here is with which pulse.

    memory : of skyctl's own agents; this one needs none
    """

    name = "steps"

    def __init__(
        self, task: Task, centre: tuple[float, float], memory: PulseMemory, allowed: Allowed
    ) -> None:
        super().__init__(task, centre, allowed)
        self._tried = dict.fromkeys(FIRST_T, 0)

    def _choose(self, action: Task, belief: Belief) -> Proposal | str:
        step = self._tried[action]
        if step == STEPS:
            return f"{action}: {STEPS} steps up to {self._amplitude(action, step - 1):g} T missed"
        amplitude = self._amplitude(action, step)
        if action == "write":
            pulse = self._writing_pulse(amplitude)
        else:
            angle = 52.0 if action == "switch" else 20.0
            pulse = Pulse(amplitude_T=amplitude, theta_deg=angle, width_ps=20.0)
        return Proposal(action, against(belief.background, pulse), f"step {step + 1}")

    def _learn(
        self,
        proposal: Proposal,
        before: Belief,
        result: ShotResult,
        after: Belief,
        outcome: np.ndarray,
    ) -> None:
        if proposal.action in self._tried:
            self._tried[proposal.action] += 1

    def _amplitude(self, action: Task, step: int) -> float:
        return round(FIRST_T[action] + step * STEP_T, 2)
