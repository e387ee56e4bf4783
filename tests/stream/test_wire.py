"""The wire format: what we write can be read, by others too; what strangers write cannot hurt."""

import math
from dataclasses import replace
from datetime import UTC
from decimal import Decimal

import cbor2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skyctl.errors import ForeignMessage, UndecodableMessage
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.pulse import FrameSchedule, Pulse, Spot
from skyctl.stream import wire

bounded = settings(deadline=None, max_examples=150)

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-9, max_value=1e9)
names = st.text("abcXYZ019-_/. ", max_size=62).map(lambda text: f"n{text}")
side = st.integers(1, 12)
shapes = st.tuples(side, side) | st.tuples(st.just(3), side, side)
spots = st.builds(Spot, x=finite, y=finite, sigma=positive)
pulses = st.builds(
    Pulse, amplitude_T=positive, width_ps=positive, theta_deg=finite, spot=st.none() | spots
)
movies = st.builds(FrameSchedule, duration_ps=positive, interval_ps=positive)
starts = st.builds(
    ShotStart,
    run=names,
    shot=names,
    pulse=st.none() | pulses,
    movie=movies,
    expected_frames=st.integers(0, 10_000_000),
    shape=shapes,
    may_end_early=st.booleans(),
)
frames = st.builds(
    Frame,
    run=names,
    shot=names,
    index=st.integers(0, 9_999_999),
    movie_time_ps=finite,
    source_time_ns=st.integers(0, 2**63 - 1),
    data=shapes.flatmap(lambda shape: hnp.arrays(np.float32, shape)),
)

START = ShotStart("run", "shot", Pulse(width_ps=8), FrameSchedule(), 8, (4, 5))
FRAME = Frame("run", "shot", 3, 15.0, 7, np.arange(20, dtype=np.float32).reshape(4, 5))
MESSAGES = [
    wire.encode_start(START),
    wire.encode_frame(FRAME),
    wire.encode_end("run", "shot", 8),
]


def decode_or_refuse(message):
    """What ``decode`` gives; None for a message that it refuses in the two ways it may."""
    try:
        return wire.decode(message)
    except (UndecodableMessage, ForeignMessage):
        return None


@bounded
@given(starts)
def test_a_start_comes_back_as_it_went(start):
    assert wire.decode(wire.encode_start(start)) == start


@bounded
@given(frames, st.integers(0, 2**63))
def test_a_frame_comes_back_bit_for_bit(frame, received_ns):
    back = wire.decode(wire.encode_frame(frame), received_ns)
    assert isinstance(back, Frame)
    assert back.data.shape == frame.data.shape
    assert back.data.dtype == np.float32
    assert back.data.tobytes() == frame.data.tobytes()
    assert back.received_ns == received_ns
    for name in ("run", "shot", "index", "movie_time_ps", "source_time_ns"):
        assert getattr(back, name) == getattr(frame, name)


@bounded
@given(frames)
def test_what_is_laid_out_as_ours_is_read_without_decoding_just_as_with_it(frame):
    layout = wire.image_layout(frame.run, frame.shot, frame.data.shape)
    message = memoryview(wire.encode_frame(frame))
    quick, whole = layout.read(message, 5), wire.decode(message, 5)
    assert quick.data.tobytes() == whole.data.tobytes()
    assert not quick.data.flags.writeable
    assert replace(quick, data=None) == replace(whole, data=None)


