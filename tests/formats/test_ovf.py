"""OVF files: what is written comes back, what other programs write is read, faults are named."""

import struct
from dataclasses import replace

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from skyctl.errors import FormatError
from skyctl.formats.ovf import VectorField, read_ovf, read_segments
from skyctl.formats.ovf_writer import write_ovf
from skyctl.formats.spin_states import SpinState, field_of, spins_of

SIDES = st.integers(1, 5)
LENGTHS = st.floats(1e-12, 1e6)
WORDS = st.text("abcXYZ/_0 ", min_size=1, max_size=8).map(str.strip).filter(bool)
LINES = st.text(st.characters(codec="ascii", exclude_characters="#", categories=["L", "P", "Zs"]))


@st.composite
def fields(draw, dtype, components=3, one_unit=False):
    shape = (draw(SIDES), draw(SIDES), draw(SIDES), components)
    numbers = st.floats(-(2.0**100), 2.0**100, width=32 if dtype == "f4" else 64)
    step = tuple(draw(LENGTHS) for _ in range(3))
    units = (draw(WORDS),) * 3 if one_unit else tuple(draw(WORDS) for _ in range(components))
    return VectorField(
        draw(arrays.arrays(dtype, shape, elements=numbers)),
        step,
        tuple(draw(st.floats(-1e6, 1e6)) for _ in range(3)),
        draw(WORDS),
        units,
        () if one_unit else tuple(draw(WORDS) for _ in range(components)),
        draw(LINES.map(str.strip)),
        tuple(draw(st.lists(LINES.map(str.strip).filter(bool), max_size=3))),
    )


