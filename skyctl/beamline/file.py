"""What a beamline's file says, table by table."""

import tomllib
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, FiniteFloat, ValidationError, model_validator

from skyctl.agents.named import SEEKER
from skyctl.devices.guard import Envelope
from skyctl.devices.instruments.channel_access import ChannelAccess
from skyctl.devices.instruments.ophyd_device import OphydDevice
from skyctl.devices.instruments.pv_access import PvAccess
from skyctl.devices.instruments.scpi import Scpi
from skyctl.devices.instruments.simplon import Simplon
from skyctl.devices.instruments.table import FieldCalibration, Name, Strict, faults_of
from skyctl.devices.instruments.transport import Transport
from skyctl.errors import InstrumentError
from skyctl.inference.model import model_file
from skyctl.inference.state_check import FALSE_ALARMS
from skyctl.plugins import Kind, load, missing, offered
from skyctl.pulse import SETTINGS, FrameSchedule
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.stream.sources.array10 import Array10Parser
from skyctl.stream.sources.calibration import Calibration
from skyctl.stream.sources.contrast import Asymmetry, Contrast, Dark, Pipeline
from skyctl.stream.sources.dectris import DectrisParser
from skyctl.stream.sources.drifting import Drifting
from skyctl.stream.sources.ntndarray import NtndArrayParser, PvaTransport
from skyctl.stream.sources.pixels import Scaling, ToSz
from skyctl.stream.sources.scpi import ScpiTransport
from skyctl.stream.sources.source import Source
from skyctl.stream.sources.transports import ZmqTransport
from skyctl.stream.sources.triggers import Triggers

_DRIVERS = ("scpi", "ca", "pva", "simplon", "ophyd")
_SOURCES = ("ntndarray", "scpi", "dectris", "array10")


def known(kind: Kind, own: tuple[str, ...]) -> AfterValidator:
    """A name that is ours, or that an installed package offers; it is not loaded yet."""

    def check(name: str) -> str:
        if name not in own and name not in offered(kind):
            raise ValueError(missing(kind, name, own))
        return name

    return AfterValidator(check)


class Address(Strict):
    """Where an instrument is: "HOST:PORT" for scpi and simplon, the PVs' prefix for ca and pva,
    "MODULE:NAME" for ophyd, a device that you have there.

    transport : one of these five, or what another package offers as an entry point
        "skyctl.drivers": it is called with the address
    error_query : of scpi, what is answered with 0 where nothing is wrong
    compound : of scpi, whether it takes several commands a line; instruments of SRS do not
    """

    transport: Annotated[Name, known("drivers", _DRIVERS)]
    address: Name
    error_query: str = "SYST:ERR?"
    compound: bool = True

    def open(self) -> Transport:
        """Connect; what is not there shows when it is asked.

        Raises InstrumentError, and PluginError for another package's that is broken.
        """
        kinds: dict[str, Callable[[str], Transport]] = {
            "scpi": partial(Scpi, error_query=self.error_query, compound=self.compound),
            "ca": ChannelAccess,
            "pva": PvAccess,
            "simplon": Simplon,
            "ophyd": OphydDevice,
        }  # fmt: skip
        connect = kinds.get(self.transport) or load("drivers", self.transport, _DRIVERS)
        try:
            return connect(self.address)
        except ValueError as error:
            raise InstrumentError(str(error)) from error


class Counter(Address):
    """Another instrument that counts the shots, for a pulser that does not; ``name`` is read."""

    name: Name


class PulserEntry(Address):
    """The pulser.

    driver : a driver table that is shipped, or a file beside this one
    fixed : settings that geometry fixes; the envelope then has no other value
    timeout_s : longest wait for one answer
    heartbeat_s : fire is held when its heartbeat has not changed for so long; longer than the beat
    """

    driver: Name
    fixed: dict[str, float] = Field(default={})
    envelope: dict[str, Any] = Field(default={})
    calibration: FieldCalibration | None = None
    counter: Counter | None = None
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    heartbeat_s: float = Field(default=1.0, gt=0, le=10)

    @model_validator(mode="after")
    def _settings(self) -> "PulserEntry":
        if unknown := set(self.fixed) - set(SETTINGS):
            raise ValueError(f"fixed: no settings {', '.join(sorted(unknown))} of a pulse")
        for name, value in self.fixed.items():
            if tuple(self.envelope.get(name, (value, value))) != (value, value):
                raise ValueError(f"{name} is fixed at {value:g}: leave it out of the envelope")
        self.limits()
        return self

    def limits(self) -> Envelope:
        """What may be fired; a fixed setting has equal limits."""
        fixed = {name: (value, value) for name, value in self.fixed.items()}
        return Envelope.model_validate({**self.envelope, **fixed})


