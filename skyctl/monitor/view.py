"""View: what a page server asks of whatever it shows, live or recorded."""

from typing import Any, Literal, Protocol

from skyctl.monitor.controls import Controls
from skyctl.monitor.film import LiveFrame
from skyctl.monitor.newest import Newest

Kind = Literal["live", "replay", "recording"]
"""Live, a recording that runs through hub and classifier again, or one that is looked at."""


class View(Protocol):
    """What is shown. Its methods may take their time: they are called in threads."""

    @property
    def controls(self) -> Controls | None:
        """What a person may do; None where nothing can be done."""
        ...

    @property
    def still(self) -> bool:
        """Whether the state never changes, so that it is told once."""
        ...

    @property
    def newest(self) -> Newest[LiveFrame]:
        """The newest frame; none ever comes of a recording."""
        ...

    def state(self) -> dict[str, Any]:
        """All that is shown besides the film, plain values."""
        ...

    def movie(self, shot: str, frames: int, side: int) -> bytes | None:
        """At most so many frames of a shot, each at most so wide; None where it is not known."""
        ...

    def curve(self, shot: str) -> dict[str, Any] | None:
        """Verdicts of a shot; None where it is not known."""
        ...
