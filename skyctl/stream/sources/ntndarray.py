"""EPICS areaDetector: NTNDArray over PV Access.

A message is the NTNDArray as a plain mapping, ``p4p.Value.todict()``, so that the parser needs no
EPICS. Source: EPICS normative types, NTNDArray; areaDetector ADCore, ntndArrayConverter.cpp and
NDPluginCodec.cpp.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from skyctl.errors import ForeignMessage, StreamError, UndecodableMessage, install
from skyctl.frame import ShotStart
from skyctl.stream import wire
from skyctl.stream.sources import compression
from skyctl.stream.sources.pixels import ToSz, image_bytes
from skyctl.stream.sources.shots import NumberedFrames
from skyctl.stream.sources.source import Event
from skyctl.stream.sources.triggers import Triggers

QUEUED_UPDATES = 128
"""Updates that wait on either side of the network: a default queue of 4 lost 2 % at 1 kHz."""

_SCALAR_TYPES = dict(
    zip(range(1, 11), ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"), strict=True)
)
"""pvData's ScalarType, by which areaDetector names the type of compressed pixels."""
_MONO = 0
_log = logging.getLogger(__name__)


class NtndArrayParser:
    """Frames of an areaDetector's PVA plugin: monochrome, of any type, plain or compressed.

    ``uniqueId`` numbers the frames, so what is lost on the way is missing. Nothing says when a
    series begins: shots are told apart as NumberedFrames does. A number that goes back while the
    time goes on begins a new count.

    scaling : what counts mean; run : name of the source
    triggers : with it, a frame is of the shot that its attribute ``trigger_attribute`` says, the
        number of the hardware trigger, and not of the one that is expected when it arrives
    max_image_bytes : larger images are refused before they are decompressed
    numbered : False where ``uniqueId`` is no number of the image, as with drivers that leave it at
        0: images are counted as they come; one that is lost shows only in a movie that never ends
    """

    names_shots = False

    def __init__(
        self,
        scaling: ToSz,
        run: str = "areadetector",
        max_image_bytes: int = wire.DETECTOR_IMAGE_BYTES,
        triggers: Triggers | None = None,
        trigger_attribute: str = "TriggerCount",
        numbered: bool = True,
    ) -> None:
        self._numbered, self._came = numbered, 0
        self._triggers, self._attribute = triggers, trigger_attribute
        self._trigger = -1
        self._limit = max_image_bytes
        self._frames = NumberedFrames(run, origin=1, to_sz=scaling)
        self._last, self._last_ns = -1, 0
        compression.warm_up()

    def expect(self, start: ShotStart) -> None:
        """The next frame, or that of the next trigger, is the first of this shot."""
        if self._triggers:
            self._triggers.expect(start)
        else:
            self._frames.expect(start)

    def parse(self, message: Mapping[str, Any], received_ns: int) -> list[Event]:
        """The events of an update."""
        number = message.get("uniqueId") if self._numbered else self._came + 1
        if not isinstance(number, int) or not 0 <= number < 2**31:
            raise UndecodableMessage("NTNDArray: no uniqueId")
        counts, time_ns = self.counts_of(message)
        anew = number <= self._last and time_ns > self._last_ns
        self._match(number, message)
        events = self._frames.take(number, counts, time_ns, received_ns, anew)
        self._came += 1
        self._last = number if anew else max(number, self._last)
        self._last_ns = max(time_ns, self._last_ns)
        return events

    def counts_of(self, message: Mapping[str, Any]) -> tuple[np.ndarray, int]:
        """The counts of an image, (rows, columns), and when they were taken, UNIX time in ns."""
        time_ns = _time_ns(message.get("dataTimeStamp")) or _time_ns(message.get("timeStamp"))
        return self._counts(message), time_ns

    def _match(self, number: int, message: Mapping[str, Any]) -> None:
        """Expect the shot of this image's trigger, if it is another than the last image's."""
        if self._triggers is None:
            return
        trigger = attribute_of(message, self._attribute)
        if trigger == self._trigger:
            return
        try:
            self._frames.expect(self._triggers.of(trigger)[0])
        except ForeignMessage:
            self._frames.pass_over(number)
            self._came += 1
            raise
        self._trigger = trigger

    def _counts(self, message: Mapping[str, Any]) -> np.ndarray:
        """The image, (rows, columns). The first dimension of an NTNDArray is the fastest."""
        dimensions = message.get("dimension")
        try:
            columns, rows = (dimension["size"] for dimension in dimensions)  # type: ignore[union-attr]
        except (TypeError, KeyError, ValueError) as error:
            raise UndecodableMessage(
                "NTNDArray: not two dimensions; send monochrome images (ColorMode Mono)"
            ) from error
        _refuse_colour(message.get("attribute"))
        value = message.get("value")
        if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iuf":
            raise UndecodableMessage("NTNDArray: value is no array of numbers")
        if type(rows) is not int or type(columns) is not int:
            raise UndecodableMessage("NTNDArray: a dimension without size")
        codec = message.get("codec")
        name = codec.get("name") if isinstance(codec, Mapping) else ""
        if name:
            value = self._decompressed(name, codec, value, (rows, columns))
        elif image_bytes((rows, columns), value.dtype, self._limit) != value.nbytes:
            raise UndecodableMessage(f"NTNDArray: {value.size} numbers for {rows} × {columns}")
        return value.reshape(rows, columns)

    def _decompressed(
        self, name: Any, codec: Any, value: np.ndarray, shape: tuple[int, int]
    ) -> np.ndarray:
        kind = codec.get("parameters")
        if not isinstance(kind, int) or kind not in _SCALAR_TYPES:
            raise UndecodableMessage(f"NTNDArray: codec {str(name)[:32]!r} without a pixel type")
        dtype = np.dtype(_SCALAR_TYPES[kind])
        size = image_bytes(shape, dtype, self._limit)
        data = np.ascontiguousarray(value).data.cast("B")
        if name == "lz4":
            raw = compression.lz4_block(data, size)
        elif name == "lz4hdf5":
            raw = compression.lz4_hdf5(data, size)
        elif name == "bslz4":
            raw = compression.bitshuffle_lz4(data, dtype.itemsize, size)
        elif name == "blosc":
            raw = compression.blosc(data, size)
        elif name == "zlib":
            raw = compression.deflated(data, size)
        else:
            raise UndecodableMessage(
                f"NTNDArray: codec {str(name)[:32]!r} is not known; set the codec plugin to lz4, "
                "lz4hdf5, bslz4, blosc, zlib or none"
            )
        return np.frombuffer(raw, dtype)


