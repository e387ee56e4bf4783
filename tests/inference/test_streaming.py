"""The streaming classifier: a verdict a frame, a result a movie, and what must not be acted on."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from skyctl.frame import Counts, Frame, ShotEnd, ShotStart
from skyctl.inference.streaming import StreamingClassifier
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate
from skyctl.verdict import ShotResult, Verdict

WHOLE = Counts(received=12)
LONG = Pulse(width_ps=40)


@pytest.fixture
def classifier(model):
    return StreamingClassifier(model)


def test_a_movie_has_a_verdict_a_frame_and_one_result(classifier, play, movie):
    verdicts, result = play(classifier, movie, counts=WHOLE)
    assert [verdict.index for verdict in verdicts] == list(range(12))
    assert [verdict.movie_time_ps for verdict in verdicts] == [5.0 * i for i in range(12)]
    assert all(verdict.classes == classifier.model.card.classes for verdict in verdicts)
    assert result.verdict is verdicts[-1]
    assert result.problem == ""
    assert result.counts == WHOLE
    assert result.state.has_one_skyrmion
    assert result.latencies_ms == tuple(verdict.latency_ms for verdict in verdicts)
    assert all(verdict.decided_ns > verdict.received_ns == 7 for verdict in verdicts)


def test_verdicts_are_the_models_own(classifier, play, movie, model):
    verdicts, _ = play(classifier, movie, counts=WHOLE)
    model.begin(movie[0], Pulse(width_ps=8))
    for verdict, sz in zip(verdicts, movie, strict=True):
        expected = model.step(sz, verdict.movie_time_ps)
        assert verdict.probabilities == tuple(map(float, expected))
        assert verdict.transitions == tuple(map(float, model.transitions))


def test_frames_that_somebody_asked_for_come_with_the_result(classifier, play, movie):
    _, result = play(classifier, movie, counts=WHOLE)
    assert result.kept == ()
    classifier.kept_times_ps = (15.0, 35.0)
    _, result = play(classifier, movie, counts=WHOLE)
    assert [frame.movie_time_ps for frame in result.kept] == [15.0, 35.0]
    assert np.array_equal(result.kept[0].data, movie[3])


def test_a_movie_does_not_remember_the_one_before(classifier, play, movie):
    first, _ = play(classifier, movie, counts=WHOLE)
    play(classifier, movie[5:9], counts=WHOLE)
    again, _ = play(classifier, movie, counts=WHOLE)
    assert [v.probabilities for v in again] == [v.probabilities for v in first]


def test_a_film_that_points_up_gets_the_verdicts_of_one_that_points_down(classifier, play, movie):
    down, below = play(classifier, movie, counts=WHOLE)
    up, above = play(classifier, [-sz for sz in movie], counts=WHOLE)
    assert [v.probabilities for v in up] == [v.probabilities for v in down]
    assert above.state.background == -below.state.background


def test_a_camera_of_all_spins_gets_the_verdicts_of_one_of_sz(classifier, movie, play):
    flat, _ = play(classifier, movie, counts=WHOLE)
    told = []
    classifier.subscribe(told.append)
    classifier.handle(ShotStart("run", "s", Pulse(width_ps=8), FrameSchedule(), 12, (3, 100, 100)))
    for index, sz in enumerate(movie):
        spins = np.stack([np.zeros_like(sz), np.zeros_like(sz), sz])
        classifier.handle(Frame("run", "s", index, 5.0 * index, 1, spins))
    assert [v.probabilities for v in told] == [v.probabilities for v in flat]


def test_a_look_has_a_state_and_no_verdict(classifier, play, movie):
    verdicts, result = play(classifier, movie[:1], looks=True, counts=Counts(received=1))
    assert verdicts == []
    assert result.verdict is None
    assert result.label == ""
    assert result.state.has_one_skyrmion
    assert result.problem == ""


def spoil(value):
    def spoiled(sz):
        bad = sz.copy()
        bad[3, 4] = value
        return bad

    return spoiled


def test_a_look_that_cannot_be_read_is_no_empty_film(classifier, play):
    dark = np.random.default_rng(0).normal(0.0, 0.1, (100, 100)).astype(np.float32)
    _, result = play(classifier, [dark], looks=True, counts=Counts(received=1))
    assert result.state is None
    assert result.unreadable.startswith("background at 0.0")
    assert result.problem == ""


def test_the_film_is_read_in_the_sites_that_a_pixel_has(model, play, film, disc):
    sites = film(disc(50, 50, 5))
    pixel_sites = StreamingClassifier(model, pixel_sites=2.0)
    _, result = play(pixel_sites, [0.99 * sites], looks=True, counts=Counts(received=1))
    assert result.state.reversed_sites == 4 * disc(50, 50, 5).sum()


@pytest.mark.parametrize(
    ("spoiled", "problem"),
    [
        (spoil(np.nan), "frame 4 holds a NaN"),
        (spoil(np.inf), "frame 4 holds a NaN or an infinity"),
        (spoil(1.5), "frame 4 holds values beyond"),
        (spoil(-30000), "frame 4 holds values beyond"),
        (np.zeros_like, "frame 4 is blank: every pixel holds 0"),
        (lambda sz: sz[:50], "frame 4 has shape"),
        (lambda sz: np.stack([sz, sz, sz]), "frame 4 has shape"),
    ],
)
def test_a_bad_frame_marks_its_movie_and_never_reaches_the_network(
    classifier, play, movie, spoiled, problem
):
    good, _ = play(classifier, movie, counts=WHOLE)
    verdicts, result = play(classifier, [*movie[:4], spoiled(movie[4]), *movie[5:]], counts=WHOLE)
    assert [v.probabilities for v in verdicts] == [v.probabilities for v in good[:4]]
    assert problem in result.problem
    assert result.state is None
    after, clean = play(classifier, movie, counts=WHOLE)
    assert [v.probabilities for v in after] == [v.probabilities for v in good]
    assert clean.problem == ""


@pytest.mark.parametrize(
    ("index", "frame", "problem"),
    [
        (9, lambda movie: np.full_like(movie[9], -1), "frame 9 is blank: every pixel holds -1"),
        (9, lambda movie: np.sign(movie[9]), "frame 9 is saturated"),
        (9, lambda movie: movie[8], "frame 9 is the one before again, bit for bit"),
        (2, lambda movie: movie[1], ""),  # a film at rest may stand still
        (2, lambda movie: np.full_like(movie[2], -1), ""),
    ],
)
def test_what_no_film_under_a_pulse_can_show_is_refused(
    classifier, play, movie, index, frame, problem
):
    images = [*movie]
    images[index] = frame(movie).astype(np.float32)
    _, result = play(classifier, images, counts=WHOLE)
    assert result.problem.startswith(problem)
    assert bool(result.problem) == bool(problem)


def test_a_bad_first_frame_leaves_no_verdict(classifier, play, movie):
    verdicts, result = play(classifier, [spoil(np.nan)(movie[0]), *movie[1:]], counts=WHOLE)
    assert (verdicts, result.verdict, result.state) == ([], None, None)
    assert result.problem


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        (Counts(received=10, missing=2), "2 of 12 frames missing"),
        (Counts(received=12, reordered=1), "1 frames out of order"),
        (Counts(received=12, upstream_dropped=4), "the source dropped 4 frames"),
        (Counts(received=12, stale=5), "5 frames passed over as stale"),
        (Counts(), "no frames"),
        (Counts(received=12, duplicates=3, stray=1, foreign=2, undecodable=1), ""),
    ],
)
def test_a_movie_with_a_gap_says_so(classifier, play, movie, counts, problem):
    _, result = play(classifier, movie, counts=counts)
    assert result.problem == problem


def test_a_frame_that_comes_late_is_passed_over(classifier, movie):
    told = []
    classifier.subscribe(told.append)
    classifier.handle(ShotStart("run", "s", Pulse(width_ps=8), FrameSchedule(), 12, (100, 100)))
    for index in (0, 2, 1, 3):
        classifier.handle(Frame("run", "s", index, 0.0, 1, movie[index]))
    assert [verdict.index for verdict in told] == [0, 2, 3]


def test_events_of_another_shot_are_passed_over(classifier, movie):
    told = []
    classifier.subscribe(told.append)
    classifier.handle(Frame("run", "early", 0, 0.0, 1, movie[0]))
    classifier.handle(ShotEnd("run", "early", 1))
    classifier.handle(ShotStart("run", "s", Pulse(width_ps=8), FrameSchedule(), 1, (100, 100)))
    classifier.handle(Frame("run", "other", 0, 0.0, 1, movie[0]))
    classifier.handle(ShotEnd("run", "other", 1))
    assert told == []


def test_an_abstaining_network_is_unsure_which_is_not_mixed():
    unsure = Verdict("s", 0, 0.0, ("a", "b"), (0.5, 0.5), None)
    assert ShotResult("s", unsure, None, WHOLE, "", ()).label == "unsure"


def test_a_label_is_the_only_class_of_the_conformal_set(classifier, play, movie):
    verdicts, _ = play(classifier, movie, counts=WHOLE)
    card = classifier.model.card
    for verdict in verdicts:
        inside = [
            p >= floor for p, floor in zip(verdict.probabilities, card.rules.least, strict=True)
        ]
        novel = verdict.novelty > card.rules.novelty
        named = card.classes[inside.index(True)] if sum(inside) == 1 and not novel else None
        assert verdict.label == named


@pytest.fixture(scope="module")
def pulsed():
    """S_z of a film with a skyrmion, that a long pulse makes collapse: every 15 ps to 165 ps."""
    shot = MovieSpec(FilmParameters(), FrameSchedule(duration_ps=165).times_ps, LONG)
    return simulate(shot, precision="f4")[:, 2]


def test_a_verdict_may_be_early_after_the_peak_only_and_only_where_a_class_is_named(
    classifier, pulsed
):
    told = []
    classifier.subscribe(told.append)
    classifier.handle(ShotStart("run", "s", LONG, FrameSchedule(), 12, (100, 100)))
    for index, sz in enumerate(pulsed):
        classifier.handle(Frame("run", "s", index, 15.0 * index, 1, sz))
    assert told[-1].label == "collapse"
    early = [verdict for verdict in told if verdict.early]
    assert early
    for verdict in early:
        assert verdict.movie_time_ps >= 40
        assert verdict.label == "collapse"
        assert max(verdict.transitions) >= classifier.model.card.rules.early


@pytest.mark.parametrize("pixels", [(25, 25), (50, 70)])
def test_a_noisy_camera_of_few_pixels_gets_the_same_answer(classifier, pulsed, pixels):
    imaging = Imaging(pixels=pixels, gaussian_noise=0.1)
    model = classifier.model
    images = [imaging.image(sz, frame=index) for index, sz in enumerate(pulsed)]
    *_, probabilities = model.watch(images, FrameSchedule(duration_ps=165).times_ps, LONG)
    assert model.label(probabilities) == "collapse"


@pytest.mark.parametrize("kind", ["noise", "spiral", "checks"])
def test_a_foreign_movie_is_never_named(classifier, play, kind):
    rng = np.random.default_rng(0)
    x = np.arange(100)
    images = {
        "noise": [rng.uniform(-1, 1, (100, 100)) for _ in range(12)],
        "spiral": [np.cos(2 * np.pi * (x + t) / 20) * np.ones((100, 1)) for t in range(12)],
        "checks": [np.sin(x / 5 + t) * np.sin(x / 5)[:, None] for t in range(12)],
    }[kind]
    verdicts, _ = play(classifier, [sz.astype(np.float32) for sz in images], counts=WHOLE)
    assert len(verdicts) == 12
    assert {verdict.label for verdict in verdicts} == {None}
    assert not any(verdict.early for verdict in verdicts)


def test_once_outside_a_movie_stays_so_and_the_next_is_judged_anew(classifier, pulsed):
    """Frames that are missing for longer than the model was made for."""

    def film(times_ps):
        told = []
        classifier.subscribe(told.append)
        classifier.handle(ShotStart("run", "s", LONG, FrameSchedule(), len(times_ps), (100, 100)))
        for index, (time_ps, sz) in enumerate(zip(times_ps, pulsed, strict=True)):
            classifier.handle(Frame("run", "s", index, time_ps, 1, sz))
        classifier.handle(ShotEnd("run", "s", len(times_ps), WHOLE))
        classifier.unsubscribe(told.append)
        return told

    times_ps = np.array(FrameSchedule(duration_ps=165).times_ps)
    *verdicts, result = film(times_ps + 30 * (times_ps > 70))
    assert all(verdict.outside == "" for verdict in verdicts[:5])
    assert {verdict.label for verdict in verdicts[5:]} == {None}
    assert "frames 45 ps apart" in result.verdict.outside
    assert result.label == "unsure"
    assert not result.belief.is_sure
    *_, again = film(times_ps)
    assert (again.verdict.outside, again.label) == ("", "collapse")


def test_who_unsubscribes_while_others_are_told_is_told_as_well(classifier, play, movie):
    """A movie's result frees a plan, whose run may end before the recorder has heard of it."""
    told, heard, leaving = [], [], []

    def leave():
        classifier.unsubscribe(told.append)
        heard.append(len(told))

    def free_the_plan(news):
        if not leaving:
            leaving.append(threading.Thread(target=leave))
            leaving[0].start()
            leaving[0].join(0.2)

    classifier.subscribe(free_the_plan)
    classifier.subscribe(told.append)
    play(classifier, movie[:2], counts=Counts(received=2))
    leaving[0].join()
    assert heard[0] >= 1