def same(a, b):
    np.testing.assert_array_equal(a.values, b.values)
    assert replace(a, values=None) == replace(b, values=None)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_binary_comes_back_bit_for_bit(dtype, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("ovf") / "a.ovf"
    several = data.draw(
        st.lists(fields(dtype, data.draw(st.integers(1, 6))), min_size=1, max_size=3)
    )
    write_ovf(path, several)
    for written, read in zip(several, read_segments(path), strict=True):
        assert read.values.dtype == dtype
        same(written, read)


@pytest.mark.parametrize("version", [1, 2])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_text_and_both_versions_come_back(version, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("ovf") / "a.omf"
    written = data.draw(fields("f8", one_unit=True))
    written = replace(written, labels=() if version == 1 else ("a b", "c", "d"))
    for kind in ("text", "8"):
        write_ovf(path, [written], data=kind, version=version)
        same(written, read_ovf(path))


def header(first="# OOMMF OVF 2.0", data="Binary 4", nodes=(2, 2, 1), dim="3", more=""):
    """As mumax3 writes it."""
    x, y, z = nodes
    return (
        f"{first}\n# Segment count: 1\n# Begin: Segment\n# Begin: Header\n# Title: m\n"
        "# meshtype: rectangular\n# meshunit: m\n# xstepsize: 5e-09\n# ystepsize: 5e-09\n"
        f"# zstepsize: 1e-09\n# xnodes: {x}\n# ynodes: {y}\n# znodes: {z}\n"
        f"# valuedim: {dim}\n# valueunits: 1 1 1\n{more}# End: Header\n# Begin: Data {data}\n"
    ).encode()


ALL_UP = struct.pack("<13f", 1234567.0, *[0, 0, 1] * 4)
END = b"\n# End: Data Binary 4\n# End: Segment\n"


def read(tmp_path, *parts):
    (tmp_path / "x.ovf").write_bytes(b"".join(parts))
    return read_ovf(tmp_path / "x.ovf")


def test_an_older_file_is_big_endian_and_has_a_multiplier(tmp_path):
    old = header(
        "# OOMMF: rectangular mesh v1.0", more="# valueunit: A/m\n# valuemultiplier: 8e5\n"
    )
    found = read(tmp_path, old, struct.pack(">13f", 1234567.0, *[0, 0, 1] * 4), END)
    assert found.units == ("A/m",) * 3
    np.testing.assert_array_equal(found.values[0, 0, 0], [0, 0, 8e5])


def test_what_programs_write_otherwise_is_read(tmp_path):
    spirit = header(data="text", more="# Desc: Total simulation time:  2e-10  s\n").replace(
        b"# valueunits: 1 1 1", b"## a comment\n#\n# valueunits: none none none  ## units"
    )
    found = read(
        tmp_path, spirit.replace(b"Data text", b"data CSV"), b"0, 0, 1,\n" * 4, b"# End: Data CSV\n"
    )
    assert (found.units, found.time_s) == (("none",) * 3, 2e-10)
    assert found.base == (2.5e-9, 2.5e-9, 0.5e-9)  # not in the header: half a cell from its corner
    braced = header().replace(b"valueunits: 1 1 1", b"valueunits: {A / m} {A / m} {A / m}")
    windows = braced.replace(b"\n", b"\r\n")
    assert read(tmp_path, windows, ALL_UP, END.replace(b"\n", b"\r\n")).units == ("A / m",) * 3


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ((header(), ALL_UP[:-5]), "10 of 12 values"),
        ((header(), ALL_UP + b"\x00" * 40, END), "more than the 12 values"),
        ((header(), struct.pack(">13f", 1234567.0, *[0] * 12), END), "byte order"),
        ((header(nodes=(2, 0, 1)), ALL_UP, END), "none at all"),
        ((header(nodes=(10**12, 10**12, 1)), ALL_UP, END), "of 3000000000000000000000000 values"),
        ((header(dim="many"), ALL_UP, END), "no whole number"),
        ((header().replace(b"xnodes", b"nodes"), ALL_UP, END), "no 'xnodes'"),
        ((header().replace(b"5e-09", b"nan"), ALL_UP, END), "not finite"),
        ((header().replace(b"rectangular", b"irregular"), ALL_UP, END), "mesh of type"),
        ((header(data="text"), b"0 0 1\n" * 3, END), "9 numbers"),
        ((header(data="text"), b"0 0 up\n" * 4, END), "no number"),
        ((header(data="Binary 2"), ALL_UP, END), "binary 4 and binary 8"),
        ((b"\x89HDF\r\n",), "no OVF file"),
        ((b"# OOMMF: irregular mesh v1.0\n",), "avf2ovf"),
        ((header().replace(b"count: 1", b"count: 2"), ALL_UP, END), "1 of the 2 segments"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_with_its_fault(tmp_path, parts, fault):
    with pytest.raises(FormatError, match=fault):
        read(tmp_path, *parts)


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(0, 600), byte=st.integers(0, 255), at=st.integers(0, 600))
def test_a_file_with_a_bad_byte_or_cut_short_is_read_or_refused(tmp_path_factory, cut, byte, at):
    whole = bytearray(header() + ALL_UP + END)
    whole[at % len(whole)] = byte
    path = tmp_path_factory.mktemp("bad") / "x.ovf"
    path.write_bytes(whole[: cut or None])
    try:
        for found in read_segments(path):
            spins_of(found)
    except FormatError:
        pass


def magnetised(length, units, **others):
    values = np.zeros((1, 3, 4, 3))
    values[..., 2] = length
    return VectorField(values, (5e-9,) * 3, (2.5e-9,) * 3, "m", units, **others)


def test_spins_and_their_lattice_come_out_of_a_magnetisation():
    field = magnetised(8e2, ("kA/m",) * 3)
    field.values[0, 0, 0] = 0
    state = spins_of(field)
    assert (state.lattice_nm, state.saturation_A_per_m) == (5.0, 8e5)
    assert state.sites.sum() == 11
    assert state.spins.shape == (3, 3, 4)
    again = field_of(state)
    assert (again.step, again.mesh_unit) == ((5e-9,) * 3, "m")
    np.testing.assert_array_equal(spins_of(again).spins, state.spins)
    assert field_of(SpinState(state.spins)).mesh_unit == "unspecified"


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        (magnetised(1, ("A/m",) * 3), "as unit vectors are"),
        (magnetised(8e5, ("1",) * 3), "no unit vectors.*--unit A/m"),
        (magnetised(8e5, ()), "no unit vectors"),
        (magnetised(1, ("J/m3",) * 3), "valueunits 'j/m3'"),
        (magnetised(1, ("1", "1", "A/m")), "in one unit"),
        (magnetised(0, ("1",) * 3), "every vector is 0"),
        (magnetised(np.nan, ("1",) * 3), "NaN"),
        (replace(magnetised(1, ()), values=np.zeros((1, 3, 4, 1))), "valuedim 1"),
        (replace(magnetised(1, ()), values=np.ones((2, 3, 4, 3))), "2 layers"),
        (replace(magnetised(1, ()), step=(5e-9, 4e-9, 1e-9)), "square"),
    ],
)
def test_what_is_no_film_of_spins_is_refused(field, fault):
    with pytest.raises(FormatError, match=fault):
        spins_of(field)


def test_several_materials_are_no_film():
    field = magnetised(8e5, ("A/m",) * 3)
    field.values[0, 0] *= 2
    with pytest.raises(FormatError, match="several materials"):
        spins_of(field)


def test_a_wrong_name_or_an_older_version_that_cannot_hold_it_is_refused(tmp_path):
    field = magnetised(1, ("1",) * 3)
    with pytest.raises(FormatError, match=r"ends in \.ovf"):
        write_ovf(tmp_path / "m.h5", [field])
    scalar = replace(field, values=field.values[..., :1])
    with pytest.raises(FormatError, match="Write version 2"):
        write_ovf(tmp_path / "m.ovf", [scalar], version=1)
    assert not list(tmp_path.iterdir())
