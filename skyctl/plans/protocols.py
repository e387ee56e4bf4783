"""What plans need of a beamline; `skyctl.beamline.Beamline` is one."""

from typing import Any, Protocol

from skyctl.belief import Belief
from skyctl.errors import StreamError


class Believer(Protocol):
    """What believes something of the film and the network, from all movies of a run."""

    belief: Belief


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
    """Raise StreamError for a beamline that was closed: no frame would ever come."""
    if not beamline.is_open:
        raise StreamError(
            f"{beamline!r}: closed, no frame can arrive. Nothing was fired; make it anew, and run "
            "plans inside its `with` block."
        )
