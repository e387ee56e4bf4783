"""Pieces of plans: they need an open run and staged devices. Compose your own plans of them."""

import contextlib
import uuid
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, Msg
from ophyd.status import Status

from skyctl.frame import Counts
from skyctl.plans.protocols import Beamline
from skyctl.pulse import Exposure, Pulse
from skyctl.verdict import ShotResult

FRAMES = "frames"
LOOKS = "looks"
PRIMARY = "primary"

T = TypeVar("T")
Plan = Generator[Msg, Any, T]
"""Messages for a RunEngine; T is what the plan returns once they are done."""


def new_shot() -> str:
    """A name no other shot has; a shot of one name fires once."""
    return uuid.uuid4().hex


def declare_frames(camera: Any) -> Plan[None]:
    """Declare the stream of the camera's frames; once, at the start of a run."""
    yield from bps.declare_stream(camera.frames, name=FRAMES, collect=True)


def collect_rest(camera: Any) -> Plan[None]:
    """At the end of a run, however it ends: wait for a movie under way and document its frames.

    Not replayed after a pause, which may come when the run is closed already.
    """

    def documents() -> Plan[None]:
        yield from bps.stop(camera)
        yield from bps.collect(camera.frames, name=FRAMES)

    yield from bpp.rewindable_wrapper(documents(), False)


def fire(beamline: Beamline, pulse: Pulse, shot: str | None = None) -> Plan[str]:
    """Fire one pulse and return the shot's name. The pulser's guard and interlocks decide.

    Raises PulseRefused when they refuse; then nothing was fired.
    """
    shot = shot or new_shot()
    yield from bps.checkpoint()
    yield from _arm_rested(beamline, pulse, shot)
    yield from _sent(beamline.pulser)
    return shot


def shoot(beamline: Beamline, pulse: Pulse, shot: str | None = None) -> Plan[ShotResult]:
    """Fire a pulse, film and classify what follows; one event in ``primary``.

    Replayed after a pause it waits for the same movie and fires nothing twice.
    """
    return (yield from _filmed(beamline, Exposure(shot=shot or new_shot(), pulse=pulse)))


def look(beamline: Beamline) -> Plan[ShotResult]:
    """Film the resting film, without a pulse; one event in ``looks``."""
    return (yield from _filmed(beamline, Exposure(shot=new_shot(), pulsed=False)))


def _filmed(beamline: Beamline, exposure: Exposure) -> Plan[ShotResult]:
    filmed = yield from film(beamline, exposure)
    result, whole = filmed or (no_result(exposure.shot, "nobody runs the plan"), False)
    if whole and (lost := (yield from in_one_go(event_of(beamline, exposure.pulsed)))):
        return no_result(exposure.shot, lost)
    return result


class Filmed(NamedTuple):
    """A movie that is over. whole : it came to an end, so there is something to write down."""

    result: ShotResult
    whole: bool


def film(beamline: Beamline, exposure: Exposure) -> Plan[Filmed | None]:
    """Film and classify, and first fire the pulse that the exposure names. Nothing is written yet:
    see `event_of`.

    None when nobody runs the plan's messages. Raises PulseRefused; then nothing was fired, and
    camera and classifier wait until `give_up_movie`; as they do after FireUnknown.
    """
    camera, classifier, pulser = beamline.camera, beamline.classifier, beamline.pulser
    shot, ready = exposure.shot, f"{exposure.shot} ready"
    yield from bps.checkpoint()
    yield from bps.prepare(camera, exposure, group=ready)
    yield from bps.prepare(classifier, exposure, group=ready)
    yield from bps.wait(ready)
    if exposure.pulse:
        yield from _arm_rested(beamline, exposure.pulse, shot)
    filmed, classified = _Awaited(camera), _Awaited(classifier)
    yield from bps.trigger(filmed, group=_file(shot))
    yield from bps.trigger(classified, group=shot)
    if exposure.pulse:
        yield from _sent(pulser)
    yield from bps.wait(shot)
    if lost := classified.problem:
        return Filmed(no_result(shot, lost), False)
    result = classifier.result
    return Filmed(result, True) if result and result.shot == shot else None


