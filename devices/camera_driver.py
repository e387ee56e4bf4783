"""What a FilmCamera asks of whatever exposes."""

from typing import Any, Protocol, runtime_checkable

from skyctl.pulse import Exposure, FrameSchedule


class CameraDriver(Protocol):
    """What exposes: a detector, or the simulated sample's camera."""

    shape: tuple[int, ...]

    def expose(self, run: str, exposure: Exposure, movie: FrameSchedule) -> None:
        """Film at once, or be ready to film when the pulse comes."""
        ...

    def cancel(self) -> str:
        """Stop waiting for a pulse that has not come; the shot that is not filmed, or ""."""
        ...

    def finish(self, shot: str) -> None:
        """Expose no more of this movie; what its pulse does to the sample goes on.

        From any thread; it may take its time. Nothing for a movie that is over, or is not this one.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Plain facts of the sample and camera, for the file's header."""
        ...


@runtime_checkable
class Strobed(Protocol):
    """A CameraDriver that takes more than one pulse for a movie."""

    def pulses(self, movie: FrameSchedule) -> int:
        """How many."""
        ...


@runtime_checkable
class MayBeAbsent(Protocol):
    """A CameraDriver that goes on where a device is dead."""

    def absent(self) -> str:
        """Why nothing can be filmed now, or ""."""
        ...
