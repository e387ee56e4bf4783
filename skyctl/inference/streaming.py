"""The streaming classifier: frames in, a verdict after each, a result when the movie is over."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from skyctl.belief import HARMLESS_T2PS, STATES, Belief
from skyctl.errors import FilmUnreadable
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.inference.film_reader import read_film
from skyctl.inference.model import MovieClassifier
from skyctl.inference.pixels import gaps, into_gaps
from skyctl.inference.rules import noise_of
from skyctl.inference.state_check import MovieCheck, StateCheck
from skyctl.process import KINDS
from skyctl.stream.accounting import LatencyHistogram
from skyctl.verdict import FilmState, ShotResult, Verdict

Listener = Callable[[Verdict | ShotResult], None]

_LONGEST_SPIN = 1.25
"""Of an S_z that a camera shows: its gain may be off."""
_NOISE_REACH = 6.0
_SAME_PS = 1e-6
_SATURATED = 0.99
"""Share of pixels. Noise that is cut off at ±1 puts half of a uniform film there."""


class StreamingClassifier:
    """Classifies one movie after another; ``handle`` takes the hub's events.

    model : the network; its state is carried through a movie and reset at each start
    pixel_sites : side of the camera's pixel in sites of the film; None where that is not known
    foreign : why the frames are none that network and reader know, or "" (``foreign_to``): then
        the one abstains and the other reads nothing
    check : whether a film at rest is a state of this sample; None asks nobody
    latency, age : of all verdicts, since their frame was received and since it left its source
    belief : about film and network, from all movies so far; whoever knows more may replace it:
        a run that begins, say, to which the film is unknown

    Whoever subscribes gets a Verdict after each good frame of a pulsed movie and a ShotResult at
    the end of every movie.

    A movie without a pulse (a look) has a film state and no verdict: the network knows only what
    follows a pulse. A bad frame (NaN, values that are no S_z, another shape, blank, saturated, or
    the one before again while the pulse is on) never reaches the network, whose hidden state it
    would poison; it marks the whole movie instead. Pixels that are exactly 0 in a movie's first
    frame measure nothing (``pixels.gaps``): network and reader get their neighbours' values.

    A movie whose film at rest is no state of this sample (``check``) is outside of what the network
    knows: it abstains. A look at such a film is unreadable.

    In a movie that may end early the first verdict that is ``early`` is the movie's: what was on
    its way when the camera was told to stop reaches nothing, so that the result is the same however
    many frames that were, and when they are replayed.
    """

    def __init__(
        self,
        model: MovieClassifier,
        pixel_sites: float | None = None,
        foreign: str = "",
        check: StateCheck | None = None,
    ) -> None:
        self.model, self.pixel_sites, self._foreign = model, pixel_sites, foreign
        self.check = check
        self.latency = LatencyHistogram()
        self.age = LatencyHistogram()
        self.belief = Belief()
        self.ours: Callable[[str, str], bool] = lambda run, shot: True
        """Whether this shot of this run is of the film that the belief is about; another one moves
        nothing."""
        self.kept_times_ps: tuple[float, ...] = ()
        """Movie times whose frames come with the result, for whoever asks for them."""
        self._listeners: tuple[Listener, ...] = ()
        self._telling = threading.RLock()
        self._start: ShotStart | None = None
        self._begin(None)

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` with every verdict and result from now on."""
        self._listeners = (*self._listeners, listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Stop calling ``listener``, once it has heard what others were told already: one of them
        may have said that a movie is over, and another still has to write it down."""
        with self._telling:
            self._listeners = tuple(known for known in self._listeners if known != listener)

    def _tell(self, news: Verdict | ShotResult) -> None:
        with self._telling:
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
        self._mean_spins: list[tuple[float, float, float, float]] = []
        self._kept: list[Frame] = []
        self._seen_ns = 0
        self._background = 0
        """Of the film in the first frame; 0 before there was one."""
        self._checked = MovieCheck(self.check, start and start.pulse) if self.check else None
        self._filled: Callable[[np.ndarray], np.ndarray] | None = None
        """Gives pixels that measure nothing their neighbours' value; None in a movie without."""

    def _frame(self, frame: Frame) -> None:
        start = self._start
        if start is None or not _is_of(frame, start) or self._bad_frame or self._certain:
            return
        self._bad_frame = _fault(frame, start, self._last_frame)
        if self._bad_frame or (self._last_frame and frame.index < self._last_frame.index):
            return
        if self._last_frame is None and (missing := gaps(frame.sz)).any():
            self._filled = into_gaps(missing)
        sz = frame.sz if self._filled is None else self._filled(frame.sz)
        if self._last_frame is None:
            self.model.begin(sz, start.pulse)
            self.model.outside = self._foreign
            self._background = self.model.background
        if self._checked:
            self._checked.add(frame.sz, frame.movie_time_ps)
        self._last_frame = frame
        self._seen_ns = frame.left_source_ns
        self._mean_sz.append((frame.movie_time_ps, float(sz.mean(dtype=np.float64))))
        if any(abs(frame.movie_time_ps - time_ps) <= _SAME_PS for time_ps in self.kept_times_ps):
            self._kept.append(frame)
        if frame.data.ndim == 3:
            x, y, z = frame.data.mean((1, 2), dtype=np.float64).tolist()
            self._mean_spins.append((frame.movie_time_ps, x, y, z))
        if start.pulse is None:
            return
        probabilities = self.model.step(sz, frame.movie_time_ps)
        strange = self._strange
        self._verdict = Verdict(
            shot=frame.shot,
            index=frame.index,
            movie_time_ps=frame.movie_time_ps,
            classes=self.model.card.classes,
            probabilities=tuple(float(p) for p in probabilities),
            label=None if strange else self.model.label(probabilities),
            received_ns=frame.received_ns,
            decided_ns=time.monotonic_ns(),
            early=not strange
            and self.model.may_stop(probabilities, frame.movie_time_ps - start.pulse.peak_ps),
            novelty=self.model.novelty,
            transitions=tuple(float(p) for p in self.model.transitions),
            background=self._background,
            outside=self.model.outside or strange,
            off_states=self._off_states,
            run=frame.run,
        )
        self._latencies_ms.append(self._verdict.latency_ms)
        self.latency.add(self._verdict.latency_ms)
        self.age.add((self._verdict.decided_ns - frame.left_source_ns) / 1e6)
        self._tell(self._verdict)

    @property
    def _certain(self) -> bool:
        """Whether the movie has its verdict, whatever frames may follow."""
        start, verdict = self._start, self._verdict
        return bool(start and start.may_end_early and verdict and verdict.early)

    def _end(self, end: ShotEnd) -> None:
        start = self._start
        if start is None or not _is_of(end, start):
            return
        state, unreadable = self._read()
        problem = self._bad_frame or _loss(end.counts) or self._cut_short(end)
        if self.ours(end.run, end.shot):
            self.belief = self._believe(start, state, problem)
        self._tell(
            ShotResult(
                shot=end.shot,
                verdict=self._verdict,
                state=state,
                counts=end.counts,
                problem=problem,
                unreadable=unreadable,
                off_states=self._off_states,
                latencies_ms=tuple(self._latencies_ms),
                seen_ns=self._seen_ns,
                mean_sz=tuple(self._mean_sz),
                mean_spins=tuple(self._mean_spins),
                kept=tuple(self._kept),
                belief=self.belief,
                ended_early=self._certain and self._seen_frames < start.expected_frames,
                frames_read=self._seen_frames,
                run=end.run,
            )
        )
        self._begin(None)

    @property
    def _strange(self) -> str:
        """Why the film at rest is no state of this sample, or ""."""
        return self._checked.fault if self._checked else ""

    @property
    def _off_states(self) -> float:
        return self._checked.off_states if self._checked else 0.0

    @property
    def _seen_frames(self) -> int:
        return self._last_frame.index + 1 if self._last_frame else 0

    def _cut_short(self, end: ShotEnd) -> str:
        """Why a movie that was ended early must not be acted on, or ""."""
        if not end.ended_early or self._certain:
            return ""
        return f"ended early, after {self._seen_frames} frames, and no verdict was certain"

    def _read(self) -> tuple[FilmState | None, str]:
        """What the last frame shows of the film, or None and why it shows nothing.

        A film whose movie ended early is still moving: there is nothing to read yet.
        """
        if self._bad_frame or self._last_frame is None or self._certain:
            return None, ""
        if self._foreign:
            return None, self._foreign
        if self._start and self._start.pulse is None and self._strange:
            return None, self._strange
        try:
            return read_film(self._last_frame.sz, pixel_sites=self.pixel_sites), ""
        except FilmUnreadable as error:
            return None, str(error)

    def _believe(self, start: ShotStart, state: FilmState | None, problem: str) -> Belief:
        """The belief after this movie."""
        if start.pulse is None:
            if state is None or problem:
                return self.belief
            return self.belief.after_look(_likelihood(state))
        verdict = self._verdict
        said = verdict and not problem and not (self.model.is_novel or verdict.outside)
        return self.belief.after_shot(
            np.array(verdict.transitions) if verdict and said else None,
            self._background or self.belief.background,
            self.model.card.reliability,
            named=verdict is not None and verdict.label is not None,
            harmless=start.pulse.dose_T2ps <= HARMLESS_T2PS,
        )


def foreign_to(facts: Mapping[str, Any]) -> str:
    """Why frames of a sample with these facts are none that network and reader know, or ""."""
    shown = facts.get("component", "sz")
    return "" if shown in ("sz", "spins") else f"frames show {shown}: network and reader know sz"


def _is_of(event: Frame | ShotEnd, start: ShotStart) -> bool:
    return (event.run, event.shot) == (start.run, start.shot)


def _likelihood(film: FilmState) -> tuple[float, ...]:
    """(states,) of the image of a look."""
    signs = {film.background: film.background_probability}
    return tuple(
        film.likelihood[KINDS.index(kind)] * signs.get(sign, 1 - film.background_probability)
        for kind, sign in STATES
    )


def _fault(frame: Frame, start: ShotStart, before: Frame | None) -> str:
    """What is wrong with a frame, or "". ``before`` : the frame before it."""
    if frame.data.shape != start.shape:
        return f"frame {frame.index} has shape {frame.data.shape}, the shot said {start.shape}"
    low, high = frame.data.min(), frame.data.max()  # of which NaN makes NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"frame {frame.index} holds a NaN or an infinity"
    beyond = max(-low, high) - _LONGEST_SPIN
    if beyond > 0 and beyond > _NOISE_REACH * noise_of(frame.sz):
        return f"frame {frame.index} holds values beyond ±1: not S_z"
    pulse = start.pulse
    met = pulse is not None and frame.movie_time_ps >= pulse.peak_ps
    # A film at rest may be uniform; one that met a pulse has a rim at least, or noise.
    if low == high and (met or (pulse is not None and abs(low) < 1)):
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
