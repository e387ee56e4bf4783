"""Every source on a real sender in another process: each frame as it was, each lost one counted."""

import cbor2
import numpy as np
import pytest

from skyctl.errors import UndecodableMessage
from skyctl.frame import Counts, Frame, ShotStart
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.stream.sources.array10 import Array10Parser
from skyctl.stream.sources.dectris import DectrisParser
from skyctl.stream.sources.ntndarray import NtndArrayParser, PvaTransport
from skyctl.stream.sources.pixels import Scaling
from skyctl.stream.sources.source import Source
from skyctl.stream.sources.transports import ZmqTransport

SCALING = Scaling(offset=60, scale=0.02, masked=-1.0)
SHOT = ShotStart("run", "s", Pulse(width_ps=8), FrameSchedule(), 8, (16, 20))


def in_sz(counts):
    """What SCALING makes of counts, computed apart."""
    values = (counts.astype(np.float64) - 60) * 0.02
    if counts.dtype.kind == "u":
        values[counts == np.iinfo(counts.dtype).max] = -1.0
    return values


def assert_images(frames, images):
    assert [frame.data.dtype for frame in frames] == [np.float32] * len(images)
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_allclose(frame.data, in_sz(image), atol=1e-6)


@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4", ">u2", "<f4"])
def test_a_dectris_series_is_the_expected_shot(dtype, compression, sender, senders, attach):
    peer = sender("dectris", dtype=dtype, compression=compression)
    parser = DectrisParser(SCALING)
    parser.expect(SHOT)
    events, _ = attach(Source(ZmqTransport(peer.hello), parser))
    peer.go()
    (end,) = events.ends()
    assert events.of(ShotStart) == [SHOT]
    assert (end.run, end.shot, end.sent_frames) == ("run", "s", 8)
    assert end.counts == Counts(received=8)
    assert_images(events.of(Frame), [senders.pattern((16, 20), dtype, i) for i in range(8)])
    assert [frame.movie_time_ps for frame in events.of(Frame)] == FrameSchedule().times_ps
    began_ns = 1_795_176_000_500_000_000  # 2026-11-20 12:00:00.5
    assert [f.source_time_ns for f in events.of(Frame)] == [
        began_ns + 2000 * index + 1800 for index in range(8)
    ]


def test_a_dectris_threshold_is_chosen_by_name(sender, senders, attach):
    channels = ["threshold_1", "threshold_2", "difference"]
    peer = sender("dectris", channels=channels)
    events, _ = attach(Source(ZmqTransport(peer.hello), DectrisParser(SCALING, "threshold_2")))
    peer.go()
    events.ends()
    assert_images(events.of(Frame), [senders.pattern((16, 20), "<u2", i, 1) for i in range(8)])


def test_dectris_images_that_are_lost_are_missing_and_an_end_may_come_twice(sender, attach):
    peer = sender("dectris", lose=[2, 7], ends=2, repeat=2)
    events, hub = attach(Source(ZmqTransport(peer.hello), DectrisParser(SCALING)))
    peer.go()
    peer.go()
    ends = events.ends(2)
    assert [end.shot for end in ends] == ["series-12", "series-13"]
    assert [end.counts for end in ends] == [Counts(received=6, missing=2)] * 2
    assert hub.totals["missing"] == 4
    assert events.of(ShotStart)[0].run == "dectris"
    assert events.of(ShotStart)[0].movie.interval_ps == pytest.approx(1.0)


def test_what_the_detector_says_it_dropped_is_counted(sender, attach):
    counted = iter([3, 5])
    peer = sender("dectris")
    transport = ZmqTransport(peer.hello, dropped=lambda: next(counted))
    events, _ = attach(Source(transport, DectrisParser(SCALING)))
    peer.go()
    (end,) = events.ends()
    assert end.counts == Counts(received=8, upstream_dropped=2)
    assert not end.counts.complete


@pytest.mark.parametrize("word", ["endianness", "endianess"])
@pytest.mark.parametrize("dtype", [">u2", "<i4", "<f8"])
def test_array_1_0_in_either_spelling_and_order(dtype, word, sender, senders, attach):
    peer = sender("array10", dtype=dtype, word=word, shape=[16, 20])
    parser = Array10Parser(SCALING)
    parser.expect(SHOT)
    events, _ = attach(Source(ZmqTransport(peer.hello), parser))
    peer.go()
    (end,) = events.ends()
    assert events.of(ShotStart) == [SHOT]
    assert end.counts == Counts(received=8)
    assert_images(events.of(Frame), [senders.pattern((16, 20), dtype, i) for i in range(8)])