def event_of(
    beamline: Beamline, pulsed: bool, meanwhile: Callable[[], Plan[None]] | None = None
) -> Plan[str]:
    """The event of the last movie, and its frames; part of an `in_one_go`.

    meanwhile : done before the movie is on disk, when the pulser's settings are in the event: they
        may change then

    Returns why the movie never comes to the disk, and nothing is written of it; or "".
    """
    camera = beamline.camera
    yield from bps.create(name=PRIMARY if pulsed else LOOKS)
    if pulsed:
        yield from bps.read(beamline.pulser)
    if meanwhile:
        yield from meanwhile()
    if lost := (yield from _on_disk(camera)):
        yield from bps.drop()
        return lost
    yield from bps.read(camera)
    yield from bps.read(beamline.classifier)
    yield from bps.save()
    yield from bps.collect(camera.frames, name=FRAMES)
    return ""


def in_one_go(documents: Plan[T]) -> Plan[T]:
    """Write documents that, once begun, are not replayed after a pause: they would come twice."""
    return (yield from bpp.rewindable_wrapper(documents, False))


def give_up_movie(beamline: Beamline) -> Plan[None]:
    """Wait no longer for the movie of a pulse that was not fired."""
    yield from bps.stop(beamline.camera)
    yield from bps.stop(beamline.classifier)
    yield from bps.checkpoint()


def no_result(shot: str, problem: str) -> ShotResult:
    """Of a shot that was not fired, or whose movie never came."""
    return ShotResult(shot, None, None, Counts(), problem, ())


def _file(shot: str) -> str:
    """Name of the group that waits for a movie to be on disk."""
    return f"{shot} on disk"


def _on_disk(camera: Any) -> Plan[str]:
    """Wait until the last movie is on disk; why that never comes, or ""."""
    group, written = _file(str(camera.shot.get())), _Awaited(camera)
    while True:  # a pause ends a wait that is not replayed
        status = yield from bps.trigger(written, group=group)
        yield from bps.wait(group)
        if status is None or status.done:
            return written.problem


def armed(beamline: Beamline, pulse: Pulse, shot: str) -> Plan[None]:
    """Arm the pulser, for as many pulses as the camera's movie takes."""
    repeats = beamline.camera.pulses_per_shot
    more = {} if repeats == 1 else {"repeats": repeats}
    yield from bps.abs_set(beamline.pulser, pulse, shot=shot, **more, wait=True)


def _arm_rested(beamline: Beamline, pulse: Pulse, shot: str) -> Plan[None]:
    pulser = beamline.pulser
    if rest_s := pulser.rest_left_s:
        yield from bps.sleep(rest_s)
    with _its_own_error():
        yield from armed(beamline, pulse, shot)


def _sent(pulser: Any) -> Plan[None]:
    """Fire what the pulser is armed for, and wait until it is known to be sent.

    Raises PulseRefused or FireUnknown.
    """
    with _its_own_error():
        yield from bps.trigger(pulser, wait=True)


@contextlib.contextmanager
def _its_own_error() -> Iterator[None]:
    """Raise what a device's status failed with, where its messages alone may fail."""
    try:
        yield
    except FailedStatus as error:
        raise error.__cause__ or error from error


class _Awaited:
    """A device's `movie_over`, as a trigger that is done also when the movie will never come.

    The RunEngine throws a status that fails at whatever message is then under way, which may be
    another's: a movie that is lost is told by ``problem`` instead, to whoever waited for it.

    All of one device are equal: the RunEngine keeps every object that it ever saw in a run.
    """

    def __init__(self, device: Any) -> None:
        self.name = device.name
        self.problem = ""
        self._device = device

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Awaited) and other._device is self._device

    def __hash__(self) -> int:
        return id(self._device)

    def trigger(self) -> Any:  # an ophyd Status, which is not quite bluesky's
        self.problem = ""
        over = Status(self._device)
        self._device.movie_over().add_callback(lambda status: self._tell(status, over))
        return over

    def _tell(self, status: Any, over: Status) -> None:
        if error := status.exception(timeout=0):
            self.problem = f"no end of its movie ({error})"
        over.set_finished()