def test_who_unsubscribed_is_told_no_more(classifier, play, movie):
    told = []
    classifier.subscribe(told.append)
    classifier.unsubscribe(told.append)
    play(classifier, movie[:2], counts=Counts(received=2))
    assert told == []


class ThirdFrameIsSure:
    """A model that is certain at the third frame, and only there; the rest is the real one's."""

    def __init__(self, model):
        self._model = model
        self.seen = 0

    def __getattr__(self, name):
        return getattr(self._model, name)

    def begin(self, first, pulse):
        self.seen = 0
        self._model.begin(first, pulse)

    def step(self, sz, time_ps):
        self.seen += 1
        return self._model.step(sz, time_ps)

    def may_stop(self, _probabilities, _after_peak_ps):
        return self.seen == 3


@pytest.fixture
def stream(model):
    """Gives a movie of 12 promised frames to a classifier that is sure of its third one."""

    def run(images, *, may_end_early, ended_early, counts=None):
        told = []
        classifier = StreamingClassifier(ThirdFrameIsSure(model))
        classifier.subscribe(told.append)
        start = ShotStart("run", "s", Pulse(width_ps=8), FrameSchedule(), 12, (100, 100))
        classifier.handle(replace(start, may_end_early=may_end_early))
        for index, data in enumerate(images):
            classifier.handle(Frame("run", "s", index, 5.0 * index, 1, data, 7))
        counts = counts or Counts(received=len(images))
        classifier.handle(ShotEnd("run", "s", len(images), counts, ended_early=ended_early))
        assert classifier.model.seen == len(told) - 1, "the network sees what it gives a verdict on"
        return told[:-1], told[-1]

    return run