def _refuse_colour(attributes: Any) -> None:
    """Raise UndecodableMessage for an image whose attribute ColorMode is not mono."""
    mode = _attribute(attributes, "ColorMode")
    if mode not in (None, _MONO):
        raise UndecodableMessage(
            f"NTNDArray: colour image (ColorMode {str(mode)[:32]}); send it monochrome"
        )


def attribute_of(message: Mapping[str, Any], name: str) -> int:
    """A whole number among an image's attributes. Raises UndecodableMessage."""
    number = _attribute(message.get("attribute"), name)
    if not isinstance(number, int):
        raise UndecodableMessage(
            f"NTNDArray: no attribute {name} with the number of the trigger; have the camera's "
            "driver send it (its NDAttributes file)"
        )
    return number


def _attribute(attributes: Any, name: str) -> Any:
    """The value of an image's attribute, None where it has none of this name."""
    for attribute in attributes if isinstance(attributes, list | tuple) else ():
        if isinstance(attribute, Mapping) and attribute.get("name") == name:
            return attribute.get("value")
    return None


def _time_ns(stamp: Any) -> int:
    """UNIX time of an EPICS time stamp; 0 where there is none."""
    if not isinstance(stamp, Mapping):
        return 0
    seconds, nanoseconds = stamp.get("secondsPastEpoch"), stamp.get("nanoseconds")
    if type(seconds) is not int or type(nanoseconds) is not int:
        return 0
    return max(0, min(seconds, 2**33)) * 10**9 + max(0, min(nanoseconds, 10**9))


