"""A beamline from its file: its instruments, or the simulated twin in their place.

>>> from skyctl.beamline import load_beamline
>>> with load_beamline("beamline.toml", mock=True) as beamline:
...     print(beamline)
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from skyctl.beamline.beamline import Beamline, assemble
from skyctl.beamline.file import BeamlineFile, read_beamline
from skyctl.beamline.instruments import counts_to_sz, open_camera, open_delays, open_pulser
from skyctl.beamline.simulated import simulated_beamline
from skyctl.beamline.states import kept_check
from skyctl.devices.instruments.camera import InstrumentCamera
from skyctl.devices.instruments.presence import Presence
from skyctl.devices.instruments.pulse_instrument import PulseInstrument
from skyctl.devices.instruments.sample import InstrumentSample
from skyctl.devices.instruments.stroboscope import Stroboscope, delay_of
from skyctl.errors import InstrumentError, InstrumentSilent
from skyctl.inference.model import MovieClassifier
from skyctl.inference.state_check import StateCheck
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
from skyctl.stream.sources.pixels import ToSz
from skyctl.stream.sources.source import Reachable, Source
from skyctl.stream.sources.stroboscopic import StroboscopicParser
from skyctl.stream.sources.triggers import Triggers

_log = logging.getLogger(__name__)
_FIRST_LOOK_S = 8.0
"""Then who has not answered is dead: it is named, and the others are used without it."""


def load_beamline(
    path: Path | str,
    *,
    mock: bool = False,
    folder: Path | str | None = None,
    model: MovieClassifier | None = None,
    metrics_port: int | None = None,
    counts: bool = False,
) -> Beamline[Any]:
    """The beamline of a file, connected.

    A device that is dead is named in the log, with its address, and asked again until it is there:
    until then a plan that needs it is refused, and nothing is fired without it.

    mock : a simulated film in place of sample and instruments, with devices of the same names and
        limits and a ledger of its own
    counts : frames are what the camera counts, whatever the file has of S_z: to calibrate it
    folder : of recordings and ledger; left out, the file's, and ``mock`` in it for a mock

    Raises InstrumentError for a file or an instrument that is wrong, and what `assemble` raises.
    """
    file = read_beamline(path)
    if counts:
        file = file.counting()
    folder = Path(folder or (file.recordings / "mock" if mock else file.recordings))
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {
        "model": model or MovieClassifier(file.model),
        "envelope": file.pulser.limits(),
        "ledger": folder / "ledger.jsonl",
        "metrics_port": metrics_port,
        "timeout_s": file.timeout_s,
        "check": None if counts else _check(file),
    }
    if mock:
        beamline = _twin(file, folder, parts)
    else:
        beamline = _real(file, Path(path).resolve().parent, folder, parts)
    beamline.camera.film_like(file.camera.movie)
    beamline.camera.ends_early.put(int(file.camera.ends_early))
    return beamline


@dataclass(frozen=True)
class _Opened:
    """Drivers of a beamline's instruments, none of which was heard of yet."""

    pulser: PulseInstrument
    camera: InstrumentCamera
    to_sz: ToSz
    triggers: Triggers
    source: Source


