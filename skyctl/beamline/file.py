"""A beamline in one file: TOML that names its devices, and the simulated twin in their place.

>>> from skyctl.beamline import load_beamline
>>> with load_beamline("beamline.toml", mock=True) as beamline:
...     print(beamline)
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skyctl.beamline.beamline import Beamline, assemble
from skyctl.beamline.entries import BeamlineFile, Counter, read_beamline
from skyctl.beamline.simulated import simulated_beamline
from skyctl.devices.instruments.camera import CameraTable, InstrumentCamera
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.sample import InstrumentSample
from skyctl.devices.instruments.stroboscope import DelayTable, Stroboscope
from skyctl.devices.instruments.table import (
    DriverTable,
    calibrated,
    load_table,
)
from skyctl.devices.instruments.transport import number
from skyctl.errors import InstrumentError
from skyctl.inference.model import MovieClassifier
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.stream.sources.pixels import ToSz
from skyctl.stream.sources.source import Source
from skyctl.stream.sources.stroboscopic import StroboscopicParser
from skyctl.stream.sources.triggers import Triggers

_FIRST_LOOK_S = 10.0


def load_beamline(
    path: Path | str,
    *,
    mock: bool = False,
    folder: Path | str | None = None,
    model: MovieClassifier | None = None,
    metrics_port: int | None = None,
) -> Beamline[Any]:
    """The beamline of a file, connected.

    mock : a simulated film in place of sample and instruments, with devices of the same names and
        limits and a ledger of its own
    folder : of recordings and ledger; left out, the file's, and ``mock`` in it for a mock

    Raises InstrumentError, and whatever `assemble` raises.
    """
    file = read_beamline(path)
    folder = Path(folder or (file.recordings / "mock" if mock else file.recordings))
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {
        "model": model or MovieClassifier(file.model),
        "envelope": file.pulser.limits(),
        "ledger": folder / "ledger.jsonl",
        "metrics_port": metrics_port,
        "timeout_s": file.timeout_s,
    }
    if mock:
        beamline = _twin(file, folder, parts)
    else:
        beamline = _real(file, Path(path).resolve().parent, folder, parts)
    beamline.camera.film_like(file.camera.movie)
    beamline.camera.ends_early.put(int(file.camera.ends_early))
    return beamline


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
        entry.open(), table, fixed=entry.fixed, counter=counter, timeout_s=entry.timeout_s
    )


def open_camera(file: BeamlineFile, here: Path) -> InstrumentCamera:
    """The camera's driver. Raises InstrumentError: no answer, or of another size."""
    entry = file.camera
    table, transport = load_table(CameraTable, entry.driver, here), entry.open()
    try:
        return InstrumentCamera(transport, table, shape=entry.shape, timeout_s=entry.timeout_s)
    except InstrumentError:
        transport.close()
        raise


def _counter(entry: Counter) -> Callable[[float], int]:
    transport = entry.open()

    def count(timeout_s: float) -> int:
        told = transport.get([entry.name], timeout_s)[entry.name]
        return int(number(transport.address, entry.name, told))

    return count


def _real(file: BeamlineFile, here: Path, folder: Path, parts: dict[str, Any]) -> Beamline[Any]:
    with contextlib.ExitStack() as undo:
        pulser = open_pulser(file, here)
        undo.callback(pulser.close)
        camera = open_camera(file, here)
        undo.callback(camera.transport.close)
        pulser.wait_asked(_FIRST_LOOK_S)
        if faults := pulser.commands.faults_of_limits(parts["envelope"]):
            raise InstrumentError(f"pulser {pulser.table.name}: {'; '.join(faults)}")
        triggers = Triggers()
        frames = file.camera.frames
        to_sz = frames.to_sz(camera.table.name, camera.shape, here)
        facts = {
            **file.sample,
            "beamline": file.name,
            "pixel_sites": file.camera.pixel_sites * frames.binned,
            "counts_to_sz": to_sz.describe(),
        }
        if file.delays:
            sample, source = _strobed(file, here, pulser, camera, triggers, to_sz, facts)
        else:
            sample = InstrumentSample(pulser, camera, facts, triggers)
            source = frames.open(triggers, to_sz)
        undo.pop_all()
    rows, columns = camera.shape
    sample.shape = (rows // frames.binned, columns // frames.binned)
    return assemble(sample, source, folder, **parts)


def _strobed(
    file: BeamlineFile,
    here: Path,
    pulser: PulseInstrument,
    camera: InstrumentCamera,
    triggers: Triggers,
    to_sz: ToSz,
    facts: dict[str, Any],
) -> tuple[Stroboscope, Source]:
    entry, frames = file.delays, file.camera.frames
    if entry is None or not frames.trigger_attribute or not file.camera.movie.delays_ps:
        raise InstrumentError(
            f"beamline {file.name}: a stroboscope needs camera.movie with delays_ps, and "
            "camera.frames with trigger_attribute: else nobody knows which delay an image is of"
        )
    table = load_table(DelayTable, entry.driver, here)
    sample = Stroboscope(
        pulser, camera, (entry.open(), table),
        triggers=triggers, repeats=entry.repeats, order=entry.order, facts=facts,
    )  # fmt: skip
    parser = StroboscopicParser(
        to_sz,
        triggers,
        helicities=table.helicities,
        saturated=entry.saturated,
        as_they_come=entry.order == "ascending",
        trigger_attribute=frames.trigger_attribute,
    )
    return sample, Source(frames.open(triggers, to_sz).transport, parser)


def _twin(file: BeamlineFile, folder: Path, parts: dict[str, Any]) -> Beamline[Any]:
    rows, columns = (max(1, round(n * file.camera.pixel_sites)) for n in file.camera.shape)
    nominal = FilmParameters(rows=rows, columns=columns)
    drawn = DrawnSample(nominal)
    if file.twin.sample is not None:
        drawn = SampleSpread().draw(file.twin.sample, nominal)
    imaging = None if (rows, columns) == file.camera.shape else Imaging(pixels=file.camera.shape)
    return simulated_beamline(
        folder,
        parameters=drawn.parameters,
        field_calibration=drawn.field_calibration,
        start=file.twin.start,
        imaging=imaging,
        **parts,
    )
