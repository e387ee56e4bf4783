"""Transport to a device that somebody has in ophyd already: an areaDetector, say."""

import importlib
from functools import partial, reduce
from typing import Any

from ophyd import Device

from skyctl.devices.instruments.channel_access import ChannelAccess
from skyctl.errors import InstrumentError


class OphydDevice(ChannelAccess):
    """Names are the device's signals, as ophyd has them: "cam.num_images". A command is a 1.

    What is read comes from the IOC, past the device's own monitors. The device itself is neither
    staged nor triggered: it may be used beside.

    address : "MODULE:NAME" of the device, or of a function without arguments that makes it

    Raises InstrumentError where there is no such device.
    """

    def __init__(self, address: str) -> None:
        super().__init__("")
        self.address = f"ophyd://{address}"
        self._device = _device(address)

    def _have(self, name: str) -> Any:
        """The signal of a name; it is the device's, and connects by itself. A component that is
        lazy waits for its PV here."""
        try:
            signal: Any = reduce(getattr, name.split("."), self._device)
        except AttributeError as error:
            raise InstrumentError(f"{self.address}, {name}: no such signal ({error})") from error
        except TimeoutError as error:
            raise self._silent(name, f"not connected ({error})") from error
        if name not in self._signals:
            self._signals[name] = signal
            changed = partial(self._connection_changed, name)
            signal.subscribe(changed, event_type=signal.SUB_META)
        return signal

    def _begin_anew(self, name: str) -> None:
        """Nothing: the device's channels are its own."""

    def close(self) -> None:
        """Nothing is let go of: the device is somebody's."""


def _device(address: str) -> Device:
    module, _, name = address.partition(":")
    try:
        found = reduce(getattr, name.split("."), importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise InstrumentError(
            f"ophyd device {address!r}: not there ({error}). Give MODULE:NAME, of a module that "
            "Python finds (installed, or in PYTHONPATH)."
        ) from error
    made = found() if callable(found) and not isinstance(found, Device) else found
    if not isinstance(made, Device):
        raise InstrumentError(f"ophyd device {address!r}: is a {type(made).__name__}, no Device")
    return made