@bounded
@given(frames, st.data())
def test_a_damaged_message_is_laid_out_as_ours_only_where_its_numbers_still_are(frame, data):
    layout = wire.image_layout(frame.run, frame.shot, frame.data.shape)
    damaged = bytearray(wire.encode_frame(frame))
    place = data.draw(st.integers(0, len(damaged) - frame.data.nbytes - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    quick, whole = layout.read(memoryview(damaged), 5), decode_or_refuse(bytes(damaged))
    if quick is not None:  # a number was damaged, into another one
        assert replace(quick, data=None, received_ns=0) == replace(whole, data=None)


def test_images_begin_where_compiled_code_can_take_them():
    for length in range(9):
        message = wire.encode_frame(replace(FRAME, run="r" * (1 + length)))
        assert (len(message) - FRAME.data.nbytes) % 8 == 0


@bounded
@given(names, names, st.integers(0, 10_000_000))
def test_an_end_comes_back_with_its_count(run, shot, count):
    assert wire.decode(wire.encode_end(run, shot, count)) == ShotEnd(run, shot, count)


def test_a_frame_that_is_a_view_of_other_memory_is_sent_in_its_own_order():
    data = np.arange(40, dtype=np.float64).reshape(8, 5)[::2].T
    back = wire.decode(wire.encode_frame(Frame("r", "s", 0, 0.0, 0, data)))
    np.testing.assert_array_equal(back.data, data)


def read_as_stream_v2(message):
    """As DECTRIS's example client reads a message: plain cbor2 with decoders for typed arrays."""

    def tag_hook(tag, _):
        if tag.tag == 40:
            shape, array = tag.value
            return array.reshape(shape)
        if tag.tag == 85:
            return np.frombuffer(tag.value, "<f4")
        return tag

    return cbor2.loads(message, tag_hook=tag_hook)


def test_a_stream_v2_reader_reads_a_start():
    content = read_as_stream_v2(wire.encode_start(START))
    assert next(iter(content)) == "type"
    assert content["type"] == "start"
    assert (content["image_size_x"], content["image_size_y"]) == (5, 4)
    assert content["number_of_images"] == 8
    assert len(content["channels"]) == 1
    assert content["series_unique_id"] == "run/shot"
    assert isinstance(content["series_id"], int)


def test_a_stream_v2_reader_reads_an_image():
    start = read_as_stream_v2(wire.encode_start(START))
    content = read_as_stream_v2(wire.encode_frame(FRAME))
    assert next(iter(content)) == "type"
    assert content["type"] == "image"
    assert content["image_id"] == 3
    assert content["series_unique_id"] == start["series_unique_id"]
    assert list(content["data"]) == start["channels"]
    np.testing.assert_array_equal(content["data"][start["channels"][0]], FRAME.data)
    nanoseconds, per_second = content["start_time"]
    assert nanoseconds / per_second == pytest.approx(7e-9)


def test_a_stream_v2_reader_reads_an_end():
    content = read_as_stream_v2(wire.encode_end("run", "shot", 8))
    assert next(iter(content)) == "type"
    assert content["type"] == "end"
    assert content["series_unique_id"] == "run/shot"


@bounded
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(message):
    assert decode_or_refuse(message) is None


cbor_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.fractions()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC))
    | st.uuids()
    | st.ip_addresses()
)
cbor = st.recursive(
    cbor_leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.sampled_from([0, 1, 2, 4, 28, 29, 35, 40, 85, 258]), inner)
    ),
    max_leaves=12,
)


@bounded
@given(cbor)
def test_arbitrary_cbor_is_refused(content):
    assert decode_or_refuse(cbor2.dumps(content)) is None


paths = st.sampled_from(
    [
        *[("type",), ("data",), ("user_data",), ("data", "skyctl")],
        *[("user_data", name) for name in cbor2.loads(MESSAGES[0])["user_data"]],
        *[("user_data", name) for name in cbor2.loads(MESSAGES[1])["user_data"]],
        ("user_data", "frames"),
    ]
)


@bounded
@given(st.sampled_from(MESSAGES), paths, cbor)
def test_a_message_with_an_arbitrary_field_is_read_or_refused(message, path, value):
    content = cbor2.loads(message)
    at = content
    for name in path[:-1]:
        at = at.setdefault(name, {})
    at[path[-1]] = value
    decode_or_refuse(cbor2.dumps(content))


@bounded
@given(st.sampled_from(MESSAGES), st.data())
def test_a_damaged_message_is_read_or_refused(message, data):
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(damaged))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_cut_anywhere_is_refused(message):
    assert wire.decode(message) is not None
    assert [decode_or_refuse(message[:cut]) for cut in range(len(message))] == [None] * len(message)


def image(shape, content, outer=40, inner=85):
    """An image message around this array."""
    message = cbor2.loads(MESSAGES[1])
    typed = cbor2.CBORTag(inner, content)
    return cbor2.dumps({**message, "data": {"skyctl": cbor2.CBORTag(outer, [shape, typed])}})


def test_the_image_under_test_is_one_when_its_array_fits():
    assert decode_or_refuse(image([4, 5], bytes(80))).data.shape == (4, 5)


