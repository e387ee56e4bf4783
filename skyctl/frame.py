"""Frame: one image of the movie after a pulse, and the messages that open and close a movie."""

from dataclasses import dataclass, field

import numpy as np

from skyctl.pulse import Movie, Pulse


@dataclass(frozen=True)
class ShotStart:
    """A movie begins.

    run : recording this shot belongs to; shot : unique within it
    pulse : what is fired, None when the camera only looks
    expected_frames : how many frames will follow
    shape : of each frame; (H, W) is S_z, (3, H, W) the spins
    """

    run: str
    shot: str
    pulse: Pulse | None
    movie: Movie
    expected_frames: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Frame:
    """One image of a movie.

    data : float32, S_z (H, W) or spins (3, H, W)
    index : 0, 1, 2 … in the shot; movie_time_ps : when in the movie
    source_time_ns : when it left the source (UNIX time); received_ns : when the hub had it
        (monotonic clock, 0 where it was never received)
    """

    run: str
    shot: str
    index: int
    movie_time_ps: float
    source_time_ns: int
    data: np.ndarray
    received_ns: int = 0

    @property
    def sz(self) -> np.ndarray:
        """S_z, (H, W)."""
        return self.data if self.data.ndim == 2 else self.data[2]


@dataclass(frozen=True)
class Counts:
    """What arrived of a shot, and what did not.

    received : distinct frames; missing : frames the source sent, or promised, that never came
    duplicates, reordered : frames seen twice, or after a later one
    stray : frames of a shot that was not open; foreign : messages of somebody else's
    undecodable : bytes that are no message at all
    """

    received: int = 0
    missing: int = 0
    duplicates: int = 0
    reordered: int = 0
    stray: int = 0
    foreign: int = 0
    undecodable: int = 0

    @property
    def complete(self) -> bool:
        """Whether every frame came, once and in order."""
        return not (self.missing or self.reordered)


@dataclass(frozen=True)
class ShotEnd:
    """A movie is over. ``sent_frames`` is the source's count, None when the end never came."""

    run: str
    shot: str
    sent_frames: int | None
    counts: Counts = field(default_factory=Counts)