def timeless(result):
    """What a result says, without how long it took."""
    return replace(
        result,
        verdict=replace(result.verdict, decided_ns=0),
        latencies_ms=(),
        counts=Counts(),
        belief=None,
    )


def test_the_first_certain_verdict_is_the_movies_however_many_frames_follow(stream, movie):
    results = []
    for frames in (3, 4, 7, 12):
        verdicts, result = stream(movie[:frames], may_end_early=True, ended_early=frames < 12)
        assert [verdict.index for verdict in verdicts] == [0, 1, 2]
        assert result.verdict is verdicts[-1]
        assert result.problem == ""
        assert result.ended_early
        results.append(timeless(result))
    assert results == [results[0]] * 4


def test_what_was_on_its_way_when_the_movie_had_its_verdict_can_spoil_nothing(stream, movie):
    _, clean = stream(movie[:3], may_end_early=True, ended_early=True)
    _, result = stream([*movie[:3], spoil(np.nan)(movie[3])], may_end_early=True, ended_early=True)
    assert timeless(result) == timeless(clean)


def test_a_frame_lost_of_a_movie_that_ended_early_holds_it_all_the_same(stream, movie):
    counts = Counts(received=4, missing=1)
    _, result = stream(movie[:4], may_end_early=True, ended_early=True, counts=counts)
    assert result.problem == "1 of 5 frames missing"


