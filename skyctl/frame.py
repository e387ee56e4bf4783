"""Frame: one image of the movie after a pulse, and the messages that open and close a movie."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from skyctl.pulse import FrameSchedule, Pulse

_UNIT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class ShotStart:
    """A movie begins.

    run : recording this shot belongs to; shot : unique within it
    pulse : what is fired, None when the camera only looks
    expected_frames : how many frames will follow
    shape : of each frame; (H, W) is S_z, (3, H, W) the spins
    number : 1, 2, 3 … of the shots that its source sent; 0 where it does not count
    may_end_early : a certain verdict ends the movie; then it is the movie's verdict, and later
        frames are not asked
    """

    run: str
    shot: str
    pulse: Pulse | None
    movie: FrameSchedule
    expected_frames: int
    shape: tuple[int, ...]
    number: int = field(default=0, compare=False)
    may_end_early: bool = False


@dataclass(frozen=True)
class Frame:
    """One image of a movie.

    data : float32, S_z (H, W) or spins (3, H, W)
    index : 0, 1, 2 … in the shot; movie_time_ps : when in the movie
    source_time_ns : when it left the source (UNIX time); received_ns : when the hub had it
        (monotonic clock, 0 where it was never received)
    transit_ns : from the source to the hub, the difference of their clocks taken out; 0 where the
        clocks cannot be compared
    counts : what the detector counted, (rows, columns), where S_z was computed from it by a
        calibration; of two helicities (2, rows, columns); None where there is nothing to compute
        again
    shift : how far the counts were moved before, (rows, columns) of their pixels; of two helicities
        by those of plus, then of minus
    """

    run: str
    shot: str
    index: int
    movie_time_ps: float
    source_time_ns: int
    data: np.ndarray
    received_ns: int = 0
    transit_ns: int = 0
    counts: np.ndarray | None = field(default=None, compare=False, repr=False)
    shift: tuple[float, ...] = field(default=(0.0, 0.0), compare=False, repr=False)

    @property
    def left_source_ns(self) -> int:
        """When it left the source, on the hub's monotonic clock; its age is counted from then."""
        return self.received_ns - self.transit_ns

    @property
    def sz(self) -> np.ndarray:
        """S_z, (H, W)."""
        return self.data if self.data.ndim == 2 else self.data[2]


def unit_spins(spins: Any) -> np.ndarray:
    """Spins as float64, (3, H, W). Raises ValueError for any but unit vectors, to 1e-4."""
    spins = np.asarray(spins, dtype=np.float64)
    if spins.ndim != 3 or spins.shape[0] != 3:
        raise ValueError(f"spins of shape {spins.shape}: give (3, rows, columns)")
    off = np.abs(np.linalg.norm(spins, axis=0) - 1).max(initial=0)
    if not off < _UNIT_TOLERANCE:
        raise ValueError(
            f"spins not normalised: the length of one is off by {off:.2g}. Divide each by its "
            "length."
        )
    return spins


@dataclass(frozen=True)
class Counts:
    """What arrived of a shot, and what did not.

    received : distinct frames; missing : the gaps, frames sent or promised that never came
    duplicates, reordered : frames seen twice, or after a later one
    stray : frames of a shot that was never opened; foreign : messages of somebody else's
    undecodable : bytes that are no message at all
    upstream_dropped : frames the source itself says it lost before it sent them
    late : frames of a shot that was over, where they are among the missing
    stale : frames that one subscriber passed over because newer ones waited or they were too old
    unrecorded : of those received, frames that cannot be, or were not, recorded: of another shape
    """

    received: int = 0
    missing: int = 0
    duplicates: int = 0
    reordered: int = 0
    stray: int = 0
    foreign: int = 0
    undecodable: int = 0
    upstream_dropped: int = 0
    late: int = 0
    stale: int = 0
    unrecorded: int = 0

    @property
    def complete(self) -> bool:
        """Whether every frame came, once and in order, was looked at and was recorded."""
        lost = self.missing or self.reordered or self.upstream_dropped or self.stale
        return not (lost or self.unrecorded)


COUNTS = tuple(count.name for count in fields(Counts))
"""Their names, in the order in which files and signals have them."""


@dataclass(frozen=True)
class ShotEnd:
    """A movie is over.

    sent_frames : the source's count, None when the end never came or the source does not count
    ended_early : the camera ended the movie on purpose before all that was promised was exposed:
        what is then not there is not missing
    transit_ms : median and longest way of its frames from the source to the hub, ms; None where
        that was not measured
    """

    run: str
    shot: str
    sent_frames: int | None
    counts: Counts = field(default_factory=Counts)
    transit_ms: tuple[float, float] | None = field(default=None, compare=False)
    ended_early: bool = False
