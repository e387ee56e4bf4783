"""DecisionLog: what was proposed, by whom, from which verdict, and what the guard said."""

from typing import Any

from ophyd import Component, Device
from ophyd.status import Status

from skyctl.devices.signals import StateSignal


class DecisionLog(Device):
    """The last decision as signals; plans read it into the stream ``decisions``."""

    task = Component(StateSignal, value="", dtype_numpy="<U32")
    agent = Component(StateSignal, value="", dtype_numpy="<U64")
    shot = Component(StateSignal, value="", dtype_numpy="<U64", doc="the shot it is for")
    from_shot = Component(StateSignal, value="", dtype_numpy="<U64")
    from_label = Component(StateSignal, value="", dtype_numpy="<U16")
    from_state = Component(StateSignal, value="", dtype_numpy="<U64")
    reason = Component(StateSignal, value="", dtype_numpy="<U256")
    proposal = Component(StateSignal, value="", dtype_numpy="<U512", doc="the pulse, JSON")
    guard_answer = Component(StateSignal, value="", dtype_numpy="<U512")
    model_sha256 = Component(StateSignal, value="", dtype_numpy="<U64")

    def set(self, value: dict[str, Any]) -> Status:
        """Show a decision: a value for every signal. Raises KeyError when one is missing."""
        for name in self.component_names:
            getattr(self, name).update(value[name])
        status = Status(self)
        status.set_finished()
        return status

    def check_value(self, value: dict[str, Any]) -> None:
        """A decision written down harms nothing."""
