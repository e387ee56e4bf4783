"""The simulated sample: frames leave in order, and a pulse acts whether or not it is filmed."""

import threading

import numpy as np
import pytest

from skyctl.beamline import simulated_beamline
from skyctl.devices.simulated import SimulatedSample
from skyctl.errors import PulseRefused, StreamError
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import Exposure, FrameSchedule, Pulse
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.stream.hub import Consumer, Hub
from skyctl.stream.publisher import Publisher
from skyctl.waveform import Sampled

ERASE = Pulse(amplitude_T=2.0, width_ps=40.0)


class NotingPublisher:
    """Keeps what is published."""

    def __init__(self):
        self.frames, self.ends, self.promised = [], [], []
        self.ended_early = []

    def start(self, start):
        self.open = start

    def frame(self, frame):
        self.frames.append(frame)

    def end(self, _run, shot, frames=None, *, ended_early=False):
        self.ends.append(shot)
        self.promised.append(frames)
        self.ended_early.append(ended_early)


@pytest.fixture
def sample():
    film = Film(precision="f4", threads=2)
    film.set_skyrmion()
    made = SimulatedSample(film, NotingPublisher())
    yield made
    made.close()


def test_a_movie_has_the_frames_and_times_that_were_asked_for(sample):
    movie = FrameSchedule(duration_ps=20.0, interval_ps=5.0)
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
    sample.expose("run", Exposure(shot="look", pulsed=False), FrameSchedule())
    sample.wait_settled()
    (frame,) = sample._publisher.frames
    np.testing.assert_array_equal(frame.data, before[2])
    np.testing.assert_array_equal(sample.spins(), before)


@pytest.mark.parametrize("filmed", ["not at all", "in part"])
def test_a_pulse_acts_to_its_end(sample, filmed):
    assert abs(sample.charge()) == pytest.approx(0.94, abs=0.05)
    if filmed == "in part":
        sample.expose("run", Exposure(shot="a"), FrameSchedule(duration_ps=10.0, interval_ps=5.0))
    sample.fire("a", ERASE)
    sample.wait_settled()
    assert abs(sample.charge()) < 0.1


def test_a_pulse_that_is_over_before_the_movie_begins_does_nothing(sample):
    wave = Sampled(times_ps=(-30.0, -20.0, -10.0), values=(0.0, 1.0, 0.0))
    before = sample.spins()
    sample.fire("a", Pulse(width_ps=wave.width_ps, peak_ps=0.0, waveform=wave))
    sample.wait_settled()
    assert sample.error is None
    np.testing.assert_allclose(sample.spins(), before, atol=0.02)


def test_a_camera_armed_for_another_shot_does_not_film_this_one(sample):
    sample.expose("run", Exposure(shot="a"), FrameSchedule())
    sample.fire("b", Pulse(width_ps=4.0))
    sample.wait_settled()
    assert sample._publisher.frames == []


def test_a_cancelled_exposure_films_nothing(sample):
    sample.expose("run", Exposure(shot="a"), FrameSchedule())
    assert sample.cancel() == "a"
    assert sample.cancel() == ""
    sample.fire("a", Pulse(width_ps=4.0))
    sample.wait_settled()
    assert sample._publisher.frames == []


def test_a_sample_that_stopped_refuses_the_next_pulse(sample, monkeypatch):
    def unheard(_start):
        raise StreamError("no hub")

    monkeypatch.setattr(sample._publisher, "start", unheard)
    sample.expose("run", Exposure(shot="look", pulsed=False), FrameSchedule())
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
    ledger.write_text("{\n")
    with pytest.raises(PulseRefused, match="cannot be read"):
        simulated_beamline(tmp_path, ledger=ledger)


def test_vector_frames_carry_all_spins():
    sample = SimulatedSample(Film(precision="f4"), NotingPublisher(), component="spins")
    sample.expose("run", Exposure(shot="look", pulsed=False), FrameSchedule())
    sample.wait_settled()
    sample.close()
    assert sample._publisher.frames[0].data.shape == (3, 100, 100)


@pytest.fixture
def small_sample():
    """Makes a sample of a 20 × 30 film, published to ``publisher``, and films one movie of it."""
    made = []

    def film(publisher, shots=("a",), **options):
        film = Film(FilmParameters(rows=20, columns=30), precision="f4")
        sample = SimulatedSample(film, publisher, settle_ps=5.0, **options)
        made.append(sample)
        for shot in shots:
            sample.expose(
                "run", Exposure(shot=shot), FrameSchedule(duration_ps=45.0, interval_ps=5.0)
            )
            sample.fire(shot, Pulse(width_ps=4.0, peak_ps=20.0))
        sample.wait_settled()
        return sample

    yield film
    for sample in made:
        sample.close()


