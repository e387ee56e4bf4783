"""Records of areaDetector's ADDriver before the practice camera: `cam1:` of a practice IOC.

Source: areaDetector ADCore, ADBase.template and NDArrayBase.template. Acquire is a busy record: its
put completes when the last image was taken. A record of softioc that is busy takes no second put,
so unlike a detector's it cannot be stopped: a movie whose pulse never comes is given up when the
next is set up, by its TriggerMode.
"""

import asyncio
import threading
from typing import Any

from skyctl.simulators.instrument.practice import PracticeInstrument

_PS_PER_S = 1e12
_BETWEEN_S = 0.005


class AreaDetectorRecords:
    """Makes the records; ``taken`` is told of each image."""

    def __init__(self, builder: Any, instrument: PracticeInstrument) -> None:
        self._instrument, self._lock = instrument, threading.Lock()
        self._left = 0
        builder.longIn("cam1:ArraySizeY_RBV", initial_value=int(instrument.get("CAM:ROWS")))
        builder.longIn("cam1:ArraySizeX_RBV", initial_value=int(instrument.get("CAM:COLUMNS")))
        self._mode = self._pair(builder, "mbb", "TriggerMode", "Internal", "External")
        self._pair(builder, "mbb", "ImageMode", "Single", "Multiple", "Continuous")
        self._images = self._pair(builder, "long", "NumImages", initial_value=1)
        self._period = self._pair(builder, "a", "AcquirePeriod", initial_value=5e-12, PREC=15)
        self._triggers = builder.longIn("TriggerCount_RBV", initial_value=0)
        self._acquiring = builder.boolIn("cam1:Acquire_RBV", "Done", "Acquiring")
        builder.boolOut(
            "cam1:Acquire", "Done", "Acquire",
            blocking=True, always_update=True, on_update=self._acquire,
        )  # fmt: skip

    def taken(self) -> None:
        """An image was taken."""
        with self._lock:
            self._left = max(0, self._left - 1)

    def _pair(self, builder: Any, kind: str, name: str, *words: str, **fields: Any) -> Any:
        """A record and its readback; the first, which holds what was put."""
        told = getattr(builder, f"{kind}In")(f"cam1:{name}_RBV", *words, **fields)

        async def show(value: Any) -> None:
            if name == "TriggerMode":
                self._give_up()
            told.set(value)

        return getattr(builder, f"{kind}Out")(
            f"cam1:{name}", *words, blocking=True, always_update=True, on_update=show, **fields
        )

    def _give_up(self) -> None:
        with self._lock:
            self._left = 0
        self._acquiring.set(0)

    async def _acquire(self, on: int) -> None:
        if not on:
            self._give_up()
            await asyncio.to_thread(self._instrument.put, "CAM:ACQUIRE", 0.0)
            return
        images, pulsed = int(self._images.get()), bool(self._mode.get())
        with self._lock:
            self._left = images
        await asyncio.to_thread(self._film, images, pulsed)
        self._triggers.set(int(self._instrument.get("CAM:TRIGGERS")))
        self._acquiring.set(1)
        while self._left:
            await asyncio.sleep(_BETWEEN_S)
        self._acquiring.set(0)

    def _film(self, images: int, pulsed: bool) -> None:
        interval_ps = float(self._period.get()) * _PS_PER_S
        wanted = {
            "CAM:TRIGGER": float(pulsed), "CAM:INTERVAL": interval_ps, "CAM:QUIET": 0.0,
            "CAM:DURATION": interval_ps * max(1, images - 1), "CAM:DELAY": -1.0,
            "CAM:ACQUIRE": 1.0,
        }  # fmt: skip
        for name, value in wanted.items():
            self._instrument.put(name, value)
