"""A recorded run in place of the sample: the same plan comes to the same decisions, offline."""

import logging

import pytest
from bluesky import RunEngine

from skyctl.agents.seeker import Bracket, PulseMemory
from skyctl.beamline import replayed_beamline, simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.errors import PulseRefused, StreamError
from skyctl.inference.model import MovieClassifier
from skyctl.plans import classify_shot, erase, write
from skyctl.pulse import Pulse, Spot
from skyctl.recording.files import Storage
from skyctl.recording.reader import Recording

WEAK = Pulse(amplitude_T=2.0, width_ps=4.0)
CERTAIN = Pulse(amplitude_T=2.0, width_ps=8.0)
"""The network is certain of what it does long before the movie is over."""
VERDICT = ["shot_number", "frame_index", "label", "probabilities"]
RESULT = ["shot_number", "label", "problem", "background", "discs", "domains", "reversed_sites"]


def run(beamline, plan, *args, **kwargs):
    """What the plan returns, its decisions, and the recording."""
    decisions = []

    def document(name, doc):
        if name == "event" and "decisions_task" in doc["data"]:
            names = ("task", "reason", "proposal", "from_label", "from_state", "guard_answer")
            decisions.append([doc["data"][f"decisions_{name}"] for name in names])

    engine = RunEngine(call_returns_result=True)
    engine.subscribe(document)
    result = engine(plan(beamline, *args, **kwargs)).plan_result
    return result, decisions, beamline.camera.recording


def weak_write(beamline, **kwargs):
    """``write`` with a first guess that writes nothing (4 T), so that there is more to decide."""
    memory = PulseMemory(write_T=Bracket(1.0, 12.0, 4.0, 0.3))
    return write(beamline, memory=memory, **kwargs)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A skyrmion written into a simulated film: (report, decisions, recording)."""
    with simulated_beamline(tmp_path_factory.mktemp("live"), storage=Storage("bslz4", 50)) as line:
        return run(line, weak_write)


@pytest.fixture
def recording(live):
    with Recording(live[2]) as recording:
        yield recording


@pytest.fixture
def quiet():
    """Bluesky's own account of a plan that fails is a traceback."""
    logger = logging.getLogger("bluesky")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def test_the_same_plan_comes_to_the_same_decisions_and_verdicts(live, recording, tmp_path):
    report, decisions, _ = live
    with replayed_beamline(recording, tmp_path) as beamline:
        again, decided, path = run(beamline, weak_write)
        assert beamline.sample.divergences == []
        assert beamline.sample.shots_left == 0
    assert report.reached
    assert report.pulses > 1
    assert decided == decisions
    assert (again.reached, again.pulses) == (True, report.pulses)
    assert again.after.as_json() == report.after.as_json()
    with Recording(path) as second:
        for name, columns in (("verdicts", VERDICT), ("results", RESULT)):
            first = getattr(recording, name)
            assert str(getattr(second, name)[columns].tolist()) == str(first[columns].tolist())
        images = [r.images(0, r.frame_count).tobytes() for r in (recording, second)]
        assert images[0] == images[1]
        assert second.header["replayed_run"] == recording.run
        assert second.header["sample"] == recording.header["sample"]


def test_another_pulse_than_recorded_is_refused(recording, tmp_path, quiet):
    with replayed_beamline(recording, tmp_path) as beamline:
        with pytest.raises(StreamError, match=r"shot 1: asked for pulse .*51.0.* recorded is"):
            run(beamline, weak_write, centre=(51.0, 49.5))
        (divergence,) = beamline.sample.divergences
        assert divergence.number == 1
        assert '"x":51.0' in divergence.asked
        assert '"x":49.5' in divergence.recorded
    with Recording(beamline.camera.recording) as second:
        assert [start.pulse for start, _, _ in second.shots()] == [None]  # the look alone


def test_other_pulses_are_counted_where_that_is_asked_for(live, recording, tmp_path):
    with replayed_beamline(recording, tmp_path, diverging="count") as beamline:
        report, decided, path = run(beamline, weak_write, centre=(51.0, 49.5))
        divergences = beamline.sample.divergences
    assert report.reached  # by the recorded pulses, which the movies are of
    assert [d.number for d in divergences] == [2 * n + 1 for n in range(len(live[1]))]
    assert all('"x": 51.0' in decision[2] for decision in decided)
    with Recording(path) as second:
        pulses = [start.pulse for start, _, _ in second.shots() if start.pulse]
        assert all(pulse.spot == Spot(x=49.5, y=49.5, sigma=6.0) for pulse in pulses)


def test_a_look_where_a_pulse_was_recorded_is_refused(recording, tmp_path, quiet):
    with replayed_beamline(recording, tmp_path) as beamline:
        assert run(beamline, erase)[0].reached  # one look: the film is empty
        with pytest.raises(StreamError, match=r"shot 1: asked for a look, recorded is pulse"):
            run(beamline, erase)


@pytest.mark.parametrize("diverging", ["refuse", "count"])
def test_after_the_last_shot_there_is_nothing(recording, tmp_path, quiet, diverging):
    with replayed_beamline(recording, tmp_path, diverging=diverging) as beamline:
        run(beamline, weak_write)
        with pytest.raises(StreamError, match="after the last shot: asked for a look"):
            run(beamline, erase)


def test_another_movie_than_recorded_is_a_divergence(recording, tmp_path, quiet):
    with replayed_beamline(recording, tmp_path) as beamline:
        beamline.camera.interval_ps.put(7.5)
        with pytest.raises(StreamError, match=r'movie .*"interval_ps":7.5.* recorded is'):
            run(beamline, weak_write)


