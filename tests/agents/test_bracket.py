"""The bracket seeker, from beliefs made by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyctl.agents.bracket import Bracket, BracketMemory, BracketSeeker
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.verdict import ShotResult

CENTRE = (49.5, 49.5)
EMPTY, SKYRMION, DOMAINS = (Belief.certain(kind, -1) for kind in ("empty", "one", "other"))
RESULT = ShotResult("s", None, None, Counts(received=1), "", (1.0,))


def turned_over(film: Belief) -> Belief:
    kind, background = film.likeliest
    return Belief.certain(kind, -background)


def shoot(seeker: BracketSeeker, before: Belief, after: Belief) -> None:
    proposal = seeker.suggest(before)
    assert proposal is not None
    seeker.ingest(proposal, before, RESULT, after)


def test_write_starts_with_a_local_pulse_at_the_centre():
    proposal = BracketSeeker("write", (30.0, 60.0)).suggest(EMPTY)
    assert proposal.action == "write"
    assert (proposal.pulse.spot.x, proposal.pulse.spot.y) == (30.0, 60.0)


@pytest.mark.parametrize("task", ["switch", "erase"])
def test_switch_and_erase_pulse_the_whole_film(task):
    seeker = BracketSeeker(task, CENTRE)
    seeker.reached(SKYRMION)
    proposal = seeker.suggest(SKYRMION)
    assert proposal.action == task
    assert proposal.pulse.spot is None


@pytest.mark.parametrize(("task", "film"), [("write", EMPTY), ("erase", SKYRMION)])
def test_the_pulse_is_mirrored_for_a_film_that_points_up(task, film):
    down = BracketSeeker(task, CENTRE).suggest(film).pulse
    up = BracketSeeker(task, CENTRE).suggest(turned_over(film)).pulse
    assert up.theta_deg == 180.0 - down.theta_deg
    assert up.peak_field_T[2] == pytest.approx(-down.peak_field_T[2])
    assert down.peak_field_T[2] > 0


@pytest.mark.parametrize("task", ["write", "switch"])
def test_domains_are_erased_first_and_the_reason_says_so(task):
    seeker = BracketSeeker(task, CENTRE)
    seeker.reached(DOMAINS)
    proposal = seeker.suggest(DOMAINS)
    assert proposal.action == "erase"
    assert str(DOMAINS) in proposal.reason


def test_a_switch_without_a_skyrmion_writes_one():
    seeker = BracketSeeker("switch", CENTRE)
    seeker.reached(EMPTY)
    assert seeker.suggest(EMPTY).action == "write"


def test_a_switch_that_turned_the_film_over_and_lost_its_skyrmion_turns_it_back():
    seeker = BracketSeeker("switch", CENTRE)
    seeker.reached(SKYRMION)
    assert seeker.suggest(turned_over(EMPTY)).action == "erase"


@pytest.mark.parametrize(
    ("task", "film", "done"),
    [
        ("write", EMPTY, False),
        ("write", SKYRMION, True),
        ("write", DOMAINS, False),
        ("erase", EMPTY, True),
        ("erase", turned_over(EMPTY), True),
        ("erase", SKYRMION, False),
        ("switch", SKYRMION, False),
        ("switch", turned_over(SKYRMION), False),
    ],
)
def test_a_task_is_reached_by_what_is_seen(task, film, done):
    assert BracketSeeker(task, CENTRE).reached(film) is done


def test_a_switch_is_reached_only_by_a_pulse_that_switched():
    seeker = BracketSeeker("switch", CENTRE)
    assert not seeker.reached(SKYRMION)
    assert not seeker.reached(turned_over(SKYRMION))
    shoot(seeker, SKYRMION, turned_over(SKYRMION))
    assert seeker.reached(turned_over(SKYRMION))


def test_switching_twice_is_not_a_switch():
    seeker = BracketSeeker("switch", CENTRE)
    seeker.reached(turned_over(SKYRMION))
    shoot(seeker, SKYRMION, turned_over(SKYRMION))
    assert not seeker.reached(turned_over(SKYRMION))


@pytest.mark.parametrize(
    ("task", "before", "after", "direction"),
    [
        ("write", EMPTY, EMPTY, +1),
        ("write", EMPTY, DOMAINS, -1),
        ("switch", SKYRMION, SKYRMION, +1),
        ("switch", SKYRMION, EMPTY, -1),
        ("switch", SKYRMION, turned_over(EMPTY), -1),  # switched and faded: too much, too
        ("switch", SKYRMION, DOMAINS, +1),
        ("erase", SKYRMION, SKYRMION, +1),
        ("erase", SKYRMION, DOMAINS, +1),
    ],
)
@pytest.mark.parametrize(("sure", "learns"), [(1.0, True), (0.92, True), (0.88, False)])
def test_a_miss_that_is_told_moves_the_next_guess(task, before, after, direction, sure, learns):
    memory = BracketMemory()
    seeker = BracketSeeker(task, CENTRE, memory)
    bracket = {"write": memory.write_T, "switch": memory.switch_ps, "erase": memory.erase_ps}[task]
    seeker.reached(before)
    first = bracket.guess
    # what it may be besides would have worked
    worked = {"write": SKYRMION, "switch": turned_over(SKYRMION), "erase": EMPTY}[task]
    shoot(seeker, before, Belief(sure * after.film + (1 - sure) * worked.film))
    assert ((bracket.guess - first) * direction > 0) is learns


@pytest.mark.parametrize(
    ("task", "before", "after"),
    [
        ("write", EMPTY, SKYRMION),
        ("switch", SKYRMION, turned_over(SKYRMION)),
        ("erase", SKYRMION, EMPTY),
    ],
)
def test_what_worked_is_proposed_again(task, before, after):
    memory = BracketMemory()
    first = BracketSeeker(task, CENTRE, memory)
    first.reached(before)
    pulse = first.suggest(before).pulse
    shoot(first, before, after)
    again = BracketSeeker(task, CENTRE, memory)
    again.reached(before)
    assert again.suggest(before).pulse == pulse


@pytest.mark.parametrize(
    ("task", "film"), [("write", EMPTY), ("switch", SKYRMION), ("erase", SKYRMION)]
)
def test_it_gives_up_when_there_is_nothing_left_to_try(task, film):
    seeker = BracketSeeker(task, CENTRE)
    seeker.reached(film)
    for _ in range(100):
        if seeker.suggest(film) is None:
            break
        shoot(seeker, film, film)
    assert seeker.gave_up.startswith(f"{task}: missed at ")


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"'polish'.*'write'"):
        BracketSeeker("polish", CENTRE)


@given(
    boundary=st.floats(5, 47),
    guess=st.floats(4, 48),
)
@settings(max_examples=100, deadline=None)
def test_a_bracket_closes_on_a_boundary(boundary, guess):
    bracket = Bracket(4.0, 48.0, guess, 2.0)
    for _ in range(20):
        (bracket.too_little if bracket.guess < boundary else bracket.too_much)()
        if abs(bracket.guess - boundary) <= 2.0:
            return
    pytest.fail(f"{bracket.guess} after 20 shots")


def test_a_bracket_that_closed_opens_once_more_below_where_it_closed():
    """One wrong turn, at 8 of 0 … 16, is made good: what is right lies below."""
    bracket = Bracket(0.0, 16.0, 8.0, 1.0)
    upwards = []
    for _ in range(5):
        upwards.append(bracket.guess)
        bracket.too_little()
    assert upwards == [8, 12, 14, 15, 15.5]
    downwards = []
    while not bracket.exhausted and len(downwards) < 10:
        downwards.append(bracket.guess)
        bracket.too_much()
    assert downwards[0] == pytest.approx(0.85 * 15.5)
    assert downwards[-1] < 1.0


@given(st.lists(st.sampled_from(["too_little", "too_much", "worked"]), max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_bracket_never_leaves_its_bounds(answers):
    bracket = Bracket(4.0, 48.0, 24.0, 2.0)
    for answer in answers:
        getattr(bracket, answer)()
        assert 4.0 <= bracket.guess <= 48.0


def test_a_closed_bracket_reopens_once_below():
    bracket = Bracket(4.0, 48.0, 47.0, 2.0)
    bracket.too_little()
    assert bracket.guess < 47.0
    assert not bracket.exhausted
    for _ in range(20):
        bracket.too_little()
    assert bracket.exhausted


def test_success_opens_a_bracket_again():
    bracket = Bracket(4.0, 48.0, 24.0, 2.0)
    bracket.too_little()
    guess = bracket.guess
    bracket.worked()
    assert bracket.guess == guess
    bracket.too_much()
    assert bracket.guess == pytest.approx((4.0 + guess) / 2)


def test_a_first_guess_outside_the_bounds_is_refused():
    with pytest.raises(ValueError, match="outside 4 … 48"):
        Bracket(4.0, 48.0, 60.0, 2.0)


def test_a_bracket_that_is_narrowed_stays_inside():
    bracket = Bracket(1.0, 12.0, 8.0, 0.3)
    bracket.narrow(0.0, 2.0)
    assert bracket.guess == 2.0
    tried = []
    while not bracket.exhausted:
        tried.append(bracket.guess)
        bracket.too_little()
    assert 1.0 <= min(tried) <= max(tried) <= 2.0
    assert bracket.missed("T").endswith(
        "of 1 … 2 T, which is all that the envelope leaves of 1 … 12 T"
    )


def test_a_bracket_that_nothing_is_left_of_is_exhausted_and_says_so():
    bracket = Bracket(8.0, 60.0, 30.0, 1.0)
    bracket.narrow(1.0, 5.0)
    assert bracket.exhausted
    assert bracket.missed("ps") == "the envelope leaves nothing of 8 … 60 ps"
    assert Bracket.from_json(bracket.as_json()).exhausted


def test_the_same_envelope_again_keeps_what_was_learned_and_a_wider_one_opens_it():
    bracket = Bracket(8.0, 60.0, 30.0, 1.0)
    bracket.narrow(1.0, 20.0)
    while not bracket.exhausted:
        bracket.too_little()
    bracket.narrow(1.0, 20.0)
    assert bracket.exhausted
    bracket.narrow(1.0, 60.0)
    assert not bracket.exhausted
    bracket.too_little()
    assert 20.0 < bracket.guess < 60.0