def test_frames_are_the_images_of_the_camera(small_sample):
    plain, seen = NotingPublisher(), NotingPublisher()
    imaging = Imaging(pixels=(7, 11), drift_sites_per_ps=(0.2, 0.0), gaussian_noise=0.02, seed=3)
    small_sample(plain, shots=("a", "b"))
    sample = small_sample(seen, shots=("a", "b"), imaging=imaging)
    assert sample.shape == seen.open.shape == (7, 11)
    assert sample.describe()["imaging"]["pixels"] == (7, 11)
    for number, (truth, frame) in enumerate(zip(plain.frames, seen.frames, strict=True)):
        shot, index = divmod(number, 10)
        assert frame.index == index
        np.testing.assert_array_equal(
            frame.data,
            imaging.image(truth.data, shot=shot, frame=index, time_ps=frame.movie_time_ps),
        )


def test_a_dropped_frame_is_a_gap_that_the_stream_reports(small_sample):
    imaging = Imaging(dropped=0.3, seed=1)
    lost = [index for index in range(10) if not imaging.arrives(frame=index)]
    assert 0 < len(lost) < 10
    plain, publisher = NotingPublisher(), Publisher()
    small_sample(plain)
    hub, events, problems = Hub(publisher.address), [], []
    classifier = StreamingClassifier(MovieClassifier())
    classifier.subscribe(lambda news: problems.append(getattr(news, "problem", None)))

    def take(event):
        events.append(event)
        classifier.handle(event)
        if isinstance(event, ShotEnd):
            over.set()

    over = threading.Event()
    consumer = Consumer("test", take)
    hub.subscribe(consumer)
    small_sample(publisher, imaging=imaging)
    assert over.wait(20)
    hub.close()
    consumer.close()
    publisher.close()
    start, *frames, end = events
    assert isinstance(start, ShotStart)
    assert start.expected_frames == end.sent_frames == 10
    assert end.counts.received == 10 - len(lost)
    assert end.counts.missing == len(lost)
    assert problems[-1] == f"{len(lost)} of 10 frames missing"
    # The film moved on while nobody saw it: the frames that came are the right ones.
    for frame in frames:
        assert isinstance(frame, Frame)
        assert frame.index not in lost
        np.testing.assert_array_equal(frame.data, plain.frames[frame.index].data)


@pytest.mark.parametrize("movie", [FrameSchedule(duration_ps=45.0, interval_ps=5.0), None])
def test_a_pulse_delivers_what_the_calibration_makes_of_it(movie):
    def fire(amplitude_T, calibration):
        publisher = NotingPublisher()
        film = Film(FilmParameters(rows=12, columns=12), precision="f8")
        sample = SimulatedSample(film, publisher, settle_ps=0.0, field_calibration=calibration)
        if movie:
            sample.expose("run", Exposure(shot="a"), movie)
        sample.fire("a", Pulse(amplitude_T=amplitude_T, width_ps=4.0, peak_ps=20.0))
        sample.wait_settled()
        sample.close()
        return publisher, sample.spins()

    publisher, spins = fire(2.0, 1.25)
    np.testing.assert_array_equal(spins, fire(2.5, 1.0)[1])
    assert np.abs(spins - fire(2.0, 1.0)[1]).max() > 1e-3
    if movie:
        assert publisher.open.pulse.amplitude_T == 2.0  # what was asked for, not what came of it


def test_a_beamline_films_through_its_imaging(tmp_path):
    imaging = Imaging(pixels=(25, 40), gaussian_noise=0.1)
    with simulated_beamline(tmp_path, imaging=imaging, field_calibration=0.96) as beamline:
        described = beamline.camera.frames.describe_collect()
        assert described["camera_frames"]["shape"] == [25, 40]
        facts = beamline.camera.describe_sample()
        assert facts["imaging"]["gaussian_noise"] == 0.1
        assert facts["field_calibration"] == 0.96


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"imaging": Imaging(), "component": "spins"}, "imaging shows S_z only"),
        ({"field_calibration": 0.0}, "field calibration 0.0: give a factor above 0"),
        ({"field_calibration": float("nan")}, "field calibration nan"),
    ],
)
def test_a_camera_or_calibration_that_cannot_be_is_refused(options, fault):
    with pytest.raises(ValueError, match=fault):
        SimulatedSample(Film(), NotingPublisher(), **options)