class FramesEntry(Strict):
    """Where the camera's images come from, and what their counts mean.

    source : ntndarray (a PV's name), scpi (HOST:PORT), dectris or array10 (tcp://HOST:PORT), or
        what another package offers as an entry point "skyctl.sources": it is called with the
        address, what makes S_z of counts (`ToSz`) and, with a trigger_attribute, the `Triggers`
    trigger_attribute : of an ntndarray or scpi image, the number of its hardware trigger, by which
        it is then matched to the shot; left out, by arrival
    numbered : false for an ntndarray or array10 that does not number its images (``uniqueId`` is
        always 0, no ``frame``): they are counted as they come, and a lost one is not told
    offset, scale, masked : S_z of counts, as Scaling has them; or instead
    calibration : a file that the plan calibrate_contrast wrote, and binned : pixels a side. Raw
        counts are then recorded beside S_z
    gaps : counts that are no measurement, of either, as Scaling has them
    drift : with a calibration, how far the sample may have drifted since, in the camera's pixels:
        each movie is then moved back by what its first image shows. Left out, nothing is moved
    """

    source: Annotated[Name, known("sources", _SOURCES)]
    trigger_attribute: str = ""
    numbered: bool = True
    address: Name
    offset: float | None = None
    scale: float | None = None
    masked: float = 0.0
    gaps: tuple[FiniteFloat, ...] | None = None
    calibration: Path | None = None
    binned: int = Field(default=1, ge=1, le=64)
    drift: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_way(self) -> "FramesEntry":
        told = self.offset is not None and self.scale is not None
        if told == (self.calibration is not None):
            raise ValueError(
                "give offset and scale, or a calibration: one of them says what counts are"
            )
        if self.binned > 1 and self.source == "dectris":
            raise ValueError("binned: not of dectris; bin in the detector")
        if self.calibration and self.masked != 0:
            raise ValueError("masked: with a calibration what says nothing is 0; leave it out")
        if self.drift and not self.calibration:
            raise ValueError("drift: needs a calibration, which says where the sample was")
        if self.binned > 1 and not self.calibration:
            raise ValueError("binned: needs a calibration; or bin in the detector")
        if self.trigger_attribute and self.source in ("dectris", "array10"):
            raise ValueError(
                f"trigger_attribute: of ntndarray and scpi; images of {self.source} have none. "
                "Leave it out"
            )
        if not self.numbered and self.source not in ("ntndarray", "array10"):
            raise ValueError(
                "numbered: of ntndarray and array10; other sources number their images"
            )
        return self

    def to_sz(
        self, camera: str, shape: tuple[int, ...], here: Path, saturated: float = 1.0
    ) -> ToSz:
        """What makes S_z of this camera's counts.

        shape : of what it counts: (rows, columns), or (2, rows, columns) of two helicities
        saturated : without a calibration, the asymmetry of both for a saturated film

        Raises RecordingError: no such calibration, or no scikit-image for one that drifts.
        """
        if self.calibration:
            loaded = Calibration.load(here / self.calibration, camera, shape)
            loaded = replace(loaded, gaps=self.gaps)
            if self.drift:
                return Drifting(loaded, self.drift, self.binned)
            return loaded.pipeline(binned=self.binned)
        offset, scale = self.offset or 0.0, self.scale or 1.0
        if len(shape) == 2:
            return Scaling(offset, scale, self.masked, self.gaps)
        stages = (Dark(np.asarray(offset)), Asymmetry(), Contrast(saturated))
        return Pipeline(stages, self.gaps, self.masked)

    def open(self, triggers: Triggers, scaling: ToSz) -> Source:
        """Connect. Raises StreamError, InstrumentError, PluginError."""
        by: dict[str, Any] = {"trigger_attribute": self.trigger_attribute}
        by["triggers"] = triggers if self.trigger_attribute else None
        match self.source:
            case "ntndarray":
                by["numbered"] = self.numbered
                return Source(PvaTransport(self.address), NtndArrayParser(scaling, **by))
            case "scpi":
                return Source(ScpiTransport(self.address), NtndArrayParser(scaling, "scpi", **by))
            case "dectris":
                return Source(ZmqTransport(self.address), DectrisParser(scaling))
            case "array10":
                parser = Array10Parser(scaling, numbered=self.numbered)
                return Source(ZmqTransport(self.address, "sub"), parser)
        return load("sources", self.source, _SOURCES)(self.address, scaling, by["triggers"])