def test_array_1_0_published_in_part_is_missing_in_part(sender, attach):
    peer = sender("array10", kind="pub", shape=[16, 20], lose=[0, 3, 4], repeat=2)
    parser = Array10Parser(SCALING)
    events, _ = attach(Source(ZmqTransport(peer.hello, "sub"), parser))
    for shot in ("a", "b"):
        parser.expect(ShotStart("run", shot, None, FrameSchedule(), 8, (16, 20)))
        peer.go()
        ends = events.ends(1 if shot == "a" else 2)
    assert [end.shot for end in ends] == ["a", "b"]
    assert [end.counts for end in ends] == [Counts(received=5, missing=3)] * 2


@pytest.mark.parametrize("codec", ["", "lz4", "lz4hdf5", "bslz4", "blosc", "zlib"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_an_ntndarray_over_pva(dtype, codec, sender, senders, attach):
    peer = sender("ntndarray", dtype=dtype, codec=codec)
    parser = NtndArrayParser(SCALING)
    events, _ = attach(Source(PvaTransport("SIM:Image", conf=peer.hello), parser))
    events.wait(lambda events: events.of(Frame))  # the image that the PV had
    parser.expect(SHOT)
    peer.go()
    before, end = events.ends(2)
    assert (before.run, before.shot, before.counts.received) == ("areadetector", "series-0", 1)
    assert events.of(ShotStart)[1] == SHOT
    assert end.counts == Counts(received=8)
    frames = [frame for frame in events.of(Frame) if frame.shot == "s"]
    assert_images(frames, [senders.pattern((16, 20), dtype, i) for i in range(1, 9)])
    assert [frame.source_time_ns for frame in frames] == [
        1_700_000_000_000_000_000 + i for i in range(1, 9)
    ]


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u4", "u8", "f8"])
def test_ntndarray_pixels_of_every_type(dtype, senders):
    image = senders.pattern((16, 20), dtype, 1)
    for codec in ("", "lz4", "bslz4"):
        _, frame = NtndArrayParser(SCALING).parse(senders.ntnd_array(1, image, codec), 7)
        np.testing.assert_allclose(frame.data, in_sz(image), atol=1e-6)


def test_updates_that_an_ioc_lost_are_missing_and_its_own_count_is_told(sender, attach):
    peer = sender("ntndarray", lose=[0, 5])
    parser = NtndArrayParser(SCALING)
    transport = PvaTransport("SIM:Image", dropped_pv="SIM:Dropped", conf=peer.hello)
    events, _ = attach(Source(transport, parser))
    events.wait(lambda events: events.of(Frame))
    parser.expect(SHOT)
    peer.go()
    _, end = events.ends(2)
    assert [frame.index for frame in events.of(Frame)[1:]] == [1, 2, 3, 4, 6, 7]
    assert end.counts.missing == 2
    assert transport.upstream_dropped == 7


def test_a_thousand_updates_a_second_over_pva_lose_nothing(sender, attach):
    peer = sender("ntndarray", frames=500, shape=[100, 100], dtype="f4")
    parser = NtndArrayParser(SCALING)
    events, _ = attach(Source(PvaTransport("SIM:Image", conf=peer.hello), parser))
    events.wait(lambda events: events.of(Frame))
    parser.expect(ShotStart("run", "long", None, FrameSchedule(), 500, (100, 100)))
    peer.go()
    assert events.ends(2)[1].counts == Counts(received=500)


def test_a_start_message_with_flat_fields_and_masks_of_a_4m_detector_is_read():
    rows, columns, channels = 2162, 2068, ["threshold_1", "threshold_2"]
    plane = bytes(4 * rows * columns)
    planes = dict.fromkeys(channels, cbor2.CBORTag(40, [[rows, columns], cbor2.CBORTag(85, plane)]))
    start = cbor2.dumps(
        {
            "type": "start", "series_id": 7, "series_unique_id": "u7", "number_of_images": 2,
            "image_size_x": columns, "image_size_y": rows, "channels": channels,
            "flatfield": planes, "pixel_mask": planes,
        }
    )  # fmt: skip
    assert len(start) > 64 * 2**20
    (event,) = DectrisParser(SCALING, "threshold_1").parse([memoryview(start)], 0)
    assert event.shape == (rows, columns)
    with pytest.raises(UndecodableMessage, match="over 65536"):
        DectrisParser(SCALING, "threshold_1", max_image_bytes=2**14).parse([memoryview(start)], 0)