def test_a_frame_that_was_lost_is_lost_again_and_holds_fire(tmp_path, quiet):
    with simulated_beamline(tmp_path / "live") as line:
        send = line.publisher.frame
        line.publisher.frame = lambda frame: None if frame.index == 5 else send(frame)
        first, _, path = run(line, classify_shot, WEAK)
    assert first.problem == "1 of 34 frames missing"
    with Recording(path) as recording, replayed_beamline(recording, tmp_path / "re") as line:
        second, _, _ = run(line, classify_shot, WEAK)
        assert second.problem == first.problem
        assert second.counts == first.counts
        assert "1 of 34 frames missing" in line.classifier.hold_reason()


def test_shots_that_keep_their_names_are_found_by_them(recording, tmp_path):
    from skyctl.pulse import Exposure

    looks = [start.shot for start, _, _ in recording.shots() if start.pulse is None]
    with replayed_beamline(recording, tmp_path) as line:
        line.camera.stage()
        line.camera.prepare(Exposure(shot=looks[1], pulsed=False))
        line.camera.trigger().wait(20)
        line.camera.unstage()
        assert line.sample.divergences == []
    with Recording(line.camera.recording) as second, Recording(recording.path) as first:
        frames = {start.shot: next(shot).data for start, shot, _ in first.shots()}
        ((start, shot, _),) = second.shots()
        assert next(shot).data.tobytes() == frames[start.shot].tobytes()


def test_the_guard_still_guards(recording, tmp_path, quiet):
    tight = Envelope(amplitude_T=(0.0, 1.0))
    with replayed_beamline(recording, tmp_path, envelope=tight) as beamline:
        # The agent proposes nothing that it may not fire: the pulse is another one than recorded.
        with pytest.raises(StreamError, match="asked for pulse"):
            run(beamline, weak_write)
        assert beamline.pulser.refused_range.get() == 0
    with replayed_beamline(recording, tmp_path / "again", envelope=tight) as beamline:
        with pytest.raises(PulseRefused, match="amplitude_T"):
            run(beamline, lambda line: classify_shot(line, Pulse(amplitude_T=2, width_ps=8)))
        assert beamline.pulser.refused_range.get() == 1


def test_nothing_is_fired_when_the_recording_s_folder_is_deleted(tmp_path, quiet):
    """The run is held: the camera's interlock says why, and the sample sees no pulse."""
    with simulated_beamline(tmp_path / "gone", model=MovieClassifier()) as line:
        fired = []
        line.sample.fire = lambda shot, pulse: fired.append(shot)
        line.camera.stage()

        def lose_folder():
            for path in (tmp_path / "gone").iterdir():
                path.unlink()
            (tmp_path / "gone").rmdir()

        from skyctl.pulse import Exposure

        lose_folder()
        line.camera.prepare(Exposure(shot="look", pulsed=False))
        error = line.camera.trigger().exception(timeout=20)
        assert "cannot be written" in str(error)
        with pytest.raises(PulseRefused, match="the recorder stopped"):
            line.pulser.set(WEAK, shot="a")
        assert fired == []
        line.camera.unstage()


@pytest.fixture(scope="module")
def filmed_whole(tmp_path_factory):
    """A shot of which no movie was to end early: (result, path)."""
    with simulated_beamline(tmp_path_factory.mktemp("whole")) as line:
        line.camera.ends_early.put(0)
        result, _, path = run(line, classify_shot, CERTAIN)
        return result, path


def test_a_movie_that_ended_early_is_sent_as_it_was(tmp_path, told_in_time):
    with simulated_beamline(tmp_path / "live") as line:
        told_in_time(line, 30)
        first, _, path = run(line, classify_shot, CERTAIN)
        exposed = line.camera.frames_exposed.get()
    assert first.ended_early
    assert first.verdict.index < 20
    assert exposed == 31
    with Recording(path) as recording, replayed_beamline(recording, tmp_path / "re") as line:
        assert line.camera.ends_early.get() == 1
        told_in_time(line, 20)  # the frames after it were exposed then: they are sent again
        second, _, again = run(line, classify_shot, CERTAIN)
        assert line.camera.frames_exposed.get() == exposed
        assert (line.camera.ended_early.get(), line.camera.missing.get()) == (1, 0)
        with Recording(again) as copy:
            images = [r.images(0, r.frame_count).tobytes() for r in (recording, copy)]
        assert images[0] == images[1]
    assert second.verdict.probabilities == first.verdict.probabilities
    assert (second.ended_early, second.state, second.problem) == (True, first.state, "")


def test_a_movie_that_was_not_to_end_early_is_replayed_whole(filmed_whole, tmp_path):
    first, path = filmed_whole
    with Recording(path) as recording, replayed_beamline(recording, tmp_path) as line:
        assert line.camera.ends_early.get() == 0
        second, _, _ = run(line, classify_shot, CERTAIN)
        assert line.camera.frames_exposed.get() == 34
    assert second.verdict.probabilities == first.verdict.probabilities
    assert not second.ended_early


def test_a_whole_movie_ends_early_where_that_is_asked_for(filmed_whole, tmp_path, told_in_time):
    _, path = filmed_whole
    with Recording(path) as recording, replayed_beamline(recording, tmp_path) as line:
        line.camera.ends_early.put(1)
        told_in_time(line, 30)
        second, _, again = run(line, classify_shot, CERTAIN)
        assert (line.camera.ended_early.get(), line.camera.missing.get()) == (1, 0)
        assert line.camera.frames_exposed.get() == 31
    assert second.ended_early
    assert second.verdict.early
    assert second.verdict.index < 30
    with Recording(again) as copy:
        assert len(copy.verdicts) == second.verdict.index + 1
