"""The classifier as a device: an interlock that wants to have seen the film."""

import time
from dataclasses import replace

import numpy as np
import pytest

from skyctl.belief import Belief, Told
from skyctl.devices.classifier import ClassifierDevice
from skyctl.errors import ModelError, PulseRefused
from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.pulse import Exposure, FrameSchedule, Pulse
from skyctl.verdict import FilmState, ShotResult, Verdict

PULSE = Pulse(amplitude_T=2.0, width_ps=8.0)
FILM = FilmState(background=-1, discs=1, domains=0, reversed_sites=50)


@pytest.fixture
def staged(beamline):
    beamline.camera.stage()
    beamline.classifier.stage()
    yield beamline
    beamline.classifier.unstage()
    beamline.camera.unstage()


def look(beamline, shot: str) -> None:
    for device in (beamline.camera, beamline.classifier):
        device.prepare(Exposure(shot=shot, pulsed=False))
    (beamline.camera.trigger() & beamline.classifier.trigger()).wait(30)


def abstain(beamline, shot: str) -> None:
    classes = beamline.classifier.classes
    beamline.classifier.prepare(Exposure(shot=shot))
    verdict = Verdict(shot, 0, 0.0, classes, (1 / len(classes),) * len(classes), None)
    beamline.streaming._tell(ShotResult(shot, verdict, FILM, Counts(received=1), "", (1.0,)))


def test_nothing_fires_before_the_film_was_seen(staged):
    with pytest.raises(PulseRefused, match="not looked at"):
        staged.pulser.set(PULSE, shot="a")
    look(staged, "look")
    staged.pulser.set(PULSE, shot="a")


def test_what_an_earlier_run_saw_does_not_count(staged):
    look(staged, "look")
    staged.classifier.unstage()
    staged.classifier.stage()
    with pytest.raises(PulseRefused, match="not looked at"):
        staged.pulser.set(PULSE, shot="a")


def test_an_abstention_holds_fire_until_a_look(staged):
    look(staged, "look")
    abstain(staged, "unsure")
    assert staged.classifier.label.get() == "unsure"
    with pytest.raises(PulseRefused, match="unsure abstains"):
        staged.pulser.set(PULSE, shot="a")
    look(staged, "again")
    staged.pulser.set(PULSE, shot="a")


def test_an_abstention_after_arming_holds_fire_too(staged):
    look(staged, "look")
    staged.pulser.set(PULSE, shot="a")
    abstain(staged, "unsure")
    with pytest.raises(PulseRefused, match="abstains"):
        staged.pulser.trigger()
    assert staged.pulser.guard.shots_fired == 0


def test_a_pulsed_movie_gives_a_verdict_with_probabilities_and_latency(staged):
    staged.camera.ends_early.put(0)
    look(staged, "look")
    assert staged.classifier.label.get() == ""
    for device in (staged.camera, staged.classifier):
        device.prepare(Exposure(shot="shot"))
    done = staged.camera.trigger() & staged.classifier.trigger()
    staged.pulser.set(PULSE, shot="shot")
    staged.pulser.trigger()
    done.wait(30)
    reading = {name: value["value"] for name, value in staged.classifier.read().items()}
    probabilities = [reading[f"classifier_p_{name}"] for name in staged.classifier.classes]
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)
    assert reading["classifier_confidence"] == max(probabilities)
    assert reading["classifier_frames_classified"] == len(staged.camera.movie.times_ps)
    assert 0 < reading["classifier_latency_p50"] <= reading["classifier_latency_max"]
    best = staged.classifier.classes[probabilities.index(max(probabilities))]
    assert reading["classifier_label"] in (best, "unsure")
    assert reading["classifier_shot"] == "shot"


def test_a_broken_model_holds_fire_and_says_so(staged, monkeypatch):
    look(staged, "look")

    def broken(*_):
        raise RuntimeError("the session is gone")

    monkeypatch.setattr(staged.streaming.model, "step", broken)
    for device in (staged.camera, staged.classifier):
        device.prepare(Exposure(shot="shot"))
    filmed, classified = staged.camera.trigger(), staged.classifier.trigger()
    staged.pulser.set(PULSE, shot="shot")
    staged.pulser.trigger()
    assert "session is gone" in str(classified.exception(timeout=30))
    filmed.wait(30)
    with pytest.raises(PulseRefused, match="classifier stopped"):
        staged.pulser.set(PULSE, shot="next")
    with pytest.raises(ModelError, match="session is gone"):
        staged.classifier.trigger()


