"""A practice instrument as an EPICS IOC: records over Channel Access and PV Access, images as
NTNDArray. Needs the extra ``epics``; one IOC a process, and it ends with it.

The environment says where it serves: EPICS_CA_SERVER_PORT, EPICS_CAS_INTF_ADDR_LIST,
EPICS_PVAS_SERVER_PORT and so on, as for any IOC.
"""

import asyncio
import logging
import os
from typing import Any

import numpy as np
from p4p import Value
from p4p.nt import NTNDArray
from p4p.server import Server
from p4p.server.thread import SharedPV

from skyctl.simulators.instrument.area_detector import AreaDetectorRecords
from skyctl.simulators.instrument.practice import (
    COMMANDS,
    LATE_S,
    MODES,
    REGISTERS,
    Image,
    NoAnswer,
    PracticeInstrument,
    Register,
)

IMAGE_PV = "CAM:IMAGE"
_PERIOD_S = 0.1
_log = logging.getLogger(__name__)


class PracticeIoc:
    """Records ``PREFIX:NAME`` of every register, and ``PREFIX:NAME_RBV`` of what can be set;
    PREFIX:MODE is a fault mode's number; PREFIX:cam1:… areaDetector's records of the camera;
    PREFIX:CAM:IMAGE the images.
    """

    def __init__(self, instrument: PracticeInstrument, prefix: str) -> None:
        self._instrument, self._prefix = instrument, prefix
        self._records: dict[str, Any] = {}
        self._image = SharedPV()
        self._served: Any = None
        self._detector: AreaDetectorRecords | None = None

    def start(self) -> None:
        """Make the records and serve them, from a thread."""
        from softioc import asyncio_dispatcher, builder, softioc

        dispatcher = asyncio_dispatcher.AsyncioDispatcher()
        builder.SetDeviceName(self._prefix)
        for name, register in REGISTERS.items():
            self._make(builder, name, register)
        modes = list(MODES)
        builder.mbbOut("MODE", *modes, on_update=lambda i: self._instrument.set_mode(modes[i]))
        self._detector = AreaDetectorRecords(builder, self._instrument)
        builder.LoadDatabase()
        softioc.iocInit(dispatcher)
        self._image.open(Value(NTNDArray.buildType()))
        # The records' own server has the port of the environment.
        conf = {name: value for name, value in os.environ.items() if name.startswith("EPICS_PVA")}
        port = int(conf.get("EPICS_PVAS_SERVER_PORT", "5075")) + 2
        self._served = Server(
            providers=[{f"{self._prefix}:{IMAGE_PV}": self._image}],
            conf={**conf, "EPICS_PVAS_SERVER_PORT": str(port)},
            useenv=False,
        )
        dispatcher(self._refresh)

    def post(self, image: Image) -> None:
        """Send an image to whoever monitors them."""
        if self._detector:
            self._detector.taken()
        data = np.ascontiguousarray(image.frame.data, np.float32)
        rows, columns = data.shape
        seconds, nanoseconds = divmod(image.frame.source_time_ns, 10**9)
        stamp = {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds}
        self._image.post(
            Value(
                NTNDArray.buildType(),
                {
                    "value": ("floatValue", data.ravel()),
                    "dimension": [{"size": columns}, {"size": rows}],
                    "uniqueId": image.number,
                    "dataTimeStamp": stamp,
                    "timeStamp": stamp,
                    "attribute": [{"name": "TriggerCount", "value": image.trigger}],
                },
            )
        )

    def _make(self, builder: Any, name: str, register: Register) -> None:
        """The records of a register. EPICS itself keeps a setting within DRVL and DRVH."""
        start = self._instrument.get(name)
        shown = {
            "LOPR": register.low, "HOPR": register.high, "PREC": 6, "EGU": register.unit,
            "initial_value": start,
        }  # fmt: skip
        if register.read_only:
            self._records[name] = builder.aIn(name, **shown)
            return
        done: dict[str, Any] = {
            "blocking": True, "always_update": True,
            "on_update": lambda value: self._carry_out(name, value),
        }  # fmt: skip
        if name in COMMANDS:
            builder.boolOut(name, "off", "on", **done)
            return
        builder.aOut(name, DRVL=register.low, DRVH=register.high, **shown, **done)
        self._records[name] = builder.aIn(f"{name}_RBV", **shown)

    async def _carry_out(self, name: str, value: float) -> None:
        """Do what was put, in a thread: the film takes its time. What is refused changes nothing;
        what is not answered never completes."""
        await asyncio.to_thread(self._instrument.wait_thawed)
        try:
            await asyncio.to_thread(self._instrument.put, name, float(value))
        except NoAnswer:
            self._show()
            await asyncio.sleep(LATE_S)
        except ValueError as error:
            _log.warning("%s: %s", name, error)
        self._show()

    def _show(self) -> None:
        """Have the records say what the registers hold."""
        for name, record in self._records.items():
            value = self._instrument.get(name)
            if record.get() != value:
                record.set(value)

    async def _refresh(self) -> None:
        while True:
            await asyncio.to_thread(self._instrument.wait_thawed)
            self._show()
            await asyncio.sleep(_PERIOD_S)
