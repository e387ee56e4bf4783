"""Agents for write, switch and erase, by name: ours, and what other packages offer."""

from typing import Protocol

from skyctl.agents.allowed import Allowed
from skyctl.agents.baseline_seekers import RandomSearch, RandomSeeker, RecipeSeeker
from skyctl.agents.campaign import Agent
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.agents.tasks import Task
from skyctl.plugins import load

SEEKER = "seeker"


class AgentMaker(Protocol):
    """Makes an agent for one task.

    centre : (x, y) where to write, sites; memory : of the tasks before, which ours learn into
    allowed : what the pulser may fire
    """

    def __call__(
        self, task: Task, centre: tuple[float, float], memory: PulseMemory, allowed: Allowed, /
    ) -> Agent: ...


OURS: dict[str, AgentMaker] = {
    SEEKER: TargetSeeker,
    "recipe": RecipeSeeker,
    "random": RandomSeeker,
    "random-search": RandomSearch,
}


def agent_maker(name: str) -> AgentMaker:
    """What makes agents of a name: one of OURS, or of an entry point "skyctl.agents". So comes
    "imagining", too, which is given the simulator that agents themselves do not know.

    Raises PluginError: no package offers it, or it is broken.
    """
    return OURS.get(name) or load("agents", name, own=tuple(OURS))
