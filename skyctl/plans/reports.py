"""What plans that do a task many times return."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skyctl.plans.campaign import TaskReport

_TOGETHER = 10


@dataclass
class CycleReport:
    """How cycles of write, switch and erase went.

    cycles : how many were asked for
    done : the tasks of each cycle, in order, as `TaskReport.put_away` leaves them; a cycle ends
        with the first that was not reached
    changes : (cycle, what changed) whenever the sample was seen to have changed, from 1
    reason : why it stopped before the last cycle, or ""
    """

    cycles: int
    done: list[list[TaskReport]] = field(default_factory=list)
    changes: list[tuple[int, str]] = field(default_factory=list)
    reason: str = ""

    @property
    def tasks(self) -> list[TaskReport]:
        """All tasks, in order."""
        return [task for cycle in self.done for task in cycle]

    @property
    def succeeded(self) -> list[bool]:
        """Of each cycle, whether every task of it was reached."""
        return [all(task.reached for task in cycle) for cycle in self.done]

    @property
    def reached(self) -> bool:
        """Whether every cycle was done, and all of it."""
        return len(self.done) == self.cycles and all(self.succeeded)

    @property
    def pulses(self) -> list[int]:
        """Pulses of each cycle."""
        return [sum(task.pulses for task in cycle) for cycle in self.done]

    def as_json(self) -> dict[str, Any]:
        """Plain values: success and pulses, over all and ten cycles at a time, and what failed."""
        return {
            "cycles": self.cycles,
            "reached": self.reached,
            **_statistics(self.succeeded, self.pulses),
            "tasks": {
                name: _statistics(
                    [t.reached for t in self.tasks if t.task == name],
                    [t.pulses for t in self.tasks if t.task == name],
                )
                for name in dict.fromkeys(t.task for t in self.tasks)
            },
            "over_time": [
                {
                    "first_cycle": first + 1,
                    **_statistics(
                        self.succeeded[first : first + _TOGETHER],
                        self.pulses[first : first + _TOGETHER],
                    ),
                }
                for first in range(0, len(self.done), _TOGETHER)
            ],
            "frames": sum(task.frames for task in self.tasks),
            "changes": [{"cycle": cycle, "what": what} for cycle, what in self.changes],
            "unreached": [f"{t.task}: {t.reason}" for t in self.tasks if not t.reached],
            "problems": dict(
                # a remark in brackets names one shot
                Counter(
                    shot.problem.split(" (")[0]
                    for t in self.tasks
                    for shot in t.shots
                    if shot.problem
                )
            ),
            "reason": self.reason,
        }


def _statistics(succeeded: Sequence[bool], pulses: Sequence[int]) -> dict[str, Any]:
    if not pulses:
        return {"done": 0}
    return {
        "done": len(pulses),
        "succeeded": sum(succeeded),
        "success": statistics.fmean(succeeded),
        "pulses": sum(pulses),
        "pulses_median": statistics.median(pulses),
        "pulses_most": max(pulses),
    }
