"""One image of a film: from each kind of file the same, faults named."""

import numpy as np
import pytest
from PIL import Image

from skyctl.errors import FormatError
from skyctl.formats.ovf_writer import write_ovf
from skyctl.formats.spin_states import SpinState, field_of
from skyctl.formats.still import read_still


def spins():
    """(3, 2, 4), each row of cells in another direction."""
    m = np.zeros((3, 2, 4))
    m[0, 0], m[1, 1] = 1, 1
    return m


def test_spins_are_the_same_from_an_array_and_from_an_ovf_file(tmp_path):
    np.save(tmp_path / "m.npy", spins())
    write_ovf(tmp_path / "m.ovf", [field_of(SpinState(spins(), 3.9))])
    for name in ("m.npy", "m.ovf"):
        np.testing.assert_allclose(read_still(tmp_path / name), spins())


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_a_grey_picture_is_a_component_with_its_lowest_row_first(tmp_path, dtype, white):
    levels = np.zeros((2, 4), dtype)
    levels[1] = white  # drawn at the bottom
    Image.fromarray(levels).save(tmp_path / "m.png")
    np.testing.assert_allclose(read_still(tmp_path / "m.png"), [[1] * 4, [-1] * 4])


def test_what_is_no_image_is_refused_by_name(tmp_path):
    Image.new("RGB", (4, 2)).save(tmp_path / "colours.png")
    np.save(tmp_path / "flat.npy", np.zeros(4))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    (tmp_path / "broken.npy").write_bytes(b"no array")
    for name, says in (
        ("colours.png", "Save it in grey"),
        ("flat.npy", r"\(rows, columns\) for one component"),
        ("words.npy", "an array of <U1"),
        ("broken.npy", "no numpy array"),
        ("state.txt", "give spins"),
    ):
        with pytest.raises(FormatError, match=says) as told:
            read_still(tmp_path / name)
        assert name in str(told.value)