def _real(file: BeamlineFile, here: Path, folder: Path, parts: dict[str, Any]) -> Beamline[Any]:
    frames = file.camera.frames
    with contextlib.ExitStack() as undo:
        pulser = open_pulser(file, here)
        undo.callback(pulser.close)
        camera = open_camera(file, here)
        undo.callback(camera.transport.close)
        to_sz, triggers = counts_to_sz(file, camera.table.name, here), Triggers()
        source = frames.open(triggers, to_sz)
        undo.callback(source.transport.close)
        opened = _Opened(pulser, camera, to_sz, triggers, source)
        sample, source = _strobed(file, here, opened) if file.delays else _filmed(file, opened)
        undo.callback(sample.close)
        _look_for(sample)
        undo.pop_all()
    rows, columns = camera.shape
    sample.shape = (rows // frames.binned, columns // frames.binned)
    return assemble(sample, source, folder, **parts)


def _look_for(sample: InstrumentSample) -> None:
    """Wait for each device's first answer, and name those that are dead. Raises InstrumentError for
    what answers and does not fit."""
    due_s = time.monotonic() + _FIRST_LOOK_S
    sample.pulser.wait_asked(_FIRST_LOOK_S)
    for presence in sample.presences:
        presence.wait_asked(max(0.0, due_s - time.monotonic()))
        if presence.error and not isinstance(presence.error, InstrumentSilent):
            raise presence.error
    if misfit := sample.pulser.health.misfit:
        raise InstrumentError(f"pulser {sample.pulser.table.name}: {misfit}")
    sample.frames_fault(max(0.0, due_s - time.monotonic()))
    for fault in filter(None, (sample.pulser.hold_reason(), sample.absent())):
        _log.error("%s What needs it is refused until it is there.", fault)


def _filmed(file: BeamlineFile, opened: _Opened) -> tuple[InstrumentSample, Source]:
    sample = InstrumentSample(
        opened.pulser,
        opened.camera,
        _facts(file, opened),
        opened.triggers,
        presences=[_camera_there(opened.camera)],
        frames_fault=_fault_of(opened.source),
    )
    return sample, opened.source


def _camera_there(camera: InstrumentCamera) -> Presence:
    return Presence(f"camera {camera.table.name} at {camera.transport.address}", camera.confirm)


def _fault_of(source: Source) -> Callable[[float], str]:
    return source.transport.fault if isinstance(source.transport, Reachable) else lambda _: ""


def _facts(file: BeamlineFile, opened: _Opened) -> dict[str, Any]:
    return {
        **file.sample,
        "beamline": file.name,
        "pixel_sites": file.camera.pixel_sites * file.camera.frames.binned,
        "counts_to_sz": opened.to_sz.describe(),
    }


def _strobed(file: BeamlineFile, here: Path, opened: _Opened) -> tuple[Stroboscope, Source]:
    entry, frames = file.delays, file.camera.frames
    if entry is None or not frames.trigger_attribute or not file.camera.movie.delays_ps:
        raise InstrumentError(
            f"beamline {file.name}: a stroboscope needs camera.movie with delays_ps, and "
            "camera.frames with trigger_attribute: else nobody knows which delay an image is of"
        )
    delays, table = open_delays(entry, here)
    sample = Stroboscope(
        opened.pulser,
        opened.camera,
        (delays, table),
        triggers=opened.triggers,
        repeats=entry.repeats,
        order=entry.order,
        facts=_facts(file, opened),
        presences=[
            _camera_there(opened.camera),
            Presence(
                f"delays {table.name} at {delays.address}",
                partial(delay_of, delays, table, _FIRST_LOOK_S),
            ),
        ],
        frames_fault=_fault_of(opened.source),
    )
    parser = StroboscopicParser(
        opened.to_sz,
        opened.triggers,
        helicities=table.helicities,
        as_they_come=entry.order == "ascending",
        trigger_attribute=frames.trigger_attribute,
    )
    return sample, Source(opened.source.transport, parser)


def _check(file: BeamlineFile) -> StateCheck | None:
    if not file.states:
        return None
    rows, columns = (n // file.camera.frames.binned for n in file.camera.shape)
    imaging = Imaging(pixels=(rows, columns), gaussian_noise=file.states.noise)
    try:
        return kept_check(file.film_parameters(), imaging, false_alarms=file.states.false_alarms)
    except (ValueError, RuntimeError) as error:
        raise InstrumentError(f"beamline {file.name}, [states]: {error}") from error


def _twin(file: BeamlineFile, folder: Path, parts: dict[str, Any]) -> Beamline[Any]:
    nominal = file.film_parameters()
    drawn = DrawnSample(nominal)
    if file.twin.sample is not None:
        drawn = SampleSpread().draw(file.twin.sample, nominal)
    whole = (nominal.rows, nominal.columns) == file.camera.shape
    imaging = None if whole else Imaging(pixels=file.camera.shape)
    return simulated_beamline(
        folder,
        parameters=drawn.parameters,
        field_calibration=drawn.field_calibration,
        start=file.twin.start,
        imaging=imaging,
        **parts,
    )
