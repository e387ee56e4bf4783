"""Bluesky plans: `write`, `switch`, `erase`, `reach_state`, `cycle`, `classify_shot`; and the stub
`fire`."""

from skyctl.plans.campaign import TaskReport
from skyctl.plans.plans import classify_shot, cycle, erase, reach_state, switch, write
from skyctl.plans.stubs import fire

__all__ = [
    "TaskReport",
    "classify_shot",
    "cycle",
    "erase",
    "fire",
    "reach_state",
    "switch",
    "write",
]
