"""The classifier as a device: an interlock that wants to have seen the film."""

import time

import pytest

from skyctl.devices.classifier import StreamClassifier
from skyctl.errors import ModelError, PulseRefused
from skyctl.frame import Counts
from skyctl.pulse import Exposure, Pulse
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

    def broken(_sz):
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
    impatient = StreamClassifier(
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


def seen(beamline, ago_s: float, counts: Counts | None = None, problem: str = "") -> None:
    """A look whose last frame left its source so long ago."""
    seen_ns = time.monotonic_ns() - int(ago_s * 1e9)
    counts = counts or Counts(received=1)
    beamline.streaming._tell(ShotResult("old", None, FILM, counts, problem, (), seen_ns))


def test_what_was_seen_too_long_ago_holds_fire(staged):
    staged.classifier._max_delay_s = 1e6
    seen(staged, 299)
    staged.pulser.set(PULSE, shot="a")
    seen(staged, 301)
    with pytest.raises(PulseRefused, match=r"last seen 301 s ago.*look again"):
        staged.pulser.trigger()
    assert staged.pulser.guard.shots_fired == 0
    look(staged, "again")
    staged.pulser.set(PULSE, shot="b")


def test_a_result_long_after_its_frame_holds_fire(staged):
    seen(staged, 0.5)
    staged.pulser.set(PULSE, shot="a")
    seen(staged, 6)
    with pytest.raises(PulseRefused, match=r"shot old came 6.0 s after"):
        staged.pulser.set(PULSE, shot="a")


def test_a_steering_classifier_says_how_many_frames_it_passed_over(beamline):
    beamline.classifier._take(
        ShotResult("s", None, FILM, Counts(received=1, stale=7), "7 frames passed over", ())
    )
    assert beamline.classifier.stale.get() == 7
    assert "7 frames passed over" in beamline.classifier.hold_reason()
