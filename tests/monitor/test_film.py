"""Frames as bytes for a page: levels, holes, sizes, and that memory stays bounded."""

import json
import struct
import warnings

import numpy as np
import pytest

from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.monitor import film as module
from skyctl.monitor.account import filmed_pulse
from skyctl.monitor.film import MISSING, MOST_FRAMES, LiveFilm, pack_movie, picture
from skyctl.pulse import FrameSchedule, Pulse

MOVIE = FrameSchedule()


def frame(data, index=0, shot="a"):
    return Frame("run", shot, index, 5.0 * index, 0, np.asarray(data, np.float32))


def shown(data, index=0):
    return picture(np.asarray(data, np.float32), index, 5.0 * index)


def start(shot="a", shape=(4, 4), frames=8):
    return ShotStart("run", shot, Pulse(width_ps=5.0), MOVIE, frames, shape)


def test_levels_run_from_minus_one_to_plus_one_and_a_hole_is_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = shown([[-1, 0, 1], [-7, 9, np.nan], [np.inf, -np.inf, 0.5]]).image
    assert image.tolist() == [[0, 127, 254], [0, 254, MISSING], [254, 0, 191]]


def test_of_spins_the_third_is_shown():
    spins = np.zeros((3, 2, 2))
    spins[2] = 1
    assert (shown(spins).image == 254).all()


def test_a_packed_picture_reads_back():
    image = np.linspace(-1, 1, 12).reshape(3, 4)
    packed = shown(image, index=3).packed("shot é", 34, age_s=0.25)
    magic, rows, columns, step, named, index, expected, time_ps, age_s = struct.unpack(
        "<4sHHHHIIdd", packed[:36]
    )
    assert (magic, rows, columns, step, index, expected) == (b"SKY1", 3, 4, 1, 3, 34)
    assert (time_ps, age_s) == (15.0, 0.25)
    assert packed[36 : 36 + named].decode() == "shot é"
    levels = np.frombuffer(packed[36 + named :], np.uint8).reshape(3, 4)
    assert np.abs((levels - 127.0) / 127 - image).max() < 1 / 127


def test_a_large_frame_is_thinned_out_and_says_so():
    large = shown(np.full((1500, 3000), 0.5))
    assert max(large.image.shape) <= 1024
    assert large.step == 3
    small = large.smaller(100)
    assert max(small.image.shape) <= 100
    assert small.step == 30
    assert (small.image == 191).all()
    assert small.smaller(100) is small


@pytest.mark.parametrize("count", [1, 7, MOST_FRAMES, 5 * MOST_FRAMES])
def test_of_a_long_movie_frames_are_kept_evenly(count):
    live = LiveFilm()
    live.handle(start())
    for index in range(count):
        live.handle(frame(np.zeros((4, 4)), index))
    kept = [one.index for one in live.movie("a").pictures]
    assert len(kept) <= MOST_FRAMES
    assert len(kept) >= min(count, MOST_FRAMES // 2)
    assert len(set(np.diff(kept))) <= 1
    assert kept[0] == 0


def test_old_movies_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(module, "_KEPT_BYTES", 1000)
    live = LiveFilm()
    for shot in range(100):
        live.handle(start(str(shot)))
        for index in range(4):
            live.handle(frame(np.zeros((4, 4)), index, str(shot)))
        live.handle(ShotEnd("run", str(shot), 4))
    kept = [shot for shot in range(100) if live.movie(str(shot))]
    assert kept == list(range(100 - len(kept), 100))
    assert 10 <= len(kept) <= 20
    assert live.playing is None


def test_the_newest_frame_is_of_the_movie_under_way():
    live = LiveFilm()
    live.handle(frame(np.zeros((4, 4))))  # before its start came
    assert live.newest.value is None
    live.handle(start())
    live.handle(frame(np.ones((4, 4)), 1))
    live.handle(frame(np.ones((4, 4)), 2, "another"))
    newest = live.newest.value
    assert (newest.frame.index, newest.movie.start.shot) == (1, "a")
    assert newest.packed()[36:37] == b"a"


def test_a_movie_is_packed_with_no_more_than_was_asked():
    pictures = [shown(np.full((8, 8), 0.1 * k), k) for k in range(9)]
    packed = pack_movie("a", pictures, 9, 3, 4)
    size = 36 + 1 + 16
    assert len(packed) == 3 * size
    assert [struct.unpack_from("<I", packed, k * size + 12)[0] for k in range(3)] == [0, 4, 8]
    assert pack_movie("a", [], 9, 3, 4) == b""


@pytest.mark.parametrize(
    ("pulse", "peaks"),
    [
        (Pulse(width_ps=10.0), [40.0]),
        (Pulse(width_ps=5.0, peak_ps=0.0), [0.0]),
        (Pulse(width_ps=5.0, second=Pulse(width_ps=5.0, peak_ps=90.0)), [40.0, 90.0]),
        (Pulse(width_ps=5.0, amplitude_T=0.0), []),
    ],
)
def test_a_pulse_is_shown_by_its_course(pulse, peaks):
    course = np.array(filmed_pulse(pulse)["course"])
    assert course[:, 1].max() == (1.0 if peaks else 0.0)
    for peak in peaks:
        assert np.interp(peak, *course.T) > 0.9
    json.dumps(filmed_pulse(pulse), allow_nan=False)


@pytest.mark.parametrize(("frames", "spared"), [(100, False), (300, True)])
def test_of_a_fast_source_frames_are_passed_over(monkeypatch, frames, spared):
    pauses = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    live = LiveFilm()
    live.handle(start())
    for index in range(frames):
        live.handle(frame(np.zeros((4, 4)), index))
    assert bool(pauses) == spared
    assert live.newest.value.frame.index == frames - 1