def test_a_result_that_never_comes_fails_naming_the_source(beamline):
    impatient = ClassifierDevice(
        name="impatient", streaming=beamline.streaming, hub=beamline.hub, timeout_s=0.1
    )
    with pytest.raises(ModelError, match="no exposure prepared"):
        impatient.trigger()
    impatient.prepare(Exposure(shot="lost"))
    error = impatient.trigger().exception(timeout=30)
    impatient.close()
    assert "impatient: shot lost" in str(error)
    assert beamline.hub.address in str(error)


def test_the_model_is_named_by_its_hash(beamline):
    configuration = beamline.classifier.read_configuration()
    assert (
        configuration["classifier_model_sha256"]["value"]
        == beamline.streaming.model.card.file_sha256
    )
    assert len(configuration["classifier_model_sha256"]["value"]) == 64


def seen(
    beamline, ago_s: float, counts: Counts | None = None, problem: str = "", shot="old"
) -> None:
    """A look whose last frame left its source so long ago."""
    seen_ns = time.monotonic_ns() - int(ago_s * 1e9)
    counts = counts or Counts(received=1)
    beamline.classifier.prepare(Exposure(shot=shot, pulsed=False))
    beamline.streaming._tell(ShotResult(shot, None, FILM, counts, problem, (), seen_ns))


def test_what_was_seen_too_long_ago_holds_fire(staged):
    staged.classifier._max_delay_s = 1e6
    seen(staged, 299)
    staged.pulser.set(PULSE, shot="a")
    seen(staged, 301, shot="older")
    with pytest.raises(PulseRefused, match=r"last seen 301 s ago.*look again"):
        staged.pulser.trigger()
    assert staged.pulser.guard.shots_fired == 0
    look(staged, "again")
    staged.pulser.set(PULSE, shot="b")


def test_a_result_long_after_its_frame_holds_fire(staged):
    seen(staged, 0.5)
    staged.pulser.set(PULSE, shot="a")
    seen(staged, 6, shot="older")
    with pytest.raises(PulseRefused, match=r"shot older came 6.0 s after"):
        staged.pulser.set(PULSE, shot="a")


def test_a_steering_classifier_says_how_many_frames_it_passed_over(beamline):
    beamline.classifier.prepare(Exposure(shot="s"))
    beamline.classifier._take(
        ShotResult("s", None, FILM, Counts(received=1, stale=7), "7 frames passed over", ())
    )
    assert beamline.classifier.stale.get() == 7
    assert "7 frames passed over" in beamline.classifier.hold_reason()


def movie(beamline, shot: str, problem: str = "") -> None:
    """The result of a movie that nobody here prepared."""
    beamline.streaming._tell(ShotResult(shot, None, FILM, Counts(received=1), problem, ()))


def test_a_sound_movie_of_somebody_else_lifts_no_hold(staged):
    movie(staged, "foreign")
    assert "not looked at" in staged.classifier.hold_reason()
    look(staged, "look")
    shown = staged.classifier.result
    movie(staged, "ours", problem="3 frames missing")
    movie(staged, "foreign")
    movie(staged, "look")  # again, as a replay of what was looked at before
    assert "3 frames missing" in staged.classifier.hold_reason()
    assert staged.classifier.result is not None
    assert staged.classifier.result.problem == ""
    assert shown.shot == staged.classifier.shot.get() == "look"
    look(staged, "again")
    assert staged.classifier.hold_reason() == ""


def test_a_look_that_began_before_the_view_was_spoilt_does_not_lift_the_hold(staged):
    look(staged, "look")
    staged.classifier.prepare(Exposure(shot="early", pulsed=False))
    movie(staged, "other", problem="3 frames missing")
    movie(staged, "early")
    assert "3 frames missing" in staged.classifier.hold_reason()
    look(staged, "late")
    assert staged.classifier.hold_reason() == ""


