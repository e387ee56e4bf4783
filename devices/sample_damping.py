"""SampleDamping: the damping of a simulated film, as a plan can set it."""

from typing import Any, Protocol

from skyctl.devices.signals import LimitedSignal


class _HasDamping(Protocol):
    def set_damping(self, damping: float) -> None: ...


class SampleDamping(LimitedSignal):
    """The damping α of a simulated sample. A real sample has no such knob: map B0 instead.

    sample : whose damping it is, a `SimulatedSample`
    limits : (low, high) that may be put
    """

    def __init__(
        self,
        *,
        name: str,
        sample: _HasDamping,
        value: float,
        limits: tuple[float, float] = (0.001, 1.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, value=value, units="", precision=4, **kwargs)
        self.set_limits(limits)
        self._sample = sample

    def put(self, value: float, **kwargs: Any) -> None:
        """Set it, once what was fired has settled. Raises LimitError outside the limits."""
        self.check_value(value)
        self._sample.set_damping(value)
        super().put(value, **kwargs)
