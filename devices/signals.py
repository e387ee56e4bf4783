"""Signals with units and limits, and a guarded way for a device to show its own state."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from ophyd import Component, Kind, Signal
from ophyd.utils import LimitError, ReadOnlyError


class LimitedSignal(Signal):
    """A number with a unit and limits that `check_limits`, and every put, can see."""

    def __init__(self, *args: Any, units: str, precision: int = 3, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._units, self._precision = units, precision
        self._limits = (0.0, 0.0)

    @property
    def limits(self) -> tuple[float, float]:
        """(low, high), both allowed; its device sets them when it is made."""
        return self._limits

    def set_limits(self, limits: tuple[float, float]) -> None:
        """Set what may be put from now on."""
        self._limits = limits

    def check_value(self, value: Any, **_: Any) -> None:
        """Raise LimitError unless ``value`` is a finite number inside the limits."""
        low, high = self._limits
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and low <= value <= high):
            raise LimitError(
                f"{self.name} = {value!r}: outside {low:g} … {high:g} {self._units}. "
                "Nothing was set; choose a value inside."
            )

    def describe(self) -> dict[str, Any]:
        """The data key, with units, precision and limits."""
        low, high = self._limits
        description = super().describe()
        description[self.name].update(
            dtype="number",
            dtype_numpy="<f8",
            units=self._units,
            precision=self._precision,
            limits={"control": {"low": low, "high": high}},
        )
        return description


class SwitchSignal(Signal):
    """On (1) or off (0)."""

    def put(self, value: Any, **kwargs: Any) -> None:
        """Switch it; True and False are 1 and 0. Raises LimitError for anything else."""
        if not (isinstance(value, int) and value in (0, 1)):
            raise LimitError(f"{self.name} = {value!r}: give 1 (on) or 0 (off). Nothing was set.")
        super().put(int(value), **kwargs)

    def describe(self) -> dict[str, Any]:
        """The data key."""
        description = super().describe()
        description[self.name].update(dtype="integer", dtype_numpy="<i8")
        return description


class StateSignal(Signal):
    """A value that only its own device changes (`update`); its data key is fixed at the start.

    dtype_numpy : "<f8", "<i8" or "<U…", as in an event descriptor
    """

    def __init__(
        self, *args: Any, dtype_numpy: str, units: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        kinds = {"f": "number", "i": "integer", "U": "string"}
        self._key = {"dtype": kinds[dtype_numpy[1]], "dtype_numpy": dtype_numpy}
        if units:
            self._key["units"] = units

    def update(self, value: Any) -> None:
        """Show a new value."""
        super().put(value, force=True)

    def put(self, *_: Any, **__: Any) -> None:
        """Raise ReadOnlyError: this is a reading."""
        raise ReadOnlyError(f"{self.name} is a reading and cannot be set")

    def describe(self) -> dict[str, Any]:
        """The data key."""
        description = super().describe()
        description[self.name].update(self._key)
        return description


def counters(
    docs: Mapping[str, str | None], hinted: Collection[str] = ()
) -> dict[str, Component[StateSignal]]:
    """Components of whole numbers that begin at 0, for the body of a device's class.

    docs : of each attribute, None where its name says it; hinted : those that viewers show
    """
    return {
        name: Component(
            StateSignal,
            value=0,
            dtype_numpy="<i8",
            doc=doc,
            kind=Kind.hinted if name in hinted else Kind.normal,
        )
        for name, doc in docs.items()
    }
