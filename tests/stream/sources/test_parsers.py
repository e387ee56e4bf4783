"""What parsers make of odd, damaged and hostile messages: read, or refused in the two ways."""

import contextlib
import dataclasses
import json
import tracemalloc

import cbor2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyctl.errors import ForeignMessage, UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.stream import wire
from skyctl.stream.sources import compression
from skyctl.stream.sources.array10 import Array10Parser
from skyctl.stream.sources.dectris import DectrisParser
from skyctl.stream.sources.ntndarray import NtndArrayParser
from skyctl.stream.sources.pixels import Scaling

COUNTS = Scaling(offset=0, scale=1)
SHAPE = (16, 20)
LIMIT = 64 * 2**10
# A machine with much else to do draws slowly; that is no fault of what is tested.
bounded = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


def read(parser, *messages):
    return [event for message in messages for event in parser.parse(message, 7)]


def refused(parser, message):
    """Whether a message is refused, in one of the two ways it may be."""
    try:
        parser.parse(message, 7)
    except (UndecodableMessage, ForeignMessage):
        return True
    return False


@contextlib.contextmanager
def most_memory(limit):
    """What is done here allocates no more bytes at one time."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit


def dectris_messages(senders):
    image = senders.pattern(SHAPE, "<u2", 1)
    return [
        senders.dectris_start(1, SHAPE, 3, ["a"]),
        *(
            senders.dectris_image(1, 1, {"a": senders.dectris_array(image, compression)})
            for compression in ("none", "lz4", "bslz4")
        ),
        senders.dectris_end(1),
    ]


# DECTRIS


def test_a_series_without_a_shot_is_named_after_itself(senders):
    messages = [[message] for message in dectris_messages(senders)]
    start, image, *_, end = read(DectrisParser(COUNTS), messages[0], messages[1], messages[-1])
    assert (start.run, start.shot, start.expected_frames) == ("dectris", "series-1", 3)
    assert isinstance(image, Frame)
    assert (end.shot, end.sent_frames) == ("series-1", 3)


def test_an_end_that_comes_twice_or_first_closes_nothing_else(senders):
    parser = DectrisParser(COUNTS)
    start, image, *_, end = ([message] for message in dectris_messages(senders))
    assert read(parser, end) == [ShotEnd("dectris", "series-1", None)]
    parser.expect(ShotStart("run", "s", None, FrameSchedule(), 3, SHAPE))
    events = read(parser, start, start, end, image, end)
    assert [event.shot for event in events] == ["s"] * 5
    assert events[0] == events[1]


def test_a_series_whose_appendix_names_its_shot_is_that_shot(senders):
    shot = ShotStart("run", "s", Pulse(width_ps=8), FrameSchedule(), 3, SHAPE)
    appendix = json.loads(json.dumps(wire.describe_start(shot)))  # as the detector is given it
    message = senders.dectris_start(1, SHAPE, 3, ["a"], user_data=appendix)
    parser = DectrisParser(COUNTS)
    parser.expect(ShotStart("run", "another", None, FrameSchedule(), 3, SHAPE))
    assert read(parser, [message]) == [shot]
    wrong = wire.describe_start(dataclasses.replace(shot, shape=(4, 5)))
    with pytest.raises(UndecodableMessage, match="expects frames of"):
        parser.parse([senders.dectris_start(2, SHAPE, 3, ["a"], user_data=wrong)], 7)


def test_messages_in_one_are_read_one_by_one(senders):
    parser = DectrisParser(COUNTS)
    assert len(read(parser, dectris_messages(senders))) == 5


def test_an_image_of_a_series_without_start_is_a_stray(senders):
    image = [dectris_messages(senders)[1]]
    (frame,) = DectrisParser(COUNTS).parse(image, 7)
    assert (frame.run, frame.shot) == ("dectris", "series-1")


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        (ShotStart("run", "s", None, FrameSchedule(), 8, SHAPE), "expects 8 frames.*has 3"),
        (ShotStart("run", "s", None, FrameSchedule(), 3, (4, 5)), r"expects frames of \(4, 5\)"),
    ],
)
def test_a_series_that_is_not_the_movie_is_refused(expected, complaint, senders):
    parser = DectrisParser(COUNTS)
    parser.expect(expected)
    start, image, *_ = ([message] for message in dectris_messages(senders))
    with pytest.raises(UndecodableMessage, match=complaint):
        parser.parse(start, 7)
    assert read(parser, image)[0].shot == "series-1"  # and not the next one's either


def test_which_of_several_thresholds_is_never_guessed(senders):
    array = senders.dectris_array(senders.pattern(SHAPE, "<u2", 0), "none")
    two = senders.dectris_image(1, 0, {"threshold_1": array, "threshold_2": array})
    with pytest.raises(UndecodableMessage, match="threshold_1, threshold_2: say which"):
        DectrisParser(COUNTS).parse([two], 7)
    start = senders.dectris_start(1, SHAPE, 3, ["threshold_1"])
    with pytest.raises(UndecodableMessage, match="no channel threshold_2, but threshold_1"):
        DectrisParser(COUNTS, "threshold_2").parse([start], 7)


def test_stream_v1_is_refused_with_the_remedy():
    with pytest.raises(UndecodableMessage, match="format cbor"):
        DectrisParser(COUNTS).parse([b'{"htype": "dheader-1.0"}', b"{}"], 7)


def tagged(content, shape=SHAPE, outer=40, inner=69):
    return {"a": cbor2.CBORTag(outer, [list(shape), cbor2.CBORTag(inner, content)])}


def packed(algorithm, data, element_bytes=2):
    return cbor2.CBORTag(56500, [algorithm, element_bytes, data])


def lying(data, size, block=8192):
    """Compressed data whose header lies."""
    return size.to_bytes(8, "big") + block.to_bytes(4, "big") + data[12:]


@pytest.mark.parametrize(
    "make",
    [
        lambda s: tagged(bytes(640), shape=[16, 21]),
        lambda s: tagged(bytes(640), shape=[320]),
        lambda s: tagged(bytes(640), shape=[1, 16, 20]),
        lambda s: tagged(bytes(640), shape=[-16, -20]),
        lambda s: tagged(bytes(640), outer=1040),
        lambda s: tagged(bytes(640), inner=83),
        lambda s: tagged("0" * 640),
        lambda s: tagged(packed("zip", s.bslz4(IMAGE))),
        lambda s: tagged(packed("bslz4", s.bslz4(IMAGE), 3)),
        lambda s: tagged(packed("bslz4", s.bslz4(IMAGE), 2**40)),
        lambda s: tagged(packed("bslz4", s.bslz4(IMAGE)[:-1])),
        lambda s: tagged(packed("bslz4", s.bslz4(IMAGE) + b"\0")),
        lambda s: tagged(packed("bslz4", b"")),
        lambda s: tagged(packed("lz4", s.lz4_hdf5(IMAGE)[:-1], 0)),
        lambda s: tagged(packed("lz4", s.lz4_hdf5(IMAGE) + b"\0", 0)),
        lambda s: tagged(packed("lz4", lying(s.lz4_hdf5(IMAGE), 640, 0), 0)),
        lambda s: tagged(packed("bslz4", lying(s.bslz4(IMAGE), 2**62))),
        lambda s: tagged(packed("bslz4", lying(s.bslz4(IMAGE), 640, 10))),
        lambda s: tagged(packed("bslz4", s.bslz4(IMAGE)), shape=[60_000, 60_000]),
        lambda s: {"a": cbor2.CBORTag(40, [[16, 20], [1] * 320])},
        lambda s: {},
        lambda s: [1],
    ],
)
def test_an_array_that_contradicts_itself_is_refused_before_it_is_made(make, senders):
    message = senders.dectris_image(1, 0, make(senders))
    parser = DectrisParser(COUNTS, max_image_bytes=LIMIT)
    with most_memory(8 * LIMIT), pytest.raises(UndecodableMessage):
        parser.parse([message], 7)


IMAGE = (np.arange(320).reshape(SHAPE) % 50).astype("<u2")


@pytest.mark.parametrize("limit", [639, 640])
def test_an_image_over_the_limit_is_refused_however_small_it_is_sent(limit, senders):
    packed_image = senders.dectris_image(1, 0, {"a": senders.dectris_array(IMAGE, "bslz4")})
    header = json.dumps(HEADER).encode()
    over = limit < IMAGE.nbytes
    assert refused(DectrisParser(COUNTS, max_image_bytes=limit), [packed_image]) == over
    assert refused(Array10Parser(COUNTS, max_image_bytes=limit), [header, IMAGE.tobytes()]) == over
    for codec in ("", "bslz4"):
        update = senders.ntnd_array(1, IMAGE, codec)
        assert refused(NtndArrayParser(COUNTS, max_image_bytes=limit), update) == over


def test_a_small_message_of_a_million_items_is_refused_before_it_is_decoded():
    bomb = b"\xa2\x64type\x63end\x61x\x9a\x00\x20\x00\x00" + b"\x80" * 2**21
    with most_memory(2**20), pytest.raises(UndecodableMessage, match="items"):
        wire.load(bomb)


# Compression, beside the filters of HDF5 (which encode in the senders)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("shape", [(16, 20), (33, 31), (100, 100), (203, 171)])
def test_what_the_hdf5_filters_compress_comes_back(dtype, shape, senders):
    image = senders.pattern(shape, dtype, 3)
    size = image.nbytes
    shuffled = memoryview(senders.bslz4(image))
    raw = compression.bitshuffle_lz4_hdf5(shuffled, image.itemsize, size)
    assert raw.tobytes() == image.tobytes()
    bare = compression.bitshuffle_lz4(shuffled[12:], image.itemsize, size)
    assert bare.tobytes() == image.tobytes()
    assert compression.lz4_hdf5(memoryview(senders.lz4_hdf5(image)), size) == image.tobytes()


def test_lz4_blocks_that_could_not_be_compressed_are_there_as_they_are(senders):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64)).astype("u1")
    noise[:16] = 0
    packed = memoryview(senders.lz4_hdf5(noise))
    assert compression.lz4_hdf5(packed, noise.nbytes) == noise.tobytes()


@pytest.mark.parametrize("codec", ["lz4", "lz4hdf5", "bslz4", "blosc", "zlib"])
@pytest.mark.parametrize("change", ["cut", "more", "announce"])
def test_a_compressed_ntndarray_that_lies_is_refused(codec, change, senders):
    message = senders.ntnd_array(1, IMAGE, codec)
    if change == "cut":
        message["value"] = message["value"][:-3]
    elif change == "more":
        message["dimension"][0]["size"] = 19
    else:
        message["dimension"][0]["size"] = 60_000
    with pytest.raises(UndecodableMessage):
        NtndArrayParser(COUNTS, max_image_bytes=LIMIT).parse(message, 7)


# NTNDArray


def test_the_first_dimension_of_an_ntndarray_is_the_fastest(senders):
    message = senders.ntnd_array(1, IMAGE)
    assert [dimension["size"] for dimension in message["dimension"]] == [20, 16]
    _, frame = NtndArrayParser(COUNTS).parse(message, 7)
    np.testing.assert_array_equal(frame.data, IMAGE)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"attribute": [{"name": "ColorMode", "value": 2}]}, "colour image.*monochrome"),
        ({"dimension": [{"size": 3}, {"size": 20}, {"size": 16}]}, "monochrome"),
        ({"codec": {"name": "jpeg", "parameters": 5}}, "'jpeg' is not known; set"),
        ({"codec": {"name": "lz4", "parameters": None}}, "without a pixel type"),
        ({"value": None}, "no array"),
        ({"uniqueId": -1}, "uniqueId"),
    ],
)
def test_an_ntndarray_that_is_no_image_is_refused_with_the_remedy(change, complaint, senders):
    message = {**senders.ntnd_array(1, IMAGE), **change}
    with pytest.raises(UndecodableMessage, match=complaint):
        NtndArrayParser(COUNTS).parse(message, 7)


def test_an_ioc_that_counts_anew_begins_a_new_series(senders):
    parser = NtndArrayParser(COUNTS)
    stamp = {"secondsPastEpoch": 1_700_000_009, "nanoseconds": 0, "userTag": 0}
    message = {**senders.ntnd_array(1, IMAGE), "dataTimeStamp": stamp}
    first, again = senders.ntnd_array(9, IMAGE), senders.ntnd_array(9, IMAGE)
    events = read(parser, first, again, message)
    assert [type(event).__name__ for event in events] == [
        *("ShotStart", "Frame", "Frame", "ShotEnd", "ShotStart", "Frame")
    ]


# array-1.0


def test_a_message_of_another_htype_is_foreign():
    with pytest.raises(ForeignMessage, match="chunk-1"):
        Array10Parser(COUNTS).parse([b'{"htype": "chunk-1.0"}', b""], 7)


HEADER = {"htype": "array-1.0", "shape": [16, 20], "type": "uint16", "frame": 3}


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [16, 21]},
        {"shape": [320]},
        {"shape": [16.0, 20]},
        {"shape": [-16, -20]},
        {"shape": [10**400, 1]},
        {"type": "complex64"},
        {"type": ["uint16"]},
        {"frame": -1},
        {"frame": True},
        {"frame": None},
        {"endianness": "middle"},
        {"encoding": "bs16-lz4<"},
    ],
)
def test_an_array_1_0_whose_header_does_not_fit_is_refused(change):
    parser = Array10Parser(COUNTS)
    parts = [json.dumps(HEADER).encode(), IMAGE.tobytes()]
    assert len(Array10Parser(COUNTS).parse(parts, 7)) == 2
    with pytest.raises(UndecodableMessage):
        parser.parse([json.dumps({**HEADER, **change}).encode(), parts[1]], 7)


def test_numbers_of_an_array_1_0_header_may_be_text():
    text = {**HEADER, "shape": ["16", "20"], "frame": "3"}
    parser = Array10Parser(COUNTS)
    parser.expect(ShotStart("run", "s", None, FrameSchedule(), 2, SHAPE))
    events = read(
        parser,
        *([json.dumps({**text, "frame": n}).encode(), IMAGE.tobytes()] for n in ("3", "4")),
    )
    assert [getattr(event, "index", None) for event in events] == [None, 0, 1, None]
    for wrong in ("3.0", "-3", "٣", "1" * 30):
        assert refused(parser, [json.dumps({**text, "frame": wrong}).encode(), IMAGE.tobytes()])


@pytest.mark.parametrize("which", ["areaDetector", "array-1.0"])
def test_a_source_that_numbers_nothing_is_counted_as_it_comes(which, senders):
    if which == "areaDetector":
        parser = NtndArrayParser(COUNTS, numbered=False)
        image = senders.ntnd_array(0, IMAGE)
        broken = {**image, "value": None}
    else:
        parser = Array10Parser(COUNTS, numbered=False)
        header = {name: value for name, value in HEADER.items() if name != "frame"}
        image = [json.dumps(header).encode(), IMAGE.tobytes()]
        broken = [image[0], b""]
    for shot in ("s", "t"):
        parser.expect(ShotStart("run", shot, None, FrameSchedule(), 2, SHAPE))
        events = read(parser, image)
        assert refused(parser, broken)
        events += read(parser, image)
        assert [(type(event), event.shot) for event in events] == [
            (kind, shot) for kind in (ShotStart, Frame, Frame, ShotEnd)
        ]
        assert [event.index for event in events[1:3]] == [0, 1]


# Fuzzing: nothing but the two errors, whatever comes


def parsers():
    return [
        DectrisParser(COUNTS, max_image_bytes=LIMIT),
        Array10Parser(COUNTS, max_image_bytes=LIMIT),
    ]


@bounded
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_arbitrary_bytes_are_refused(parts):
    for parser in parsers():
        assert refused(parser, [memoryview(part) for part in parts])


@bounded
@given(data=st.data())
def test_damaged_messages_are_read_or_refused(senders, data):
    dectris, array10 = parsers()
    valid = [(dectris, [message]) for message in dectris_messages(senders)]
    valid.append((array10, [json.dumps(HEADER).encode(), IMAGE.tobytes()]))
    parser, parts = data.draw(st.sampled_from(valid))
    damaged = [bytearray(part) for part in parts]
    part = data.draw(st.sampled_from(damaged))
    for _ in range(data.draw(st.integers(1, 4))):
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    refused(parser, [memoryview(bytes(part)) for part in damaged])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@bounded
@given(field=st.sampled_from([*HEADER, "endianness", "encoding"]), value=json_values)
def test_an_array_1_0_with_any_field_is_read_or_refused(field, value):
    header = json.dumps({**HEADER, field: value}).encode()
    refused(Array10Parser(COUNTS, max_image_bytes=LIMIT), [header, IMAGE.tobytes()])


values = json_values | st.binary(max_size=8) | st.builds(cbor2.CBORTag, st.just(40), json_values)
_IMAGE_FIELDS = ["series_id", "image_id", "data", "series_date", "stop_time", "user_data"]
_START_FIELDS = ["number_of_images", "image_size_x", "channels", "frame_time", "type"]


@bounded
@given(field=st.sampled_from([*_IMAGE_FIELDS, *_START_FIELDS]), value=values)
def test_a_dectris_message_with_any_field_is_read_or_refused(senders, field, value):
    for message in (dectris_messages(senders)[0], dectris_messages(senders)[3]):
        # Unchanged values as CBOR has them, tags and all, around the one that is not.
        content = dict(cbor2.loads(message, tag_hook=lambda tag, _: tag))
        changed = cbor2.dumps({**content, field: value})
        refused(DectrisParser(COUNTS, max_image_bytes=LIMIT), [changed])


@bounded
@given(
    codec=st.sampled_from(["bslz4", "lz4", "lz4hdf5", "blosc", "zlib"]),
    header=st.binary(max_size=24),
    data=st.binary(max_size=80),
)
def test_compressed_bytes_of_any_kind_are_read_or_refused(senders, codec, header, data):
    message = senders.ntnd_array(1, IMAGE, codec)
    message["value"] = np.frombuffer(header + bytes(message["value"])[len(header) :] + data, "u1")
    refused(NtndArrayParser(COUNTS, max_image_bytes=LIMIT), message)


@bounded
@given(
    field=st.sampled_from(["codec", "dimension", "uniqueId", "attribute", "dataTimeStamp"]),
    value=json_values,
)
def test_an_ntndarray_with_any_field_is_read_or_refused(senders, field, value):
    message = {**senders.ntnd_array(1, IMAGE), field: value}
    refused(NtndArrayParser(COUNTS, max_image_bytes=LIMIT), message)


def test_bytes_that_cannot_become_so_many_are_refused_before_memory_is_taken():
    with pytest.raises(UndecodableMessage, match="4 bytes cannot become 67108864"):
        compression.lz4_block(memoryview(b"1234"), 64 * 2**20)