def test_a_certain_verdict_on_the_last_frame_ends_nothing_early(model, play, movie):
    classifier = StreamingClassifier(ThirdFrameIsSure(model))
    told = []
    classifier.subscribe(told.append)
    start = ShotStart(
        "run", "s", Pulse(width_ps=8), FrameSchedule(), 3, (100, 100), may_end_early=True
    )
    classifier.handle(start)
    for index in range(3):
        classifier.handle(Frame("run", "s", index, 5.0 * index, 1, movie[index], 7))
    classifier.handle(ShotEnd("run", "s", 3, Counts(received=3)))
    assert told[-2].early
    assert not told[-1].ended_early


def test_where_movies_do_not_end_early_every_frame_is_asked(stream, movie):
    verdicts, result = stream(movie, may_end_early=False, ended_early=False)
    assert [verdict.index for verdict in verdicts if verdict.early] == [2]
    assert len(verdicts) == 12
    assert result.verdict is verdicts[-1]
    assert not result.ended_early


@pytest.mark.parametrize(("may_end_early", "frames"), [(True, 2), (False, 5)])
def test_a_movie_ended_before_its_verdict_was_certain_must_not_be_acted_on(
    stream, movie, may_end_early, frames
):
    _, result = stream(movie[:frames], may_end_early=may_end_early, ended_early=True)
    assert result.problem == f"ended early, after {frames} frames, and no verdict was certain"
    assert not result.ended_early