class CameraEntry(Address):
    """The camera.

    shape : of its image, (rows, columns); pixel_sites : sites of the film along one pixel
    """

    driver: Name
    shape: tuple[int, int]
    pixel_sites: float = Field(default=1.0, gt=0)
    frames: FramesEntry
    movie: FrameSchedule = FrameSchedule(duration_ps=165.0, interval_ps=5.0)
    ends_early: bool = True
    timeout_s: float = Field(default=5.0, gt=0, le=60)


class DelaysEntry(Address):
    """A delay generator: movies are then stroboscopic, one image a delay of ``camera.movie``.

    repeats : pulses of an image; order : in which the delays are taken
    saturated : with two helicities and no calibration, the asymmetry of the saturated film
    """

    driver: Name
    repeats: int = Field(default=1, ge=1)
    order: Literal["ascending", "coarse-to-fine"] = "ascending"
    saturated: float = Field(default=1.0, gt=0)


class StatesEntry(Strict):
    """Whether a film at rest is a state of the sample; where it is none, the network abstains.

    noise : of a pixel, in units of S_z; false_alarms : share of normal movies that are called none
    """

    noise: float = Field(ge=0, le=10)
    false_alarms: float = Field(default=FALSE_ALARMS, ge=FALSE_ALARMS, lt=1)


class Twin(Strict):
    """The simulated film of --mock; ``sample`` draws an unknown one, left out: the nominal."""

    sample: int | None = None
    start: Literal["empty", "skyrmion"] = "empty"


class BeamlineFile(Strict):
    """All of a beamline. Unknown keys are refused; paths are relative to the file.

    recordings : folder of recordings, documents and ledger
    model : a classifier, a file (.onnx) or the name of another package's; agent : a name, see
        `skyctl.agents.named`
    sample : plain facts for the recordings
    film : the sample's, as far as it is known: numbers of ``FilmParameters``, left out: the
        default's. The twin is simulated by it, and ``states`` are its
    """

    name: Name
    recordings: Path = Path("runs")
    model: str | None = None
    agent: str = SEEKER
    timeout_s: float = Field(default=60.0, gt=0)
    pulser: PulserEntry
    camera: CameraEntry
    delays: DelaysEntry | None = None
    sample: dict[str, str | float | int] = Field(default={})
    film: dict[str, Any] = Field(default={})
    states: StatesEntry | None = None
    twin: Twin = Twin()

    @model_validator(mode="after")
    def _one_contrast(self) -> "BeamlineFile":
        told = self.delays and "saturated" in self.delays.model_fields_set
        if told and self.camera.frames.calibration:
            raise ValueError("delays.saturated: the calibration says it; leave it out")
        return self

    @model_validator(mode="after")
    def _images_of_a_delay(self) -> "BeamlineFile":
        source = self.camera.frames.source
        if self.delays and source not in ("ntndarray", "scpi"):
            raise ValueError(
                f"delays: images of {source} do not say which trigger they are of; a stroboscope "
                "needs camera.frames with source ntndarray or scpi"
            )
        return self

    @model_validator(mode="after")
    def _a_film(self) -> "BeamlineFile":
        self.film_parameters()
        return self

    def film_parameters(self) -> FilmParameters:
        """The nominal film under the camera."""
        numbers = {field.name for field in fields(FilmParameters)} - {"rows", "columns"}
        if wrong := sorted(set(self.film) - numbers):
            raise ValueError(
                f"film: {', '.join(wrong)} is not said here: choose of {', '.join(sorted(numbers))}"
            )
        rows, columns = (max(1, round(n * self.camera.pixel_sites)) for n in self.camera.shape)
        try:
            return FilmParameters.from_dict({"rows": rows, "columns": columns, **self.film})
        except TypeError as error:
            raise ValueError(f"film: {error}") from None

    def counting(self) -> "BeamlineFile":
        """The same, with counts for frames."""
        plain = {"offset": 0.0, "scale": 1.0, "calibration": None, "binned": 1, "drift": None}
        frames = self.camera.frames.model_copy(update=plain)
        return self.model_copy(update={"camera": self.camera.model_copy(update={"frames": frames})})


def read_beamline(path: Path | str) -> BeamlineFile:
    """The content of a beamline's file. Raises InstrumentError naming the key that is wrong."""
    path = Path(path)
    try:
        file = BeamlineFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InstrumentError(f"beamline file {path}: cannot be read ({error})") from error
    except ValidationError as error:
        raise InstrumentError(f"beamline file {path}: {faults_of(error)}") from error
    here = path.resolve().parent
    found = {
        "recordings": (here / file.recordings).resolve(),
        "model": file.model and str(model_file(file.model, here)),
    }
    return file.model_copy(update=found)
