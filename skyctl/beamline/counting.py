"""CountsAverage: mean counts of a camera in named states, and the calibration made of them."""

import datetime
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skyctl.errors import StreamError
from skyctl.frame import Frame, ShotEnd
from skyctl.stream.hub import Consumer, Event, Hub
from skyctl.stream.sources.calibration import Calibration, Provenance

STATES = ("dark", "flat", "up", "down")
"""No light; no sample; the film saturated one way and the other."""
_LATEST_S = 10.0
"""What a plan has seen the end of is here by then."""


class CountsAverage:
    """Averages the counts of the movies that a hub receives, for the state each was filmed in.

    hub : where the camera's frames arrive, with their counts or as counts (``Scaling(0, 1)``)
    camera, author : for the calibration's provenance; path : where `save` writes it
    tell : is told of each movie that was added: its state, and the mean of the images so far
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
        self._movies: dict[str, list[np.ndarray]] = {}
        self._over: set[str] = set()
        self._changed = threading.Condition()
        self._sums: dict[str, np.ndarray] = {}
        self.images: Counter[str] = Counter()
        self._consumer = Consumer("calibration", self._take)
        hub.subscribe(self._consumer)

    def add(self, state: str, shot: str) -> None:
        """Add the images of a movie that is over to those of a state, one of STATES.

        By the movie's name and not by when its images come: on a busy machine they come here after
        the plan has gone on. Raises StreamError where they did not come.
        """
        if state not in STATES:
            raise ValueError(f"state {state!r}: give one of {', '.join(STATES)}")
        with self._changed:
            came = self._changed.wait_for(lambda: shot in self._over, _LATEST_S)
            images = self._movies.pop(shot, [])
            self._over.discard(shot)
        if not came or not images:
            raise StreamError(
                f"calibration of {self._camera}: no image of the look {shot} ({state}) came. Check "
                "the camera, then begin anew: nothing is written."
            )
        for image in images:
            self._sums[state] = self._sums.get(state, 0.0) + image.astype(np.float64)
            self.images[state] += 1
        self._tell(state, self._sums[state] / self.images[state])

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
        with self._changed:
            if isinstance(event, Frame):
                counts = event.data if event.counts is None else event.counts
                self._movies.setdefault(event.shot, []).append(counts)
            elif isinstance(event, ShotEnd):
                self._over.add(event.shot)
                self._changed.notify_all()
