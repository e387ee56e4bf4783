"""TorqueField: the torque on the spins of the newest frame, from a torque network."""

from typing import Any

import numpy as np
from ophyd import Component, Device, Kind, Signal
from ophyd.utils import ReadOnlyError

from skyctl.devices.signals import StateSignal
from skyctl.errors import ModelError
from skyctl.frame import Frame, unit_spins
from skyctl.inference.torque_network import TorqueNetwork
from skyctl.stream.hub import Consumer, Hub


class FieldSignal(Signal):
    """An array (3, rows, columns) that only its own device changes (``update``)."""

    def update(self, value: np.ndarray) -> None:
        """Show a new array."""
        super().put(value, force=True)

    def put(self, *_: Any, **__: Any) -> None:
        """Raise ReadOnlyError: this is a reading."""
        raise ReadOnlyError(f"{self.name} is a reading and cannot be set")

    def describe(self) -> dict[str, Any]:
        """The data key: its shape is that of the last frame."""
        description = super().describe()
        value: Any = self.get()
        shape = list(value.shape)
        description[self.name].update(
            dtype="array", dtype_numpy="<f4", shape=shape, units="hopping"
        )
        return description


class TorqueField(Device):
    """The torque S × H of the newest frame of a hub, as the electrons' field H turns its spins.

    Frames are taken as they come, the newest first; one that waits while another is worked on is
    passed over (``skipped``). ``torque`` holds all of it, (3, rows, columns), and is in
    the device's reading once its ``kind`` is "normal"; else there is its length alone.

    network : the torque network, for the film that is seen; hub : where frames arrive. They must
        hold spins, (3, H, W): a simulated sample sends them with ``component="spins"``

    A frame that has no torque (S_z alone, a NaN, spins that are no unit vectors) leaves the
    readings as they were; ``problem`` says why, ``refused`` counts, ``trigger`` raises.
    """

    torque = Component(FieldSignal, value=np.zeros((3, 0, 0), np.float32), kind=Kind.omitted)
    mean = Component(
        StateSignal, value=0.0, dtype_numpy="<f8", units="hopping", kind=Kind.hinted,
        doc="mean length of the torque",
    )  # fmt: skip
    largest = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="hopping")
    shot = Component(StateSignal, value="", dtype_numpy="<U64")
    frame = Component(StateSignal, value=-1, dtype_numpy="<i8", doc="index in the shot; -1: none")
    movie_time = Component(StateSignal, value=0.0, dtype_numpy="<f8", units="ps")
    problem = Component(StateSignal, value="", dtype_numpy="<U160", doc="of the newest frame")
    refused = Component(StateSignal, value=0, dtype_numpy="<i8", doc="frames without a torque")
    model_sha256 = Component(StateSignal, value="", dtype_numpy="<U64", kind=Kind.config)
    provider = Component(StateSignal, value="", dtype_numpy="<U32", kind=Kind.config)

    def __init__(
        self, prefix: str = "", *, name: str, network: TorqueNetwork, hub: Hub, **kwargs: Any
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.model_sha256.update(network.card.file_sha256)
        self.provider.update(network.provider)
        self._network, self._hub, self._refused = network, hub, 0
        self._consumer = Consumer("torque", self._take, policy="newest")
        hub.subscribe(self._consumer)

    @property
    def skipped(self) -> int:
        """Frames that were passed over for a newer one."""
        return self._consumer.skipped

    def trigger(self) -> Any:
        """Done at once: the newest frame's torque is there. Raises ModelError where none is."""
        fault = self._consumer.error or self.problem.get()
        if fault:
            raise ModelError(f"{self.name}: {fault}")
        return super().trigger()

    def close(self) -> None:
        """Stop reading frames."""
        self._hub.unsubscribe(self._consumer)
        self._consumer.close()

    def _take(self, event: object) -> None:
        if not isinstance(event, Frame):
            return
        try:
            torque = self._torque(event.data)
        except ValueError as error:
            self._refused += 1
            self.refused.update(self._refused)
            self.problem.update(f"frame {event.index} of shot {event.shot}: {error}"[:160])
            return
        length = np.linalg.norm(torque, axis=0)
        self.torque.update(torque)
        self.shot.update(event.shot)
        self.movie_time.update(event.movie_time_ps)
        self.mean.update(float(length.mean()))
        self.largest.update(float(length.max()))
        self.problem.update("")
        self.frame.update(event.index)  # last: who waits for it finds the rest

    def _torque(self, data: np.ndarray) -> np.ndarray:
        if data.ndim != 3:
            raise ValueError(
                "it holds S_z alone; a torque needs all three components. Let the source send "
                'them (a simulated sample: component="spins")'
            )
        spins = unit_spins(data)
        return np.cross(spins, self._network(spins), axis=0).astype(np.float32)
