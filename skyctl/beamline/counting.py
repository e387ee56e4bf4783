"""CountsAverage: mean counts of a camera in named states, and the calibration made of them."""

import datetime
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skyctl.errors import StreamError
from skyctl.frame import Frame
from skyctl.stream.hub import Consumer, Event, Hub
from skyctl.stream.sources.calibration import Calibration, Provenance

STATES = ("dark", "flat", "up", "down")
"""No light; no sample; the film saturated one way and the other."""


class CountsAverage:
    """Averages the counts of every frame that a hub receives, for the state that was begun last.

    hub : where the camera's frames arrive, with their counts or as counts (``Scaling(0, 1)``)
    camera, author : for the calibration's provenance; path : where `save` writes it
    tell : is told, in another thread, of each image: its state, and the mean of those so far
    """

    def __init__(
        self,
        hub: Hub,
        *,
        camera: str,
        author: str,
        path: Path,
        tell: Callable[[str, np.ndarray], object] = lambda state, mean: None,
    ) -> None:
        self._tell = tell
        self._hub, self._camera, self._author, self._path = hub, camera, author, path
        self._lock = threading.Lock()
        self._state = ""
        self._sums: dict[str, np.ndarray] = {}
        self.images: Counter[str] = Counter()
        self._consumer = Consumer("calibration", self._take)
        hub.subscribe(self._consumer)

    def begin(self, state: str) -> None:
        """Frames from now on are of this state, one of STATES; "" is of none."""
        if state and state not in STATES:
            raise ValueError(f"state {state!r}: give one of {', '.join(STATES)}")
        with self._lock:
            self._state = state

    def save(self, run: str = "") -> Path:
        """Write the calibration, with its provenance; where it is.

        Raises StreamError for a state that was not seen, ValueError without contrast.
        """
        if missing := {"dark", "up", "down"} - set(self.images):
            raise StreamError(
                f"calibration of {self._camera}: no image of {', '.join(sorted(missing))}. Take "
                "some looks in each state."
            )
        means = {state: self._sums[state] / self.images[state] for state in self.images}
        provenance = Provenance(
            camera=self._camera,
            author=self._author,
            measured=datetime.datetime.now(datetime.UTC),
            images=dict(self.images),
            run=run,
        )
        Calibration(
            dark=means["dark"],
            up=means["up"],
            down=means["down"],
            flat=means.get("flat"),
            provenance=provenance,
        ).save(self._path)
        return self._path

    def close(self) -> None:
        """Take no more."""
        self._hub.unsubscribe(self._consumer)
        self._consumer.close()

    def _take(self, event: Event) -> None:
        if not isinstance(event, Frame):
            return
        counts = event.data if event.counts is None else event.counts
        with self._lock:
            state = self._state
            if not state:
                return
            self._sums[state] = self._sums.get(state, 0.0) + counts.astype(np.float64)
            self.images[state] += 1
            mean = self._sums[state] / self.images[state]
        self._tell(state, mean)