def test_a_movie_of_another_run_that_copies_the_name_of_our_shot_lifts_no_hold(staged):
    staged.classifier.prepare(Exposure(shot="look", pulsed=False))
    staged.hub.expect(ShotStart("ours", "look", None, FrameSchedule(), 1, (100, 100)))
    whole = ShotResult("look", None, FILM, Counts(received=1), "", ())
    staged.streaming._tell(replace(whole, run="theirs"))
    assert "not looked at" in staged.classifier.hold_reason()
    assert staged.classifier.shot.get() == ""
    staged.streaming._tell(replace(whole, run="ours"))
    assert staged.classifier.hold_reason() == ""


def test_what_was_prepared_in_an_earlier_run_lifts_no_hold_in_this_one(staged):
    staged.classifier.prepare(Exposure(shot="late", pulsed=False))
    staged.classifier.unstage()
    staged.classifier.stage()
    movie(staged, "late")
    assert "not looked at" in staged.classifier.hold_reason()


def told(beamline, shot, belief, **changes):
    """A result with this belief, of a shot that was prepared."""
    beamline.classifier.prepare(Exposure(shot=shot))
    beamline.streaming.belief = belief
    result = ShotResult(shot, None, FILM, Counts(received=1), "", (1.0,), belief=belief)
    beamline.streaming._tell(replace(result, **changes))


def test_a_network_that_is_not_to_be_trusted_holds_fire_and_says_why(staged):
    look(staged, "look")
    doubtful = Belief.unknown(0.999, Told(agreed=1, contradicted=3, unnamed=2))
    told(staged, "shot", doubtful)
    assert staged.classifier.believed_unsound.get() == pytest.approx(0.999)
    with pytest.raises(
        PulseRefused, match="not to be trusted here: looks contradicted it 3 times in 4, it named"
    ):
        staged.pulser.set(PULSE, shot="a")
    told(staged, "again", Belief.unknown(0.5))
    staged.pulser.set(PULSE, shot="a")


def test_the_event_holds_the_belief(staged):
    told(staged, "shot", Belief.certain("one", 1))
    reading = {k: v["value"] for k, v in staged.classifier.read().items()}
    assert reading["classifier_believed_one"] == 1.0
    assert reading["classifier_believed_empty"] == 0.0
    assert reading["classifier_believed_background"] == 1
    assert reading["classifier_believed_unsound"] == 0.0


def test_a_blank_look_lifts_no_hold_that_asks_to_see_the_film(staged):
    blank = {"state": None, "unreadable": "blank image"}
    told(staged, "lost", Belief.unknown(), problem="1 of 34 frames missing")
    told(staged, "dark", Belief.unknown(), **blank)
    with pytest.raises(PulseRefused, match="1 of 34 frames missing"):
        staged.pulser.set(PULSE, shot="a")
    look(staged, "bright")
    staged.pulser.set(PULSE, shot="a")


def test_a_blank_look_that_came_whole_is_a_look(staged):
    """The film is not known then, which is the plan's to reckon with; the stream is sound."""
    told(staged, "dark", Belief.unknown(), state=None, unreadable="blank image")
    assert staged.classifier.unreadable.get() == "blank image"
    staged.pulser.set(PULSE, shot="a")


def test_a_sure_belief_needs_no_look_after_a_mixed_verdict(staged):
    """A film of domains that a pulse emptied: "mixed" by name, and known."""
    look(staged, "look")
    classes = staged.classifier.classes
    mixed = Verdict("s", 0, 0.0, classes, (0.0,) * (len(classes) - 1) + (1.0,), "mixed")
    told(staged, "s", Belief.certain("empty", -1), verdict=mixed)
    staged.pulser.set(PULSE, shot="a")
    told(staged, "t", Belief.unknown(), verdict=replace(mixed, shot="t"))
    with pytest.raises(PulseRefused, match="left a mixed film"):
        staged.pulser.set(PULSE, shot="b")


def test_a_movie_of_somebody_else_moves_no_belief(staged):
    look(staged, "look")
    before = staged.streaming.belief
    start = ShotStart("theirs", "x", None, FrameSchedule(), 1, (100, 100))
    staged.streaming.handle(start)
    image = np.full((100, 100), 0.97, np.float32)
    staged.streaming.handle(Frame("theirs", "x", 0, 0.0, 1, image, 7))
    staged.streaming.handle(ShotEnd("theirs", "x", 1, Counts(received=1)))
    assert staged.streaming.belief is before
