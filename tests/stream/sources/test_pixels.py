"""What counts mean: S_z, or that nothing was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from skyctl.beamline.file import FramesEntry
from skyctl.frame import Frame
from skyctl.stream.sources.array10 import Array10Parser
from skyctl.stream.sources.dectris import DectrisParser
from skyctl.stream.sources.ntndarray import NtndArrayParser
from skyctl.stream.sources.pixels import Scaling

COUNTS = Scaling(offset=0, scale=1)
SHAPE = (16, 20)


def test_counts_become_sz_as_said_and_no_otherwise():
    counts = np.array([[10, 60, 110, 65535]], "u2")
    image = Scaling(offset=60, scale=0.02, masked=0.5).apply(counts)
    np.testing.assert_allclose(image, [[-1, 0, 1, 0.5]], atol=1e-6)
    assert image.dtype == np.float32
    assert not image.flags.writeable


def test_large_counts_lose_nothing_before_the_offset_is_taken():
    counts = np.array([[2**31, 2**31 + 1]], "u4")
    np.testing.assert_array_equal(Scaling(2**31, 1).apply(counts), [[0, 1]])


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i2", "i4", "f4"])
def test_what_is_no_measurement_is_masked(kind):
    """As EIGER and ADEiger mark it: 2^n-1 and 2^n-2, or -1 and -2 where numbers have a sign."""
    counts = np.array([[5, 6, 7]]).astype(kind)
    largest = 2 ** (8 * counts.itemsize) - 1
    marks = {"u": (largest, largest - 1), "i": (-1, -2), "f": (np.nan, np.inf)}
    counts[0, :2] = marks[kind[0]]
    assert Scaling(0, 1, masked=0.5).apply(counts).tolist() == [[0.5, 0.5, 7]]


def test_a_beamline_declares_what_is_no_measurement():
    dark_subtracted = np.array([[-1, -2, -9]], "i4")
    assert Scaling(0, 1, gaps=()).apply(dark_subtracted).tolist() == [[-1, -2, -9]]
    assert Scaling(0, 1, gaps=(-9,)).apply(dark_subtracted).tolist() == [[-1, -2, 0]]
    assert Scaling(0, 1, gaps=(-9,)).apply(np.array([[-9.0]], "f4")).tolist() == [[0]]


def test_every_source_masks_alike(senders):
    counts = np.full(SHAPE, 7, "<u2")
    counts[0, 0], counts[1, 1] = 2**16 - 1, 2**16 - 2
    header = {"htype": "array-1.0", "type": "uint16", "shape": [*SHAPE], "frame": 0}
    plain = senders.dectris_array(counts, "none")
    for parser, messages in (
        (
            DectrisParser(COUNTS),
            [
                [senders.dectris_start(1, SHAPE, 1, ["a"])],
                [senders.dectris_image(1, 0, {"a": plain})],
            ],
        ),
        (NtndArrayParser(COUNTS), [senders.ntnd_array(1, counts)]),
        (Array10Parser(COUNTS), [[memoryview(json.dumps(header).encode()), counts.data.cast("B")]]),
    ):
        events = [event for message in messages for event in parser.parse(message, 7)]
        (frame,) = (event for event in events if isinstance(event, Frame))
        np.testing.assert_array_equal(frame.data, np.where(counts > 7, 0, 7))


@pytest.mark.parametrize("numbers", [(0, 0), (np.nan, 1), (0, np.inf)])
def test_a_scaling_that_is_none_is_refused(numbers):
    with pytest.raises(ValueError, match="give finite numbers"):
        Scaling(*numbers)


def test_a_beamline_file_declares_them():
    said = {"source": "dectris", "address": "tcp://127.0.0.1:1", "offset": 0, "scale": 1}
    entry = FramesEntry.model_validate({**said, "gaps": [-9]})
    scaling = entry.to_sz("camera", SHAPE, Path())
    assert scaling.apply(np.array([[-9, -1]], "i4")).tolist() == [[0, -1]]
