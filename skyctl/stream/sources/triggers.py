"""Triggers: which shot each hardware trigger of a camera is, so that frames are matched by it."""

import threading
from collections import OrderedDict

from skyctl.errors import ForeignMessage
from skyctl.frame import ShotStart

_REMEMBERED = 1024


class Triggers:
    """Between the camera's driver, which knows the trigger that a shot gets, and the parser of its
    frames. From any thread.

    A frame that comes late is then of its own shot, and one of a trigger that nobody asked for is
    of none: by arrival both would be taken for the next shot's.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._came: set[int] = set()
        self._waiting: ShotStart | None = None
        self._starts: OrderedDict[int, tuple[ShotStart, tuple[int, int]]] = OrderedDict()

    def expect(self, start: ShotStart) -> None:
        """The shot that the camera is readied for next."""
        with self._lock:
            self._waiting = start

    def assign(self, shot: str, trigger: int, place: tuple[int, int] = (0, 0)) -> None:
        """This trigger will be that shot's; before the camera can see it.

        place : of a stroboscopic movie, which delay in time order, and which helicity
        """
        with self._lock:
            self._came.discard(trigger)  # of a camera that counts anew
            if self._waiting and self._waiting.shot == shot:
                self._starts[trigger] = self._waiting, place
            while len(self._starts) > _REMEMBERED:
                oldest, _ = self._starts.popitem(last=False)
                self._came.discard(oldest)

    def wait_come(self, trigger: int, timeout_s: float) -> bool:
        """Whether the image of this trigger comes within this time."""
        with self._lock:
            return self._lock.wait_for(lambda: trigger in self._came, timeout_s)

    def of(self, trigger: int) -> tuple[ShotStart, tuple[int, int]]:
        """The shot of a trigger, and its place. Raises ForeignMessage: nobody asked for it."""
        with self._lock:
            try:
                start = self._starts[trigger]
                self._came.add(trigger)
                self._lock.notify_all()
                return start
            except KeyError:
                raise ForeignMessage(
                    f"an image of trigger {trigger}, which was for no shot: somebody else triggers"
                ) from None
