"""OVF 1.0 and 2.0, in which mumax3, OOMMF, ubermag and Spirit keep fields: reading.

The format is that of the OOMMF User's Guide (chapter "Vector Field File Format (OVF)"): a header of
``# key: value`` lines, then the values of a rectangular mesh, x fastest, as text or as binary
numbers (after a check value; big-endian in 1.0, little-endian in 2.0). A file holds one segment or
several. Spirit's "CSV" is its text with commas.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from skyctl.errors import FormatError

SUFFIXES = (".ovf", ".omf", ".ohf", ".oef")
"""What OVF files are called: a field, a magnetisation, a field H, an energy."""
CHECK_VALUES = {4: 1234567.0, 8: 123456789012345.0}
"""What stands before binary values, by their bytes."""
BYTE_ORDER: dict[int, Literal["<", ">"]] = {1: ">", 2: "<"}
"""Of binary values, by the version of the format."""
AXES = ("x", "y", "z")
_TIME = re.compile(r"(?:total simulation time:|time \(s\)\s*:)\s*([-+.\deE]+)", re.IGNORECASE)


@dataclass(frozen=True)
class VectorField:
    """A field on a rectangular mesh.

    values : (layers, rows, columns, components) along z, y, x; float32 or float64
    step, base : (x, y, z) of a cell and of the centre of the first one, in ``mesh_unit``; a step
        of 0 is one that the program did not know
    units, labels : of each component, as the file has them; () where it has none
    description : the "Desc" lines
    """

    values: np.ndarray
    step: tuple[float, float, float] = (1.0, 1.0, 1.0)
    base: tuple[float, float, float] = (0.5, 0.5, 0.5)
    mesh_unit: str = "unspecified"
    units: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    title: str = ""
    description: tuple[str, ...] = field(default=())

    @property
    def time_s(self) -> float | None:
        """Simulated time, s, where OOMMF, mumax3 or ubermag wrote one; theirs below 0 is none."""
        for line in self.description:
            if found := _TIME.search(line):
                time_s = float(found.group(1))
                return time_s if time_s >= 0 else None
        return None


def read_ovf(path: Path) -> VectorField:
    """The field of a file with one segment.

    Raises FormatError for anything that is no such file, OSError for one that cannot be read.
    """
    fields = read_segments(path)
    if len(fields) != 1:
        raise FormatError(
            f"OVF {path}: holds {len(fields)} segments and one is wanted. Take them apart: skyctl "
            "convert FILE FOLDER."
        )
    return fields[0]


def read_segments(path: Path) -> list[VectorField]:
    """The fields of a file, in its order. Raises as ``read_ovf``."""
    data = path.read_bytes()
    try:
        return list(_segments(data))
    except FormatError as error:
        raise FormatError(f"OVF {path}: {error}") from error


def _segments(data: bytes) -> Iterator[VectorField]:
    first, at = _line(data, 0)
    version = _version(first)
    promised, found = 1, 0
    header: dict[str, list[str]] = {}
    while at < len(data):
        line, at = _line(data, at)
        key, value = _entry(line)
        if key == "segment count":
            promised = _whole(key, value)
        elif key == "begin" and value.lower() == "segment":
            header = {}
        elif key == "begin" and value.lower().startswith("data"):
            mesh = _Mesh(header, version)
            values, at = _values(data, at, value.lower().split()[1:], mesh, version)
            found += 1
            yield mesh.field(values)
        elif key:
            header.setdefault(key, []).append(value)
    if found < promised:
        raise FormatError(
            f"holds {found} of the {promised} segments that it says it has: it was cut short. Copy "
            "it again."
        )


def _line(data: bytes, at: int) -> tuple[str, int]:
    """The line that begins at a byte, and where the next one does."""
    end = data.find(b"\n", at)
    end = len(data) if end < 0 else end
    return data[at:end].decode("utf-8", "replace").strip(), end + 1


def _entry(line: str) -> tuple[str, str]:
    """Key (lower case) and value of a header line; both "" for one that is empty or a comment."""
    if not line.startswith("#") or line.startswith("##"):
        return "", ""
    key, _, value = line[1:].partition("##")[0].partition(":")
    return key.strip().lower(), value.strip()


def _version(line: str) -> int:
    lowered = line.lower()
    if not lowered.startswith("#") or "oommf" not in lowered:
        raise FormatError("is no OVF file: its first line is not '# OOMMF OVF 2.0' or the like")
    if "irregular" in lowered:
        raise FormatError(
            "has an irregular mesh. Write it on a rectangular one: OOMMF's avf2ovf does."
        )
    if "ovf 2.0" in lowered:
        return 2
    if "rectangular mesh v1.0" in lowered:
        return 1
    raise FormatError(f"is of another format, {line[:60]!r}; OVF 1.0 and 2.0 are read")


class _Mesh:
    """What a header says of the mesh and its values."""

    def __init__(self, header: dict[str, list[str]], version: int) -> None:
        self._header = header
        if (kind := self._text("meshtype", "rectangular").lower()) != "rectangular":
            raise FormatError(f"has a mesh of type {kind!r}: write it on a rectangular one")
        nodes = [_whole(f"{axis}nodes", self._text(f"{axis}nodes")) for axis in AXES]
        if min(nodes) < 1:
            raise FormatError(f"has {nodes[0]} x {nodes[1]} x {nodes[2]} nodes: none at all")
        self.components = 3 if version == 1 else _whole("valuedim", self._text("valuedim"))
        if self.components < 1:
            raise FormatError(f"valuedim {self.components}: must be 1 or more")
        self.shape = (*reversed(nodes), self.components)
        self.step = self._vector("stepsize", (0.0, 0.0, 0.0))
        corner = self._vector("min", (0.0, 0.0, 0.0))
        x, y, z = (low + step / 2 for low, step in zip(corner, self.step, strict=True))
        self.base = self._vector("base", (x, y, z))
        self.multiplier = 1.0 if version == 2 else self._number("valuemultiplier", 1.0)
        if version == 1:
            self.units = tuple(self._header.get("valueunit", [])[-1:] * 3)
        else:
            self.units = _words(self._text("valueunits", ""))

    def field(self, values: np.ndarray) -> VectorField:
        """The field of these values (layers, rows, columns, components)."""
        if self.multiplier != 1:
            values = values * self.multiplier
        return VectorField(
            values, self.step, self.base, self._text("meshunit", "unspecified"), self.units,
            _words(self._text("valuelabels", "")), self._text("title", ""),
            tuple(self._header.get("desc", ())),
        )  # fmt: skip

    def _text(self, key: str, otherwise: str | None = None) -> str:
        found = self._header.get(key)
        if found:
            return found[-1]
        if otherwise is None:
            raise FormatError(f"its header has no {key!r}: nothing can be read without it")
        return otherwise

    def _number(self, key: str, otherwise: float) -> float:
        text = self._text(key, str(otherwise))
        try:
            number = float(text)
        except ValueError:
            raise FormatError(f"its header has {key}: {text!r}, which is no number") from None
        if not np.isfinite(number):
            raise FormatError(f"its header has {key}: {text}, which is not finite")
        return number

    def _vector(
        self, name: str, otherwise: tuple[float, float, float]
    ) -> tuple[float, float, float]:
        x, y, z = (
            self._number(axis + name, value) for axis, value in zip(AXES, otherwise, strict=True)
        )
        return x, y, z


def _whole(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise FormatError(f"its header has {key}: {text!r}, which is no whole number") from None


def _words(text: str) -> tuple[str, ...]:
    """The words of a Tcl list: {Total field_x} is one."""
    lexer = shlex.shlex(text.replace("{", '"').replace("}", '"'), posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.quotes = True, "", '"'
    try:
        return tuple(lexer)
    except ValueError:  # a bracket that is not closed: a label, and worth no refusal
        return tuple(text.split())


def _values(
    data: bytes, at: int, kind: list[str], mesh: _Mesh, version: int
) -> tuple[np.ndarray, int]:
    """The values of a segment, whose data begin at a byte, and where they end."""
    if kind in (["text"], ["csv"]):
        return _text_values(data, at, mesh)
    if kind in (["binary", "4"], ["binary", "8"]):
        return _binary_values(data, at, int(kind[1]), mesh, version)
    raise FormatError(f"has data of kind {' '.join(kind)!r}: text, binary 4 and binary 8 are read")


def _binary_values(
    data: bytes, at: int, size: int, mesh: _Mesh, version: int
) -> tuple[np.ndarray, int]:
    dtype = np.dtype(f"{BYTE_ORDER[version]}f{size}")
    count = int(np.prod(mesh.shape, dtype=object))  # of Python's integers: no overflow
    end = at + size * (1 + count)
    if end > len(data):
        there = max(0, (len(data) - at) // size - 1)
        raise FormatError(f"holds {there} of {count} values: it was cut short. Copy it again.")
    check = float(np.frombuffer(data, dtype, 1, at)[0])
    if check != CHECK_VALUES[size]:
        raise FormatError(
            f"its binary data begin with {check:g} and not with the check value "
            f"{CHECK_VALUES[size]:.0f}: the byte order is another one, or the file was copied as "
            "text"
        )
    if not data[end : end + 16].lstrip().startswith(b"#"):
        raise FormatError(
            f"has more than the {count} values of {_sizes(mesh.shape)}: header and data do not "
            "belong together"
        )
    values = np.frombuffer(data, dtype, count, at + size)
    return values.astype(dtype.newbyteorder("=")).reshape(mesh.shape), end


def _text_values(data: bytes, at: int, mesh: _Mesh) -> tuple[np.ndarray, int]:
    end = data.find(b"#", at)
    end = len(data) if end < 0 else end
    words = data[at:end].replace(b",", b" ").split()
    count = int(np.prod(mesh.shape, dtype=object))
    if len(words) != count:
        raise FormatError(f"holds {len(words)} numbers; {_sizes(mesh.shape)} need {count}")
    try:
        return np.array(words, dtype="S").astype(np.float64).reshape(mesh.shape), end
    except ValueError as error:
        raise FormatError(f"its data hold what is no number ({error})") from error


def _sizes(shape: tuple[int, ...]) -> str:
    layers, rows, columns, components = shape
    return f"{columns} x {rows} x {layers} cells of {components} components"