def test_a_bad_calibration_builds_no_beamline(tmp_path):
    with pytest.raises(ValueError, match="field calibration"):
        simulated_beamline(tmp_path, field_calibration=-1.0)


class EndsAt(NotingPublisher):
    """Has the movie ended while a frame of this index is on its way."""

    def __init__(self, index, shot="a"):
        super().__init__()
        self.index, self.shot = index, shot

    def frame(self, frame):
        super().frame(frame)
        if frame.index == self.index:
            self.sample.finish(self.shot)
            self.sample.finish("over long ago")


@pytest.fixture
def pulsed():
    """Makes a sample that is pulsed and filmed once; the pulse is at its peak at 20 ps, the film is
    watched to 45 ps."""
    made = []

    def film(publisher, temperature_K=0.0):
        parameters = FilmParameters(rows=20, columns=30, temperature_K=temperature_K)
        sample = SimulatedSample(Film(parameters, precision="f4"), publisher, settle_ps=5.0)
        publisher.sample = sample
        made.append(sample)
        exposure = Exposure(shot="a", ends_early=True)
        sample.expose("run", exposure, FrameSchedule(duration_ps=45.0, interval_ps=5.0))
        sample.fire("a", Pulse(amplitude_T=4.0, width_ps=8.0, peak_ps=20.0))
        sample.wait_settled()
        return sample

    yield film
    for sample in made:
        sample.close()


def test_a_movie_that_is_ended_exposes_no_more_and_says_so(pulsed):
    publisher = EndsAt(3)
    sample = pulsed(publisher)
    assert [frame.index for frame in publisher.frames] == [0, 1, 2, 3]
    assert (publisher.promised, publisher.ended_early) == ([4], [True])
    assert (publisher.open.expected_frames, publisher.open.may_end_early) == (10, True)
    sample.expose(
        "run", Exposure(shot="a", pulsed=False), FrameSchedule()
    )  # the next one is another
    sample.wait_settled()
    assert (publisher.promised, publisher.ended_early) == ([4, 1], [True, False])


@pytest.mark.parametrize("temperature_K", [0.0, 10.0])
@pytest.mark.parametrize("index", [0, 3, 8])
def test_the_film_does_not_care_when_its_movie_was_ended(pulsed, index, temperature_K):
    whole, early = NotingPublisher(), EndsAt(index)
    watched = pulsed(whole, temperature_K)
    ended = pulsed(early, temperature_K)
    assert len(early.frames) == index + 1 < len(whole.frames) == 10
    np.testing.assert_array_equal(ended.spins(), watched.spins())
    for one, other in zip(early.frames, whole.frames, strict=False):
        np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.parametrize("publisher", [EndsAt(9), EndsAt(3, shot="another")])
def test_a_movie_told_too_late_or_another_one_told_is_whole(pulsed, publisher):
    sample = pulsed(publisher)
    assert len(publisher.frames) == 10
    assert (publisher.promised, publisher.ended_early) == ([10], [False])
    sample.finish("a")  # it is over
    sample.expose("run", Exposure(shot="b"), FrameSchedule(duration_ps=10.0, interval_ps=5.0))
    sample.fire("b", Pulse(width_ps=2.0, peak_ps=5.0))
    sample.wait_settled()
    assert (publisher.promised, publisher.ended_early) == ([10, 3], [False, False])


def test_frames_that_the_camera_lost_are_missing_of_a_movie_that_was_ended():
    imaging = Imaging(dropped=0.3, seed=1)
    seen = [index for index in range(9) if imaging.arrives(frame=index)]
    assert seen[-1] >= len(seen), "one before the last was lost"
    publisher = EndsAt(seen[-1])
    film = Film(FilmParameters(rows=20, columns=30), precision="f4")
    publisher.sample = sample = SimulatedSample(film, publisher, settle_ps=5.0, imaging=imaging)
    sample.expose("run", Exposure(shot="a"), FrameSchedule(duration_ps=45.0, interval_ps=5.0))
    sample.fire("a", Pulse(width_ps=4.0, peak_ps=20.0))
    sample.wait_settled()
    sample.close()
    assert publisher.promised == [seen[-1] + 1]
    assert [frame.index for frame in publisher.frames] == seen
