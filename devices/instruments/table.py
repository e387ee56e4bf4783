"""Driver tables: what an instrument calls a pulse's settings, and its commands. TOML files."""

import datetime
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skyctl.errors import InstrumentError
from skyctl.pulse import SETTINGS

_TABLES = resources.files("skyctl.devices") / "instruments" / "tables"
Value = float | int | str
Name = Annotated[str, Field(min_length=1, max_length=100)]


class Strict(BaseModel):
    """What a file may say: nothing unknown, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Setting(Strict):
    """How one setting of a pulse is put, and read back."""

    put: Name
    get: str = Field(default="", description="what is read back; left out: what is put")
    scale: float = Field(default=1.0, description="the instrument's number for 1 of the setting")
    unit: str = Field(default="", description="as the instrument is asked for it; by unit_of")
    unit_of: str = Field(default="", description="where the instrument tells its unit")
    low: str = Field(default="", description="where it tells its lowest value")
    high: str = Field(default="", description="where it tells its highest value")
    tolerance: float = Field(
        default=1e-6, gt=0, description="of the readback, relative; near 0 so much of 1"
    )

    @property
    def readback(self) -> str:
        """What is read back."""
        return self.get or self.put

    def agrees(self, told: float, wanted: float) -> bool:
        """Whether a readback is what was put."""
        near_zero = self.tolerance * abs(self.scale)  # in the instrument's unit: seconds, say
        return math.isclose(told, wanted, rel_tol=self.tolerance, abs_tol=near_zero)


class CommandTable(Strict):
    """What is put to arm, disarm and fire, and what is then true. A command without a number is
    written as an empty string."""

    arm: dict[Name, Value]
    disarm: dict[Name, Value]
    fire: dict[Name, Value]


class States(Strict):
    """What is read. Only ``counter`` proves a shot: where it is left out, another instrument's must
    be named. What else is left out is not asked.

    armed : not 0 while it may fire; interlock : 0 while the hardware interlock is open
    fault : not 0 while something is wrong; heartbeat : changes while the instrument lives
    beat : what the controller puts, by which the instrument knows that the controller lives
    """

    counter: str = ""
    armed: str = ""
    interlock: str = ""
    fault: str = ""
    heartbeat: str = ""
    beat: str = ""
    identity: str = ""


class DriverTable(Strict):
    """One make of instrument.

    settings : those it can change; the beamline's file fixes the others. repeats : as a setting
    """

    name: Name
    source: str = Field(
        description="where its commands are documented, and whether they were tried"
    )
    settings: dict[str, Setting]
    repeats: Setting | None = None
    commands: CommandTable
    states: States

    @model_validator(mode="after")
    def _known(self) -> "DriverTable":
        if unknown := set(self.settings) - set(SETTINGS):
            raise ValueError(
                f"settings {', '.join(sorted(unknown))}: a pulse has {', '.join(SETTINGS)}"
            )
        return self


class FieldCalibration(Strict):
    """What a volt, or another unit that the instrument has, does at the sample.

    Raises ValueError for a calibration that nobody signed or that is of tomorrow.
    """

    tesla_per_unit: float = Field(gt=0)
    unit: Name
    measured: datetime.date
    author: Name

    @model_validator(mode="after")
    def _past(self) -> "FieldCalibration":
        if self.measured > datetime.date.today():
            raise ValueError(f"measured on {self.measured}, which is still to come")
        return self


TableT = TypeVar("TableT", bound=Strict)


def calibrated(table: DriverTable, calibration: FieldCalibration | None) -> DriverTable:
    """The table with the amplitude in tesla.

    Raises InstrumentError where the instrument has another unit and no calibration is given, or it
    has a calibration of another unit.
    """
    amplitude = table.settings.get("amplitude_T")
    if amplitude is None or (amplitude.unit == "T" and calibration is None):
        return table
    if calibration is None or calibration.unit != amplitude.unit:
        given = f"one in {calibration.unit}" if calibration else "none"
        raise InstrumentError(
            f"{table.name}: its amplitude is in {amplitude.unit or 'no unit'}, and the calibration "
            f"is {given}. Give tesla_per_unit with its unit, date and author."
        )
    scaled = amplitude.model_copy(update={"scale": amplitude.scale / calibration.tesla_per_unit})
    return table.model_copy(update={"settings": {**table.settings, "amplitude_T": scaled}})


def shipped_tables() -> list[str]:
    """Names of the tables that come with skyctl."""
    return sorted(path.name.removesuffix(".toml") for path in _TABLES.iterdir())


def load_table(kind: type[TableT], name: str, beside: Path | None = None) -> TableT:
    """A table that is shipped, or of a file that ends in .toml.

    kind : DriverTable or CameraTable; beside : the folder that a relative file is in

    Raises InstrumentError for one that is not there, or says something unknown.
    """
    shipped = _TABLES / f"{name}.toml"
    try:
        content = (((beside or Path()) / name) if name.endswith(".toml") else shipped).read_text(
            "utf-8"
        )
        return kind.model_validate(tomllib.loads(content))
    except OSError as error:
        known = ", ".join(shipped_tables())
        raise InstrumentError(
            f"driver table {name!r}: not there ({error}). Give one of {known}, or a file.toml."
        ) from error
    except (tomllib.TOMLDecodeError, ValidationError, UnicodeDecodeError) as error:
        raise InstrumentError(f"driver table {name!r}: {faults_of(error)}") from error


def faults_of(error: ValueError) -> str:
    """What is wrong with the content of a file, a line a fault."""
    if not isinstance(error, ValidationError):
        return str(error)
    told: list[Mapping] = list(error.errors())  # pyright: ignore[reportAssignmentType]
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in told)