@pytest.mark.parametrize(
    ("shape", "content", "tags"),
    [
        ([4, 6], bytes(80), {}),
        ([0, 5], b"", {}),
        ([-4, -5], bytes(80), {}),
        ([20], bytes(80), {}),
        ([2, 2, 5], bytes(80), {}),
        ([1, 3, 1, 5], bytes(60), {}),
        ([], bytes(4), {}),
        ([4.0, 5.0], bytes(80), {}),
        ("45", bytes(80), {}),
        ([True, 20], bytes(80), {}),
        ([2**64, 5], bytes(80), {}),
        ([2**32, 2**32], b"", {}),
        ([4, 5], "0" * 80, {}),
        ([4, 5], bytes(80), {"outer": 1040}),
        ([4, 5], bytes(80), {"inner": 81}),
        ([4, 5], bytes(80), {"inner": 70}),
    ],
)
def test_an_array_whose_tags_shape_and_bytes_contradict_each_other_is_refused(shape, content, tags):
    with pytest.raises(UndecodableMessage, match="image message"):
        wire.decode(image(shape, content, **tags))


@pytest.mark.parametrize(
    "cost",
    [
        cbor2.CBORTag(4, [999_999_999, 1]),
        Decimal("1E+999999999"),
        cbor2.CBORTag(30, [10**5000, 10**4999 + 1]),
        cbor2.CBORTag(35, "((((a+)+)+)+)+$"),
        10**5000,
    ],
    ids=["decimal tag", "decimal", "fraction", "pattern", "long number"],
)
@pytest.mark.parametrize("place", ["type", "shape", "frame", "movie_time_ps"])
def test_numbers_that_cost_more_than_their_size_are_refused_at_once(place, cost):
    message = cbor2.loads(MESSAGES[1])
    if place == "type":
        message["type"] = cost
    elif place == "shape":
        typed = message["data"]["skyctl"].value[1]
        message["data"] = {"skyctl": cbor2.CBORTag(40, [[cost, 5], typed])}
    else:
        message["user_data"][place] = cost
    with pytest.raises(UndecodableMessage):
        wire.decode(cbor2.dumps(message))


@bounded
@given(st.integers())
@example(10**30)
@example(-1)
def test_an_end_that_claims_more_frames_than_there_can_be_is_refused(count):
    message = cbor2.loads(MESSAGES[2])
    message["user_data"]["frames"] = count
    assert (decode_or_refuse(cbor2.dumps(message)) is None) == (not 0 <= count <= 10_000_000)


@pytest.mark.parametrize("value", [math.nan, math.inf, "soon", None])
def test_a_frame_without_a_time_is_refused_by_name(value):
    message = cbor2.loads(MESSAGES[1])
    message["user_data"]["movie_time_ps"] = value
    with pytest.raises(UndecodableMessage, match="movie_time_ps"):
        wire.decode(cbor2.dumps(message))


def test_a_detector_that_is_not_ours_is_foreign():
    message = cbor2.loads(MESSAGES[1])
    del message["user_data"]
    with pytest.raises(ForeignMessage):
        wire.decode(cbor2.dumps(message))


def test_a_later_version_of_ours_is_foreign():
    message = cbor2.loads(MESSAGES[1])
    message["user_data"]["schema"] = "skyctl/2"
    with pytest.raises(ForeignMessage, match="skyctl/1"):
        wire.decode(cbor2.dumps(message))


def test_the_mark_that_says_this_is_cbor_is_passed_over():
    assert wire.decode(b"\xd9\xd9\xf7" + MESSAGES[2]) == ShotEnd("run", "shot", 8)


def test_a_message_over_the_limit_is_refused_unread():
    with pytest.raises(UndecodableMessage, match="over"):
        wire.decode(bytes(wire.MAX_MESSAGE_BYTES + 1))


def test_deep_nesting_is_refused():
    assert decode_or_refuse(b"\x81" * 100_000 + b"\x00") is None


@pytest.mark.parametrize("ended_early", [True, False])
def test_an_end_says_whether_the_movie_was_ended_early(ended_early):
    message = wire.encode_end("run", "shot", 7, ended_early=ended_early)
    assert wire.decode(message) == ShotEnd("run", "shot", 7, ended_early=ended_early)


@pytest.mark.parametrize(
    ("message", "field"), [(MESSAGES[0], "may_end_early"), (MESSAGES[2], "ended_early")]
)
def test_a_source_of_before_movies_ended_early_ends_none_and_nonsense_is_refused(message, field):
    content = cbor2.loads(message)
    user_data = dict(content["user_data"])
    content["user_data"] = {k: v for k, v in user_data.items() if k != field}
    assert getattr(wire.decode(cbor2.dumps(content)), field) is False
    for nonsense in (1, "yes", None):
        content["user_data"] = {**user_data, field: nonsense}
        with pytest.raises(UndecodableMessage, match=field):
            wire.decode(cbor2.dumps(content))
