"""The streaming classifier: frames in, a verdict after each, a result when the movie is over."""

import time
from collections.abc import Callable

import numpy as np

from skyctl.errors import FilmUnreadable
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.inference.features import background_sign
from skyctl.inference.model import MovieClassifier
from skyctl.inference.reader import read_film
from skyctl.stream.accounting import LatencyHistogram
from skyctl.verdict import FilmState, ShotResult, Verdict

Listener = Callable[[Verdict | ShotResult], None]

_LONGEST_SPIN = 1.01
_SATURATED = 0.99
"""Share of pixels. Noise that is cut off at ±1 puts half of a uniform film there."""


class StreamingClassifier:
    """Classifies one movie after another; ``handle`` takes the hub's events.

    model : the network; its state is carried through a movie and reset at each start
    pixel_sites : side of the camera's pixel in sites of the film; None where that is not known
    latency, age : of all verdicts, since their frame was received and since it left its source

    Whoever subscribes gets a Verdict after each good frame of a pulsed movie and a ShotResult at
    the end of every movie.

    A movie without a pulse (a look) has a film state and no verdict: the network knows only what
    follows a pulse. A bad frame (NaN, values that are no S_z, another shape, blank, saturated, or
    the one before again while the pulse is on) never reaches the network, whose hidden state it
    would poison; it marks the whole movie instead.
    """

    def __init__(self, model: MovieClassifier, pixel_sites: float | None = None) -> None:
        self.model = model
        self.pixel_sites = pixel_sites
        self.latency = LatencyHistogram()
        self.age = LatencyHistogram()
        self._listeners: tuple[Listener, ...] = ()
        self._start: ShotStart | None = None
        self._begin(None)

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` with every verdict and result from now on."""
        self._listeners = (*self._listeners, listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Stop calling ``listener``."""
        self._listeners = tuple(known for known in self._listeners if known != listener)

    def _tell(self, news: Verdict | ShotResult) -> None:
        for listener in self._listeners:
            listener(news)

    def handle(self, event: ShotStart | Frame | ShotEnd) -> None:
        """Take one event of the stream."""
        if isinstance(event, ShotStart):
            self._begin(event)
        elif isinstance(event, Frame):
            self._frame(event)
        else:
            self._end(event)

    def _begin(self, start: ShotStart | None) -> None:
        self._start = start
        self._verdict: Verdict | None = None
        self._last_frame: Frame | None = None
        self._bad_frame = ""
        self._latencies_ms: list[float] = []
        self._mean_sz: list[tuple[float, float]] = []
        self._seen_ns = 0

    def _frame(self, frame: Frame) -> None:
        start = self._start
        if start is None or frame.shot != start.shot or self._bad_frame:
            return
        self._bad_frame = _fault(frame, start, self._last_frame)
        if self._bad_frame or (self._last_frame and frame.index < self._last_frame.index):
            return
        if self._last_frame is None:
            self.model.reset(-background_sign(frame.sz))
        self._last_frame = frame
        self._seen_ns = frame.left_source_ns
        self._mean_sz.append((frame.movie_time_ps, float(frame.sz.mean(dtype=np.float64))))
        if start.pulse is None:
            return
        probabilities = self.model.step(frame.sz)
        self._verdict = Verdict(
            shot=frame.shot,
            index=frame.index,
            movie_time_ps=frame.movie_time_ps,
            classes=self.model.card.classes,
            probabilities=tuple(float(p) for p in probabilities),
            label=self.model.label(probabilities),
            received_ns=frame.received_ns,
            decided_ns=time.monotonic_ns(),
            early=self.model.may_stop(probabilities, frame.movie_time_ps - start.pulse.peak_ps),
            novelty=self.model.novelty,
        )
        self._latencies_ms.append(self._verdict.latency_ms)
        self.latency.add(self._verdict.latency_ms)
        self.age.add((self._verdict.decided_ns - frame.left_source_ns) / 1e6)
        self._tell(self._verdict)

    def _end(self, end: ShotEnd) -> None:
        start = self._start
        if start is None or end.shot != start.shot:
            return
        state, unread = self._read()
        self._tell(
            ShotResult(
                shot=end.shot,
                verdict=self._verdict,
                state=state,
                counts=end.counts,
                problem=self._bad_frame or _loss(end.counts) or unread,
                latencies_ms=tuple(self._latencies_ms),
                seen_ns=self._seen_ns,
                mean_sz=tuple(self._mean_sz),
            )
        )
        self._begin(None)

    def _read(self) -> tuple[FilmState | None, str]:
        """The film on the last frame, or why it cannot be read ("" where no good frame came)."""
        if self._bad_frame or self._last_frame is None:
            return None, ""
        try:
            return read_film(self._last_frame.sz, pixel_sites=self.pixel_sites), ""
        except FilmUnreadable as error:
            return None, f"the film cannot be read: {error}"


def _fault(frame: Frame, start: ShotStart, before: Frame | None) -> str:
    """What is wrong with a frame, or "". ``before`` : the frame before it."""
    if frame.data.shape != start.shape:
        return f"frame {frame.index} has shape {frame.data.shape}, the shot said {start.shape}"
    low, high = frame.data.min(), frame.data.max()  # of which NaN makes NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"frame {frame.index} holds a NaN or an infinity"
    if max(-low, high) > _LONGEST_SPIN:
        return f"frame {frame.index} holds values beyond ±1: not S_z"
    pulse = start.pulse
    met = pulse is not None and frame.movie_time_ps >= pulse.peak_ps
    # A film at rest may be uniform; one that met a pulse has a rim at least, or noise.
    if low == high and (met or abs(low) < 1):
        return f"frame {frame.index} is blank: every pixel holds {low:g}"
    if pulse is None or not met:
        return ""
    sz = frame.sz
    if max(-low, high) >= 1 and np.count_nonzero(np.abs(sz) >= 1) >= _SATURATED * sz.size:
        return f"frame {frame.index} is saturated: nearly every pixel is at ±1"
    pulse_on = frame.movie_time_ps - pulse.peak_ps <= pulse.width_ps
    if pulse_on and before is not None and np.array_equal(frame.data, before.data):
        return f"frame {frame.index} is the one before again, bit for bit, while the pulse is on"
    return ""


def _loss(counts: Counts) -> str:
    """Why a movie with these counts must not be acted on, or ""."""
    if counts.missing:
        return f"{counts.missing} of {counts.missing + counts.received} frames missing"
    if counts.upstream_dropped:
        return f"the source dropped {counts.upstream_dropped} frames"
    if counts.stale:
        return f"{counts.stale} frames passed over as stale"
    if counts.reordered:
        return f"{counts.reordered} frames out of order"
    if counts.received == 0:
        return "no frames"
    return ""
