"""What plans need of a beamline; `skyctl.beamline.Beamline` is one."""

from typing import Any, Protocol

from skyctl.belief import Belief
from skyctl.errors import StreamError

_PARTS = ("pulser", "camera", "classifier", "decisions", "streaming", "is_open")


class Believer(Protocol):
    """What believes something of the film and the network, from all movies of a run; and keeps
    frames of the movie times that it is asked for."""

    belief: Belief
    kept_times_ps: tuple[float, ...]


class Beamline(Protocol):
    """Devices that are staged and read together (ophyd's, which are untyped), and the belief."""

    @property
    def pulser(self) -> Any: ...

    @property
    def camera(self) -> Any: ...

    @property
    def classifier(self) -> Any: ...

    @property
    def decisions(self) -> Any: ...

    @property
    def streaming(self) -> Believer: ...

    @property
    def is_open(self) -> bool: ...


def require_open(beamline: Beamline) -> None:
    """Raise StreamError for a beamline that was closed: no frame would ever come.

    TypeError for what is no beamline: one of its devices, or a pulse that was given first.
    """
    if missing := [name for name in _PARTS if not hasattr(beamline, name)]:
        raise TypeError(
            f"{type(beamline).__name__} in the place of a beamline: it has no {missing[0]}. A plan "
            "takes the whole beamline first, as in classify_shot(beamline, pulse)."
        )
    if not beamline.is_open:
        raise StreamError(
            f"{beamline!r}: closed, no frame can arrive. Nothing was fired; make it anew, and run "
            "plans inside its `with` block."
        )
