"""DecisionLog: what was proposed, by whom, from which belief, and what guard and approver said."""

import json
from typing import Any

from ophyd import Component, Device, Kind
from ophyd.status import Status

from skyctl.decision import READINGS, Decision
from skyctl.devices.signals import StateSignal


class DecisionLog(Device):
    """The last decision as signals, one for each field of Decision; plans read it into the stream
    ``decisions``.

    model : what the classifier's file says of itself; its calibration, with the threshold, stands
        in the configuration of the stream
    """

    vars().update(  # a class body's names are its attributes
        {
            name: Component(
                StateSignal,
                value="" if "U" in shown.dtype_numpy else -1,
                dtype_numpy=shown.dtype_numpy,
                doc=shown.doc,
            )
            for name, shown in READINGS.items()
        }
    )
    calibration = Component(
        StateSignal, value="", dtype_numpy="<U8192", kind=Kind.config, doc="of the model, JSON"
    )

    def __init__(
        self, prefix: str = "", *, name: str, model: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.calibration.update(json.dumps(model or {}, sort_keys=True, default=list))

    def __repr__(self) -> str:
        reading: Any = self.read()
        return f"DecisionLog({self.name}: {reading[f'{self.name}_task']['value'] or 'none yet'})"

    def set(self, value: Decision) -> Status:
        """Show a decision."""
        for name, reading in value.readings().items():
            getattr(self, name).update(reading)
        status = Status(self)
        status.set_finished()
        return status

    def check_value(self, value: Decision) -> None:
        """A decision written down harms nothing."""
