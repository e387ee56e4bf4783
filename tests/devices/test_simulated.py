"""The simulated sample: frames leave in order, and a pulse acts whether or not it is filmed."""

import numpy as np
import pytest

from skyctl.devices.simulated import SimulatedSample, simulated_beamline
from skyctl.errors import PulseRefused, StreamError
from skyctl.pulse import Exposure, Movie, Pulse
from skyctl.simulators.film import Film

ERASE = Pulse(amplitude_T=2.0, width_ps=40.0)


class NotingPublisher:
    """Keeps what is published."""

    def __init__(self):
        self.frames, self.ends = [], []

    def start(self, start):
        self.open = start

    def frame(self, frame):
        self.frames.append(frame)

    def end(self, _run, shot):
        self.ends.append(shot)


@pytest.fixture
def sample():
    film = Film(precision="f4", threads=2)
    film.set_skyrmion()
    made = SimulatedSample(film, NotingPublisher())
    yield made
    made.close()


def test_a_movie_has_the_frames_and_times_that_were_asked_for(sample):
    movie = Movie(duration_ps=20.0, interval_ps=5.0)
    sample.expose("run", Exposure(shot="a"), movie)
    sample.fire("a", Pulse(width_ps=4.0))
    sample.wait_settled()
    frames = sample._publisher.frames
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.movie_time_ps for frame in frames] == movie.times_ps
    assert {frame.data.shape for frame in frames} == {sample.shape}
    assert sample._publisher.ends == ["a"]


def test_a_look_is_one_frame_and_leaves_the_film_alone(sample):
    before = sample.spins()
    sample.expose("run", Exposure(shot="look", pulsed=False), Movie())
    sample.wait_settled()
    (frame,) = sample._publisher.frames
    np.testing.assert_array_equal(frame.data, before[2])
    np.testing.assert_array_equal(sample.spins(), before)


@pytest.mark.parametrize("filmed", ["not at all", "in part"])
def test_a_pulse_acts_to_its_end(sample, filmed):
    assert abs(sample.charge()) == pytest.approx(0.94, abs=0.05)
    if filmed == "in part":
        sample.expose("run", Exposure(shot="a"), Movie(duration_ps=10.0, interval_ps=5.0))
    sample.fire("a", ERASE)
    sample.wait_settled()
    assert abs(sample.charge()) < 0.1


def test_a_camera_armed_for_another_shot_does_not_film_this_one(sample):
    sample.expose("run", Exposure(shot="a"), Movie())
    sample.fire("b", Pulse(width_ps=4.0))
    sample.wait_settled()
    assert sample._publisher.frames == []


def test_a_cancelled_exposure_films_nothing(sample):
    sample.expose("run", Exposure(shot="a"), Movie())
    assert sample.cancel() == "a"
    assert sample.cancel() == ""
    sample.fire("a", Pulse(width_ps=4.0))
    sample.wait_settled()
    assert sample._publisher.frames == []


def test_a_sample_that_stopped_refuses_the_next_pulse(sample, monkeypatch):
    def unheard(_start):
        raise StreamError("no hub")

    monkeypatch.setattr(sample._publisher, "start", unheard)
    sample.expose("run", Exposure(shot="look", pulsed=False), Movie())
    sample.wait_settled()
    with pytest.raises(PulseRefused, match="stopped \\(no hub\\)"):
        sample.fire("a", ERASE)


def test_a_closed_beamline_fires_nothing(tmp_path):
    with simulated_beamline(tmp_path) as beamline:
        pass
    with pytest.raises(PulseRefused):
        beamline.pulser.set(ERASE, shot="a")
    with pytest.raises(PulseRefused, match="stopped"):
        beamline.sample.fire("a", ERASE)


def test_a_bad_ledger_builds_no_beamline(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("{")
    with pytest.raises(PulseRefused, match="cannot be read"):
        simulated_beamline(tmp_path, ledger=ledger)


def test_vector_frames_carry_all_spins():
    sample = SimulatedSample(Film(precision="f4"), NotingPublisher(), component="spins")
    sample.expose("run", Exposure(shot="look", pulsed=False), Movie())
    sample.wait_settled()
    sample.close()
    assert sample._publisher.frames[0].data.shape == (3, 100, 100)