class PvaTransport:
    """Monitors a PV by PV Access; a message is its value as a plain mapping.

    Updates wait in a queue of the server's, one of the client's and one here, ``queued_updates``
    each. When all are full the server merges updates, which shows as gaps in ``uniqueId``. The
    first update is the PV's present value: an old image, which belongs to no shot; after the
    connection was lost it may come again. PV Access has no limit of size and no encryption: use it
    inside the beamline's network.

    pv : name of the NTNDArray, like "13SIM1:Pva1:Image"
    dropped_pv : a number that counts what the IOC dropped, like "13SIM1:Pva1:DroppedArrays_RBV"
    conf : EPICS_PVA_… settings instead of the environment's

    Raises StreamError when p4p is not installed.
    """

    def __init__(
        self,
        pv: str,
        *,
        dropped_pv: str | None = None,
        queued_updates: int = QUEUED_UPDATES,
        conf: dict[str, str] | None = None,
    ) -> None:
        try:
            from p4p.client.thread import Context, Disconnected
            from p4p.util import WorkQueue
        except ImportError as error:
            raise StreamError(f"PV {pv}: p4p is not installed: {install('epics')}") from error
        self.address = f"pva://{pv}"
        self._updates: queue.Queue[Any] = queue.Queue(queued_updates)
        self._closed, self._connected = threading.Event(), threading.Event()
        self._dropped, self._lost = 0, Disconnected
        self._context = Context("pva", conf=conf, useenv=conf is None, nt=False)
        request = f"record[queueSize={queued_updates},pipeline=true]"
        # A thread of our own: it waits when the hub does, and p4p's are shared by all its users.
        self._work = WorkQueue(maxsize=0)
        self._thread = threading.Thread(target=self._work.handle, name="skyctl-pva", daemon=True)
        self._thread.start()
        self._subscriptions = [
            self._context.monitor(pv, self._take, request, notify_disconnect=True, queue=self._work)
        ]
        if dropped_pv:
            self._subscriptions.append(self._context.monitor(dropped_pv, self._count))

    @property
    def upstream_dropped(self) -> int:
        """What the IOC says it dropped."""
        return self._dropped

    def fault(self, timeout_s: float) -> str:
        """Why no image can come: nobody has this PV now; or ""."""
        if self._connected.wait(timeout_s):
            return ""
        return (
            f"PV {self.address.removeprefix('pva://')}: not connected within {timeout_s:g} s. See "
            "whether its IOC runs, and whether EPICS_PVA_ADDR_LIST names its machine."
        )

    def _take(self, value: Any) -> None:
        if isinstance(value, Exception):
            _log.warning("%s: %s", self.address, type(value).__name__)
            if isinstance(value, self._lost):
                self._connected.clear()
            return
        self._connected.set()
        update = value.todict()
        while not self._closed.is_set():  # a full queue holds p4p, and so the server, back
            with contextlib.suppress(queue.Full):
                self._updates.put(update, timeout=0.1)
                return

    def _count(self, value: Any) -> None:
        with contextlib.suppress(AttributeError, TypeError, ValueError):
            self._dropped = int(value.value)

    def receive(self, timeout_ms: int) -> Mapping[str, Any] | None:
        """The next update; None when none came in time."""
        try:
            return self._updates.get(timeout=timeout_ms / 1000)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop monitoring; updates still queued are lost."""
        self._closed.set()
        for subscription in self._subscriptions:
            subscription.close()
        self._work.interrupt()
        self._thread.join()
        self._context.close()
