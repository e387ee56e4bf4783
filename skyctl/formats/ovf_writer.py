"""OVF 1.0 and 2.0: writing. What was read comes out as it was, bit for bit in binary."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from skyctl.errors import FormatError
from skyctl.formats.ovf import AXES, BYTE_ORDER, CHECK_VALUES, SUFFIXES, VectorField

Data = Literal["text", "4", "8"]
"""How values are written: as text, or binary in 4 or 8 bytes."""
_FIRST_LINE = {1: "OOMMF: rectangular mesh v1.0", 2: "OOMMF OVF 2.0"}
_DIGITS = {4: ".9g", 8: ".17g"}


def write_ovf(
    path: Path, fields: Sequence[VectorField], *, data: Data | None = None, version: int = 2
) -> None:
    """Write fields, a segment each; an existing file is replaced when the new one is whole.

    data : None: as precise as the values are

    Raises FormatError for a name that is not an OVF file's and for a field that OVF 1.0 cannot
    hold, OSError.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise FormatError(f"OVF {path}: give a name that ends in {', '.join(SUFFIXES)}")
    if version not in _FIRST_LINE:
        raise FormatError(f"OVF {path}: version {version} is not written; choose 1 or 2")
    if not fields:
        raise FormatError(f"OVF {path}: no field to write")
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("wb") as file:
            _write_line(file, _FIRST_LINE[version])
            _write_line(file, f"Segment count: {len(fields)}")
            for each in fields:
                _write_segment(file, path, each, data, version)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _write_line(file: BinaryIO, text: str) -> None:
    file.write(f"# {' '.join(text.splitlines())}\n".encode())


def _write_segment(
    file: BinaryIO, path: Path, each: VectorField, data: Data | None, version: int
) -> None:
    size = 4 if data == "4" or (data is None and each.values.dtype == np.float32) else 8
    kind = "Text" if data == "text" else f"Binary {size}"
    components = each.values.shape[3]
    units = set(each.units)
    if version == 1 and (components != 3 or len(units) > 1):
        raise FormatError(
            f"OVF {path}: version 1 holds 3 components in one unit, and this field has "
            f"{components} in {', '.join(units) or 'none'}. Write version 2."
        )
    _write_line(file, "Begin: Segment")
    _write_line(file, "Begin: Header")
    for line in _header(each, version):
        _write_line(file, line)
    _write_line(file, "End: Header")
    _write_line(file, f"Begin: Data {kind}")
    if data == "text":
        _write_text(file, each.values)
    else:
        dtype = f"{BYTE_ORDER[version]}f{size}"
        file.write(np.array([CHECK_VALUES[size]], dtype).tobytes())
        file.write(np.ascontiguousarray(each.values, dtype).tobytes())
        file.write(b"\n")
    _write_line(file, f"End: Data {kind}")
    _write_line(file, "End: Segment")


def _write_text(file: BinaryIO, values: np.ndarray) -> None:
    digits = _DIGITS[values.dtype.itemsize]
    for row in values.reshape(-1, values.shape[3]):
        file.write((" ".join(format(float(value), digits) for value in row) + "\n").encode())


def _header(each: VectorField, version: int) -> Iterator[str]:
    layers, rows, columns, components = each.values.shape
    yield f"Title: {each.title}"
    yield from (f"Desc: {line}" for line in each.description)
    yield f"meshunit: {each.mesh_unit}"
    yield "meshtype: rectangular"
    mesh = zip(AXES, each.base, each.step, (columns, rows, layers), strict=True)
    for axis, base, step, nodes in mesh:
        yield f"{axis}base: {base!r}"
        yield f"{axis}stepsize: {step!r}"
        yield f"{axis}nodes: {nodes}"
        yield f"{axis}min: {base - step / 2!r}"
        yield f"{axis}max: {base - step / 2 + nodes * step!r}"
    units = each.units or ("1",) * components
    if version == 1:
        lengths = np.linalg.norm(each.values, axis=-1)
        yield f"valueunit: {units[0]}"
        yield "valuemultiplier: 1"
        yield f"ValueRangeMinMag: {float(lengths.min())!r}"
        yield f"ValueRangeMaxMag: {float(lengths.max())!r}"
        return
    yield f"valuedim: {components}"
    yield f"valuelabels: {_tcl_list(each.labels or tuple(map(str, range(components))))}"
    yield f"valueunits: {_tcl_list(units)}"


def _tcl_list(words: tuple[str, ...]) -> str:
    return " ".join(f"{{{word}}}" if " " in word or not word else word for word in words)
