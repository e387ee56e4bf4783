"""Belief: a filter over the film and over the network, on movies and looks made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyctl.belief import STATES, SURE, UNTRUSTED, Belief, Reliability, Told
from skyctl.process import TRANSITIONS, transition

WORTH = Reliability(wrong=0.005, abstains=0.08)


def looks_like(kind, background, likelihood=0.998):
    rest = (1 - likelihood) / (len(STATES) - 1)
    return tuple(likelihood if state == (kind, background) else rest for state in STATES)


def verdict(start, end, turned=False, p=0.99):
    said = np.full(TRANSITIONS, (1 - p) / (TRANSITIONS - 1))
    said[transition(start, end, turned)] = p
    return said


def shot(belief, said, background=-1, named=True):
    return belief.after_shot(said, background, WORTH, named=named)


def trusted(kind="empty", background=-1):
    """A film that is known, by a network that has been right four times."""
    belief = Belief.unknown().after_look(looks_like(kind, background))
    for _ in range(4):
        belief = shot(belief, verdict(kind, kind), background)
        belief = belief.after_look(looks_like(kind, background))
    return belief


def test_of_an_unseen_film_nothing_is_sure_and_one_look_tells():
    unknown = Belief.unknown()
    assert not unknown.is_sure
    assert unknown.states == pytest.approx(np.full(len(STATES), 1 / len(STATES)))
    seen = unknown.after_look(looks_like("one", 1))
    assert (seen.kind, seen.background, seen.is_sure) == ("one", 1, True)


@pytest.mark.parametrize(
    ("start", "end", "turned", "background", "expected"),
    [
        ("empty", "one", False, -1, ("one", -1)),
        ("one", "one", True, -1, ("one", 1)),
        ("one", "one", True, 1, ("one", -1)),
        ("one", "empty", True, 1, ("empty", -1)),
        ("other", "empty", False, 1, ("empty", 1)),
    ],
)
def test_a_verdict_moves_the_film(start, end, turned, background, expected):
    belief = shot(trusted(start, background), verdict(start, end, turned), background)
    assert belief.likeliest == expected
    assert belief.is_sure


def test_the_first_verdicts_of_a_network_are_not_believed_without_a_look():
    belief = shot(Belief.unknown().after_look(looks_like("empty", -1)), verdict("empty", "one"))
    assert belief.likeliest == ("one", -1)
    assert not belief.is_sure


def test_trust_is_earned_by_agreeing_and_lost_by_contradicting():
    good = bad = Belief.unknown().after_look(looks_like("empty", -1))
    for _ in range(4):
        before = good.unsound
        good = shot(good, verdict("empty", "empty")).after_look(looks_like("empty", -1))
        assert good.unsound < before
    for _ in range(3):
        bad = shot(bad, verdict("empty", "one")).after_look(looks_like("empty", -1))
    assert good.unsound < 0.01
    assert bad.unsound > UNTRUSTED
    assert good.told == Told(agreed=4)
    assert bad.told.contradicted > 0


def test_a_network_contradicts_itself_where_it_forgets_what_it_left():
    """No look at all: each movie begins with another film than the one before ended with."""
    belief = trusted()
    for _ in range(14):
        belief = shot(belief, verdict("empty", "one"))
    assert belief.unsound > UNTRUSTED
    assert belief.told.itself > 2


def test_agreement_with_itself_earns_trust_where_looks_show_nothing():
    belief = Belief.unknown()
    for _ in range(8):
        belief = shot(belief, verdict("one", "one"))
    assert belief.unsound < 0.005
    assert belief.likeliest == ("one", -1)
    assert belief.is_sure


def test_a_network_that_never_names_anything_is_noticed():
    belief = Belief.unknown().after_look(looks_like("one", -1))
    for _ in range(5):
        belief = shot(belief, np.full(TRANSITIONS, 1 / TRANSITIONS), named=False)
        belief = belief.after_look(looks_like("one", -1))
    assert belief.unsound > UNTRUSTED
    assert belief.told.unnamed == 5


def test_weak_pulses_tell_what_a_film_is_together():
    """Each verdict is no surer than 90 %; a film that nothing changed is known after a few."""
    alone = together = Belief.unknown()
    for _ in range(6):
        said = verdict("one", "one", p=0.9)
        alone = shot(alone, said)
        together = together.after_shot(said, -1, WORTH, named=True, harmless=True)
    assert not alone.is_sure
    assert together.is_sure
    assert together.likeliest == ("one", -1)


def test_random_verdicts_are_noticed_and_hardly_ever_make_sure_of_what_is_not():
    held, sure_and_wrong = 0, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        belief = Belief.unknown().after_look(looks_like("empty", -1))
        for _ in range(5):
            said = np.full(TRANSITIONS, 0.01 / (TRANSITIONS - 1))
            said[rng.integers(TRANSITIONS)] = 0.99
            belief = shot(belief, said)
            sure_and_wrong += belief.is_sure and belief.likeliest != ("empty", -1)
            if not belief.is_sure:
                belief = belief.after_look(looks_like("empty", -1))
        held += belief.unsound > UNTRUSTED
    assert sure_and_wrong == 0
    assert held >= 295


def test_a_movie_that_told_nothing_spreads_the_belief():
    before = trusted("one")
    after = shot(before, None)
    assert not after.is_sure
    assert after.states.max() < before.states.max()
    assert after.unsound == pytest.approx(before.unsound, abs=0.01)


def test_a_new_run_forgets_the_film_and_not_the_network():
    belief = trusted().forget_film()
    assert not belief.is_sure
    assert belief.unsound == pytest.approx(trusted().unsound)
    assert belief.told == trusted().told


def test_a_noisy_look_says_less_than_a_sharp_one():
    unknown = Belief.unknown()
    faint = unknown.after_look(looks_like("one", -1, 0.6))
    assert 0.3 < faint.probability("one", -1) < SURE
    twice = faint.after_look(looks_like("one", -1, 0.6)).after_look(looks_like("one", -1, 0.6))
    assert twice.probability("one", -1) > faint.probability("one", -1)


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.lists(st.floats(1e-6, 1), min_size=TRANSITIONS, max_size=TRANSITIONS),
            st.sampled_from([-1, 1]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_whatever_comes_it_stays_a_distribution(events):
    belief = Belief.unknown()
    for look, numbers, background, named in events:
        weights = np.array(numbers)
        if look:
            belief = belief.after_look(tuple(weights[: len(STATES)]))
        else:
            belief = shot(belief, weights / weights.sum(), background, named)
        assert belief.film.min() >= 0
        assert belief.film.sum() == pytest.approx(1)
        assert 0 <= belief.unsound <= 1


@given(st.lists(st.floats(0.01, 1), min_size=TRANSITIONS, max_size=TRANSITIONS))
def test_a_film_upside_down_is_believed_upside_down(numbers):
    said = np.array(numbers) / sum(numbers)
    down = shot(trusted("one", -1), said, -1)
    up = shot(trusted("one", 1), said, 1)
    np.testing.assert_allclose(
        down.film.reshape(2, 3, 2), up.film.reshape(2, 3, 2)[:, :, ::-1], atol=1e-12
    )


@pytest.mark.parametrize("bad", [(0.5,) * 5, (float("nan"),) * 6, (-0.1,) + (0.2,) * 5])
def test_a_look_that_is_no_likelihood_is_refused(bad):
    with pytest.raises(ValueError, match="likelihood"):
        Belief.unknown().after_look(bad)


@pytest.mark.parametrize("bad", [{"wrong": 0.0}, {"abstains": 1.2}, {"base": (0.5, 0.5)}])
def test_a_reliability_that_cannot_be_is_refused(bad):
    with pytest.raises(ValueError, match="reliability"):
        Reliability(**bad)
