"""DecisionLog: what was proposed, by whom, from which verdict, and what guard and approver said."""

import json
from typing import Any

from ophyd import Component, Device, Kind
from ophyd.status import Status

from skyctl.devices.signals import StateSignal


class DecisionLog(Device):
    """The last decision as signals; plans read it into the stream ``decisions``.

    model : what the classifier's file says of itself; its calibration, with the threshold, stands
        in the configuration of the stream
    """

    task = Component(StateSignal, value="", dtype_numpy="<U32")
    agent = Component(StateSignal, value="", dtype_numpy="<U64")
    seed = Component(StateSignal, value=-1, dtype_numpy="<i8", doc="the agent's, -1: draws none")
    shot = Component(StateSignal, value="", dtype_numpy="<U64", doc="the shot it is for")
    from_shot = Component(StateSignal, value="", dtype_numpy="<U64")
    from_label = Component(StateSignal, value="", dtype_numpy="<U16")
    from_probabilities = Component(StateSignal, value="", dtype_numpy="<U512", doc="JSON")
    from_state = Component(StateSignal, value="", dtype_numpy="<U64")
    reason = Component(StateSignal, value="", dtype_numpy="<U256")
    proposal = Component(StateSignal, value="", dtype_numpy="<U512", doc="the pulse, JSON")
    candidates = Component(
        StateSignal, value="", dtype_numpy="<U8192",
        doc="the pulses weighed up, each with its probability of success, JSON",
    )  # fmt: skip
    guard_answer = Component(StateSignal, value="", dtype_numpy="<U512")
    mode = Component(StateSignal, value="", dtype_numpy="<U16")
    approver = Component(StateSignal, value="", dtype_numpy="<U64")
    approval = Component(StateSignal, value="", dtype_numpy="<U256")
    approved = Component(StateSignal, value=0, dtype_numpy="<i8")
    model_sha256 = Component(StateSignal, value="", dtype_numpy="<U64")
    library_sha256 = Component(
        StateSignal, value="", dtype_numpy="<U64", doc="of what the agent knew beforehand, or none"
    )
    calibration = Component(
        StateSignal, value="", dtype_numpy="<U8192", kind=Kind.config, doc="of the model, JSON"
    )

    def __init__(
        self, prefix: str = "", *, name: str, model: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.calibration.update(json.dumps(model or {}, sort_keys=True, default=list))

    def set(self, value: dict[str, Any]) -> Status:
        """Show a decision: a value for every reading. Raises KeyError when one is missing."""
        for name in self.read_attrs:
            getattr(self, name).update(value[name])
        status = Status(self)
        status.set_finished()
        return status

    def check_value(self, value: dict[str, Any]) -> None:
        """A decision written down harms nothing."""
