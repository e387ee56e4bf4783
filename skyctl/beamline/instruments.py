"""The instruments of a beamline's file: how each is reached; none is asked here."""

from collections.abc import Callable
from pathlib import Path

from skyctl.beamline.file import BeamlineFile, Counter, DelaysEntry
from skyctl.devices.instruments.camera import CameraTable, InstrumentCamera
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.stroboscope import DelayTable
from skyctl.devices.instruments.table import DriverTable, calibrated, load_table
from skyctl.devices.instruments.transport import Transport, number
from skyctl.errors import InstrumentError
from skyctl.stream.sources.pixels import ToSz


def counts_to_sz(file: BeamlineFile, camera: str, here: Path) -> ToSz:
    """What makes S_z of what this camera counts. Raises InstrumentError, RecordingError."""
    shape, delays, frames = file.camera.shape, file.delays, file.camera.frames
    if delays is None:
        return frames.to_sz(camera, shape, here)
    if load_table(DelayTable, delays.driver, here).helicities == 2:
        return frames.to_sz(camera, (2, *shape), here, delays.saturated)
    if "saturated" in delays.model_fields_set:
        raise InstrumentError(
            f"beamline {file.name}: delays.saturated is of two helicities, and {delays.driver} "
            "says how to set none. Leave it out, or give plus and minus there."
        )
    return frames.to_sz(camera, shape, here)


def open_pulser(file: BeamlineFile, here: Path) -> PulseInstrument:
    """The pulser's driver; it connects in its own thread. Raises InstrumentError."""
    entry = file.pulser
    table = calibrated(load_table(DriverTable, entry.driver, here), entry.calibration)
    if entry.counter is None and not table.states.counter:
        raise InstrumentError(
            f"pulser {table.name}: it does not count its shots, so nothing proves one. Name an "
            "instrument that does: [pulser.counter] with transport, address and name."
        )
    counter = _counter(entry.counter) if entry.counter else None
    return PulseInstrument(
        entry.open(),
        table,
        fixed=entry.fixed,
        counter=counter,
        timeout_s=entry.timeout_s,
        oldest_s=entry.heartbeat_s,
        envelope=entry.limits(),
    )


def open_delays(entry: DelaysEntry, here: Path) -> tuple[Transport, DelayTable]:
    """The delay generator; it is not asked yet. Raises InstrumentError."""
    return entry.open(), load_table(DelayTable, entry.driver, here)


def open_camera(file: BeamlineFile, here: Path) -> InstrumentCamera:
    """The camera's driver; it is not asked yet. Raises InstrumentError."""
    entry = file.camera
    table = load_table(CameraTable, entry.driver, here)
    return InstrumentCamera(entry.open(), table, shape=entry.shape, timeout_s=entry.timeout_s)


def _counter(entry: Counter) -> Callable[[float], int]:
    transport = entry.open()

    def count(timeout_s: float) -> int:
        told = transport.get([entry.name], timeout_s)[entry.name]
        return int(number(transport.address, entry.name, told))

    return count
