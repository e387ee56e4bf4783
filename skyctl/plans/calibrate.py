"""Plan that calibrates a camera: what it counts in the dark and of a saturated film."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from skyctl.plans import stubs
from skyctl.plans.plans import in_one_run
from skyctl.plans.protocols import Beamline
from skyctl.plans.stubs import Plan


class Averaging(Protocol):
    """Averages frames of named states: `skyctl.beamline.counting.CountsAverage` is one."""

    def add(self, state: str, shot: str) -> None:
        """Add the images of a movie that is over to those of a state."""
        ...

    def save(self, run: str = "") -> Any:
        """Write the calibration; where it is."""
        ...


def calibrate_contrast(
    beamline: Beamline,
    counts: Averaging,
    states: Mapping[str, Callable[[], Plan[None]]],
    *,
    looks: int = 16,
    md: dict[str, Any] | None = None,
) -> Plan[str]:
    """Film each state and write the calibration. Nothing is fired.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    counts : Averaging
        Averages the images of each state.
    states : mapping
        What brings the beamline to each state, stubs by name, in this order: ``dark`` closes the
        shutter, ``up`` and ``down`` saturate the film either way, ``flat`` takes the sample out;
        left out where that cannot be.
    looks : int, optional
        Images to average of each.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    str
        Where the calibration is.

    Raises StreamError for a closed beamline or a look without an image, ValueError where both
    saturations look the same.
    """

    def body() -> Plan[str]:
        for state, reach in states.items():
            yield from reach()
            for _ in range(looks):
                counts.add(state, (yield from stubs.look(beamline)).shot)
        return str(counts.save(str(beamline.camera.recording)))

    facts = {"states": list(states), "looks": looks}
    return (yield from in_one_run("calibrate_contrast", beamline, body, md, facts))
